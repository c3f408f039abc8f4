"""
When it is asked which services could not be loaded.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.daemon.quarantine import ASK_S, Quarantine


class Plane:
    """
    Two workers, of which one does not answer.
    """

    def __init__(self) -> None:
        self.bad: dict[str, str] = {"a": "no such strategy"}

    def query(self, what: str, argument: object) -> Deferred[list[Any]]:
        return succeed([None, dict(self.bad)])


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
