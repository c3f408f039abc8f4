"""
Keeps a file with the table as text, so that `cat /cfg/haproxy.cfg` in the container shows what is in force.

Decides when it is written and how; what it says is handed in. Nobody waits for it: a change is looked for now and then,
the text is made in slices, and a reader sees the former text or the new one, never half of it.

Source: Docker Flow Proxy's `/cfg/haproxy.cfg`, which people and scripts read; rename(2).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import IO, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import CooperativeTask, Cooperator, TaskStopped
from twisted.logger import Logger

LOOK_S = 0.2
"""
Seconds between two looks for a change: two numbers are compared. Changes in between are one.
"""

SLICE_S = 0.005
"""
How long the reactor may be kept in one turn, in seconds; as for long answers of the API.
"""

REST = 10.0
"""
After a text that took t seconds the next waits at least REST * t: at ten thousand services under steady change no more
than a tenth of the time goes into texts.
"""

RETRY_S = 10.0
"""
After a failure to write, in seconds: a volume may be mounted or freed meanwhile.
"""

MODE = 0o644
"""
Anybody in the container may read it, as in DFP. It holds no secrets.
"""

log = Logger()


class ConfigText:
    """
    The file, and what it was written from.

    Args:
        clock: where time comes from, and who calls again.
        path: the file; its folder must exist and be writable, else that is said once and tried again.
        version: changes whenever the text would; compared, never looked into.
        text: makes the text, piece by piece.

    Attributes:
        written: how often it was written.
    """

    def __init__(
        self, clock: IReactorTime, path: str, version: Callable[[], object], text: Callable[[], Iterator[str]]
    ) -> None:
        self.written = 0
        self._clock = clock
        self._path = path
        self._part = f"{path}.part"
        self._version = version
        self._text = text
        self._shown: object = None
        self._failing = False
        self._next: IDelayedCall | None = None
        self._task: CooperativeTask[Iterator[None]] | None = None
        self._cooperator = Cooperator(
            terminationPredicateFactory=self._slice,
            scheduler=lambda work: clock.callLater(0, work),
        )

    def start(self) -> None:
        """
        Write what is in force now, and go on.
        """
        self._look()

    def stop(self) -> None:
        """
        Write no more. What was last written stays; a text under way is dropped.
        """
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._task is not None:
            self._task.stop()

    def _slice(self) -> Callable[[], bool]:
        seconds = self._clock.seconds
        end = seconds() + SLICE_S
        return lambda: seconds() >= end

    def _look(self) -> None:
        self._next = None
        version = self._version()
        if version == self._shown:
            self._again(LOOK_S)
            return
        began = self._clock.seconds()
        self._task = self._cooperator.cooperate(self._steps())
        ended: Deferred[Any] = self._task.whenDone()
        ended.addCallbacks(self._done, self._broken, callbackArgs=(version, began))

    def _steps(self) -> Iterator[None]:
        """
        Make and write the text, one piece a step.
        """
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        file: IO[str] = open(descriptor, "w", encoding="utf-8")
        try:
            with file:
                for piece in self._text():
                    file.write(piece)
                    yield None
            os.replace(self._part, self._path)
        except BaseException:
            _remove(self._part)
            raise

    def _done(self, _: object, version: object, began: float) -> None:
        self._task = None
        self._shown = version
        self.written += 1
        if self._failing:
            self._failing = False
            log.info("{path} is written again", path=self._path)
        self._again(max(LOOK_S, REST * (self._clock.seconds() - began)))

    def _broken(self, failure: Any) -> None:
        self._task = None
        if failure.check(TaskStopped):
            _remove(self._part)
            return
        if not self._failing:
            self._failing = True
            if failure.check(OSError):
                reason = failure.value.strerror or str(failure.value)
                log.warn("{path} cannot be written: {reason}; all else goes on", path=self._path, reason=reason)
            else:
                log.failure("{path} cannot be made", failure, path=self._path)
        self._again(RETRY_S)

    def _again(self, delay_s: float) -> None:
        self._next = self._clock.callLater(delay_s, self._look)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        # It was never made, or its folder is what fails: that is said elsewhere.
        return
