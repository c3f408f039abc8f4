"""
How a share grows.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.health.slowstart import STEPS, part, step_s


class SlowStartTests(SynchronousTestCase):
    """
    From a sixteenth to the whole.
    """

    def test_steps(self) -> None:
        """
        It begins with one part, has half after half the time, and all at the end.
        """
        self.assertEqual(
            [part(passed, 16.0) for passed in (0.0, 0.9, 2.0, 8.0, 15.9, 16.0, 99.0)], [1, 1, 2, 8, 15, 16, 16]
        )

    def test_at_once(self) -> None:
        """
        Without a time it has all of it.
        """
        self.assertEqual(part(0.0, 0.0), STEPS)

    @given(st.floats(0, 1e4), st.floats(0.001, 3600))
    def test_bounds(self, passed_s: float, slow_start_s: float) -> None:
        """
        Never nothing, never too much, never less than a moment before.
        """
        now, later = part(passed_s, slow_start_s), part(passed_s + step_s(slow_start_s), slow_start_s)
        self.assertTrue(1 <= now <= later <= STEPS)
