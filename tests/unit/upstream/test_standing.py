"""
How checks and orders reach servers, and how a server starts slowly.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.leastconn import LeastConn
from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.interfaces import IBalancer
from dfproxy.model.checks import DRAIN, MAINT, Order
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.upstream.live import LiveBackend, LiveServer

A, B, C = ("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 80)


class Kept:
    """
    A kept connection.
    """

    closed = False

    def close_idle(self) -> None:
        self.closed = True


class StandingTests(SynchronousTestCase):
    """
    A backend of two servers.
    """

    slow_start_s = 0.0
    balancer: type[IBalancer] = RoundRobin

    def setUp(self) -> None:
        self.clock = Clock()
        destination = Destination(0, 80, Match(), "s", "s-be80_0", slow_start_s=self.slow_start_s)
        self.backend = LiveBackend(
            Service("s", "s", (destination,)), destination, self.balancer(), self.clock, lambda server: None
        )
        self.epoch = 0
        self.members(A, B)

    def members(self, *addresses: tuple[str, int], weight: int = 1) -> None:
        self.epoch += 1
        servers = tuple(ServerAddress(*address, weight) for address in addresses)
        self.backend.members(Membership("s", 0, self.epoch, servers))

    def server(self, address: tuple[str, int]) -> LiveServer:
        return next(server for server in self.backend.servers if (server.host, server.port) == address)

    def used(self) -> list[tuple[str, int]]:
        return [(server.host, server.port) for server in self.backend.usable]

    def picked(self, count: int) -> dict[tuple[str, int], int]:
        """
        How often each server is picked.
        """
        found: dict[tuple[str, int], int] = {}
        for _ in range(count):
            server = self.backend.pick(None)
            assert server is not None
            found[server.host, server.port] = found.get((server.host, server.port), 0) + 1
        return found

    def test_down(self) -> None:
        """
        A server that is down gets nothing, and what was kept to it is closed; up again it gets its share, and who
        waits is woken.
        """
        kept, woken = Kept(), []
        self.server(A).idle.append(kept)
        self.backend.judged({A}, {})
        self.assertEqual((self.used(), kept.closed), ([B], True))

        class Waiter:
            def wake(self) -> None:
                woken.append(1)

        self.backend.waiting.append(Waiter())
        self.backend.judged((), {})
        self.assertEqual((self.used(), woken), ([A, B], [1]))

    def test_verdict_before_server(self) -> None:
        """
        What is known of an address counts when the server comes, and after it has been away.
        """
        self.backend.judged({C}, {})
        self.members(A, B, C)
        self.assertEqual(self.used(), [A, B])
        self.members(B)
        self.members(A, B, C)
        self.assertEqual(self.used(), [A, B])

    def test_orders(self) -> None:
        """
        Drained: bound clients only. Switched off: nobody. Weight: instead of its own, until it is taken back.
        """
        self.backend.judged((), {A: Order("s", *A, DRAIN)})
        self.assertEqual((self.used(), [server.host for server in self.backend.bound]), ([B], [A[0]]))
        self.backend.judged((), {A: Order("s", *A, MAINT)})
        self.assertEqual((self.used(), self.backend.bound), ([B], ()))
        self.backend.judged((), {A: Order("s", *A, weight=3)})
        self.assertEqual(self.picked(8), {A: 6, B: 2})
        self.members(A, B, weight=5)
        self.assertEqual((self.server(A).weight, self.server(B).weight), (3, 5))
        self.backend.judged((), {})
        self.assertEqual(self.picked(8), {A: 4, B: 4})

    def test_no_slow_start(self) -> None:
        """
        Unless asked for a server that comes has its whole share at once, and no timer is left.
        """
        self.backend.judged({A}, {})
        self.backend.judged((), {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.picked(8), {A: 4, B: 4})


class SlowStartTests(StandingTests):
    """
    The same with a slow start of 16 s.
    """

    slow_start_s = 16.0

    def test_orders(self) -> None:
        """
        One that comes back from maintenance starts slowly, with the weight that the operator has given.
        """
        self.backend.judged((), {A: Order("s", *A, MAINT)})
        self.backend.judged((), {A: Order("s", *A, weight=4)})
        self.assertEqual((self.server(A).weight, self.server(B).weight), (4, 16))
        self.clock.pump([1.0] * 17)
        self.assertEqual((self.server(A).weight, self.server(B).weight), (4, 1))

    def test_no_slow_start(self) -> None:
        """
        The first servers of a backend have nobody to spare them.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.picked(8), {A: 4, B: 4})

    def test_grows(self) -> None:
        """
        Back up it gets a sixteenth of what the other gets, half of it after half the time, then as much, and then
        weights are what they were.
        """
        self.backend.judged({A}, {})
        self.backend.judged((), {})
        self.assertEqual(self.picked(170), {A: 10, B: 160})
        self.clock.pump([0.5] * 16)
        self.assertEqual(self.picked(24), {A: 8, B: 16})
        self.clock.pump([0.5] * 17)
        self.assertEqual((self.server(A).weight, self.server(B).weight), (1, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_new_beside_others(self) -> None:
        """
        So does one that is new, as after a `docker service scale`.
        """
        self.members(A, B, C)
        self.assertEqual(self.picked(33), {A: 16, B: 16, C: 1})

    def test_down_while_it_starts(self) -> None:
        """
        Down again the start is over; the next one begins from the beginning.
        """
        self.backend.judged({A}, {})
        self.backend.judged((), {})
        self.clock.pump([1.0] * 8)
        self.backend.judged({A}, {})
        self.assertEqual(self.server(B).weight, 1)
        self.backend.judged((), {})
        self.assertEqual(self.server(A).weight, 1)
        self.backend.retire()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LeastConnTests(SlowStartTests):
    """
    The same with `leastconn`, which sees weights too.
    """

    balancer = LeastConn

    def test_orders(self) -> None:
        """
        See above.
        """
        super().test_orders()

    def test_grows(self) -> None:
        """
        It gets its first connection when the other has sixteen.
        """
        self.backend.judged({A}, {})
        self.backend.judged((), {})
        first = self.picked(17)
        self.assertEqual((first[A], first[B]), (1, 16))
