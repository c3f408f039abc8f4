"""
The thinnest object that is a Twisted TCP transport on top of a uvloop transport.

What uvloop calls on received bytes is the protocol's own bound `dataReceived`, and `write` is uvloop's own bound
`write`: on the way of the bytes there is no code of this package. Everything else (closing, half-closing, producers,
addresses) happens rarely and is translated here, and in `sending.py`, between asyncio's protocol callbacks (snake_case,
called by uvloop) and Twisted's (camelCase).

Making connections is the work of `ports.py` and `client.py`, TLS that of `tls.py`.

Source: twisted.internet.interfaces (ITCPTransport, IHalfCloseableProtocol), twisted.internet.abstract.FileDescriptor
for what the interfaces leave open; uvloop 0.23, handles/stream.pyx and handles/basetransport.pyx.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from ssl import SSLError
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    ILoggingContext,
    IProtocol,
    IPushProducer,
    ISystemHandle,
    ITLSTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.uv.surroundings import (
    ABORTED,
    DONE,
    LOST,
    Reactor,
    StillPaused,
    UvTransport,
    address_of,
    discard,
    failure_of,
    half_closeable,
    told,
)
from dfproxy.uv.tls import Securing

log = Logger()

# struct linger: on, zero seconds. close() then sends RST and drops what the kernel has not sent.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@implementer(ITLSTransport, IPushProducer, ISystemHandle)
class Transport(Securing):
    """
    One TCP connection.

    Subclasses say in `build` which protocol it gets.

    `write` and `writeSequence` are replaced when the connection closes: look them up at each call, do not keep them.
    Data given to them must be `bytes`: what the kernel does not take at once is kept by reference.

    Attributes:
        data_received: the protocol's own `dataReceived`; uvloop calls this very object.
    """

    data_received: Callable[[bytes], None]

    disconnected = False
    _host: IPv4Address | IPv6Address | None = None
    _peer: IPv4Address | IPv6Address | None = None
    _read_closed = False

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.write = self.writeSequence = self.data_received = discard

    def build(self) -> IProtocol | None:
        """
        Make the protocol of this connection; None refuses it.
        """
        raise NotImplementedError  # accepted and made connections ask different factories

    def log_name(self, prefix: str) -> str:
        """
        Give the log prefix of this connection.

        Args:
            prefix: of its protocol.
        """
        return prefix

    def after_lost(self, reason: Failure) -> None:
        """
        Hook for whoever else must hear of the end, after the protocol.
        """

    # What uvloop calls.

    def connection_made(self, uv: UvTransport) -> None:
        """
        Take over a connection that uvloop has opened and give it its protocol.
        """
        self._uv = uv
        self.connected = True
        self.write = uv.write
        self.writeSequence = uv.writelines
        self.reactor.transports.add(self)
        failure = told(self._begin)
        if failure is not None:
            self.connectionLost(failure)
        elif uv.get_extra_info("ssl_object") is not None:
            self.is_secured()
        elif self._read_paused and not self.disconnecting and self._early is None:
            raise StillPaused

    def _begin(self) -> None:
        protocol = self.build()
        if protocol is None:
            self.loseConnection()
            return
        # Taken by uvloop before the protocol existed: make it take the protocol's.
        self.protocol = protocol
        protocol.makeConnection(self)

    def eof_received(self) -> bool:
        """
        Tell the protocol that the other side will send no more.

        Returns:
            True: closing is left to us. With TLS uvloop answers the other side's end with ours, and closes.
        """
        self._read_closed = True
        protocol = half_closeable(self._protocol)
        if protocol is None:
            if self.secured:
                return False
            # As Twisted: the connection is over at once, and what waits to be sent is dropped.
            self._end(DONE)
        else:
            failure = told(protocol.readConnectionLost)
            if failure is not None:
                self._end(failure)
        return not self.secured

    def connection_lost(self, exc: BaseException | None) -> None:
        """
        Tell the protocol why its connection ended.
        """
        reason = self._reason
        if reason is None:
            if exc is None:
                reason = DONE
            elif isinstance(exc, OSError) and exc.__traceback__ is None:
                # Made by uvloop from an error number: never raised, so without a traceback.
                reason = LOST
            else:
                reason = failure_of(exc)
                if isinstance(exc, OSError) and not isinstance(exc, SSLError):
                    # uvloop reports whatever a protocol raises, but takes any OSError for the socket's.
                    log.failure("dataReceived failed.", reason)
        self.connectionLost(reason)

    # ITransport, ITCPTransport

    @property
    def protocol(self) -> IProtocol | None:
        """
        Who receives the bytes; may be replaced while the connection is open. None after its end.
        """
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        self._protocol = protocol
        if self.connected:
            self.data_received = protocol.dataReceived
            self._uv.set_protocol(self)

    def abortConnection(self) -> None:
        """
        Close at once with a reset; what waits to be sent is dropped.
        """
        if not self.connected or self._reason is not None:
            return
        handle = self._uv.get_extra_info("socket")
        if handle is not None and handle.fileno() != -1:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._end(ABORTED)

    def connectionLost(self, reason: Failure) -> None:
        """
        End the connection now and tell the protocol; the reactor's shutdown calls this too.
        """
        if not self.connected:
            return
        self.connected = False
        self.disconnected = self.disconnecting = True
        self.reactor.transports.discard(self)
        self.write = self.writeSequence = self.data_received = discard
        self._uv.abort()
        producer, self.producer = self.producer, None
        protocol, self._protocol = self._protocol, None
        if producer is not None:
            told(producer.stopProducing)
        if protocol is not None:
            told(protocol.connectionLost, reason)
        self.after_lost(reason)

    def _lost(self, reason: Failure) -> None:
        self.connectionLost(reason)

    def getPeer(self) -> IPv4Address | IPv6Address:
        """
        Give the other side's address, also after the end.
        """
        if self._peer is None:
            self._peer = address_of(self._uv.get_extra_info("peername"))
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:
        """
        Give our side's address, also after the end.
        """
        if self._host is None:
            self._host = address_of(self._uv.get_extra_info("sockname"))
        return self._host

    def getHandle(self) -> Any:
        """
        Give the socket, as far as uvloop shows it: options and addresses, no reading or writing. With TLS its session.
        """
        return self._uv.get_extra_info("ssl_object") or self._uv.get_extra_info("socket")

    @property
    def socket(self) -> Any:
        """
        Give the socket, under the name that users of Twisted's own transports know.
        """
        return self._uv.get_extra_info("socket")

    def fileno(self) -> int:
        """
        Give the descriptor of the socket, for a relay that splices; -1 once closed.

        uvloop owns it: duplicate it before watching it, and never close it.
        """
        return int(self._uv.get_extra_info("socket").fileno()) if self.connected else -1

    def getTcpNoDelay(self) -> bool:
        """
        Tell whether small segments are sent without waiting; uvloop switches this on for every connection.
        """
        return bool(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Switch sending without waiting on or off.
        """
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def getTcpKeepAlive(self) -> bool:
        """
        Tell whether the kernel probes an idle connection.
        """
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Switch the kernel's probing of an idle connection on or off.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    def logPrefix(self) -> str:
        """
        Give the name under which log events of this connection appear.
        """
        protocol = self._protocol
        known = ILoggingContext.providedBy(protocol)
        return self.log_name(ILoggingContext(protocol).logPrefix() if known else type(protocol).__name__)

    @property
    def logstr(self) -> str:
        """
        Give the same as `logPrefix`, under the name that Twisted's own transports have for it.
        """
        return self.logPrefix()

    # IPushProducer: what is received

    def pauseProducing(self) -> None:
        """
        Receive no more until `resumeProducing`; may be repeated.
        """
        self._read_paused = True
        if self.connected:
            self._uv.pause_reading()

    def resumeProducing(self) -> None:
        """
        Receive again; may be repeated.
        """
        self._read_paused = False
        if self.connected and not self.disconnecting and not self._read_closed:
            self._uv.resume_reading()

    def stopProducing(self) -> None:
        """
        Close the connection, as `loseConnection`.
        """
        self.loseConnection()

    # The names of Twisted's own transports for it, which protocols use though no interface has them.
    stopReading = pauseProducing
    startReading = resumeProducing
