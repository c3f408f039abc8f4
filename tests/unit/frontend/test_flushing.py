"""
Writes of one turn go out together.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.flushing import Flushing


class Holder:
    """
    Counts how often it is asked to write.
    """

    def __init__(self, again: Flushing | None = None) -> None:
        self.asked = 0
        self._again = again

    def flush(self) -> None:
        self.asked += 1
        again, self._again = self._again, None
        if again is not None:
            again.soon(self)


class FlushingTests(SynchronousTestCase):
    """
    One call of the reactor for all that have something to write.
    """

    def test_one_call_for_all(self) -> None:
        """
        All are asked once at the end of the turn, by one timer; the next turn has its own.
        """
        clock = Clock()
        flushing = Flushing(clock)
        holders = [Holder(), Holder()]
        for _ in range(2):
            for holder in holders:
                flushing.soon(holder)
            self.assertEqual(len(clock.getDelayedCalls()), 1)
            clock.advance(0)
        self.assertEqual([holder.asked for holder in holders], [2, 2])

    def test_more_while_writing(self) -> None:
        """
        Who has more to write while it is asked to is asked again in the next turn.
        """
        clock = Clock()
        flushing = Flushing(clock)
        holder = Holder(flushing)
        flushing.soon(holder)
        flushing._flush()
        self.assertEqual(holder.asked, 1)
        clock.advance(0)
        self.assertEqual(holder.asked, 2)
