"""
In turn, by weight, and without losing the place.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.testing import FakeRequest, FakeServer, fake_servers
from tests.unit.balancing import churn


def order(balancer: RoundRobin, servers: tuple[FakeServer, ...], count: int) -> str:
    """
    Who is picked, as letters: `a` is the first server.
    """
    return "".join("abcdef"[[*servers].index(balancer.pick(FakeRequest()))] for _ in range(count))  # type: ignore[arg-type]  # never None here


class RoundRobinTests(SynchronousTestCase):
    """
    Which server comes when.
    """

    def test_in_turn(self) -> None:
        """
        Equal servers are picked one after the other.
        """
        balancer, servers = RoundRobin(), fake_servers([1, 1, 1])
        balancer.update(servers)
        self.assertEqual(order(balancer, servers, 9), "abcabcabc")

    def test_weights_are_spread_smoothly(self) -> None:
        """
        A heavy server is not asked for all its share in a row, nor are the light ones asked all at its end.
        """
        balancer, servers = RoundRobin(), fake_servers([5, 1, 1])
        balancer.update(servers)
        self.assertEqual(order(balancer, servers, 14), "aaabcaa" * 2)
        balancer, servers = RoundRobin(), fake_servers([4, 2])
        balancer.update(servers)
        self.assertEqual(order(balancer, servers, 12), "abaaba" * 2)

    def test_update_does_not_jump_back(self) -> None:
        """
        After `a` comes `b`, whatever was changed in between: same servers, one more, one less.
        """
        balancer, servers = RoundRobin(), fake_servers([1, 1, 1, 1])
        balancer.update(servers[:3])
        self.assertEqual(order(balancer, servers, 1), "a")
        balancer.update(servers[:3])
        self.assertEqual(order(balancer, servers, 1), "b")
        balancer.update(servers)
        self.assertEqual(order(balancer, servers, 2), "cd")
        balancer.update(servers[1:])
        self.assertEqual(order(balancer, servers, 6), "bcdbcd")

    def test_flapping_gains_nothing(self) -> None:
        """
        A server that goes and comes back before each pick is picked no more often than the others.
        """
        balancer, servers = RoundRobin(), fake_servers([1, 1, 1])
        balancer.update(servers)
        got: Counter[str] = Counter()
        for _ in range(300):
            balancer.update(servers[:2])
            balancer.update(servers)
            got[order(balancer, servers, 1)] += 1
        self.assertLessEqual(got["c"], 150)
        self.assertLessEqual(abs(got["a"] - got["b"]), 1)

    def test_changed_weight_starts_where_it_was(self) -> None:
        """
        Slow start changes a weight again and again: the server neither waits for ever nor gets a burst.
        """
        balancer, servers = RoundRobin(), fake_servers([100, 1])
        balancer.update(servers)
        got = ""
        for weight in range(1, 101):
            servers[1].weight = weight
            balancer.update(servers)
            got += order(balancer, servers, 4)
        due = sum(4 * weight / (100 + weight) for weight in range(1, 101))
        self.assertLessEqual(abs(got.count("b") - due), 3)
        self.assertNotIn("bb", got)

    def test_workers_start_at_different_servers(self) -> None:
        """
        The first request of each of many workers does not go to the same server; later ones go on in turn.
        """
        starts = set()
        for seed in range(30):
            balancer, servers = RoundRobin((), None, Random(seed)), fake_servers([1, 1, 1])
            balancer.update(servers)
            first = order(balancer, servers, 6)
            self.assertIn(first, "abcabcabc")
            starts.add(first[0])
        self.assertEqual(starts, {"a", "b", "c"})

    def test_place_of_three_hundred(self) -> None:
        """
        With many servers each is picked exactly once in a round.
        """
        balancer, servers = RoundRobin((), None, Random(1)), fake_servers([1] * 300)
        balancer.update(servers)
        for _ in range(3):
            self.assertEqual(len({balancer.pick(FakeRequest()) for _ in range(300)}), 300)

    @settings(max_examples=80, deadline=None)
    @given(churn.weights, churn.steps)
    def test_shares_follow_weights_while_servers_come_and_go(
        self, weights: list[int], steps: list[tuple[set[int], int]]
    ) -> None:
        """
        Between two changes shares are exact to one turn, and servers that stay keep even for ever.
        """
        self.assertEqual(churn.shares_follow_weights(lambda: RoundRobin((), None, Random(3)), weights, steps), [])
