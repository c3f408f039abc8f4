"""
Tests of `dfproxy.control.noted`: the door for calls of the API.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.control.noted import NotedPublisher
from dfproxy.interfaces import IPublisher
from tests.fakes import FakePublisher
from tests.unit.api.services import service


class NotedTests(SynchronousTestCase):
    def test_noted(self) -> None:
        """
        Who listens is told of the names before the change is asked for; the change is the real publisher's.
        """
        real = FakePublisher()
        order: list[str] = []

        def noted(names: Iterable[str]) -> None:
            order.append(f"{' '.join(names)} after {len(real.calls)} changes")

        door = NotedPublisher(real, noted)
        verifyObject(IPublisher, door)
        revision = self.successResultOf(door.publish((service("a"), service("b"))))
        self.assertEqual((revision, list(door.snapshot.services)), (real.snapshot.revision, ["a", "b"]))
        self.successResultOf(door.withdraw(("a",)))
        self.assertEqual(real.calls, [("publish", ("a", "b")), ("withdraw", ("a",))])
        self.assertEqual(order, ["a b after 0 changes", "a after 1 changes"])
