"""
All to the first.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.first import First
from dfproxy.testing import FakeRequest, fake_servers


class FirstTests(SynchronousTestCase):
    """
    A main server and its spares.
    """

    def test_spare_only_when_the_main_one_is_away(self) -> None:
        """
        The first gets all, busy or not; the next one steps in while it is away, and gives back.
        """
        balancer = First()
        main, spare = fake_servers([1, 1])
        main.in_flight = 1000
        for usable, expected in (((main, spare), main), ((spare,), spare), ((main, spare), main), ((), None)):
            balancer.update(usable)
            self.assertIs(balancer.pick(FakeRequest()), expected)
