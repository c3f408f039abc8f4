"""
The rules of trying again; tests/unit/exchange/test_exchange.py has them happen.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.exchange.retry import IDEMPOTENT, LONE_ATTEMPTS, LONGEST_LONE_PAUSE_S, REPLAY_BYTES
from dfproxy.model.settings import Limits


class RulesTests(SynchronousTestCase):
    """
    Constants that decide.
    """

    def test_methods(self) -> None:
        """
        Only methods that RFC 9110 9.2.2 calls idempotent may be sent again, and case matters.
        """
        for method in (b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"):
            self.assertIn(method, IDEMPOTENT)
        for method in (b"POST", b"PATCH", b"CONNECT", b"get", b"BREW"):
            self.assertNotIn(method, IDEMPOTENT)

    def test_bounds(self) -> None:
        """
        A lone server is asked as often as HAProxy does, within the attempts that there are in all.
        """
        self.assertLess(LONE_ATTEMPTS, Limits().connect_attempts)
        self.assertEqual((LONGEST_LONE_PAUSE_S, REPLAY_BYTES), (1.0, 65536))
