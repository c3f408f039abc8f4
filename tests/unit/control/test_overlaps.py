"""
Whoever publishes a route that gets nothing, or takes another one's requests, is told, and so is the log.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.overlaps import TOLD, Overlaps
from dfproxy.model.match import Match, PathPattern
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change, Revision
from dfproxy.routing.precedence import DfpOrder
from dfproxy.routing.shadows import Shadows
from tests.unit.routing.naive import service


def at(name: str, path: bytes) -> Service:
    """
    A service with one path.
    """
    return service(name, Match((PathPattern("prefix", path),)))


class OverlapTests(SynchronousTestCase):
    """
    What is told of changes.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.overlaps = Overlaps(DfpOrder().key, self.clock)
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def change(self, *services: Service, removed: tuple[str, ...] = ()) -> list[str]:
        """
        Put these in force; what the log says.
        """
        self.events.clear()
        self.overlaps.changed(Change(Revision(1), services, removed))
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
        return [formatEvent(event) for event in self.events if event["log_namespace"].endswith("overlaps")]

    def test_both_sides(self) -> None:
        """
        The log says it whichever of the two comes last, and not after one is gone.
        """
        short, long = at("digital", b"/digital"), at("digitalproduct", b"/digitalproduct")
        self.assertEqual([], self.change(short))
        [said] = self.change(long)
        self.assertIn("digitalproduct-be8080_0 never gets a request: digital-be8080_0", said)
        [again] = self.change(short)
        self.assertEqual(said, again)
        self.assertEqual([], self.change(removed=("digital",)))
        self.assertEqual([], self.change(long))

    def test_asked_before_it_is_published(self) -> None:
        """
        What a service would shadow is known without publishing it.
        """
        self.overlaps.begin([at("b", b"/ab")])
        self.assertEqual(1, len(self.overlaps.of(at("a", b"/a")).under))
        self.assertEqual(0, len(self.overlaps.of(at("c", b"/a")).under))

    def test_trial(self) -> None:
        """
        Of a change that is only tried: what it would shadow, also among its own services, and not what it takes away.
        """
        self.overlaps.begin([at("a", b"/a"), at("b", b"/b")])
        both = (at("aa", b"/ab"), at("bb", b"/bc"), at("c", b"/x"), at("d", b"/xy"))
        losers = [text.partition("-be")[0] for text in self.overlaps.trial(both, ())]
        self.assertEqual(["aa", "bb", "d"], sorted(losers))
        self.assertEqual(1, len(self.overlaps.trial(both[:2], ("a",))))
        self.assertEqual([], self.overlaps.trial((at("a", b"/other"), at("aa", b"/ab")), ()))
        self.assertEqual(Shadows(), self.overlaps.of(at("e", b"/xyz")))

    def test_nothing_of_the_start(self) -> None:
        """
        What was in force before is taken up silently.
        """
        self.overlaps.begin([at("a", b"/a"), at("b", b"/ab")])
        self.assertEqual([], self.events)

    def test_thousands(self) -> None:
        """
        A change of everything fills no log.
        """
        said = self.change(at("a", b"/"), *(at(f"s{number}", b"/") for number in range(2000)))
        self.assertEqual(TOLD + 1, len(said))
        self.assertRegex(said[-1], r"\A[0-9]+ more routes are shadowed")

    def test_order_that_fails(self) -> None:
        """
        A route order that raises costs the warnings, not the change.
        """

        def broken(route: object) -> tuple[object, ...]:
            raise ZeroDivisionError

        self.overlaps = Overlaps(broken, self.clock)
        self.assertEqual(1, len(self.change(at("a", b"/a"))))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual([], self.change(at("b", b"/ab")))
