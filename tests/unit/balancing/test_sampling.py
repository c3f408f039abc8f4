"""
The better of two.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.sampling import DECAY_S, EPOCH_S, PeakEwma, TwoChoices
from dfproxy.errors import InvalidBalance
from dfproxy.interfaces import IBalancer
from dfproxy.testing import FakeRequest, FakeServer, fake_servers


def picks(balancer: IBalancer, count: int) -> Counter[FakeServer]:
    """
    Who is picked while nothing starts or ends.
    """
    return Counter(cast(FakeServer, balancer.pick(FakeRequest())) for _ in range(count))


class TwoChoicesTests(SynchronousTestCase):
    """
    `random`.
    """

    def test_busiest_is_never_picked(self) -> None:
        """
        Of three equal servers the busiest loses each comparison: the two that are drawn differ.
        """
        balancer, servers = TwoChoices((), None, Random(1)), fake_servers([1, 1, 1])
        balancer.update(servers)
        servers[1].in_flight = 5
        got = picks(balancer, 300)
        self.assertEqual(got[servers[1]], 0)
        self.assertGreater(min(got[servers[0]], got[servers[2]]), 100)

    def test_other_workers_count(self) -> None:
        """
        Busy elsewhere is busy.
        """
        balancer, servers = TwoChoices((), None, Random(1)), fake_servers([1, 1])
        balancer.update(servers)
        servers[0].elsewhere = 1
        self.assertEqual(set(picks(balancer, 50)), {servers[1]})

    def test_load_is_relative_to_weight(self) -> None:
        """
        Two exchanges are less for a server of weight 4 than one is for a server of weight 1.
        """
        balancer, servers = TwoChoices((), None, Random(1)), fake_servers([4, 1])
        balancer.update(servers)
        servers[0].in_flight, servers[1].in_flight = 2, 1
        light_twice = picks(balancer, 2500)[servers[1]]  # only when it was drawn both times: 1 of 25
        self.assertLess(abs(light_twice - 100), 50)

    def test_holds_the_crowd_level(self) -> None:
        """
        Long exchanges are dealt out nearly evenly: the known bound, not the spread of pure chance.
        """
        balancer, servers = TwoChoices((), None, Random(1)), fake_servers([1] * 50)
        balancer.update(servers)
        for _ in range(5000):
            cast(FakeServer, balancer.pick(FakeRequest())).in_flight += 1
        self.assertLessEqual(max(server.in_flight for server in servers) - 100, 5)

    def test_number_of_draws(self) -> None:
        """
        `random(1)` is pure chance, `random(16)` finds the idle one of a few, others are refused.
        """
        servers = fake_servers([1, 1, 1])
        servers[0].in_flight = servers[1].in_flight = 9
        for word, others in (("1", True), ("16", False)):
            balancer = TwoChoices((word,), None, Random(1))
            balancer.update(servers)
            self.assertEqual(len(picks(balancer, 100)) > 1, others)
        for arguments in (("0",), ("17",), ("two",), ("-1",), ("2", "3")):
            self.assertRaises(InvalidBalance, TwoChoices, arguments, None, Random(1))


class PeakEwmaTests(SynchronousTestCase):
    """
    `ewma`.
    """

    def setUp(self) -> None:
        """
        Three servers.
        """
        self.clock = Clock()
        self.balancer = PeakEwma((), self.clock, Random(1))
        self.servers = fake_servers([1, 1, 1])
        self.balancer.update(self.servers)

    def tell(self, *latencies_s: float) -> None:
        """
        One exchange at each server in turn.
        """
        for server, latency_s in zip(self.servers, latencies_s):
            self.balancer.released(server, latency_s, False)

    def test_slow_server_is_avoided_at_once(self) -> None:
        """
        One bad answer is enough.
        """
        self.tell(0.05, 0.05, 0.05)
        self.assertEqual(len(picks(self.balancer, 100)), 3)
        self.balancer.released(self.servers[1], 2.0, False)
        self.assertEqual(set(picks(self.balancer, 100)), {self.servers[0], self.servers[2]})

    def test_slow_server_is_asked_again(self) -> None:
        """
        It comes back when its bad answer is long ago, though nobody has asked it since.
        """
        self.tell(0.05, 2.0, 0.05)
        for _ in range(int(5 * DECAY_S)):  # e**-5 of 2 s is less than 0.05 s
            self.clock.advance(1)
            self.tell(0.05)
            self.balancer.released(self.servers[2], 0.05, False)
        self.assertGreater(picks(self.balancer, 100)[self.servers[1]], 0)

    def test_better_counts_little_by_little(self) -> None:
        """
        One good answer does not make a slow server a fast one; many over some time do.
        """
        self.tell(0.1, 1.0, 0.1)
        self.clock.advance(0.1)
        self.tell(0.1, 0.01, 0.1)
        self.assertEqual(picks(self.balancer, 100)[self.servers[1]], 0)
        for _ in range(600):
            self.clock.advance(0.1)
            self.tell(0.1, 0.01, 0.1)
        self.assertGreater(picks(self.balancer, 100)[self.servers[1]], 50)

    def test_load_counts(self) -> None:
        """
        A server twice as fast takes up to twice as many at a time, here or from elsewhere.
        """
        fast, slow = self.servers[:2]
        self.balancer.update((fast, slow))
        self.tell(0.05, 0.11)
        fast.in_flight, fast.elsewhere = 1, 1
        self.assertEqual(set(picks(self.balancer, 50)), {slow})
        fast.elsewhere = 0
        self.assertEqual(set(picks(self.balancer, 50)), {fast})

    def test_fast_refusals_are_no_speed(self) -> None:
        """
        A server that fails within a millisecond is not the fastest.
        """
        self.tell(0.05, 0.05, 0.05)
        self.balancer.released(self.servers[0], 0.001, True)
        self.assertEqual(picks(self.balancer, 100)[self.servers[0]], 0)

    def test_cut_by_the_client_says_nothing(self) -> None:
        """
        An exchange without an answer, and not by the server's fault, is no measurement.
        """
        self.tell(0.05, 0.05, 0.05)
        self.clock.advance(5)
        self.balancer.released(self.servers[0], 0.0, False)
        self.assertLess(picks(self.balancer, 300)[self.servers[0]], 150)  # a third, not the two thirds of the fastest

    def test_newcomer_is_neither_flooded_nor_shunned(self) -> None:
        """
        A server that nobody has measured counts as fast as the others are on average.
        """
        self.balancer.update(self.servers[:2])
        self.tell(0.04, 0.06)
        self.balancer.update(self.servers)
        self.servers[2].in_flight = 1
        self.assertEqual(picks(self.balancer, 100)[self.servers[2]], 0)
        self.servers[2].in_flight = 0
        self.servers[0].in_flight = self.servers[1].in_flight = 1
        self.assertGreater(picks(self.balancer, 100)[self.servers[2]], 50)

    def test_nothing_turns_at_the_end_of_an_epoch(self) -> None:
        """
        Levels are set back now and then: one good answer right after that still does not make a server fast.
        """
        self.clock.advance(EPOCH_S - 1)
        self.tell(0.1, 1.0, 0.1)
        self.clock.advance(2)
        self.tell(0.1, 0.01, 0.1)
        self.assertEqual(picks(self.balancer, 100)[self.servers[1]], 0)

    def test_load_counts_after_a_long_idleness(self) -> None:
        """
        Servers that nobody has asked for days still differ by what is under way at them.
        """
        for _ in range(50):
            self.clock.advance(EPOCH_S * 1.5)
            self.tell(0.05)
        self.balancer.update(self.servers[1:])
        self.servers[1].in_flight = 5
        self.assertEqual(set(picks(self.balancer, 50)), {self.servers[2]})

    def test_survives_update_and_months(self) -> None:
        """
        What is known is kept when others come and go, and for as long as the proxy runs.
        """
        self.tell(0.05, 0.5, 0.05)
        self.balancer.update(self.servers[:2])
        self.assertEqual(set(picks(self.balancer, 50)), {self.servers[0]})
        for _ in range(50):
            self.clock.advance(EPOCH_S * 1.5)
            self.tell(0.05, 0.5)
        self.balancer.update(self.servers)
        self.assertEqual(picks(self.balancer, 50)[self.servers[1]], 0)
        self.servers[0].in_flight = 11
        self.assertGreater(picks(self.balancer, 100)[self.servers[1]], 0)
