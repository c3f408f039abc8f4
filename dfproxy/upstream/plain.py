"""
From an address to a connected socket, for connections that are not looked into.

No transport and no protocol stand in between: who relays bytes uses the socket itself. One attempt each, as in
`dfproxy.upstream.connector`.

Source: connect(2), EINPROGRESS; HAProxy `timeout connect`.
"""

from __future__ import annotations

from errno import EINPROGRESS
from os import strerror
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    SO_ERROR,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    socket,
)
from typing import Protocol

from dfproxy.deadlines import Deadlines
from dfproxy.polling import Poller
from dfproxy.upstream.connector import OUR_OWN
from dfproxy.upstream.live import LiveServer


class SocketWaiter(Protocol):
    """
    Who asked for a connection.
    """

    def connected(self, connection: socket) -> None:
        """
        Here it is, watched by nobody.
        """

    def connect_failed(self, server: LiveServer, timed_out: bool, reason: str) -> None:
        """
        It could not be had.
        """


class PlainAttempt:
    """
    One attempt to connect to a server. The waiter is told later, or at once.

    Args:
        poller: watches the socket.
        deadlines: ends it in time.
        timeout_s: how long it may take.
        server: where to.
        waiter: told how it ends, unless it is cancelled.
    """

    __slots__ = ("_connection", "_deadlines", "_poller", "_server", "_waiter", "deadline", "watched")

    def __init__(
        self, poller: Poller, deadlines: Deadlines, timeout_s: float, server: LiveServer, waiter: SocketWaiter
    ) -> None:
        self._poller = poller
        self._deadlines = deadlines
        self._server = server
        self._waiter = waiter
        self._connection: socket | None = None
        self.watched: object = False
        self.deadline = deadlines.now + timeout_s

    def begin(self) -> None:
        """
        Start to connect.
        """
        server = self._server
        server.connecting.append(self)
        try:
            self._connection = connection = socket(
                AF_INET6 if ":" in server.host else AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
            )
            connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            error = connection.connect_ex((server.host, server.port))
            if error == EINPROGRESS:
                self._poller.watch(connection.fileno(), self._ready)
                self._deadlines.watch(self)
                return
        except OSError as problem:
            self._fail(False, problem.strerror or str(problem), problem.errno in OUR_OWN)
            return
        if error:
            self._fail(False, strerror(error))
        else:
            self._succeed()

    def _ready(self, mask: int) -> None:
        connection = self._connection
        if connection is None:
            return
        error = connection.getsockopt(SOL_SOCKET, SO_ERROR)
        if error:
            self._fail(False, strerror(error))
            return
        try:
            connection.getpeername()
        except OSError:
            return  # not yet: what was told was meant for another socket of this number
        self._poller.forget(connection.fileno())
        self._succeed()

    def _succeed(self) -> None:
        server, connection = self._server, self._connection
        assert connection is not None
        self._connection = None
        self._deadlines.forget(self)
        server.connecting.remove(self)
        server.connections += 1
        server.backend.connected(server)
        self._waiter.connected(connection)

    def _fail(self, timed_out: bool, reason: str, is_ours: bool = False) -> None:
        server = self._server
        self.cancel()
        if not is_ours:  # else it says nothing of the server
            server.connect_errors += 1
            server.backend.connect_failed(server)
        self._waiter.connect_failed(server, timed_out, reason)

    def cancel(self) -> None:
        """
        Nobody wants it any more; nobody is told.
        """
        self._deadlines.forget(self)
        if self in self._server.connecting:
            self._server.connecting.remove(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            self._poller.forget(connection.fileno())
            connection.close()

    def give_up(self) -> None:
        """
        The server is gone: do not wait for what will not come; the waiter is told at once.
        """
        if self._connection is not None:
            self._fail(False, "the server is gone")

    def expired(self) -> None:
        """
        The time to connect is over.
        """
        if self._connection is not None:
            self._fail(True, "timed out")


class PlainTrial:
    """
    Finds out whether an ejected server can be reached again. The connection is of no use to anybody: closed.
    """

    def connected(self, connection: socket) -> None:
        """
        See `SocketWaiter`.
        """
        connection.close()

    def connect_failed(self, server: LiveServer, timed_out: bool, reason: str) -> None:
        """
        See `SocketWaiter`.
        """
        server.backend.trial_failed(server)
