"""
Workers of the leader before: after an upgrade they are children of ours that we have not started.

Nobody speaks to them. They accept as long as their channel is open, so it is kept open until our own workers accept;
then they notice that their leader is gone and drain, as they do whenever it is.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from dfproxy.workers.heritage import Old

log = Logger()

READ_BYTES = 65536
"""
Read at once of what one of them says.
"""

MORE_S = 2.0
"""
What they have beyond the time to drain before they are killed, in seconds.
"""


@dataclass
class _Worker:
    """
    Attributes:
        old: what is known of it.
        reader: of what it says.
    """

    old: Old
    reader: _Errors | None = None


class Former:
    """
    All of them.

    Args:
        reactor: `IReactorFDSet`, `IReactorTime`.
        workers: who they are.
        drain_s: how long they may take once they are let go.
    """

    def __init__(self, reactor: Any, workers: Iterable[Old], drain_s: float) -> None:
        self._reactor = reactor
        self._drain_s = drain_s
        self._kill_at: float | None = None
        self._workers: list[_Worker] = []
        for old in workers:
            if not _is_child(old.pid):
                log.warn("process {pid} is no worker of ours", pid=old.pid)
                continue
            worker = _Worker(old)
            for descriptor in (old.channel, old.errors):
                if descriptor >= 0:
                    os.set_inheritable(descriptor, False)
            if old.errors >= 0:
                worker.reader = _Errors(reactor, old.errors, old.number)
                reactor.addReader(worker.reader)
            self._workers.append(worker)

    def pids(self) -> tuple[int, ...]:
        """
        Those that live.
        """
        return tuple(worker.old.pid for worker in self._workers)

    def let_go(self) -> None:
        """
        Others accept now: they may drain.
        """
        self._kill_at = self._reactor.seconds() + self._drain_s + MORE_S
        if self._workers:
            log.info("{count} workers of before drain", count=len(self._workers))
        for worker in self._workers:
            if worker.old.channel >= 0:
                os.close(worker.old.channel)
                worker.old = msgspec.structs.replace(worker.old, channel=-1)

    def look(self) -> None:
        """
        See who has ended; called now and then. Who takes too long is killed.
        """
        late = self._kill_at is not None and self._reactor.seconds() >= self._kill_at
        for worker in list(self._workers):
            pid = worker.old.pid
            try:
                ended, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended = pid
            if ended:
                log.info("worker {number} of before has ended", number=worker.old.number)
                self._workers.remove(worker)
                self._forget(worker)
            elif late:
                log.warn("worker {number} of before does not end: killed", number=worker.old.number)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def left(self) -> tuple[Old, ...]:
        """
        For the leader after us.
        """
        return tuple(worker.old for worker in self._workers)

    def _forget(self, worker: _Worker) -> None:
        if worker.old.channel >= 0:
            os.close(worker.old.channel)
        if worker.reader is not None:
            worker.reader.close()


def _is_child(pid: int) -> bool:
    """
    A child of this process, dead or alive. It is not reaped here.
    """
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@implementer(IReadDescriptor)
class _Errors:
    """
    What one of them says, line by line to our log.
    """

    def __init__(self, reactor: Any, descriptor: int, number: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._number = number
        self._line = b""
        os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        """
        The pipe, for the reactor.
        """
        return self._descriptor

    def logPrefix(self) -> str:
        """
        What the reactor's log calls it.
        """
        return "former"

    def doRead(self) -> None:
        """
        The reactor: it has said something.
        """
        try:
            said = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._reactor.removeReader(self)
            return
        *lines, self._line = (self._line + said).split(b"\n")
        self._line = self._line[:READ_BYTES]
        for line in lines:
            text = line.decode("utf-8", "replace")
            log.info("worker {number} of before: {line}", number=self._number, line=text)

    def connectionLost(self, reason: Any) -> None:
        """
        The reactor ends, or reading raised.
        """
        self._reactor.removeReader(self)

    def close(self) -> None:
        """
        It has ended.
        """
        if self._descriptor >= 0:
            self.doRead()
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1
