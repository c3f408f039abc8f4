"""
The sending half of a connection: producers, the limit of unsent bytes, and ending it in order.

`write` itself is uvloop's and never passes here, except while a pull producer is registered.

Source: twisted.internet.interfaces (IConsumer, IPushProducer, IPullProducer, IHalfCloseableProtocol);
twisted.internet.abstract.FileDescriptor for what they leave open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IConsumer, IProducer, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.uv.surroundings import Reactor, UvTransport, discard, half_closeable, told


@implementer(IConsumer)
class Sending:
    """
    What a transport does about the bytes it is given.

    Attributes with a default in the class are only set when they differ, which keeps accepting cheap.

    Attributes:
        write: uvloop's own `write` while open. Sends at once unless earlier data still waits, so join small parts.
        writeSequence: uvloop's own `writelines`: one system call for all parts.
        producer: who is told when to pause and to go on, or None.
    """

    write: Callable[[bytes], None]
    writeSequence: Callable[[Iterable[bytes]], None]
    reactor: Reactor

    connected = False
    disconnecting = False
    producer: Any = None
    streamingProducer = False
    producerPaused = False

    _uv: UvTransport
    _protocol: IProtocol | None = None
    _reason: Failure | None = None
    _limits: tuple[int, int] | None = None
    _write_paused = False
    _write_closing = False
    _write_draining = False
    _pull_due = False
    _read_paused = False

    # What uvloop calls.

    def pause_writing(self) -> None:
        """
        Pause the push producer: more than the high-water mark waits to be sent.
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

    # What users call.

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

    def loseConnection(self) -> None:
        """
        Close once everything is sent and the producer, if any, has unregistered.
        """
        if self.disconnecting or not self.connected:
            return
        self.disconnecting = True
        if self.producer is None:
            self._close()
        else:
            self._uv.pause_reading()

    def loseWriteConnection(self) -> None:
        """
        Tell the other side that no more will come, once everything is sent and the producer has unregistered.
        """
        if self._write_closing or self.disconnecting or not self.connected:
            return
        self._write_closing = True
        if self.producer is None:
            self._finish_writing()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Make somebody responsible for not writing too much.

        Args:
            producer: told to pause when the limit of unsent bytes is exceeded (push), or asked for more when all is
                sent (pull).
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
            # Asked again whenever the kernel has taken all, so that must be noticed, and so must each write.
            self._limits = self._limits or self._uv.get_write_buffer_limits()[::-1]
            self._uv.set_write_buffer_limits(0, 0)
            self._open_writing()
            self.producer.resumeProducing()
            # Once more when what was written before is with the kernel, even where that was at once.
            self._pull_soon()
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
        if not self.connected or self._reason is not None:
            return
        if was_pull and self._limits is not None:
            self._open_writing()
            self._uv.set_write_buffer_limits(*self._limits)
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

    # Steps of the above.

    def _open_writing(self) -> None:
        if self.producer is None or self.streamingProducer:
            self.write = self._uv.write
            self.writeSequence = self._uv.writelines
        else:
            self.write = self._write_for_pull
            self.writeSequence = self._write_sequence_for_pull

    def _end(self, reason: Failure) -> None:
        """
        Close without sending what waits; the protocol hears `reason` in a later turn of the loop.
        """
        self._reason = reason
        self.disconnecting = True
        self.write = self.writeSequence = discard
        self._uv.abort()

    def _close(self) -> None:
        self.write = self.writeSequence = discard
        self._uv.close()

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
        protocol = half_closeable(self._protocol)
        if protocol is not None and self.connected:
            failure = told(protocol.writeConnectionLost)
            if failure is not None:
                self._end(failure)

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
            failure = told(self.producer.resumeProducing)
            if failure is not None:
                self._end(failure)
