"""
That publishing and withdrawing say everything to `change`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.publishing import Publishing
from dfproxy.model.snapshot import Revision
from tests.unit.api.services import service


class Door(Publishing):
    """
    Writes down what it is asked.
    """

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def change(self, *given: Any, **named: Any) -> Deferred[Revision]:
        self.asked.append((given, named))
        return succeed(Revision(1))


class PublishingTests(SynchronousTestCase):
    """
    `Publishing`.
    """

    def test_changes(self) -> None:
        """
        Both are one change, and what it comes to is handed back.
        """
        door, one = Door(), service("a")
        self.assertEqual(self.successResultOf(door.publish((one,), (), "x")), Revision(1))
        self.assertEqual(self.successResultOf(door.withdraw(("a",), "environment", "y")), Revision(1))
        self.assertEqual(
            door.asked,
            [(((one,), (), ()), {"cause": "x"}), (((), ("a",)), {"origin": "environment", "cause": "y"})],
        )
