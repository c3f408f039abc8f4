"""
How many requests may be sent again.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.health.budget import PER_S, RESERVE, Budget


class BudgetTests(SynchronousTestCase):
    """
    A share of the traffic, and a little always.
    """

    def taken(self, budget: Budget, now: float, requests: int, percent: int = 20) -> int:
        count = 0
        while budget.take(now, requests, percent):
            count += 1
        return count

    def test_reserve(self) -> None:
        """
        Without traffic there are ten, and one more each second.
        """
        budget = Budget()
        self.assertEqual(self.taken(budget, 0.0, 0), RESERVE)
        self.assertEqual(self.taken(budget, 3.0, 0), 3 * PER_S)
        self.assertEqual(self.taken(budget, 1000.0, 0), RESERVE)

    def test_share(self) -> None:
        """
        A fifth of a thousand requests within a second may be repeated, no more.
        """
        budget = Budget()
        self.taken(budget, 0.0, 5000)
        self.assertEqual(self.taken(budget, 1.0, 6000), 200)

    def test_old_traffic(self) -> None:
        """
        What came long ago is not saved up.
        """
        budget = Budget()
        self.taken(budget, 0.0, 0)
        self.assertEqual(self.taken(budget, 100.0, 10_000), 200)

    def test_none(self) -> None:
        """
        At 0 percent nothing is repeated.
        """
        self.assertEqual(self.taken(Budget(), 0.0, 1000, 0), 0)

    @given(st.lists(st.tuples(st.floats(0.0, 20.0), st.integers(0, 1000)), max_size=20), st.integers(0, 100))
    def test_never_more(self, steps: list[tuple[float, int]], percent: int) -> None:
        """
        Whatever comes when: never more than the reserve, what time gives, and the share of all requests.
        """
        budget, now, requests, count = Budget(), 0.0, 0, self.taken(Budget(), 0.0, 0, 0)
        for passed_s, came in steps:
            now, requests = now + passed_s, requests + came
            count += self.taken(budget, now, requests, percent)
        self.assertLessEqual(count, RESERVE + now * PER_S + requests * percent / 100 + 1e-6)
