"""
Accepts connections that begin with a header of the PROXY protocol, and reads just that header.

The bytes behind it stay in the kernel until whoever serves the connection reads them: TLS must find its first byte. So
connections are accepted here, looked at without taking (MSG_PEEK), and then given to the reactor.

Who is refused for a wrong header, or for none, is logged, at most once a minute and port: mostly the proxy in front was
not told to send it, and its clients see nothing but resets. Who says nothing, such as a check of the port, is not.

Source: HAProxy `bind ... accept-proxy`: the header is required, and first.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import MSG_PEEK, SO_RCVLOWAT, SOL_SOCKET, socket
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.frontend.accepting import AcceptingPort
from dfproxy.wire.proxyprotocol import V2_BYTES, Announcement, InvalidHeader, read_header

HEADER_S = 10.0
"""
How long a header may take, in seconds; as long as a handshake.
"""

AGAIN_S = 60.0
"""
How long refusals are only counted after one was logged, in seconds.
"""

log = Logger()

Give = Callable[[socket, Announcement], None]


class AnnouncedPort(AcceptingPort):
    """
    A listening socket whose connections are announced. Those that were accepted before it stops have their time.

    Args:
        reactor: watches descriptors (`IReactorFDSet`) and tells the time.
        listening: listens; ours from now on.
        give: serves a connection from the first byte behind its header on; the socket is closed afterwards, so a
            duplicate is to be made.
    """

    def __init__(self, reactor: Any, listening: socket, give: Give) -> None:
        self.give = give
        self.pending: set[Pending] = set()
        self._told_at = float("-inf")
        self._untold = 0
        super().__init__(reactor, listening)

    def begin(self, connection: socket) -> None:
        """
        Await its header.
        """
        Pending(self, connection).doRead()

    def refused(self, peer: str, reason: str) -> None:
        """
        What came was no header.
        """
        now = self.reactor.seconds()
        if now - self._told_at < AGAIN_S:
            self._untold += 1
            return
        log.warn(
            "port {port} expects the PROXY protocol (accept-proxy), so {peer} was refused: {reason}; {others} others"
            " since this was last said",
            port=self._host.port,
            peer=peer,
            reason=reason,
            others=self._untold,
        )
        self._told_at, self._untold = now, 0


@implementer(IReadDescriptor)
class Pending:
    """
    A connection whose header is awaited.

    Args:
        port: that has accepted it.
        connection: its socket.
    """

    def __init__(self, port: AnnouncedPort, connection: socket) -> None:
        self._port = port
        self._connection = connection
        self._seen = -1
        port.pending.add(self)
        self._late = port.reactor.callLater(HEADER_S, self.close)
        port.reactor.addReader(self)

    def fileno(self) -> int:
        return self._connection.fileno()

    def logPrefix(self) -> str:
        return "announced"

    def doRead(self) -> None:
        """
        Look at what has come.
        """
        if self not in self._port.pending:
            return
        try:
            data = self._connection.recv(V2_BYTES, MSG_PEEK)
            if len(data) == self._seen or not data:
                self.close()  # woken without news: the other side has ended
                return
            found = read_header(data)
            if found is None:
                # Not woken again before there is more than this.
                self._seen = len(data)
                self._connection.setsockopt(SOL_SOCKET, SO_RCVLOWAT, self._seen + 1)
                return
            announcement, length = found
            self._connection.recv(length)
            self._connection.setsockopt(SOL_SOCKET, SO_RCVLOWAT, 1)
        except (BlockingIOError, InterruptedError):
            return
        except InvalidHeader as error:
            self._port.refused(peer_of(self._connection), str(error))
            self.close()
            return
        except OSError:
            self.close()
            return
        self._leave()
        try:
            self._port.give(self._connection, announcement)
        finally:
            self._connection.close()

    def close(self) -> None:
        """
        Refuse it.
        """
        self._leave()
        self._connection.close()

    def _leave(self) -> None:
        port = self._port
        if self in port.pending:
            port.pending.discard(self)
            port.reactor.removeReader(self)
            if self._late.active():
                self._late.cancel()

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has ended, or does not like the descriptor.
        """
        self.close()


def peer_of(connection: socket) -> str:
    """
    Whose connection it is, as far as the kernel still knows.
    """
    try:
        return str(connection.getpeername()[0])
    except OSError:
        return "somebody"


class Announcing:
    """
    The factory of one announced connection: the session is told whose it is before it is connected.

    Args:
        factory: of sessions.
        announcement: what the header said.
    """

    def __init__(self, factory: Any, announcement: Announcement) -> None:
        self._factory = factory
        self._announcement = announcement

    def buildProtocol(self, addr: object) -> Any:
        """
        As `IProtocolFactory`.
        """
        session = self._factory.buildProtocol(addr)
        if session is not None and self._announcement.host:
            session.announced = self._announcement
        return session

    def doStart(self) -> None:
        """
        The factory has been started by its other listeners, or need not be.
        """

    def doStop(self) -> None:
        """
        Likewise.
        """


def serves(reactor: Any, factory: Any, context: Any = None) -> Give:
    """
    What `AnnouncedPort` gives its connections to.

    Args:
        factory: of sessions.
        context: `ssl.SSLContext`; None: they are plain.
    """

    def give(connection: socket, announcement: Announcement) -> None:
        announcing = Announcing(factory, announcement)
        if context is None:
            reactor.adoptStreamConnection(connection.fileno(), connection.family, announcing)
        else:
            reactor.adoptTLSConnection(connection.fileno(), connection.family, announcing, context)

    return give
