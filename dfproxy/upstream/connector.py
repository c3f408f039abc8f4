"""
From an address to a connected transport, with a time limit; plain TCP, or TLS with a server that is verified.

One attempt each; whether to try again, and where, is decided in `dfproxy.exchange.retry`.

Source: HAProxy `timeout connect`; DFP `TIMEOUT_CONNECT`.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM
from ssl import SSLCertVerificationError, SSLError
from typing import Any, Protocol

from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IAddress, IConnector, IReactorTCP
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.deadlines import Deadlines
from dfproxy.model.settings import Limits
from dfproxy.upstream.http1 import ServerConnection
from dfproxy.upstream.live import LiveServer, Tls
from dfproxy.wire.proxyprotocol import Announcement, write_header

log = Logger()

COMPLAIN_S = 60.0
"""
How often failures of TLS are logged for a destination, in seconds: each request would make one.
"""


OUR_OWN = frozenset((EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL))
"""
Errors of connecting that say nothing of the server: it is we who have no descriptor, memory or local port left.
"""


class ConnectionWaiter(Protocol):
    """
    Who asked for a connection.
    """

    def connected(self, connection: ServerConnection) -> None:
        """
        Here it is; idle and not in the pool.
        """

    def connect_failed(self, server: LiveServer, timed_out: bool) -> None:
        """
        It could not be had.
        """


class _Attempt(ClientFactory):
    """
    One attempt to connect.
    """

    noisy = False

    def __init__(
        self, connector: Connector, server: LiveServer, waiter: ConnectionWaiter, greeting: bytes = b""
    ) -> None:
        self._connector = connector
        self._server = server
        self._waiter = waiter
        self._greeting = greeting
        self._announced = server.backend.announce
        self._stop: Callable[[], None] | None = None

    def begin(self, reactor: IReactorTCP) -> None:
        """
        Start to connect.
        """
        server = self._server
        server.connecting.append(self)
        connecting = reactor.connectTCP(
            server.host, server.port, self, timeout=self._connector.limits.connect_timeout_s
        )
        self._stop = connecting.stopConnecting if self in server.connecting else None

    def give_up(self) -> None:
        """
        The server is gone: do not wait for what will not come; the waiter is told at once.
        """
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    def buildProtocol(self, addr: IAddress | None) -> ServerConnection:
        server = self._server
        connection = ServerConnection(server, self._connector.limits, self._connector.deadlines)
        connection.on_made = self._made
        connection.announced, connection.greeting = self._announced, self._greeting
        return connection

    def _made(self, connection: ServerConnection) -> None:
        if self._greeting:
            connection.transport.write(self._greeting)
        self._usable(connection)

    def _over(self) -> ConnectionWaiter:
        """
        It ends. The transport knows us for as long as it lives: we let go of who waited, whose client may be long gone
        by then, and of the reactor's connector, which has us as its factory.
        """
        self._server.connecting.remove(self)
        self._stop = None
        waiter = self._waiter
        del self._waiter
        return waiter

    def _usable(self, connection: ServerConnection) -> None:
        waiter, server = self._over(), self._server
        server.connections += 1
        server.backend.connected(server)
        waiter.connected(connection)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if getattr(reason.value, "osError", None) in OUR_OWN:
            waiter = self._over()
            self._connector.lack(str(reason.value))
            waiter.connect_failed(self._server, False)
            return
        self._failed(reason.check(ConnectTimeoutError) is not None)

    def _failed(self, timed_out: bool) -> None:
        waiter, server = self._over(), self._server
        server.connect_errors += 1
        server.backend.connect_failed(server)
        waiter.connect_failed(server, timed_out)


class _SecureAttempt(_Attempt):
    """
    One attempt to connect with TLS: it fails if the server does not prove its name.
    """

    def __init__(
        self, connector: Connector, server: LiveServer, waiter: ConnectionWaiter, tls: Tls, greeting: bytes = b""
    ) -> None:
        super().__init__(connector, server, waiter, greeting)
        self._tls = tls

    def begin(self, reactor: Any) -> None:
        """
        Start to connect.

        Args:
            reactor: of dfproxy; no other has `connectTLS`.
        """
        server, tls = self._server, self._tls
        session = None if server.handshaken is None else server.handshaken.session
        server.connecting.append(self)
        connecting = reactor.connectTLS(
            server.host,
            server.port,
            self,
            tls.handshake(session),
            tls.sni,
            self._connector.limits.connect_timeout_s,
            self._greeting,
        )
        self._stop = connecting.stopConnecting if self in server.connecting else None

    def buildProtocol(self, addr: IAddress | None) -> ServerConnection:
        connection = super().buildProtocol(addr)
        connection.tls = self._tls
        return connection

    def _made(self, connection: ServerConnection) -> None:
        server = self._server
        handshaken: Any = connection.transport.getHandle()
        reason = self._tls.mismatch(handshaken.getpeercert(True))
        if reason:
            connection.give_up()
            self._complain(reason)
            self._failed(timed_out=False)
            return
        if self._tls is server.backend.tls:
            server.handshaken = handshaken
        self._usable(connection)  # its greeting went before the handshake

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._server.handshaken = None
        problem = reason.value
        if isinstance(problem, SSLCertVerificationError):
            self._complain(f"its certificate is not believed: {problem.verify_message}")
        elif isinstance(problem, SSLError):
            self._complain(str(getattr(problem, "reason", None) or problem).replace("_", " ").lower())
        super().clientConnectionFailed(connector, reason)

    def _complain(self, reason: str) -> None:
        tls, server, now = self._tls, self._server, self._connector.deadlines.now
        backend = server.backend
        if backend.tls_complained_at is not None and now - backend.tls_complained_at < COMPLAIN_S:
            return
        backend.tls_complained_at = now
        log.warn(
            "TLS with server {server} ({host}:{port}) of {backend}{asked} failed: {reason}; "
            "further failures are not logged for a minute",
            server=server.name,
            host=server.host,
            port=server.port,
            backend=backend.destination.backend_name,
            asked=f", asked for as {tls.sni}," if tls.sni else "",
            reason=reason,
        )


class _Trial:
    """
    Waits for the trial connection to an ejected server; what is had is kept for use.
    """

    def connected(self, connection: ServerConnection) -> None:
        if connection.greeting:
            connection.close_idle()  # it was announced as nobody's
        else:
            connection.keep()

    def connect_failed(self, server: LiveServer, timed_out: bool) -> None:
        server.backend.trial_failed(server)


class Connector:
    """
    Makes connections to servers.

    Args:
        reactor: what connects.
        limits: `connect_timeout_s` and what the connections need.
        deadlines: the wheel that watches them.
    """

    def __init__(self, reactor: IReactorTCP, limits: Limits, deadlines: Deadlines) -> None:
        self._reactor = reactor
        self._lacked_at: float | None = None
        self.limits = limits
        self.deadlines = deadlines

    def connect(self, server: LiveServer, waiter: ConnectionWaiter, greeting: bytes = b"") -> None:
        """
        Connect to a server and tell the waiter; later, or at once where the reactor does so.

        Args:
            greeting: sent first, before TLS as well.
        """
        tls = server.backend.tls
        if tls is None:
            _Attempt(self, server, waiter, greeting).begin(self._reactor)
        else:
            _SecureAttempt(self, server, waiter, tls, greeting).begin(self._reactor)

    def lack(self, reason: str) -> None:
        """
        We could not even begin to connect.
        """
        now = self.deadlines.now
        if self._lacked_at is None or now - self._lacked_at >= COMPLAIN_S:
            self._lacked_at = now
            log.error(
                "no connection to a server can be opened: {reason}; raise the limit of open files, or lower "
                "--max-connections or --max-idle-upstreams; not logged again for a minute",
                reason=reason,
            )

    def try_connect(self, server: LiveServer) -> None:
        """
        Find out whether an ejected server can be reached again.
        """
        version = server.backend.announce
        self.connect(server, _Trial(), write_header(version, Announcement()) if version else b"")
