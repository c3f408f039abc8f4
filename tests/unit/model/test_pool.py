"""
Pools as values.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.match import Match
from dfproxy.model.pool import Pool
from dfproxy.model.service import Destination, Route, Service
from dfproxy.model.stream import Stream


class PoolTests(SynchronousTestCase):
    """
    `Pool`.
    """

    def test_first(self) -> None:
        """
        Its first member describes it.
        """
        routes = [
            Route(Service(name, name, (destination,)), destination)
            for name in "ab"
            for destination in (Destination(0, 1, Match(), name, name, stream=Stream(1, group="g")),)
        ]
        self.assertIs(Pool(Stream(1), tuple(routes)).first, routes[0])
