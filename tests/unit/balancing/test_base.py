"""
What a strategy's author gets for nothing.
"""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

from dfproxy.balancing.base import Balancer, Strategy
from dfproxy.errors import InvalidBalance
from dfproxy.interfaces import IBalancer, IBalancerFactory, IRequest, IServer
from dfproxy.testing import FakeRequest, fake_servers


class Last(Balancer):
    """
    All that an author writes.
    """

    def pick(self, request: IRequest) -> IServer | None:
        return self.servers[-1] if self.servers else None


class BalancerTests(SynchronousTestCase):
    """
    The base class.
    """

    def test_only_pick_is_needed(self) -> None:
        """
        A class with nothing but `pick` is a balancer, knows the servers, and may be told of exchanges.
        """
        balancer = Last()
        verifyClass(IBalancer, Last)
        verifyObject(IBalancer, balancer)
        self.assertIsNone(balancer.pick(FakeRequest()))
        servers = fake_servers([1, 1])
        balancer.update(servers)
        self.assertIs(balancer.pick(FakeRequest()), servers[1])
        balancer.taken(servers[1])
        balancer.released(servers[1], 0.1, True)

    def test_empty_notifications_are_seen(self) -> None:
        """
        The request path can tell that a strategy does not care for what is taken and released.
        """
        self.assertIs(Last.taken, Balancer.taken)
        self.assertIs(type(Last()).released, Balancer.released)

    def test_arguments_are_refused(self) -> None:
        """
        A strategy that takes no arguments says so to who gives some.
        """
        error = self.assertRaises(InvalidBalance, Last, ("depth", "3"))
        self.assertIn("'depth 3'", str(error))

    def test_pick_must_be_written(self) -> None:
        """
        A class without `pick` names itself when it is asked.
        """
        error = self.assertRaises(NotImplementedError, Balancer().pick, FakeRequest())
        self.assertIn("Balancer does not say which server to pick", str(error))


class StrategyTests(SynchronousTestCase):
    """
    The object that registers a class.
    """

    def test_is_a_plugin(self) -> None:
        """
        It is found by the plugin search and builds a balancer of its own for each backend, with clock and chance.
        """
        strategy = Strategy("last", "the last one", Last)
        verifyObject(IPlugin, strategy)
        verifyObject(IBalancerFactory, strategy)
        clock, random = Clock(), Random(1)
        one, other = strategy.build((), clock, random), strategy.build((), clock, random)
        self.assertIsNot(one, other)
        assert isinstance(one, Last)
        self.assertIs(one.clock, clock)
        self.assertIs(one.random, random)
        self.assertRaises(InvalidBalance, strategy.build, ("x",), clock, random)
