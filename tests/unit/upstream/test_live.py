"""
Backends and servers while they run: who is left out and returns, and what survives a change.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.errors import InvalidPick
from dfproxy.interfaces import IServer
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.testing import FakeRequest
from dfproxy.upstream.live import LiveBackend, LiveServer
from tests.dialogue import (
    FORWARDED,
    HOSTS,
    DialogueCase,
    Party,
    client,
    connections,
    dials,
    ended,
    members,
    server,
    server_is,
    service_of,
    waits,
)

A, B, C = HOSTS
GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
asks = (client.sends(*GET), server.gets(*GET, FORWARDED))
answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))


class Idle:
    """
    An idle connection that notes when it is closed.
    """

    closed = False

    def close_idle(self) -> None:
        self.closed = True


class Woken:
    """
    Somebody who waits.
    """

    woken = 0

    def wake(self) -> None:
        self.woken += 1


class BackendCase(SynchronousTestCase):
    """
    One backend.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.trials: list[tuple[float, str]] = []
        self.epoch = 0
        self.told: list[list[str]] = []
        service = service_of()
        case = self

        class Told(RoundRobin):
            def update(self, servers: tuple[Any, ...]) -> None:
                case.told.append([server.host for server in servers])
                super().update(servers)

        self.balancer_class = Told
        self.backend = LiveBackend(service, service.destinations[0], Told(), self.clock, self.trial)  # type: ignore[arg-type]  # Clock is one

    def trial(self, server: LiveServer) -> None:
        self.trials.append((self.clock.seconds(), server.host))

    def members(self, *hosts: str, weight: int = 1, epoch: int = 0) -> tuple[LiveServer, ...]:
        self.epoch += 1
        addresses = tuple(ServerAddress(host, 8080, weight) for host in hosts)
        self.backend.members(Membership("web", 0, epoch or self.epoch, addresses))
        return self.backend.servers

    def told_failed(self, server: LiveServer, times: int = 3) -> None:
        for _ in range(times):
            self.backend.connect_failed(server)


class MembersTests(BackendCase):
    """
    Who the servers are.
    """

    def test_identity(self) -> None:
        """
        A server that stays is the same object, whoever comes or goes; the balancer hears of each change.
        """
        first, second = self.members(A, B)
        self.assertTrue(verifyObject(IServer, first))
        third, again = self.members(C, B)
        self.assertIs(again, second)
        self.assertEqual(self.told, [[], [A, B], [C, B]])
        self.assertEqual([third.name, again.name], ["web_0", "web_1"])
        (lone,) = self.members(B)
        self.assertEqual((lone.name, lone), ("web", second))
        self.assertIn("web 192.0.2.12:8080", repr(lone))

    def test_older_epoch(self) -> None:
        """
        An older list that arrives late is ignored.
        """
        self.members(A, epoch=5)
        self.members(B, epoch=4)
        self.members(C, epoch=5)
        self.assertEqual([server.host for server in self.backend.servers], [A])

    def test_weight(self) -> None:
        """
        A weight of 0 takes a server out of use, not out of the membership.
        """
        self.members(A, weight=0)
        self.assertEqual((len(self.backend.servers), self.backend.usable), (1, ()))
        (one,) = self.members(A, weight=7)
        self.assertEqual((one.weight, self.backend.usable), (7, (one,)))

    def test_departure(self) -> None:
        """
        A server that leaves closes what it kept, and what it has counted goes on counting with its backend.
        """
        (one,) = self.members(A)
        one.requests, one.in_flight = 5, 1
        idle = Idle()
        one.idle.append(idle)
        self.members(B)
        self.assertEqual((idle.closed, one.idle, one.present), (True, [], False))
        self.assertEqual((self.backend.tally.requests, one.requests, one.in_flight), (5, 0, 1))

    def test_return(self) -> None:
        """
        An address that is back within a minute has its state; after that it is a new server.
        """
        one, _ = self.members(A, B)
        self.told_failed(one, 2)
        self.members(B)
        self.clock.advance(59)
        again, other = self.members(A, B)
        self.assertEqual((again, again.present, again.record.failures), (one, True, 2))
        self.members(B)
        self.clock.advance(61)
        later, still = self.members(A, B)
        self.assertIsNot(later, one)
        self.assertIs(still, other)

    def test_waiting(self) -> None:
        """
        Who waits is woken by each change of the membership, once.
        """
        woken = Woken()
        self.backend.waiting.append(woken)
        self.members(A)
        self.members(B)
        self.assertEqual(woken.woken, 1)

    def test_asks(self) -> None:
        """
        A failed connection is a reason to ask who the servers are.
        """
        asked: list[object] = []
        self.backend.ask = asked.append
        (one,) = self.members(A)
        self.told_failed(one, 1)
        self.assertEqual(asked, [self.backend])


class HealthTests(BackendCase):
    """
    Passive health.
    """

    def test_three_failures(self) -> None:
        """
        Three failures in a row take a server out of use, and its kept connections are closed.
        """
        one, two = self.members(A, B)
        idle = Idle()
        one.idle.append(idle)
        self.told_failed(one, 2)
        self.assertEqual(self.backend.usable, (one, two))
        self.told_failed(one, 1)
        self.assertEqual((self.backend.usable, idle.closed), ((two,), True))
        self.assertEqual(self.told[-1], [B])

    def test_trials(self) -> None:
        """
        It is tried after 1, 2, 4 ... 30 s; one success brings it back and forgives everything.
        """
        one, two = self.members(A, B)
        self.told_failed(one)
        for _ in range(8):
            before = len(self.trials)
            for _ in range(40):
                if len(self.trials) == before:
                    self.clock.advance(1)
            self.backend.connect_failed(one)  # as the connector says, before it tells who asked
            self.backend.trial_failed(one)
        times = [when for when, _ in self.trials]
        self.assertEqual([b - a for a, b in zip([0.0, *times], times)], [1, 2, 4, 8, 16, 30, 30, 30])
        self.backend.connected(one)
        self.assertEqual((self.backend.usable, self.told[-1]), ((one, two), [A, B]))
        self.clock.advance(100)
        self.assertEqual(len(self.trials), 8)
        self.told_failed(one)
        self.clock.advance(1)
        self.assertEqual(len(self.trials), 9)

    def test_all_ejected(self) -> None:
        """
        If no server is left all are used: perhaps one answers.
        """
        one, two = self.members(A, B)
        self.told_failed(one)
        self.told_failed(two)
        self.assertEqual(self.backend.usable, (one, two))
        self.backend.connected(two)
        self.assertEqual(self.backend.usable, (two,))

    def test_success_in_between(self) -> None:
        """
        Only failures in a row count.
        """
        one, two = self.members(A, B)
        for _ in range(3):
            self.told_failed(one, 2)
            self.backend.connected(one)
        self.assertEqual((self.backend.usable, self.told), ((one, two), [[], [A, B]]))

    def test_ejected_server_leaves_and_returns(self) -> None:
        """
        An ejected server that leaves and returns within a minute is still left out, and still tried.
        """
        for away_s in (0.5, 10.0, 50.0):
            one, _ = self.members(A, B)
            if not one.record.ejected:
                self.told_failed(one)
            self.members(B)
            self.clock.advance(away_s)
            again, two = self.members(A, B)
            self.assertEqual((again, self.backend.usable), (one, (two,)))
            before = len(self.trials)
            self.clock.advance(31)
            self.assertGreater(len(self.trials), before)
            self.backend.connected(one)

    def test_left_for_good(self) -> None:
        """
        One that stays away is not tried for ever.
        """
        one, _ = self.members(A, B)
        self.told_failed(one)
        self.members(B)
        self.clock.advance(1)
        for _ in range(10):
            self.clock.advance(30)
        self.assertEqual((self.trials, self.clock.getDelayedCalls()), ([], []))

    def test_another(self) -> None:
        """
        After a failure the one with the least to do for its weight is next, of those not tried yet.
        """
        one, two, three = self.members(A, B, C)
        one.in_flight, two.in_flight, three.in_flight = 1, 4, 2
        two.weight = 4
        self.assertEqual([self.backend.another([one]), self.backend.another([one, two])], [two, three])
        self.assertIsNone(self.backend.another([one, two, three]))


class DefinitionTests(BackendCase):
    """
    Changes of what was asked for.
    """

    def test_retire(self) -> None:
        """
        A destination that is gone has no servers, keeps no connections and lets go of who waits.
        """
        one, two = self.members(A, B)
        self.told_failed(one)
        idle, woken = Idle(), Woken()
        two.idle.append(idle)
        self.backend.waiting.append(woken)
        self.backend.retire()
        self.assertEqual((self.backend.servers, self.backend.usable, self.told[-1]), ((), (), []))
        self.assertEqual((idle.closed, woken.woken, two.present), (True, 1, False))
        self.clock.advance(100)
        self.assertEqual((self.trials, self.clock.getDelayedCalls()), ([], []))

    def test_define(self) -> None:
        """
        New values count from now on; servers and balancer stay.
        """
        servers = self.members(A)
        balancer = self.backend.balancer
        service = service_of(server_timeout_s=5.0, tunnel_timeout_s=6.0)
        self.backend.define(service, service.destinations[0])
        self.assertEqual((self.backend.server_timeout_s, self.backend.tunnel_timeout_s), (5.0, 6.0))
        self.assertEqual((self.backend.servers, self.backend.balancer), (servers, balancer))

    def test_use(self) -> None:
        """
        Another balancer knows the usable servers at once; notifications that do nothing are not made.
        """
        self.members(A, B)
        self.backend.use(self.balancer_class())
        self.assertEqual(self.told[-1], [A, B])
        self.assertIsNone(self.backend.taken)
        self.assertIsNone(self.backend.released)

    def test_broken_strategy(self) -> None:
        """
        A strategy that raises when told of servers stops nothing; it is logged once.
        """
        self.backend.balancer.update = lambda servers: 1 / 0  # type: ignore[method-assign]  # a plugin's fault
        self.members(A)
        self.members(A, B)
        self.assertEqual(len(self.backend.usable), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_pick_of_a_plugin(self) -> None:
        """
        A plugin may pick nobody, or one of the servers that it was told of last; of anything else the attempt hears.
        """
        self.members(A, B)
        (gone, stays), request = self.backend.usable, FakeRequest()
        self.members(B)
        balancer = self.backend.balancer
        for picked in (gone, "10.0.0.1", [stays], object()):
            balancer.pick = lambda request, picked=picked: picked  # type: ignore[method-assign]  # a plugin's fault
            self.backend.use(balancer)
            self.assertRaises(InvalidPick, self.backend.pick, request)
        for picked in (stays, None):
            balancer.pick = lambda request, picked=picked: picked  # type: ignore[method-assign]  # as it should be
            self.backend.use(balancer)
            self.assertIs(self.backend.pick(request), picked)

    def test_own_pick_is_not_checked(self) -> None:
        """
        Built-in strategies are asked without anything in between: each request pays for that.
        """
        balancer = RoundRobin()
        self.backend.use(balancer)
        self.assertEqual(self.backend.pick, balancer.pick)


class TrafficTests(DialogueCase):
    """
    The same in traffic.
    """

    def test_dead_server(self) -> None:
        """
        A dead server costs no request; after three failures it gets none, until a trial finds it back.
        """
        one = [*asks, *answers, dials()]
        dialogue = self.talk(
            server_is("refuse"),
            *[step for _ in range(6) for step in one],
            connections(A, B, A, A),
            ended(*["complete"] * 6),
            waits(1.2),
            connections(A, B, A, A, A),
            server_is("accept"),
            waits(2.2),
            connections(A, B, A, A, A, A),
            *[
                step
                for number in (1, 0)
                for step in (
                    client.sends(*GET),
                    Party("server", number).gets(*GET, FORWARDED),
                    Party("server", number).sends(*OK, body="hi"),
                    client.gets(*OK, body="hi"),
                )
            ],
            connections(A, B, A, A, A, A),
            servers=2,
        )
        self.assertEqual([server.requests for server in dialogue.backend.servers], [1, 7])

    def test_change_under_way(self) -> None:
        """
        A request under way ends at its server even if that has left meanwhile.
        """
        self.talk(*asks, members(B), *answers, ended("complete"))
