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

    def test_passed_on(self) -> None:
        """
        A total gets each request once, also when what counted it goes and another takes its counts over.
        """
        total, backend, server = Tally(), Tally(), Tally()
        server.requests, server.responses_2xx, server.bytes_out, server.latency_us = 3, 3, 30, 99
        server.pass_on(total)
        server.pass_on(total)
        server.requests, server.responses_5xx = 4, 1
        backend.absorb(server)
        backend.pass_on(total)
        server.pass_on(total)
        counted = (total.requests, total.responses_2xx, total.responses_5xx, total.bytes_out, total.latency_us)
        self.assertEqual(counted, (4, 3, 1, 30, 0))
