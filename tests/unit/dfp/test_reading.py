"""
What a call asks for.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.reading import Reading


class ReadingTests(SynchronousTestCase):
    def test_equal_means_same(self) -> None:
        """
        Two readings of one call are equal, so that a repeated call can be seen.
        """
        self.assertEqual(Reading("s", None, True, {"A": 1}, False), Reading("s", None, True, {"A": 1}, False))
        self.assertNotEqual(Reading("s", None, True, {}, False), Reading("s", None, False, {}, False))
