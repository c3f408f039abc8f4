"""
Things that may block, done one after the other in another thread.

What is asked for first is done first, except that some things go before all that wait. What follows from a step, in the
reactor's thread, is done before the next one begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

Run = Callable[[Callable[[], Any]], Deferred[Any]]
"""
Calls something that may block, without blocking: `deferToThread`.
"""


class Step:
    """
    Something to be done.

    Attributes:
        work: what.
        done: fires with its result.
        left: who wanted it does not wait any more.
        begun_at: when it was begun; None: it waits.
    """

    __slots__ = ("begun_at", "done", "left", "work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.done: Deferred[Any] = Deferred()
        self.left = False
        self.begun_at: float | None = None


class Steps:
    """
    A row of steps.

    Args:
        clock: `IReactorTime`.
        run: how one is done. Called again only when the former one is over.
    """

    def __init__(self, clock: IReactorTime, run: Run) -> None:
        self._clock = clock
        self._run = run
        self._waiting: deque[Step] = deque()
        self._running: Step | None = None
        self._idle: list[Deferred[None]] = []

    def add(self, work: Callable[[], Any], first: bool = False) -> Step:
        """
        Do this when it is its turn.

        Args:
            work: what; called in the other thread.
            first: before all that wait.
        """
        step = Step(work)
        if first:
            self._waiting.appendleft(step)
        else:
            self._waiting.append(step)
        self._next()
        return step

    def leave(self, step: Step) -> None:
        """
        Nobody waits for it any more. It is not begun if it has not been; then its `done` never fires.
        """
        step.left = True
        if step in self._waiting:
            self._waiting.remove(step)

    def stuck_s(self) -> float:
        """
        For how long a step that nobody waits for any more has kept others from their turn, in seconds.
        """
        running = self._running
        if running is None or not running.left or running.begun_at is None:
            return 0.0
        return self._clock.seconds() - running.begun_at

    def idle(self) -> Deferred[None]:
        """
        Returns:
            Deferred: None as soon as nothing is under way and nothing waits. Never fails.
        """
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self._tell_idle()
        return idle

    def _next(self) -> None:
        if self._running is None and self._waiting:
            step = self._running = self._waiting.popleft()
            step.begun_at = self._clock.seconds()
            self._run(step.work).addBoth(self._over, step)

    def _over(self, result: Any, step: Step) -> None:
        # What follows may put something before all that wait, so the next one does not begin yet.
        step.done.callback(result)
        self._running = None
        self._next()
        self._tell_idle()

    def _tell_idle(self) -> None:
        if self._running is None and not self._waiting:
            idle, self._idle = self._idle, []
            for one in idle:
                if not one.called:
                    one.callback(None)
