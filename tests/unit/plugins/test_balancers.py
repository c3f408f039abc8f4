"""
Each built-in strategy against the contract that authors of others test theirs with.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.plugins import balancers
from dfproxy.testing import BalancerContract


class TestRoundRobin(BalancerContract, SynchronousTestCase):
    """
    Round robin is exact, so nearly no tolerance is needed.
    """

    factory = balancers.roundrobin
    follows_weights = True
    tolerance = 0.01


class TestLeastConn(BalancerContract, SynchronousTestCase):
    """
    With nothing under way all loads are equal and round robin decides.
    """

    factory = balancers.leastconn
    follows_weights = True
    tolerance = 0.02


class TestRandom(BalancerContract, SynchronousTestCase):
    """
    With nothing under way the first draw decides, by weight.
    """

    factory = balancers.random
    follows_weights = True


class TestRandomOfFour(BalancerContract, SynchronousTestCase):
    """
    More draws than two take another path.
    """

    factory = balancers.random
    arguments = ("4",)
    follows_weights = True


class TestEwma(BalancerContract, SynchronousTestCase):
    """
    Latency decides before weight does.
    """

    factory = balancers.ewma


class TestFirst(BalancerContract, SynchronousTestCase):
    """
    All to one.
    """

    factory = balancers.first
    spreads = False
    stable = True


class TestSource(BalancerContract, SynchronousTestCase):
    """
    Keys are spread by hashing: less evenly than in turn.
    """

    factory = balancers.source
    follows_weights = True
    tolerance = 0.5
    stable = True


class TestUri(BalancerContract, SynchronousTestCase):
    """
    Keys are spread by hashing: less evenly than in turn.
    """

    factory = balancers.uri
    follows_weights = True
    tolerance = 0.5
    stable = True


class TestUriWithArguments(BalancerContract, SynchronousTestCase):
    """
    Part of the path decides.
    """

    factory = balancers.uri
    arguments = ("whole", "depth", "2", "len", "100")
    follows_weights = True
    tolerance = 0.5
    stable = True


class TestHeader(BalancerContract, SynchronousTestCase):
    """
    Keys are spread by hashing: less evenly than in turn.
    """

    factory = balancers.hdr
    arguments = ("X-User",)
    follows_weights = True
    tolerance = 0.5
    stable = True


class TestHeaderThatIsMissing(BalancerContract, SynchronousTestCase):
    """
    Without the header it is round robin.
    """

    factory = balancers.hdr
    arguments = ("X-Missing",)
    follows_weights = True
    tolerance = 0.01
