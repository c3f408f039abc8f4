"""
Who waits, and what becomes of what each wants.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.callers import Caller, named
from dfproxy.model.snapshot import Hold, Membership
from tests.unit.control.test_revisions import service


def publishes(port: int, holds: dict[str, Hold] | None = None) -> Caller:
    return Caller({"a": service("a", port)}, holds=holds)


class MeetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.holds = {"a": Hold("a", service("a", 2), 7), "b": Hold("b", service("b"), 7)}

    def test_kept_out(self) -> None:
        """
        What a hold is against does not count, and the hold stays.
        """
        caller = publishes(2)
        caller.meet(self.holds)
        self.assertFalse(caller.counts("a"))
        self.assertTrue(caller.has_won("a", None))
        self.assertEqual(set(self.holds), {"a", "b"})

    def test_ended(self) -> None:
        """
        Anything else ends it: another definition, or a removal.
        """
        for caller in (publishes(3), Caller({}, ("a",))):
            holds = dict(self.holds)
            caller.meet(holds)
            self.assertTrue(caller.counts("a"))
            self.assertEqual(set(holds), {"b"})

    def test_undo(self) -> None:
        """
        Who goes back is not kept out by a hold, and leaves what holds from then on.
        """
        caller = publishes(2, {})
        caller.meet(self.holds)
        self.assertTrue(caller.counts("a"))
        self.assertEqual(set(self.holds), {"b"})
        new = Hold("a", service("a", 5), 9)
        caller = publishes(2, {"a": new})
        caller.meet(self.holds)
        self.assertEqual(self.holds["a"], new)
        self.assertEqual(caller.hold("a"), new)


class NamedTests(SynchronousTestCase):
    def test_by_service(self) -> None:
        """
        Memberships by the service that they are of.
        """
        first, second, third = Membership("a", 0, 1), Membership("b", 0, 1), Membership("a", 1, 1)
        self.assertEqual(named((first, second, third)), {"a": [first, third], "b": [second]})
