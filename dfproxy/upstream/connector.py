"""
From an address to a connected transport, with a time limit; plain TCP.

One attempt each; whether to try again, and where, is decided in `dfproxy.exchange.retry`.

Source: HAProxy `timeout connect`; DFP `TIMEOUT_CONNECT`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IAddress, IConnector, IReactorTCP
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from dfproxy.deadlines import Deadlines
from dfproxy.model.settings import Limits
from dfproxy.upstream.http1 import ServerConnection
from dfproxy.upstream.live import LiveServer


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

    def __init__(self, connector: Connector, server: LiveServer, waiter: ConnectionWaiter) -> None:
        self._connector = connector
        self._server = server
        self._waiter = waiter
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
        return connection

    def _made(self, connection: ServerConnection) -> None:
        server = self._server
        server.connecting.remove(self)
        server.connections += 1
        server.backend.connected(server)
        self._waiter.connected(connection)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        server = self._server
        server.connecting.remove(self)
        server.connect_errors += 1
        server.backend.connect_failed(server)
        self._waiter.connect_failed(server, reason.check(ConnectTimeoutError) is not None)


class _Trial:
    """
    Waits for the trial connection to an ejected server; what is had is kept for use.
    """

    def connected(self, connection: ServerConnection) -> None:
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
        self.limits = limits
        self.deadlines = deadlines

    def connect(self, server: LiveServer, waiter: ConnectionWaiter) -> None:
        """
        Connect to a server and tell the waiter; later, or at once where the reactor does so.
        """
        _Attempt(self, server, waiter).begin(self._reactor)

    def try_connect(self, server: LiveServer) -> None:
        """
        Find out whether an ejected server can be reached again.
        """
        self.connect(server, _Trial())
