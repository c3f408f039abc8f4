"""
What a balancer would pick is told beforehand, and telling it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from random import Random
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.base import Balancer
from dfproxy.balancing.preview import COPIED_SERVERS, Failed, Unforeseen, preview
from dfproxy.interfaces import IBalancer, IRequest, IServer
from dfproxy.plugins import balancers
from dfproxy.testing import FakeRequest, fake_servers

BUILT_IN = {
    name: strategy for name, strategy in vars(balancers).items() if hasattr(strategy, "build") and name.islower()
}
ARGUMENTS = {"hdr": ("X-User",)}


class Counting(Balancer):
    """
    A strategy as its author writes it, without a word about previews.
    """

    picks = 0

    def pick(self, request: IRequest) -> IServer | None:
        self.picks += 1
        return self.servers[self.picks % len(self.servers)] if self.servers else None


class Endless(Balancer):
    """
    Keeps what cannot be copied.
    """

    turns: Iterator[IServer]

    def update(self, servers: tuple[IServer, ...]) -> None:
        super().update(servers)
        self.turns = (server for server in cycle(servers))

    def pick(self, request: IRequest) -> IServer | None:
        return next(self.turns)


class Faulty(Balancer):
    """
    Picks what it is made with; without that it raises.
    """

    def __init__(self, picked: Any) -> None:
        super().__init__()
        self.picked = picked

    def pick(self, request: IRequest) -> IServer | None:
        if self.picked is None:
            raise KeyError("zone")
        return cast(IServer, self.picked)


class PreviewTests(SynchronousTestCase):
    """
    Built-in strategies and others.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.random = Random(7)
        self.servers = fake_servers([1, 2, 3, 1])

    def ask(self, balancer: IBalancer, number: int) -> IServer | None:
        """
        The preview for one of many requests.
        """
        return preview(balancer, self.request(number), self.random, (*self.servers, self.clock))

    def request(self, number: int) -> FakeRequest:
        """
        One of many.
        """
        headers = [(b"X-User", b"user%d" % number)] if number % 2 else []
        return FakeRequest(target=b"/a/%d" % number, headers=headers, client_host=f"10.0.0.{number % 250}")

    def test_every_built_in_strategy(self) -> None:
        """
        Each time the server that was foreseen is the one that is picked, while exchanges come and go.
        """
        self.assertGreater(len(BUILT_IN), 6)
        for name, factory in BUILT_IN.items():
            balancer = factory.build(ARGUMENTS.get(name, ()), self.clock, self.random)
            balancer.update(self.servers)
            for number in range(200):
                foreseen = [self.ask(balancer, number) for _ in range(3)]
                picked = balancer.pick(self.request(number))
                self.assertEqual([picked] * 3, foreseen, (name, number))
                if number % 3:
                    balancer.taken(picked)
                    picked.in_flight += 1
                    self.clock.advance(0.1)
                if number % 4 == 0:
                    picked.in_flight = max(0, picked.in_flight - 1)
                    balancer.released(picked, 0.01 * (number % 5), number % 9 == 0)

    def test_foreign_strategies_are_copied(self) -> None:
        """
        The copy counts, not the original.
        """
        balancer = Counting()
        balancer.update(self.servers)
        for number in range(9):
            self.assertIs(self.ask(balancer, number), balancer.pick(self.request(number)))

    def test_unforeseen(self) -> None:
        """
        What cannot be copied is not asked: the answer is that nobody can say.
        """
        balancer = Endless()
        balancer.update(self.servers)
        with self.assertRaises(Unforeseen) as caught:
            self.ask(balancer, 1)
        self.assertIn("without changing it", str(caught.exception))
        self.assertIs(self.servers[0], balancer.pick(self.request(1)))

    def test_failed(self) -> None:
        """
        A strategy that raises, or picks what is none of its servers, fails: that is more than not to be foreseen.
        """
        for said, picked in (("KeyError: 'zone'", None), ("picks '10.0.0.1', which is none", "10.0.0.1")):
            balancer = Faulty(picked)
            balancer.update(self.servers)
            with self.assertRaises(Failed) as caught:
                self.ask(balancer, 1)
            self.assertIn(said, str(caught.exception))

    def test_too_many_servers(self) -> None:
        """
        Copying thousands would hold up the data plane.
        """
        balancer = Counting()
        self.servers = fake_servers([1] * (COPIED_SERVERS + 1))
        balancer.update(self.servers)
        self.assertRaises(Unforeseen, self.ask, balancer, 1)

    def test_nobody(self) -> None:
        """
        Without servers nobody is foreseen.
        """
        for name, factory in BUILT_IN.items():
            balancer = factory.build(ARGUMENTS.get(name, ()), self.clock, self.random)
            balancer.update(())
            self.assertIsNone(self.ask(balancer, 1), name)
