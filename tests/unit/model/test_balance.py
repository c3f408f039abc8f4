"""
Strategies as values.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model import service
from dfproxy.model.balance import Balance


class BalanceTests(SynchronousTestCase):
    """
    `Balance`.
    """

    def test_default(self) -> None:
        """
        Round robin, wherever it is imported from.
        """
        self.assertEqual(Balance(), Balance("roundrobin", ()))
        self.assertIs(service.Balance, Balance)
