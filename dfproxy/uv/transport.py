"""
The thinnest object that is a Twisted TCP transport on top of a uvloop transport.

What uvloop calls on received bytes is the protocol's own bound `dataReceived`, and `write` is uvloop's own bound `write`: on the
way of the bytes there is no code of this module. Everything else (closing, half-closing, producers, addresses) happens rarely and
is translated here between asyncio's protocol callbacks (snake_case, called by uvloop) and Twisted's (camelCase).

Making connections is `ports.py`'s and `client.py`'s work, TLS is `tls.py`'s.

Source: twisted.internet.interfaces (ITCPTransport, IHalfCloseableProtocol, IConsumer), twisted.internet.abstract.FileDescriptor for
what the interfaces leave open; uvloop 0.23, handles/stream.pyx and handles/basetransport.pyx.
"""

from __future__ import annotations

import socket
import struct
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from typing import Any, Protocol as Structure

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPullProducer,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

log = Logger()

# Shared, as in Twisted's own reactors: making a Failure costs more than the rest of closing a connection.
DONE = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())
ABORTED = Failure(ConnectionAborted())

# struct linger: on, zero seconds. close() then sends RST and drops what the kernel has not sent.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class StillPaused(Exception):
    """
    Raised through uvloop's `connection_made` so that it does not start reading.

    uvloop starts to read whatever the protocol asked for in `connection_made`; only an exception keeps it from that, and leaves
    the connection open. The reactor's exception handler drops it.
    """


class UvTransport(Structure):
    """
    What is used of uvloop's TCPTransport and of its TLS counterpart.
    """

    def write(self, data: bytes, /) -> None: ...
    def writelines(self, parts: Iterable[bytes], /) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_protocol(self, protocol: object, /) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def get_write_buffer_limits(self) -> tuple[int, int]: ...
    def set_write_buffer_limits(self, high: int, low: int) -> None: ...
    def get_extra_info(self, name: str, default: object = None) -> Any: ...


class Reactor(Structure):
    """
    What a transport needs of its reactor.
    """

    loop: AbstractEventLoop
    transports: set[Transport]


def discard(data: object) -> None:
    """
    Stand in for `write`, `writeSequence` and `dataReceived` once they no longer apply; Twisted ignores such calls.
    """


def address_of(sockaddr: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    """
    Translate a socket address, as the socket module gives it, to Twisted's.

    Args:
        sockaddr: (host, port) or (host, port, flow information, scope id).
    """
    if len(sockaddr) == 2:
        return IPv4Address("TCP", *sockaddr)
    host, port, flow, scope = sockaddr
    if scope:
        # A link-local address means nothing without its interface ("fe80::1%eth0"), which only getnameinfo adds.
        host = socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return IPv6Address("TCP", host, port, flow, scope)


@implementer(ITCPTransport, IConsumer, IPushProducer, ISystemHandle)
class Transport:
    """
    One TCP connection.

    Subclasses say in `build` which protocol it gets. Attributes with a default in the class are only set when they differ, which
    keeps accepting cheap.

    `write` and `writeSequence` are replaced when the connection closes: look them up at each call, do not keep them.
    Data given to them must be `bytes`: what the kernel does not take at once is kept by reference.

    Attributes:
        write: uvloop's own `write` while open. Sends at once unless earlier data still waits, so join small parts.
        writeSequence: uvloop's own `writelines`: one system call for all parts.
        data_received: the protocol's own `dataReceived`; uvloop calls this very object.
        producer: who is told when to pause and go on, or None.
    """

    write: Callable[[bytes], None]
    writeSequence: Callable[[Iterable[bytes]], None]
    data_received: Callable[[bytes], None]

    connected = False
    disconnecting = False
    disconnected = False
    producer: Any = None
    streamingProducer = False
    producerPaused = False
    logstr = "uv"

    _uv: UvTransport
    _protocol: IProtocol | None = None
    _reason: Failure | None = None
    _host: IPv4Address | IPv6Address | None = None
    _peer: IPv4Address | IPv6Address | None = None
    _limits: tuple[int, int] | None = None
    _read_paused = False
    _read_closed = False
    _write_paused = False
    _write_closing = False
    _write_draining = False
    _pull_due = False

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.write = self.writeSequence = self.data_received = discard

    def build(self) -> IProtocol | None:
        """
        Make the protocol of this connection; None refuses it.
        """
        raise NotImplementedError

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
        try:
            protocol = self.build()
            if protocol is None:
                self.loseConnection()
                return
            self._protocol = protocol
            # uvloop took `data_received` from us before the protocol existed: make it take the protocol's.
            self.data_received = protocol.dataReceived
            uv.set_protocol(self)
            self.logstr = self.log_name(protocol)
            protocol.makeConnection(self)
        except Exception:
            log.failure("A connection could not be given its protocol.")
            self.connectionLost(Failure())
            return
        if self._read_paused and not self.disconnecting:
            self.keep_paused()

    def eof_received(self) -> bool:
        """
        Tell the protocol that the other side will send no more.

        Returns:
            True: uvloop leaves closing to us.
        """
        self._read_closed = True
        half_closeable = IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is None:
            # As Twisted: the connection is over at once, what waits to be written is dropped.
            self._end(DONE)
        else:
            try:
                half_closeable.readConnectionLost()
            except Exception:
                log.failure("readConnectionLost failed.")
                self._end(Failure())
        return True

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
                reason = Failure(exc)
                if isinstance(exc, OSError):
                    # uvloop reports all that a protocol raises, but takes any OSError for the socket's.
                    log.failure("dataReceived failed.", reason)
        self.connectionLost(reason)

    def pause_writing(self) -> None:
        """
        Pause the push producer: more than the high-water mark waits to be written.
        """
        self._write_paused = True
        if self.producer is not None and self.streamingProducer:
            self.producerPaused = True
            self.producer.pauseProducing()

    def resume_writing(self) -> None:
        """
        Let the producer go on, or finish a half-close that waited for the last byte.
        """
        self._write_paused = False
        if self._write_draining:
            self._write_draining = False
            self._shut_write()
        elif self.producer is not None:
            if not self.streamingProducer:
                self._pull_soon()
            elif self.producerPaused:
                self.producerPaused = False
                self.producer.resumeProducing()

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

    def loseConnection(self) -> None:
        """
        Close once everything is written and the producer, if any, has unregistered.
        """
        if self.disconnecting or not self.connected:
            return
        self.disconnecting = True
        if self.producer is None:
            self._close()
        else:
            self._uv.pause_reading()

    def abortConnection(self) -> None:
        """
        Close at once with a reset; what waits to be written is dropped.
        """
        if not self.connected or self._reason is ABORTED:
            return
        self._end(ABORTED)

    def loseWriteConnection(self) -> None:
        """
        Tell the other side that no more will come, once everything is written and the producer has unregistered.
        """
        if self._write_closing or self.disconnecting or not self.connected:
            return
        self._write_closing = True
        if self.producer is None:
            self._finish_writing()

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
        try:
            if producer is not None:
                producer.stopProducing()
        except Exception:
            log.failure("stopProducing failed.")
        try:
            if protocol is not None:
                protocol.connectionLost(reason)
        except Exception:
            log.failure("connectionLost failed.")
        self.after_lost(reason)

    def after_lost(self, reason: Failure) -> None:
        """
        Hook for whoever else must hear of the end, after the protocol.
        """

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
        Give the socket, as far as uvloop shows it: options and addresses, no reading or writing.
        """
        return self._uv.get_extra_info("socket")

    @property
    def socket(self) -> Any:
        """
        Give the same as `getHandle`, under the name that users of Twisted's own transports know.
        """
        return self._uv.get_extra_info("socket")

    def fileno(self) -> int:
        """
        Give the descriptor of the socket, for a relay that splices; -1 once closed.

        uvloop owns it: duplicate it before watching it, and never close it.
        """
        return int(self._uv.get_extra_info("socket").fileno()) if self.connected else -1

    def unsentBytes(self) -> int:
        """
        Tell how many written bytes the kernel has not taken yet.
        """
        return self._uv.get_write_buffer_size() if self.connected else 0

    def setBufferLimits(self, high: int) -> None:
        """
        Set the amount of unsent bytes above which the push producer is paused; it goes on at a quarter of it.

        Args:
            high: bytes; 0 pauses at any unsent byte. uvloop's own limit, used without this call, is 64 KiB.
        """
        self._limits = (high, high // 4)
        if self.connected and not self._write_draining and (self.producer is None or self.streamingProducer):
            self._uv.set_write_buffer_limits(*self._limits)

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
        return self.logstr

    def log_name(self, protocol: IProtocol) -> str:
        """
        Give the log prefix of a connection with this protocol.
        """
        return type(protocol).__name__

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

    # IConsumer: what is sent

    def registerProducer(self, producer: IPushProducer | IPullProducer, streaming: bool) -> None:
        """
        Make somebody responsible for not writing too much.

        Args:
            producer: told to pause when `setBufferLimits` is exceeded (push), or asked for more when all is sent (pull).
            streaming: True for a push producer, False for a pull producer.

        Raises:
            RuntimeError: there is one already.
        """
        if self.producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self.producer!r} was never unregistered")
        if not self.connected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = streaming
        if not streaming:
            # Asked again whenever the kernel has taken all, so that must be noticed, and so must be each write.
            self._limits = self._limits or self._uv.get_write_buffer_limits()[::-1]
            self._uv.set_write_buffer_limits(0, 0)
            self.write = self._write_for_pull
            self.writeSequence = self._write_sequence_for_pull
            producer.resumeProducing()
        elif self._write_paused:
            self.producerPaused = True
            self.producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        Release the producer; a close that waited for it goes on.
        """
        was_pull = self.producer is not None and not self.streamingProducer
        self.producer = None
        self.producerPaused = False
        if not self.connected:
            return
        if was_pull and self._limits is not None:
            self.write = self._uv.write
            self.writeSequence = self._uv.writelines
            self._uv.set_write_buffer_limits(*self._limits)
        if self._reason is not None:
            return
        if self.disconnecting:
            self._close()
        elif self._write_closing:
            self._finish_writing()

    def stopConsuming(self) -> None:
        """
        Release the producer and close.
        """
        self.unregisterProducer()
        self.loseConnection()

    # Steps of the above

    def keep_paused(self) -> None:
        """
        Leave `connection_made` so that uvloop does not start reading.
        """
        raise StillPaused

    def _close(self) -> None:
        self.write = self.writeSequence = discard
        self._uv.close()

    def _end(self, reason: Failure) -> None:
        """
        Close without writing what waits; the protocol hears `reason` in a later turn of the loop.
        """
        self._reason = reason
        self.disconnecting = True
        self.write = self.writeSequence = discard
        if reason is ABORTED:
            sock = self._uv.get_extra_info("socket")
            if sock is not None and sock.fileno() != -1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._uv.abort()

    def _finish_writing(self) -> None:
        self.write = self.writeSequence = discard
        if self._uv.get_write_buffer_size():
            # With both marks at zero uvloop calls `resume_writing` when the kernel has the last byte.
            self._write_draining = True
            self._uv.set_write_buffer_limits(0, 0)
        else:
            self._shut_write()

    def _shut_write(self) -> None:
        self._uv.write_eof()
        self.reactor.loop.call_soon(self._write_closed)

    def _write_closed(self) -> None:
        half_closeable = IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is not None and self.connected:
            try:
                half_closeable.writeConnectionLost()
            except Exception:
                log.failure("writeConnectionLost failed.")
                self._end(Failure())

    def _write_for_pull(self, data: bytes) -> None:
        self._uv.write(data)
        self._pull_soon()

    def _write_sequence_for_pull(self, parts: Iterable[bytes]) -> None:
        self._uv.writelines(parts)
        self._pull_soon()

    def _pull_soon(self) -> None:
        if not self._pull_due:
            self._pull_due = True
            self.reactor.loop.call_soon(self._pull)

    def _pull(self) -> None:
        self._pull_due = False
        if self.producer is not None and not self.streamingProducer and not self._write_paused:
            try:
                self.producer.resumeProducing()
            except Exception:
                log.failure("resumeProducing failed.")
                self._end(Failure())
