"""
What all exchanges of a process share.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.exchange.traffic import Traffic
from dfproxy.model.settings import Limits
from dfproxy.observe.metrics import Tally
from tests.dialogue import Memory


class TrafficTests(SynchronousTestCase):
    """
    `Traffic`.
    """

    def setUp(self) -> None:
        reactor: Any = Memory()
        self.limits = Limits(connect_timeout_s=7.0)
        self.traffic = Traffic(reactor, reactor, self.limits, reactor.seconds)

    def test_touch(self) -> None:
        """
        A tally that changed is listed once until somebody has written it.
        """
        tally = Tally()
        for _ in range(3):
            self.traffic.touch(tally)
        self.assertEqual(self.traffic.dirty, [tally])
        self.traffic.dirty, tally.dirty = [], False
        self.traffic.touch(tally)
        self.assertEqual(self.traffic.dirty, [tally])

    def test_one_of_each(self) -> None:
        """
        Connections and sessions are watched by one wheel and know one set of limits.
        """
        self.assertIs(self.traffic.connector.deadlines, self.traffic.deadlines)
        self.assertIs(self.traffic.connector.limits, self.limits)
        self.assertFalse(self.traffic.closing)
