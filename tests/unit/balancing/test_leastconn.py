"""
To the least busy one.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.leastconn import PENDING_LIMIT_S, SLACK, LeastConn
from dfproxy.testing import FakeRequest, FakeServer, fake_servers
from tests.unit.balancing import churn


def start(balancer: LeastConn) -> FakeServer:
    """
    An exchange that goes on.
    """
    server = cast(FakeServer, balancer.pick(FakeRequest()))
    server.in_flight += 1
    balancer.taken(server)
    return server


def end(balancer: LeastConn, server: FakeServer) -> None:
    """
    Its end.
    """
    server.in_flight -= 1
    balancer.released(server, 0.01, False)


class LeastConnTests(SynchronousTestCase):
    """
    Which server is the least busy.
    """

    def setUp(self) -> None:
        """
        A balancer with a clock.
        """
        self.clock = Clock()
        self.balancer = LeastConn((), self.clock)

    def test_long_exchanges_are_level(self) -> None:
        """
        Exchanges that stay are dealt out by weight.
        """
        servers = fake_servers([1, 2, 3])
        self.balancer.update(servers)
        for _ in range(600):
            start(self.balancer)
        self.assertEqual([server.in_flight for server in servers], [100, 200, 300])

    def test_gap_is_filled(self) -> None:
        """
        Where exchanges have ended the next ones go.
        """
        servers = fake_servers([1, 1, 1])
        self.balancer.update(servers)
        held = [start(self.balancer) for _ in range(30)]
        for server in held:
            if server is servers[1]:
                end(self.balancer, server)
        self.assertEqual({start(self.balancer) for _ in range(10)}, {servers[1]})

    def test_new_server_fills_up_first(self) -> None:
        """
        A server that joins busy ones gets everything until it is as busy.
        """
        servers = fake_servers([1, 1, 1])
        self.balancer.update(servers[:2])
        for _ in range(20):
            start(self.balancer)
        self.balancer.update(servers)
        self.assertEqual({start(self.balancer) for _ in range(10)}, {servers[2]})
        for _ in range(30):
            start(self.balancer)
        self.assertEqual([server.in_flight for server in servers], [20, 20, 20])

    def test_connections_in_the_making_count(self) -> None:
        """
        A burst that arrives before the first connection stands is spread, too, not sent to one server.
        """
        servers = fake_servers([1, 1, 1, 1])
        self.balancer.update(servers)
        self.assertEqual(set(Counter(self.balancer.pick(FakeRequest()) for _ in range(40)).values()), {10})

    def test_failed_attempts_are_forgotten(self) -> None:
        """
        Picks that no connection followed burden their server for about a second, not for ever.
        """
        servers = fake_servers([1, 1])
        self.balancer.update(servers)
        for _ in range(100):
            self.balancer.pick(FakeRequest())
        servers[1].in_flight = 20  # busier in truth
        self.balancer.released(servers[1], 0.0, False)
        for _ in range(40):
            self.clock.advance(PENDING_LIMIT_S / 10)
            end(self.balancer, start(self.balancer))
        self.assertEqual({start(self.balancer) for _ in range(10)}, {servers[0]})

    def test_other_workers_count(self) -> None:
        """
        What other workers have there counts, though it changes without a call: more is seen at once, less after
        a few picks.
        """
        servers = fake_servers([1, 1, 1])
        self.balancer.update(servers)
        servers[0].elsewhere = 50
        self.assertEqual({start(self.balancer) for _ in range(20)}, set(servers[1:]))
        servers[1].elsewhere = servers[2].elsewhere = 50
        for _ in range(12):
            start(self.balancer)
        servers[0].elsewhere = 0
        for _ in range(12):
            start(self.balancer)
        self.assertEqual({start(self.balancer) for _ in range(10)}, {servers[0]})

    def test_weights_count_when_idle(self) -> None:
        """
        With nothing under way it is weighted round robin, not the heaviest server alone.
        """
        servers = fake_servers([1, 2, 3])
        self.balancer.update(servers)
        got = Counter(churn.serve(self.balancer) for _ in range(600))
        self.assertEqual([got[server] for server in servers], [100, 200, 300])

    def test_changed_weight_starts_where_it_was(self) -> None:
        """
        Slow start changes a weight again and again: among idle servers shares follow, neither late nor in a burst.
        """
        servers = fake_servers([100, 1])
        self.balancer.update(servers)
        got = []
        for weight in range(1, 101):
            servers[1].weight = weight
            self.balancer.update(servers)
            got += [churn.serve(self.balancer) for _ in range(4)]
        due = sum(4 * weight / (100 + weight) for weight in range(1, 101))
        self.assertLessEqual(abs(got.count(servers[1]) - due), 3)

    def test_no_pile_of_outdated_entries(self) -> None:
        """
        The heap stays small however long the balancer lives.
        """
        servers = fake_servers([1] * 5)
        self.balancer.update(servers)
        for _ in range(2000):
            held = [start(self.balancer) for _ in range(3)]
            for server in held:
                end(self.balancer, server)
        self.assertLessEqual(len(self.balancer._heap), 4 * len(servers) + SLACK)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(1, 8), min_size=2, max_size=6), st.lists(st.integers(0, 99), max_size=150))
    def test_agrees_with_a_scan(self, weights: list[int], moves: list[int]) -> None:
        """
        Whatever starts and ends, the pick is one that looking at all servers would have found.
        """
        balancer, servers = LeastConn((), Clock(), Random(2)), fake_servers(weights)
        balancer.update(servers)
        held: list[FakeServer] = []
        for move in moves:
            if move >= 60 and held:
                end(balancer, held.pop(move % len(held)))
            else:
                least = min(server.in_flight / server.weight for server in servers)
                load = {server: server.in_flight / server.weight for server in servers}
                held.append(start(balancer))
                self.assertEqual(load[held[-1]], least)

    @settings(max_examples=60, deadline=None)
    @given(churn.weights, churn.steps)
    def test_shares_follow_weights_while_servers_come_and_go(
        self, weights: list[int], steps: list[tuple[set[int], int]]
    ) -> None:
        """
        One request after the other: as exact as round robin.
        """
        wrong = churn.shares_follow_weights(lambda: LeastConn((), Clock(), Random(3)), weights, steps)
        self.assertEqual(wrong, [])
