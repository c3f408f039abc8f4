"""
When it is asked which services could not be loaded.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.daemon.quarantine import ASK_S, Quarantine
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change, Revision


class Plane:
    """
    Two workers, of which one does not answer.
    """

    def __init__(self) -> None:
        self.bad: dict[str, str] = {"a": "no such strategy"}
        self.asked: Deferred[Any] = succeed(None)

    def query(self, what: str, argument: object) -> Deferred[list[Any]]:
        said = [None, dict(self.bad)]
        return self.asked.addCallback(lambda _: said)


class QuarantineTests(SynchronousTestCase):
    """
    `Quarantine`.
    """

    def test_looks(self) -> None:
        """
        At once, again and again, and no more once it is stopped.
        """
        clock, plane = Clock(), Plane()
        fake: Any = plane
        quarantine = Quarantine(fake, clock)
        quarantine.stop()
        self.assertEqual(quarantine.services, {})
        quarantine.start()
        self.assertEqual(quarantine.services, {"a": "no such strategy"})
        plane.bad = {}
        clock.advance(ASK_S)
        self.assertEqual(quarantine.services, {})
        quarantine.stop()
        plane.bad = {"b": "x"}
        clock.advance(ASK_S)
        self.assertEqual(quarantine.services, {})

    def test_published_again(self) -> None:
        """
        A service that is published anew, or removed, is left out no more from that moment on, even if it was just being
        asked; what the whole of all definitions does is asked.
        """
        clock, plane = Clock(), Plane()
        plane.bad = {"a": "x", "b": "x", "c": "x"}
        fake: Any = plane
        quarantine = Quarantine(fake, clock)
        quarantine.start()
        self.addCleanup(quarantine.stop)
        plane.asked = Deferred()
        clock.advance(ASK_S)
        for change in (change_of("a"), change_of(removed=("b",)), change_of("c", whole=True)):
            quarantine.changed(change)
        self.assertEqual(quarantine.services, {"c": "x"})
        plane.asked.callback(None)
        self.assertEqual(quarantine.services, {"c": "x"})

    def test_told(self) -> None:
        """
        The log tells once of each that comes, with the reason, and of each that goes.
        """
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        clock, plane = Clock(), Plane()
        fake: Any = plane
        quarantine = Quarantine(fake, clock)
        quarantine.start()
        self.addCleanup(quarantine.stop)
        clock.advance(ASK_S)
        self.assertEqual([formatEvent(event) for event in said], ["service a is not served: no such strategy"])
        quarantine.changed(change_of("a"))
        self.assertEqual(formatEvent(said[-1]), "service a is no longer left out")


def change_of(*names: str, removed: tuple[str, ...] = (), whole: bool = False) -> Change:
    """
    A change with services of these names.
    """
    return Change(Revision(2, "x"), tuple(Service(name, name, ()) for name in names), removed, whole=whole)
