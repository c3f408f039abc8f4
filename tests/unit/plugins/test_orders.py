"""
Each built-in route order against the contract that authors of others test theirs with.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.plugins import orders
from dfproxy.testing import RouteOrderContract


class TestDfp(RouteOrderContract, SynchronousTestCase):
    """
    Docker Flow Proxy's order.
    """

    factory = orders.dfp


class TestSpecific(RouteOrderContract, SynchronousTestCase):
    """
    Narrower routes first.
    """

    factory = orders.specific
