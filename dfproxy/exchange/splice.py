"""
Large bodies from socket to socket inside the kernel.

Between two plain TCP sockets the bytes of a body need not come up to us: `splice(2)` moves them through a pipe. It
takes about half the CPU of reading and writing them. Only bytes of a body whose length is known go this way, and
exactly as many as there are; the next head comes through the transport again.

Needs transports that tell their descriptor and that nothing of theirs is unsent (`fileno`, `unsentBytes`); elsewhere
bodies are copied.

Source: splice(2), pipe(7); HAProxy `option splice-auto`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from errno import EMFILE
from typing import Any

from dfproxy.transport import Stream

LEAST_BYTES = 65536
"""
Shorter bodies are copied: setting up costs about as much as copying them.
"""

PIPE_BYTES = 1 << 20
"""
Capacity asked for; what an unprivileged process may have at most by default. With less it works in smaller steps.
"""

STEPS = 4
"""
Pipefuls moved before others get their turn.
"""

KEPT_PIPES = 32
"""
Empty pipes kept for the next body.
"""


MOST_PIPES = 256
"""
Pipes in use at once where nobody says otherwise. A body on its way holds four descriptors of its own.
"""


class Pipes:
    """
    Pipes, used again and again.

    Attributes:
        most: in use at once; bodies beyond are copied. Each slow reader of a long body would hold one, and descriptors
            are needed for connections first.
    """

    def __init__(self) -> None:
        self._empty: list[tuple[int, int]] = []
        self._used = 0
        self.most = MOST_PIPES

    def take(self) -> tuple[int, int]:
        """
        An empty pipe, `(read end, write end)`.

        Raises:
            OSError: there are no more descriptors, or as many pipes are in use as may be.
        """
        if self._used >= self.most:
            raise OSError(EMFILE, "as many pipes are in use as may be")
        if self._empty:
            self._used += 1
            return self._empty.pop()
        ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._used += 1
        try:
            fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass  # the user's share of large pipes is used up: it stays at its 64 KiB
        return ends

    def give(self, ends: tuple[int, int], empty: bool) -> None:
        """
        Return a pipe; one that is not empty is closed.
        """
        self._used -= 1
        if empty and len(self._empty) < min(KEPT_PIPES, self.most):
            self._empty.append(ends)
        else:
            os.close(ends[0])
            os.close(ends[1])

    def close(self) -> None:
        """
        Close what is kept.
        """
        while self._empty:
            for end in self._empty.pop():
                os.close(end)


def descriptor(transport: Stream) -> int:
    """
    The transport's descriptor if it can be spliced now: it tells it, and has nothing unsent; else -1.
    """
    unsent = getattr(transport, "unsentBytes", None)
    if unsent is None or unsent() or _is_encrypted(transport):
        return -1
    number: int = transport.fileno()  # type: ignore[attr-defined]  # has it if it has unsentBytes
    return number


def descriptor_to_read(transport: Stream) -> int:
    """
    The transport's descriptor if it can be spliced from, whatever it has unsent; else -1.
    """
    if getattr(transport, "unsentBytes", None) is None or _is_encrypted(transport):
        return -1
    number: int = transport.fileno()  # type: ignore[attr-defined]  # has it if it has unsentBytes
    return number


def _is_encrypted(transport: Stream) -> bool:
    """
    Whether what goes over the descriptor is not what is written to the transport (`dfproxy.uv.tls`).
    """
    return bool(getattr(transport, "secured", False) or getattr(transport, "TLS", False))


class Splice:
    """
    One body on its way from one transport to another.

    The source transport is paused meanwhile. The descriptors are duplicated, so that whoever closes a transport
    meanwhile closes only its own.

    Args:
        reactor: with `addReader` and `addWriter`.
        pipes: where the pipe comes from.
        source: transport to take from.
        target: transport to give to.
        count: how many bytes, exactly.
        moved: called with a number of bytes each time some have reached the target.
        blocked: called with true when the target does not take more for now, with false when the source has no more.
        ended: called once at the end: b"" when all have been moved, else `source` or `target`, whichever is broken.

    Raises:
        OSError: no descriptors; nothing has been moved.
    """

    def __init__(
        self,
        reactor: Any,
        pipes: Pipes,
        source: Stream,
        target: Stream,
        count: int,
        moved: Callable[[int], None],
        blocked: Callable[[bool], None],
        ended: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._pipes = pipes
        self._source = source
        self._moved = moved
        self._blocked = blocked
        self._ended = ended
        self._to_read = count
        self._in_pipe = 0
        self._ends = pipes.take()
        try:
            self._from = os.dup(descriptor_to_read(source))
            try:
                self._to = os.dup(descriptor(target))
            except OSError:
                os.close(self._from)
                raise
        except OSError:
            pipes.give(self._ends, empty=True)
            raise
        self._reader = _End(self._from, self._step, self.lost)
        self._writer = _End(self._to, self._step, self.lost)
        self._reading = self._writing = False
        self._over = False

    def start(self) -> None:
        """
        Begin.
        """
        self._source.pauseProducing()
        self._step()

    def cancel(self) -> None:
        """
        Stop where it is; `ended` is not called. The source stays paused.
        """
        self._finish()

    def _step(self) -> None:
        read_end, write_end = self._ends
        for _ in range(STEPS):
            if self._over:
                return
            starved = False
            if self._to_read:
                try:
                    count = os.splice(self._from, write_end, min(self._to_read, PIPE_BYTES))
                except BlockingIOError:
                    starved = not self._in_pipe  # else the pipe may just be full
                except OSError:
                    count = 0
                    self._end("source")
                    return
                else:
                    if not count:
                        self._end("source")
                        return
                    self._to_read -= count
                    self._in_pipe += count
            if self._in_pipe:
                try:
                    count = os.splice(read_end, self._to, self._in_pipe)
                except BlockingIOError:
                    self._wait(for_target=True)
                    return
                except OSError:
                    self._end("target")
                    return
                self._in_pipe -= count
                self._moved(count)
            if not self._to_read and not self._in_pipe:
                self._end("")
                return
            if starved:
                break
        self._wait(for_target=bool(self._in_pipe))

    def _wait(self, for_target: bool) -> None:
        """
        Until the target can be written to, or the source read; never both.
        """
        if self._over:
            return
        self._blocked(for_target)
        if for_target != self._writing:
            self._writing = for_target
            if for_target:
                self._reactor.addWriter(self._writer)
            else:
                self._reactor.removeWriter(self._writer)
        if for_target == self._reading:
            self._reading = not for_target
            if for_target:
                self._reactor.removeReader(self._reader)
            else:
                self._reactor.addReader(self._reader)

    def lost(self) -> None:
        """
        The reactor says that a descriptor is no good any more.
        """
        if not self._over:
            self._end("source" if self._reading else "target")

    def _end(self, broken: str) -> None:
        ended = self._ended
        self._finish()
        ended(broken)

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        if self._reading:
            self._reactor.removeReader(self._reader)
        if self._writing:
            self._reactor.removeWriter(self._writer)
        os.close(self._from)
        os.close(self._to)
        self._pipes.give(self._ends, empty=not self._in_pipe)
        # Each of these holds us, or who holds us: the collector would have to find all that this body belonged to.
        self._reader.forget()
        self._writer.forget()
        self._moved = self._blocked = self._ended = _nobody


def _nobody(news: object) -> None:
    """
    Whoever was told is told no more.
    """


class _End:
    """
    One descriptor as the reactor wants it (`IReadDescriptor`, `IWriteDescriptor`).
    """

    def __init__(self, number: int, ready: Callable[[], None], lost: Callable[[], None]) -> None:
        self._number = number
        self._ready = ready
        self._lost = lost

    def forget(self) -> None:
        """
        It is over.
        """
        self._ready = self._lost = _nothing

    def fileno(self) -> int:
        return self._number

    def doRead(self) -> None:
        self._ready()

    def doWrite(self) -> None:
        self._ready()

    def connectionLost(self, reason: object) -> None:
        self._lost()

    def logPrefix(self) -> str:
        return "splice"


def _nothing() -> None:
    """
    What happens at a descriptor whose body is through.
    """
