"""
Doors of connections that are not looked into: whole ports of their own, and ports where HTTP is served as well.

Decides by the first bytes where somebody is chosen by name: they are looked at without being taken (MSG_PEEK), so
whoever serves the connection finds all of them. Where nobody is, connections go on at once.

Source: contract 5; HAProxy `tcp-request inspect-delay`, `req.ssl_sni`.
"""

from __future__ import annotations

from collections.abc import Mapping
from socket import MSG_PEEK, SO_KEEPALIVE, SOL_SOCKET, socket
from typing import Any

from dfproxy.exchange.relay import close
from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.accepting import AcceptingPort
from dfproxy.frontend.announced import Give
from dfproxy.frontend.site import ProxySite
from dfproxy.frontend.tcp import StreamSession
from dfproxy.polling import ENDED
from dfproxy.routing.streams import PortTable
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.clienthello import HELLO_BYTES, InvalidHello, NotTls, read_hello
from dfproxy.wire.proxyprotocol import Announcement

HELLO_S = 5.0
"""
How long the first bytes of a client are waited for, in seconds (contract 5.1: at most 5 s).
"""

NOBODY = Announcement()


class StreamDoors:
    """
    Who takes connections as they are, port by port, in this process.

    Args:
        site: whose sessions they are, as those of HTTP.
        traffic: what all share.

    Attributes:
        tables: by port; replaced whole.
        pending: connections whose first bytes are awaited.
    """

    def __init__(self, site: ProxySite, traffic: Traffic) -> None:
        self.site = site
        self.traffic = traffic
        self.tables: Mapping[int, PortTable] = {}
        self.pending: set[_Looking] = set()

    def port(self, listening: socket, number: int, otherwise: Give | None = None) -> StreamPort:
        """
        Accept on a socket.

        Args:
            listening: listens; the port's from now on.
            number: which table counts.
            otherwise: serves what no stream takes; None: that is closed.
        """
        return StreamPort(self, listening, number, otherwise)

    def announced(self, number: int, otherwise: Give | None = None) -> Give:
        """
        What an `AnnouncedPort` gives its connections to.
        """

        def give(connection: socket, said: Announcement) -> None:
            self.take(connection.dup(), number, said, otherwise)

        return give

    def take(self, connection: socket, number: int, said: Announcement, otherwise: Give | None) -> None:
        """
        A connection has come.

        Args:
            said: whose it is, where that is announced.
        """
        site = self.site
        if site.limit and len(site.sessions_open) + len(self.pending) >= site.limit:
            site.turn_away()
            connection.close()
            return
        table = self.tables.get(number)
        if table is not None and table.is_named:
            _Looking(self, connection, number, said, otherwise).begin()
        else:
            self.decide(connection, number, said, otherwise, b"")

    def decide(
        self, connection: socket, number: int, said: Announcement, otherwise: Give | None, name: bytes | None
    ) -> None:
        """
        Serve a connection, or close it.

        Args:
            name: that the client asks for; b"": none; None: it has not spoken properly.
        """
        table = self.tables.get(number)  # may be another one by now
        found: Any = None
        if table is not None:
            found = table.named(name or b"")
            if found is None and otherwise is None and name is not None:
                found = table.default
        if isinstance(found, LiveBackend):
            assert table is not None
            self._begin(connection, table, found, name or b"", said)
        elif otherwise is not None:
            try:
                otherwise(connection, said)
            finally:
                connection.close()
        else:
            close(connection, reset=False)

    def _begin(
        self, connection: socket, table: PortTable, backend: LiveBackend, name: bytes, said: Announcement
    ) -> None:
        stream = table.stream
        assert stream is not None
        if stream.keep_alive:
            connection.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
        try:
            session = StreamSession(self.site, backend, connection, name, said)
        except OSError:
            connection.close()  # it is gone already
            return
        if self.site.admit(session):
            timeout_s = stream.client_timeout_s
            session.begin(self.traffic.limits.client_timeout_s if timeout_s is None else timeout_s)
        else:
            connection.close()


class StreamPort(AcceptingPort):
    """
    A listening socket whose connections are, or may be, streams.
    """

    def __init__(self, doors: StreamDoors, listening: socket, number: int, otherwise: Give | None) -> None:
        self._doors = doors
        self._number = number
        self._otherwise = otherwise
        super().__init__(doors.traffic.reactor, listening)

    def begin(self, connection: socket) -> None:
        """
        See `AcceptingPort`.
        """
        self._doors.take(connection, self._number, NOBODY, self._otherwise)


class _Looking:
    """
    A connection whose first bytes are awaited.
    """

    __slots__ = ("_connection", "_doors", "_needed", "_number", "_otherwise", "_said", "deadline", "watched")

    def __init__(
        self, doors: StreamDoors, connection: socket, number: int, said: Announcement, otherwise: Give | None
    ) -> None:
        self._doors = doors
        self._connection = connection
        self._number = number
        self._said = said
        self._otherwise = otherwise
        self._needed = 1
        self.deadline = doors.traffic.deadlines.now + HELLO_S
        self.watched: object = False

    def begin(self) -> None:
        """
        Look now, and when there is more.
        """
        doors = self._doors
        doors.pending.add(self)
        try:
            doors.traffic.poller.watch(self._connection.fileno(), self._ready)
        except OSError:
            self._leave()
            self._connection.close()
            return
        doors.traffic.deadlines.watch(self)
        self._ready(0)

    def _ready(self, mask: int) -> None:
        if self not in self._doors.pending:
            return
        try:
            data = self._connection.recv(HELLO_BYTES, MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()  # it ended without a word
            return
        if len(data) < self._needed:
            if mask & ENDED:
                self.close()
            return
        try:
            found = read_hello(data)
        except NotTls:
            self._decide(b"")
        except InvalidHello:
            self._decide(None)
        else:
            if not isinstance(found, int):
                self._decide(found.name)
            elif mask & ENDED:
                self.close()
            else:
                self._needed = found

    def _decide(self, name: bytes | None) -> None:
        self._leave()
        self._doors.decide(self._connection, self._number, self._said, self._otherwise, name)

    def expired(self) -> None:
        """
        It says nothing, or too slowly: that is a client without a name.
        """
        self._decide(None if self._needed > 1 else b"")

    def close(self) -> None:
        """
        Refuse it.
        """
        self._leave()
        self._connection.close()

    def _leave(self) -> None:
        doors = self._doors
        doors.pending.discard(self)
        doors.traffic.deadlines.forget(self)
        doors.traffic.poller.forget(self._connection.fileno())
