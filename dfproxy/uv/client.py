"""
Connecting: from an address to a connected transport, or a reason why not.

Source: twisted.internet.tcp.Connector, BaseClient; uvloop 0.23, loop.create_connection.
"""

from __future__ import annotations

import os
import socket
from errno import EINPROGRESS, EMSGSIZE
from ssl import SSLContext, SSLError
from typing import Any

from twisted.internet import tcp
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectBindError, UserError, getConnectError
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from dfproxy.uv.stepping import Steps
from dfproxy.uv.surroundings import Reactor, failure_of
from dfproxy.uv.tls import HANDSHAKE_TIMEOUT_S, SHUTDOWN_TIMEOUT_S, NamedContext
from dfproxy.uv.transport import Transport


class Client(Transport):
    """
    The client side of one connection, from the attempt on.

    Attributes:
        connector: who is told of success and failure; None after a failed attempt.
        addr: what was asked for, as a socket address; the host may be a name.
    """

    connector: Connector | None
    realAddress: tuple[Any, ...]

    _tlsClientDefault = True
    _steps: Steps | None = None
    _socket: socket.socket | None = None
    _watched = False

    def __init__(self, connector: Connector) -> None:
        """
        Begin connecting.

        Args:
            connector: says where to; is told the outcome in a later turn of the loop.

        Raises:
            OverflowError: the port is none.
        """
        super().__init__(connector.uv_reactor)
        self.connector = connector
        host, port = connector.host, connector.port
        if not 0 <= port <= 65535:
            raise OverflowError("connect_ex(): port must be 0-65535.")
        self.addr: tuple[Any, ...] = (host, port)
        if isIPAddress(host):
            self._start(self.addr)
        elif isIPv6Address(host):
            self.addr = tcp._resolveIPv6(host, port)
            self._start(self.addr)
        else:
            resolving = connector.reactor.resolve(host)
            resolving.addCallbacks(lambda address: self._start((address, port)), self._unresolved)

    def _start(self, address: tuple[Any, ...]) -> None:
        if self.connector is None:
            return
        self.realAddress = address
        try:
            simple = self.connector.bindAddress is None and not self.connector.preamble
            if simple and (len(address) == 2 or not address[3]):
                # The short way: uvloop makes the socket and connects it. Scope ids it would look up in a thread.
                coroutine = self.reactor.loop.create_connection(
                    self._itself, address[0], address[1], **self.connector.tls_arguments
                )
                self._steps = Steps(coroutine, self._attempt_failed)
            else:
                self._connect_own_socket(address)
        except (OSError, ConnectBindError) as problem:
            self._attempt_failed(problem)

    def _unresolved(self, failure: Failure) -> None:
        self.failIfNotConnected(failure.value or UserError())

    def _itself(self) -> Any:
        return self

    def _connect_own_socket(self, address: tuple[Any, ...]) -> None:
        """
        Connect a socket of ours and hand it to uvloop: the way for what uvloop's own connecting cannot do.
        """
        assert self.connector is not None
        family = socket.AF_INET if len(address) == 2 else socket.AF_INET6
        self._socket = connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        binding = self.connector.bindAddress
        if binding is not None:
            try:
                bind(connection, binding)
            except OSError as problem:
                raise ConnectBindError(problem.args[0], problem.args[1]) from problem
        error = connection.connect_ex(address)
        if error in (0, EINPROGRESS):
            self._watched = True
            self.reactor.loop.add_writer(connection.fileno(), self._own_socket_ready)
        else:
            raise OSError(error, os.strerror(error))

    def _own_socket_ready(self) -> None:
        connection = self._socket
        assert connection is not None
        self._watched = False
        self.reactor.loop.remove_writer(connection.fileno())
        error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._attempt_failed(OSError(error, os.strerror(error)))
        else:
            assert self.connector is not None
            preamble = self.connector.preamble
            try:
                if preamble and connection.send(preamble) < len(preamble):
                    raise OSError(EMSGSIZE, os.strerror(EMSGSIZE))  # no socket is full before its first byte
            except OSError as problem:
                self._attempt_failed(problem)
                return
            self._socket = None
            coroutine = self.reactor.loop.create_connection(
                self._itself, sock=connection, **self.connector.tls_arguments
            )
            self._steps = Steps(coroutine, self._attempt_failed)

    def _attempt_failed(self, problem: Exception) -> None:
        self._steps = None
        reason: BaseException = problem
        if isinstance(problem, OSError) and not isinstance(problem, SSLError):
            reason = getConnectError(problem)
        # Later, since the connector may still be in its `connect`.
        self.reactor.loop.call_soon(self.failIfNotConnected, reason)

    def failIfNotConnected(self, reason: BaseException) -> None:
        """
        End the attempt, unless it has already ended this way or that.

        Args:
            reason: told to the factory: TimeoutError, UserError or what the system said.
        """
        connector = self.connector
        if connector is None or self.connected or self.disconnected:
            return
        self.connector = None
        if self._steps is not None:
            self._steps.cancel()
            self._steps = None
        if self._socket is not None:
            if self._watched:
                self.reactor.loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
        connector.connectionFailed(failure_of(reason))

    def stopConnecting(self) -> None:
        """
        Give the attempt up.
        """
        self.failIfNotConnected(UserError())

    def build(self) -> IProtocol | None:
        """
        Ask the connector's factory; when it refuses, the connection is closed under a protocol that does nothing.
        """
        assert self.connector is not None
        # Not needed any more, and a circle that only the garbage collector would break.
        self._steps = None
        protocol: IProtocol | None = self.connector.buildProtocol(self.getPeer())
        if protocol is None:
            self.loseConnection()
            return Protocol()
        return protocol

    def getPeer(self) -> IPv4Address | IPv6Address:
        """
        Give the address that was connected to.
        """
        if self._peer is None:
            if len(self.realAddress) == 2:
                self._peer = IPv4Address("TCP", *self.realAddress)
            else:
                return super().getPeer()
        return self._peer

    def after_lost(self, reason: Failure) -> None:
        """
        Tell the connector, hence the factory.
        """
        connector, self.connector = self.connector, None
        if connector is not None:
            connector.connectionLost(reason)

    def log_name(self, prefix: str) -> str:
        """
        Name the protocol, as Twisted's own.
        """
        return f"{prefix},client"

    @property
    def socket(self) -> Any:
        """
        Give the socket, also during an attempt from an address of one's own; None during any other attempt.
        """
        return self._socket or (self._uv.get_extra_info("socket") if self.connected else None)

    def __repr__(self) -> str:
        return f"<{type(self)} to {self.addr} at {id(self):x}>"


def bind(connection: socket.socket, binding: Any) -> None:
    """
    Bind the local end of a connection.

    Args:
        connection: not connected yet.
        binding: (host, port), or what `twisted.internet.tcp.makeBinding` gives, with its options.

    Raises:
        OSError: not to be had.
    """
    if isinstance(binding, tuple):
        binding = tcp.makeBinding(*binding)
    own: Any = binding
    if own._reuseAddress:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if own._reusePort:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if isIPv6Address(own._address):
        connection.bind(tcp._resolveIPv6(own._address, own._port))
    else:
        connection.bind((own._address, own._port))


class Connector(tcp.Connector):
    """
    Twisted's connector with uvloop's connecting.

    Attributes:
        tls_arguments: what uvloop is told about TLS; empty for a plain connection. Then the attempt includes the
            handshake, and so does its time-out.
        preamble: sent before TLS begins.
    """

    def __init__(
        self,
        host: str,
        port: Any,
        factory: Any,
        timeout: float,
        bindAddress: Any,
        reactor: Any,
        context: SSLContext | NamedContext | None = None,
        preamble: bytes = b"",
    ) -> None:
        super().__init__(host, port, factory, timeout, bindAddress, reactor)
        self.uv_reactor: Reactor = reactor
        self.preamble = preamble
        self.tls_arguments: dict[str, Any] = {}
        if context is not None:
            named = context if isinstance(context, NamedContext) else NamedContext(context, host)
            self.tls_arguments = {
                "ssl": named.context,
                "server_hostname": named.name,
                "ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S,
                "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT_S,
            }

    def _makeTransport(self) -> Any:
        return Client(self)
