"""
Who accepts where.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.listener import Listener
from dfproxy.workers.seats import Seats
from dfproxy.workers.slots import Slots
from tests.unit.workers.children import PaperChild


class SeatsTests(SynchronousTestCase):
    """
    Seats of two workers on one address.
    """

    def setUp(self) -> None:
        slots = Slots((Listener("127.0.0.1", 0),), 2)
        slots.open()
        self.addCleanup(slots.close)
        self.slots = slots
        self.seats: Any = Seats(slots)

    def test_one_each(self) -> None:
        """
        Each worker gets its own; a third one none.
        """
        children = [PaperChild(n) for n in (1, 2, 3)]
        self.seats.fill(children)
        self.assertEqual([child.heard() for child in children], [["Adopt"], ["Adopt"], []])
        self.assertEqual(self.seats.taken(), 2)

    def test_stand_in(self) -> None:
        """
        The seat of a dead worker is served by a living one until the new one accepts, and not a moment less.
        """
        one, two, three = (PaperChild(n) for n in (1, 2, 3))
        self.seats.fill([one, two])
        one.answer()
        two.answer()
        self.seats.leave(one)
        self.seats.fill([two])
        self.assertEqual(two.heard(), ["Adopt", "Adopt"])
        two.answer()
        self.seats.fill([two, three])
        self.assertEqual((two.heard(), three.heard()), ([], ["Adopt"]))
        three.answer()
        self.assertEqual(two.heard(), ["Release"])
        self.assertEqual(self.seats.serving(), {two, three})

    def test_spare(self) -> None:
        """
        A worker without a seat takes the free one at once, as its own.
        """
        one, two, three = (PaperChild(n) for n in (1, 2, 3))
        self.seats.fill([one, two, three])
        self.seats.leave(two)
        self.seats.fill([one, three])
        self.assertEqual(three.heard(), ["Adopt"])
        self.assertEqual(one.heard(), ["Adopt"])

    def test_settled(self) -> None:
        """
        All accept only when all have said so.
        """
        one, two = PaperChild(1), PaperChild(2)
        self.seats.fill([one, two])
        settled = self.seats.settled()
        one.answer()
        self.assertNoResult(settled)
        two.answer()
        self.successResultOf(settled)

    def test_more_slots(self) -> None:
        """
        Who serves a seat is told of one more slot of it, a stand-in as well, and later to let it go.
        """
        one, two, three = (PaperChild(n) for n in (1, 2, 3))
        self.seats.fill([one, two])
        one.answer()
        two.answer()
        self.seats.leave(one)
        self.seats.fill([two])
        two.answer()
        self.seats.fill([two, three])
        for child in (one, two, three):
            child.heard()
        listener = Listener("127.0.0.1", 0, stream=True)
        self.slots.add(listener)
        opened = self.seats.open(self.slots.hand_out(listener))
        self.assertEqual([child.heard() for child in (one, two, three)], [[], ["Adopt", "Adopt"], ["Adopt"]])
        for child in (two, two, three):
            self.assertNoResult(opened)
            child.answer()
        three.answer()
        self.successResultOf(opened)
        two.heard()
        closed = self.seats.close(self.slots.take_back(listener))
        self.assertEqual([child.heard() for child in (two, three)], [["Release"], ["Release"]])
        while two.open:
            two.answer()
        three.answer()
        self.successResultOf(closed)
