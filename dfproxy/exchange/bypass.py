"""
Lets the rest of a body go past us, when it is long and both transports can (`dfproxy.exchange.splice`): of an answer
towards the client, of a request towards the server.
"""

from __future__ import annotations

from typing import Any, Protocol

from dfproxy.exchange.splice import Pipes, Splice, descriptor, descriptor_to_read
from dfproxy.transport import Stream
from dfproxy.upstream.http1 import ServerConnection


class Passed(Protocol):
    """
    The exchange whose body goes past us.
    """

    bytes_in: int
    bytes_out: int
    connection: ServerConnection | None

    def progress(self, blocked: bool) -> None:
        """
        Bytes have moved on, or (`blocked`) the client does not take more for now.
        """

    def request_progress(self, blocked: bool) -> None:
        """
        The request's body has moved on, or (`blocked`) the server does not take more for now.
        """

    def request_passed(self) -> None:
        """
        All of the request's body is with the server.
        """

    def client_broke(self) -> None:
        """
        Nothing can be sent to the client, or had from it, any more.
        """


class _Passage:
    """
    One body on its way past us.
    """

    __slots__ = ("_connection", "_exchange", "_splice")

    def __init__(self, exchange: Passed, connection: ServerConnection) -> None:
        self._exchange = exchange
        self._connection = connection
        self._splice: Splice | None = None

    def _begin(self, reactor: Any, pipes: Pipes, source: Stream, target: Stream, count: int) -> bool:
        if descriptor(target) < 0 or descriptor_to_read(source) < 0:
            return False
        try:
            self._splice = Splice(reactor, pipes, source, target, count, self._moved, self._blocked, self._ended)
        except OSError:
            return False  # no descriptors left
        self._splice.start()
        return True

    def cancel(self) -> None:
        """
        The exchange is over before the body is.
        """
        splice, self._splice = self._splice, None
        if splice is not None:
            splice.cancel()

    def _moved(self, count: int) -> None:
        raise NotImplementedError  # each direction has its own

    def _blocked(self, blocked: bool) -> None:
        raise NotImplementedError  # each direction has its own

    def _ended(self, broken: str) -> None:
        self._splice = None
        if self._exchange.connection is self._connection:  # else it has ended otherwise
            self._passed(broken)

    def _passed(self, broken: str) -> None:
        raise NotImplementedError  # each direction has its own


class Bypass(_Passage):
    """
    One answer on its way past us.

    Args:
        exchange: whose answer it is.
        connection: where it comes from; its `left` bytes are all still to come.
    """

    __slots__ = ()

    def start(self, reactor: Any, pipes: Pipes, target: Stream) -> bool:
        """
        Begin, if it can be done now.

        Returns:
            Whether the body goes past us; false: copy it.
        """
        connection = self._connection
        if connection.reading_held:
            return False
        return self._begin(reactor, pipes, connection.transport, target, connection.left)

    def _moved(self, count: int) -> None:
        self._exchange.bytes_out += count
        self._connection.relayed(count)
        self._exchange.progress(False)

    def _blocked(self, blocked: bool) -> None:
        self._connection.wait_for_client(blocked)
        self._exchange.progress(blocked)

    def _passed(self, broken: str) -> None:
        exchange, connection = self._exchange, self._connection
        if broken == "target":
            exchange.client_broke()
        elif broken:
            connection.cut_short()
        else:
            exchange.progress(False)
            connection.transport.resumeProducing()
            connection.relayed_all()


class Upload(_Passage):
    """
    One request's body on its way past us.

    Args:
        exchange: whose request it is.
        connection: where it goes.
        left: its bytes that are still to come.
    """

    __slots__ = ("_left",)

    def __init__(self, exchange: Passed, connection: ServerConnection, left: int) -> None:
        super().__init__(exchange, connection)
        self._left = left

    def start(self, reactor: Any, pipes: Pipes, source: Stream) -> bool:
        """
        Begin, if it can be done now.

        Returns:
            Whether the body goes past us; false: copy it.
        """
        return self._begin(reactor, pipes, source, self._connection.transport, self._left)

    def _moved(self, count: int) -> None:
        self._exchange.bytes_in += count
        self._exchange.request_progress(False)

    def _blocked(self, blocked: bool) -> None:
        self._connection.wait_for_server(blocked)
        self._exchange.request_progress(blocked)

    def _passed(self, broken: str) -> None:
        # A server that takes no more has closed, and its connection says so next; an answer may still come first.
        if broken == "source":
            self._exchange.client_broke()
        elif not broken:
            self._exchange.request_passed()
