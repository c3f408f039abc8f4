"""
The policy of a destination as a value.
"""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.resilience import PLAIN, REASONS, Resilience


class ResilienceTests(SynchronousTestCase):
    """
    What holds without a word, and how it travels.
    """

    def test_plain(self) -> None:
        """
        Without a word nothing is limited, nobody is left out for 5xx, and only what may be repeated is repeated.
        """
        self.assertEqual((PLAIN.max_connections, PLAIN.eject_errors, PLAIN.eject_share), (0, 0, 0))
        self.assertEqual(set(REASONS) - set(PLAIN.retry_on), {"junk-response"})
        self.assertEqual(PLAIN.retry_statuses, ())

    def test_travels(self) -> None:
        """
        A worker gets what the leader has.
        """
        policy = Resilience(2, ("conn-failure",), (503,), 5, 7, 1.5, 9, 4, 30, 100)
        packed = msgspec.msgpack.encode(policy)
        self.assertEqual(msgspec.msgpack.decode(packed, type=Resilience), policy)
