"""
The timer wheel: late by a known amount, never early.
"""

from __future__ import annotations

from weakref import ref

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.deadlines import LOOK_S, NEVER, STEP_S, Deadlines


class Holder:
    """
    Notes when its time had passed.
    """

    watched: object = False

    def __init__(self, clock: Clock, deadline: float, again: float | None = None) -> None:
        self.clock = clock
        self.deadline = deadline
        self.times: list[float] = []
        self._again = again

    def expired(self) -> None:
        self.times.append(self.clock.seconds())
        self.deadline = NEVER if self._again is None else self.clock.seconds() + self._again


class DeadlinesTests(SynchronousTestCase):
    """
    `Deadlines`.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Deadlines(self.clock)  # type: ignore[arg-type]  # Clock is an IReactorTime
        self.wheel.start()
        self.addCleanup(self.wheel.stop)

    def run_for(self, seconds: float, step: float = STEP_S / 2) -> None:
        self.clock.pump([step] * round(seconds / step))

    def holder(self, deadline: float, again: float | None = None) -> Holder:
        holder = Holder(self.clock, deadline, again)
        self.wheel.watch(holder)
        return holder

    @given(st.floats(0, 8), st.floats(0, 8), st.floats(0, 8))
    @settings(max_examples=60, deadline=None)
    def test_never_early(self, start: float, first: float, moved: float) -> None:
        """
        A deadline is met after it has passed, at most a turn and a look late, wherever it was moved to before.
        """
        self.clock.advance(start)
        now = self.clock.seconds()
        holder = self.holder(now + first)
        self.run_for(0.3)
        if not holder.times:
            holder.deadline = now + moved
        due = max(holder.deadline if not holder.times else now + first, 0)
        self.run_for(12)
        holder.watched = False
        self.assertEqual(len(holder.times), 1)
        self.assertGreaterEqual(holder.times[0], due)
        self.assertLess(holder.times[0], max(due, now + 0.3) + LOOK_S + 2 * STEP_S + 0.06)

    def test_moved_away(self) -> None:
        """
        A deadline that moves on is never met.
        """
        holder = self.holder(1.0)
        for _ in range(100):
            holder.deadline = self.clock.seconds() + 1.0
            self.run_for(0.5)
        self.assertEqual(holder.times, [])

    def test_again(self) -> None:
        """
        Whoever sets another deadline is told again; one that does not is told at each look.
        """
        self.assertEqual(len(self.run_and_count(again=5.0)), 3)
        self.assertGreaterEqual(len(self.run_and_count(again=0.0)), 10)

    def run_and_count(self, again: float) -> list[float]:
        holder = self.holder(self.clock.seconds() + 1, again)
        self.run_for(15)
        holder.watched = False
        return holder.times

    def test_forgotten(self) -> None:
        """
        What is not watched any more is not told, and the wheel holds nothing of it.
        """
        holder = self.holder(3.0)
        holder.watched = False
        self.run_for(5)
        self.assertEqual(holder.times, [])
        self.assertEqual(self.wheel._buckets, {})

    def test_clock_that_jumps(self) -> None:
        """
        After a pause of the whole process everything that is due is met at once, and once.
        """
        holders = [self.holder(when) for when in (0.5, 5.0, 9.5, 1000.0)]
        self.clock.advance(10)
        self.run_for(1.2)
        self.assertEqual([len(holder.times) for holder in holders], [1, 1, 1, 0])
        self.assertEqual(self.wheel.now, self.clock.seconds())

    def test_one_that_fails(self) -> None:
        """
        One that raises keeps none of the others from being told.
        """
        broken = self.holder(1.0)
        broken.expired = lambda: 1 / 0  # type: ignore[method-assign]  # a fault of ours
        other = self.holder(1.0)
        later = self.holder(3.0)
        self.run_for(1.3)
        broken.watched = False
        self.run_for(3)
        self.assertEqual((len(other.times), len(later.times)), (1, 1))
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stopped(self) -> None:
        """
        A stopped wheel meets nothing and leaves no timer behind.
        """
        holder = self.holder(1.0)
        self.wheel.stop()
        self.wheel.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.run_for(3)
        self.assertEqual(holder.times, [])

    def test_let_go(self) -> None:
        """
        What is forgotten is let go of at once, not at the next look, and its time never passes.
        """
        holder = self.holder(0.5)
        self.wheel.forget(holder)
        self.wheel.forget(holder)
        gone = ref(holder)
        times = holder.times
        del holder
        self.assertIsNone(gone())
        self.run_for(2.0)
        self.assertEqual(times, [])

    def test_soon(self) -> None:
        """
        What is to come soon comes in the next turn, not in this one.
        """
        called: list[float] = []
        self.wheel.soon(lambda: called.append(self.clock.seconds()))
        self.assertEqual(called, [])
        self.clock.advance(0)
        self.assertEqual(called, [0.0])
