"""
When checks are made: each server at its pace, all together within the budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.upstream.prober import AT_ONCE, Prober


class Attempt:
    """
    A check that a test ends.
    """

    def __init__(self, what: str, done: Callable[[str | None], None]) -> None:
        self.what = what
        self.done = done
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ProberTests(SynchronousTestCase):
    """
    A clock, and checks that end when a test says so.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.results: list[tuple[str, str]] = []
        self.begun: list[tuple[float, str]] = []
        self.under_way: list[Attempt] = []  # the earliest first
        self.at_once = True

    def prober(self, per_s: float = 1000) -> Prober[str]:
        prober = Prober(
            self.clock, self.begin, lambda what, reason, _: self.results.append((what, reason)), per_s, Random(1)
        )
        self.addCleanup(prober.stop)
        return prober

    def begin(self, what: str, done: Callable[[str | None], None]) -> Attempt:
        self.begun.append((self.clock.seconds(), what))
        attempt = Attempt(what, done)
        if self.at_once:
            done("")
        else:
            self.under_way.append(attempt)
        return attempt

    def run_for(self, seconds: float) -> None:
        self.clock.pump([0.005] * round(seconds / 0.005))

    def values(self, prober: Prober[str]) -> dict[str, float]:
        return {measure.name: dict(measure.samples).get("", 0.0) for measure in prober.measures()}

    def test_pace(self) -> None:
        """
        Each server is checked once in its interval.
        """
        prober = self.prober()
        prober.add("often", 1.0, 1.0)
        prober.add("rarely", 5.0, 1.0)
        self.run_for(20)
        counts = Counter(what for _, what in self.begun)
        self.assertTrue(19 <= counts["often"] <= 21 and 3 <= counts["rarely"] <= 5, counts)

    def test_spread(self) -> None:
        """
        Servers published together are not checked together.
        """
        prober = self.prober()
        for number in range(100):
            prober.add(str(number), 2.0, 1.0)
        self.run_for(2)
        tenths = Counter(int(at * 10) for at, _ in self.begun)
        self.assertTrue(max(tenths.values()) < 20, tenths)
        self.assertEqual(len({what for _, what in self.begun}), 100)

    def test_budget(self) -> None:
        """
        Never more than the budget in any second; every server gets its turn; the stretch is told.
        """
        prober = self.prober(per_s=50)
        for number in range(300):
            prober.add(str(number), 1.0, 1.0)
        self.run_for(30)
        for second in range(29):
            in_it = sum(second <= at < second + 1 for at, _ in self.begun)
            self.assertTrue(in_it <= 52, (second, in_it))
        counts = Counter(what for _, what in self.begun)
        self.assertTrue(4 <= min(counts.values()) and max(counts.values()) <= 6, counts)
        found = self.values(prober)
        self.assertEqual(found["dfproxy_check_stretch"], 6.0)
        self.assertTrue(found["dfproxy_checks_late_total"] > 1000)
        self.assertTrue(4 < found["dfproxy_check_overdue_seconds"] < 6)

    def test_budget_is_said(self) -> None:
        """
        The log says that intervals stretch, once, and when they do not any more.
        """
        said: list[str] = []
        from dfproxy.upstream import prober as module

        self.patch(module, "log", _Log(said))
        prober = self.prober(per_s=10)
        subjects = [prober.add(str(number), 1.0, 1.0) for number in range(30)]
        self.run_for(12)
        for subject in subjects[:25]:
            prober.drop(subject)
        self.run_for(12)
        self.assertEqual([text[:16] for text in said], ["{count} servers ", "the budget of ch"])

    def test_timeout(self) -> None:
        """
        A check that takes too long has failed, is cancelled, and what it says later is not heard.
        """
        self.at_once = False
        prober = self.prober()
        prober.add("s", 2.0, 0.5)
        self.run_for(2.6)
        self.assertEqual(self.results, [("s", "no answer within 0.5 s")])
        self.assertTrue(self.under_way[0].cancelled)
        self.under_way[0].done("")
        self.assertEqual(len(self.results), 1)

    def test_not_made(self) -> None:
        """
        A check that we could not make says nothing, is counted, and is made the next time.
        """
        self.at_once = False
        prober = self.prober()
        prober.add("s", 1.0, 0.5)
        self.run_for(0.3)
        self.under_way[0].done(None)
        self.run_for(1.0)
        self.assertEqual((self.results, len(self.begun)), ([], 2))
        self.assertEqual(self.values(prober)["dfproxy_checks_unmade_total"], 1)

    def test_stood_still(self) -> None:
        """
        When we have stood still ourselves answers that wait to be read count first.
        """
        self.at_once = False
        prober = self.prober()
        prober.add("s", 1.0, 0.5)
        self.run_for(0.3)
        self.clock.callLater(3.0, self.under_way[0].done, "")  # read in the turn after the timers
        self.clock.advance(3.0)
        self.assertEqual(self.results, [("s", "")])

    def test_longer_than_interval(self) -> None:
        """
        The next check of a server waits until the last one is over.
        """
        self.at_once = False
        prober = self.prober()
        prober.add("s", 1.0, 3.0)
        self.run_for(2.9)
        self.assertEqual(len(self.begun), 1)
        self.under_way[0].done("")
        self.run_for(0.1)
        self.assertEqual(len(self.begun), 2)

    def test_dropped(self) -> None:
        """
        What is dropped is not checked again, and what is under way comes to nothing.
        """
        self.at_once = False
        prober = self.prober()
        subject = prober.add("s", 1.0, 1.0)
        self.run_for(1)
        prober.drop(subject)
        prober.drop(subject)
        self.under_way[0].done("")
        self.assertEqual((self.results, self.under_way[0].cancelled), ([], True))
        self.run_for(5)
        self.assertEqual(len(self.begun), 1)
        self.assertEqual(self.values(prober)["dfproxy_check_servers"], 0)

    def test_many_silent(self) -> None:
        """
        No more than so many checks are under way, and those that are silent do not stop the others for ever.
        """
        self.at_once = False
        prober = self.prober(per_s=100_000)
        for number in range(AT_ONCE + 200):
            prober.add(str(number), 1.0, 2.0)
        most = 0
        for _ in range(800):
            self.clock.advance(0.01)
            most = max(most, round(self.values(prober)["dfproxy_check_under_way"]))
        self.assertEqual(most, AT_ONCE)
        self.assertEqual(len({what for what, _ in self.results}), AT_ONCE + 200)

    def test_stop(self) -> None:
        """
        Nothing is left when it ends.
        """
        self.at_once = False
        prober = self.prober()
        prober.add("s", 1.0, 5.0)
        self.run_for(1)
        prober.stop()
        self.assertTrue(self.under_way[0].cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("ad+-."), st.integers(0, 5)), max_size=60))
    def test_any_order(self, events: list[tuple[str, int]]) -> None:
        """
        Whatever comes and goes and ends in whatever order: each result is heard once, and only of those that are there.
        """
        self.setUp()
        self.at_once = False
        prober = self.prober(per_s=20)
        subjects = {}
        for number, (event, which) in enumerate(events):
            name = str(which)
            if event == "a" and name not in subjects:
                subjects[name] = prober.add(name, 0.5, 0.3)
            elif event == "d" and name in subjects:
                prober.drop(subjects.pop(name))
            elif event in "+-" and self.under_way:
                attempt = self.under_way.pop(which % len(self.under_way))
                before = len(self.results)
                attempt.done("" if event == "+" else "no")
                heard = len(self.results) - before
                self.assertEqual(heard, 0 if attempt.cancelled and heard == 0 else 1)
                attempt.done("again")
                self.assertEqual(len(self.results), before + heard)
            else:
                self.clock.advance(0.05)
            under_way = self.values(prober)["dfproxy_check_under_way"]
            self.assertTrue(0 <= under_way <= len(subjects), number)


class _Log:
    """
    Keeps what is said.
    """

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def warn(self, text: str, **fields: object) -> None:
        self.said.append(text)

    info = warn
