"""
Counters.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.observe.metrics import FIELDS, GAUGE, Tally


class TallyTests(SynchronousTestCase):
    """
    `Tally`.
    """

    def test_values(self) -> None:
        """
        Counters begin at 0 and are told in the order of a cell; nothing else can be counted.
        """
        tally = Tally(7)
        self.assertEqual((tally.values(), tally.cell, tally.dirty), ((0,) * len(FIELDS), 7, False))
        for number, name in enumerate(FIELDS):
            setattr(tally, name, number + 1)
        self.assertEqual(tally.values(), tuple(range(1, len(FIELDS) + 1)))
        self.assertEqual(FIELDS[GAUGE], "in_flight")
        with self.assertRaises(AttributeError):
            setattr(tally, "more", 1)  # noqa: B010  a name that the type checker must not see

    def test_absorb(self) -> None:
        """
        What one takes over from another is counted once; what is in flight stays where it is.
        """
        mine, other = Tally(), Tally()
        for name in FIELDS:
            setattr(mine, name, 1)
            setattr(other, name, 2)
        mine.absorb(other)
        self.assertEqual(set(mine.values()), {3, 1})
        self.assertEqual((mine.in_flight, other.in_flight), (1, 2))
        self.assertEqual(sum(other.values()), 2)
