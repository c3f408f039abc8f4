"""
Accepting: listening ports, and connections that were accepted by somebody else.

Binding, addresses and the life of a port are those of Twisted's own `tcp.Port`; only the accepting is uvloop's.

Source: twisted.internet.tcp.Port; uvloop 0.23, handles/streamserver.pyx.
"""

from __future__ import annotations

import socket
import struct
from asyncio import AbstractServer
from ssl import SSLContext
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.logger import Logger

from dfproxy.uv.stepping import Steps, at_once
from dfproxy.uv.surroundings import Reactor, address_of
from dfproxy.uv.tls import HANDSHAKE_TIMEOUT_S, SHUTDOWN_TIMEOUT_S
from dfproxy.uv.transport import Transport

log = Logger()

# Where struct tcp_info has the limit of the accept queue of a listening socket (tcpi_sacked; linux/tcp.h, tcp_diag).
BACKLOG_OFFSET = 28


def backlog_of(listener: socket.socket) -> int:
    """
    Tell how many connections may wait in the accept queue of a listening socket.

    uvloop calls listen() again on a socket that already listens; with this number that changes nothing, which matters
    where the socket is shared with another process.
    """
    try:
        information = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BACKLOG_OFFSET + 4)
        backlog: int = struct.unpack_from("I", information, BACKLOG_OFFSET)[0]
    except (OSError, struct.error):
        backlog = 0
    return backlog or socket.SOMAXCONN


class Accepted(Transport):
    """
    The server side of one connection.

    Attributes:
        server: the port that accepted it; None for an adopted connection.
        sessionno: its number on that port, from 0.
    """

    server: Port | None = None
    sessionno = 0
    factory: IProtocolFactory

    def build(self) -> IProtocol | None:
        """
        Ask the factory; a client that has reset the connection before we looked has no address, and gets no protocol.
        """
        peername = self._uv.get_extra_info("peername")
        if peername is None:
            return None
        self._peer = address_of(peername)
        return self.factory.buildProtocol(self._peer)

    def log_name(self, prefix: str) -> str:
        """
        Name protocol, session number and peer, as Twisted's own.
        """
        return f"{prefix},{self.sessionno},{self.getPeer().host}"

    def __repr__(self) -> str:
        where = self.getHost().port if self.connected else "(closed)"
        return f"<{type(self.protocol).__name__} #{self.sessionno} on {where}>"


class Port(tcp.Port):
    """
    A listening TCP socket whose connections are accepted by uvloop.

    `pauseProducing` and `resumeProducing` stop accepting and go on; connections queue in the kernel meanwhile.

    Attributes:
        tls_context: of uvloop's TLS; None for plain connections. With it a protocol exists only after the handshake.
    """

    transport: Any = Accepted
    tls_context: SSLContext | None = None
    _server: AbstractServer | None = None
    _shared_backlog = False

    @classmethod
    def _fromListeningDescriptor(cls, reactor: Any, fd: int, addressFamily: int, factory: IProtocolFactory) -> Port:
        port: Port = super()._fromListeningDescriptor(reactor, fd, addressFamily, factory)  # type: ignore[no-untyped-call]  # Twisted's is untyped
        port._shared_backlog = True
        return port

    def startReading(self) -> None:
        """
        Start accepting.

        uvloop gets a duplicate of the socket, so that this one stays ours: to ask, to hand on, and to close last.
        """
        if self._server is not None:
            return
        backlog = backlog_of(self.socket) if self._shared_backlog else self.backlog
        duplicate = self.socket.dup()
        try:
            reactor: Any = self.reactor
            tls_arguments: dict[str, Any] = {}
            if self.tls_context is not None:
                tls_arguments = {
                    "ssl": self.tls_context,
                    "ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S,
                    "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT_S,
                }
            self._server = at_once(
                reactor.loop.create_server(self._accept, sock=duplicate, backlog=backlog, **tls_arguments)
            )
        except BaseException:
            duplicate.close()
            raise
        reactor.ports.add(self)

    def stopReading(self) -> None:
        """
        Stop accepting; accepted connections stay.
        """
        server, self._server = self._server, None
        if server is not None:
            server.close()
            reactor: Any = self.reactor
            reactor.ports.discard(self)

    def _accept(self) -> Transport:
        # Must never raise: libuv would take the connection for unwanted for now and stop watching the port for good.
        transport: Accepted = self.transport(self.reactor)
        transport.server = self
        transport.factory = self.factory  # type: ignore[assignment]  # set as long as the port listens
        transport.sessionno = self.sessionno
        self.sessionno += 1
        return transport


def adopt_connection(
    reactor: Reactor, descriptor: int, family: int, factory: IProtocolFactory, context: SSLContext | None = None
) -> Accepted:
    """
    Serve a connection that was accepted elsewhere.

    Args:
        reactor: on whose loop.
        descriptor: a connected stream socket; duplicated, the caller closes his.
        family: AF_INET or AF_INET6.
        factory: asked for the protocol in the next turn of the loop, with TLS after the handshake.
        context: of uvloop's TLS; None: it is plain.

    Returns:
        The transport; not connected before the next turn of the loop.
    """
    connection = socket.fromfd(descriptor, family, socket.SOCK_STREAM)
    transport = Accepted(reactor)
    transport.factory = factory
    if context is not None:
        Steps(
            reactor.loop.connect_accepted_socket(
                lambda: transport,
                connection,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            ),
            lambda problem: None,  # a failed handshake, of which an own port says nothing either
        )
        return transport
    Steps(
        reactor.loop.connect_accepted_socket(lambda: transport, connection),
        lambda problem: log.warn("A connection could not be adopted: {problem}", problem=problem),
    )
    return transport
