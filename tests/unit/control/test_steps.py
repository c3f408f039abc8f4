"""
Things that block: their order, and who does not wait for them any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.steps import Steps


class StepsTests(SynchronousTestCase):
    """
    A row of steps, ended by hand.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.begun: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.ended: list[Any] = []
        self.steps = Steps(self.clock, self.run_later)

    def run_later(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.begun.append((work, done))
        return done

    def end(self) -> None:
        work, done = self.begun.pop()
        self.assertEqual(self.begun, [], "two at once")
        done.callback(work())

    def add(self, name: str, first: bool = False) -> Any:
        step = self.steps.add(lambda: name, first)
        step.done.addCallback(self.ended.append)
        return step

    def test_order(self) -> None:
        """
        One at a time, in the order in which they came, those that go first before all that wait.
        """
        self.add("a")
        self.add("b")
        self.add("c")
        self.add("d", first=True)
        for _ in range(4):
            self.assertEqual(len(self.begun), 1)
            self.end()
        self.assertEqual(self.ended, ["a", "d", "b", "c"])

    def test_what_follows(self) -> None:
        """
        What a step puts first comes before what waited for it.
        """
        self.add("a").done.addCallback(lambda _: self.add("after a", first=True) and None)
        self.add("b")
        self.end()
        self.end()
        self.assertEqual(self.ended, ["a", "after a"])

    def test_left(self) -> None:
        """
        A step that nobody waits for is not begun; one that was begun blocks the others, and for how long is known.
        """
        a, b = self.add("a"), self.add("b")
        self.steps.leave(b)
        self.clock.advance(3)
        self.assertEqual(self.steps.stuck_s(), 0)
        self.steps.leave(a)
        self.assertEqual(self.steps.stuck_s(), 3)
        self.end()
        self.assertEqual(self.steps.stuck_s(), 0)
        self.assertEqual((self.begun, self.ended), ([], ["a"]))

    def test_idle(self) -> None:
        """
        It is told when nothing is under way any more, and what followed from it is done.
        """
        self.successResultOf(self.steps.idle())
        self.add("a").done.addCallback(lambda _: self.add("b") and None)
        idle = self.steps.idle()
        self.end()
        self.assertNoResult(idle)
        self.end()
        self.successResultOf(idle)
