"""
What a data plane keeps of orders and verdicts.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.standings import Standings
from dfproxy.model.checks import DRAIN, Order, Verdicts
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Change, Revision

A = ("10.0.0.1", 80)
DRAINED = Order("s", *A, DRAIN)


def service(name: str) -> Service:
    return Service(name, name, (Destination(0, 80, Match(), "h", name),))


class StandingsTests(SynchronousTestCase):
    """
    One after the other.
    """

    def setUp(self) -> None:
        self.standings = Standings()
        self.standings.commit(Change(Revision(1), orders=(DRAINED,)))

    def orders(self) -> dict[tuple[str, int], Order]:
        return dict(self.standings.of(("s", 0))[1])

    def test_survives_replacement(self) -> None:
        """
        A new definition of the service leaves orders as they are, and it is told that servers are to be judged anew.
        """
        touched = self.standings.commit(Change(Revision(2), (service("s"), service("t"))))
        self.assertEqual((touched, self.orders()), ({"s"}, {A: DRAINED}))

    def test_removed(self) -> None:
        """
        A removed service, or one that is lifted, takes its orders along.
        """
        for change in (Change(Revision(2), removed=("s",)), Change(Revision(2), lifted=("s",))):
            self.setUp()
            self.assertEqual(self.standings.commit(change), {"s"})
            self.assertEqual(self.orders(), {})

    def test_whole(self) -> None:
        """
        With a whole change only what it says holds.
        """
        other = Order("t", *A, DRAIN)
        self.standings.commit(Change(Revision(2), (service("t"),), whole=True, orders=(other,)))
        self.assertEqual((self.orders(), dict(self.standings.of(("t", 0))[1])), ({}, {A: other}))

    def test_epochs(self) -> None:
        """
        The latest verdicts hold, whatever the order in which they come.
        """
        self.assertTrue(self.standings.judged(Verdicts("s", 0, 5, (A,))))
        self.assertFalse(self.standings.judged(Verdicts("s", 0, 4, ())))
        self.assertEqual(self.standings.of(("s", 0))[0], frozenset({A}))
        self.standings.forget(("s", 0))
        self.assertEqual(self.standings.of(("s", 0))[0], ())
