"""
The contract suites find the faults that authors make, and the fakes are what they stand for.

Each faulty plugin below is one that somebody could write; the suite must fail it, by the test that is named.
"""

from __future__ import annotations

import random as chance
from collections.abc import Callable
from typing import Any
from unittest import TestResult

from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from dfproxy.balancing.base import Balancer, Strategy
from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.interfaces import IRequest, IRouteConditionFactory, IRouteOrderFactory, IServer
from dfproxy.testing import (
    BalancerContract,
    FakeRequest,
    FakeServer,
    RouteConditionContract,
    RouteOrderContract,
    fake_servers,
)


def failed(case: type[SynchronousTestCase]) -> set[str]:
    """
    Which tests of a suite fail.
    """
    result = TestResult()
    for name in sorted(name for name in dir(case) if name.startswith("test_")):
        case(name).run(result)
    return {test.id().rpartition(".")[2] for test, _ in (*result.failures, *result.errors)}


def judged(maker: Callable[..., Any], **attributes: object) -> set[str]:
    """
    What the balancer suite says of a class.
    """
    body = {"factory": Strategy("faulty", "faulty on purpose", maker), **attributes}
    return failed(type("Judged", (BalancerContract, SynchronousTestCase), body))


class BalancerContractTests(SynchronousTestCase):
    """
    Faulty strategies.
    """

    def test_sound_one_passes(self) -> None:
        """
        A strategy without a fault fails nothing, whatever it claims truly.
        """
        self.assertEqual(judged(RoundRobin, follows_weights=True), set())

    def test_remembers_servers_that_have_gone(self) -> None:
        """
        A strategy that picks from its first list for ever is caught.
        """

        class Remembers(Balancer):
            def update(self, servers: tuple[IServer, ...]) -> None:
                self.servers = self.servers or servers

            def pick(self, request: IRequest) -> IServer | None:
                return self.servers[0] if self.servers else None

        self.assertLessEqual(
            {"test_nobody_without_servers", "test_the_only_server_gets_all", "test_picks_only_from_the_last_update"},
            judged(Remembers, spreads=False),
        )

    def test_always_the_same(self) -> None:
        """
        A strategy that leaves servers idle is caught, unless it says that this is its purpose.
        """

        class Always(Balancer):
            def pick(self, request: IRequest) -> IServer | None:
                return self.servers[-1] if self.servers else None

        self.assertIn("test_every_server_gets_its_share", judged(Always))
        self.assertEqual(judged(Always, spreads=False), set())

    def test_starts_again_at_each_update(self) -> None:
        """
        A round robin that begins anew when somebody comes or goes is caught.
        """

        class Restarts(Balancer):
            def update(self, servers: tuple[IServer, ...]) -> None:
                self.servers = servers
                self.place = -1

            def pick(self, request: IRequest) -> IServer | None:
                self.place += 1
                return self.servers[self.place % len(self.servers)] if self.servers else None

        self.assertEqual(judged(Restarts), {"test_updates_forget_nothing"})

    def test_ignores_weights(self) -> None:
        """
        A claim to follow weights is tested.
        """

        class Plain(Balancer):
            place = 0

            def pick(self, request: IRequest) -> IServer | None:
                self.place += 1
                return self.servers[self.place % len(self.servers)] if self.servers else None

        self.assertEqual(judged(Plain), set())
        caught = judged(Plain, follows_weights=True)
        self.assertLessEqual({"test_shares_follow_weights", "test_changed_weights_count"}, caught)

    def test_raises_without_servers(self) -> None:
        """
        A strategy that does not think of an empty list is caught.
        """

        class Hopeful(RoundRobin):
            def pick(self, request: IRequest) -> IServer | None:
                assert self.servers
                return super().pick(request)

        self.assertIn("test_nobody_without_servers", judged(Hopeful))

    def test_trips_over_late_endings(self) -> None:
        """
        A strategy that expects to know every server whose exchange ends is caught.
        """

        class Forgets(RoundRobin):
            def update(self, servers: tuple[IServer, ...]) -> None:
                super().update(servers)
                self.open = dict.fromkeys(servers, 0)

            def released(self, server: IServer, latency_s: float, failed: bool) -> None:
                self.open[server] -= 1

        self.assertEqual(judged(Forgets), {"test_ends_after_its_server_has_gone"})

    def test_waits_for_endings_that_never_come(self) -> None:
        """
        A strategy that counts picks as exchanges, and so shuns a server after failed attempts, is caught.
        """

        class Counts(RoundRobin):
            def update(self, servers: tuple[IServer, ...]) -> None:
                super().update(servers)
                self.open = dict.fromkeys(servers, 0)

            def pick(self, request: IRequest) -> IServer | None:
                for _ in self.servers:
                    server = super().pick(request)
                    if server is not None and self.open[server] < 30:
                        self.open[server] += 1
                        return server
                return None

            def released(self, server: IServer, latency_s: float, failed: bool) -> None:
                self.open[server] = max(self.open.get(server, 0) - 1, 0)

        self.assertIn("test_picks_that_come_to_nothing", judged(Counts))

    def test_own_chance(self) -> None:
        """
        A strategy that takes its chance elsewhere cannot be replayed, and is caught.
        """

        class Gambles(Balancer):
            def pick(self, request: IRequest) -> IServer | None:
                return self.servers[int(chance.SystemRandom().random() * len(self.servers))] if self.servers else None

        self.assertIn("test_chance_is_only_what_was_given", judged(Gambles))

    def test_claims_to_be_stable(self) -> None:
        """
        A hash that differs between processes, here by what the balancer has seen before, is caught.
        """
        self.assertEqual(judged(RoundRobin), set())
        self.assertEqual(judged(RoundRobin, stable=True), {"test_all_agree"})

    def test_shared_state(self) -> None:
        """
        A `build` that hands out one balancer for all backends is caught.
        """
        shared = RoundRobin()
        self.assertIn("test_each_backend_has_its_own", judged(lambda arguments, clock, random: shared))

    def test_careless_arguments(self) -> None:
        """
        A strategy that fails on odd arguments instead of refusing them is caught.
        """

        def build(arguments: tuple[str, ...], clock: object, random: object) -> RoundRobin:
            for word in arguments:
                int(word)
            return RoundRobin()

        self.assertEqual(judged(build), {"test_odd_arguments_are_refused_by_name"})

    def test_is_no_balancer(self) -> None:
        """
        An object without the methods is caught.
        """
        self.assertIn("test_keeps_the_interfaces", judged(lambda arguments, clock, random: object()))


class RouteOrderContractTests(SynchronousTestCase):
    """
    Faulty orders.
    """

    def judged(self, key: Callable[[Any], Any]) -> set[str]:
        """
        What the suite says of a key.
        """

        @implementer(IPlugin, IRouteOrderFactory)
        class Order:
            name = "faulty"
            description = "faulty on purpose"

            def key(self, route: object) -> tuple[object, ...]:
                return key(route)  # type: ignore[no-any-return]  # wrong ones among them are the point

        return failed(type("Judged", (RouteOrderContract, SynchronousTestCase), {"factory": Order()}))

    def test_sound_one_passes(self) -> None:
        """
        An order by name has no fault.
        """
        self.assertEqual(self.judged(lambda route: (route.service.name,)), set())

    def test_faults(self) -> None:
        """
        Keys that do not compare, that are no tuples, that change, that fail on a route without paths.
        """
        seen: list[object] = []

        def counted(route: object) -> tuple[int]:
            seen.append(route)
            return (len(seen),)

        compares = "test_any_two_routes_compare"
        self.assertEqual(self.judged(lambda route: (route.destination.match.paths or None,)), {compares})
        self.assertEqual(self.judged(lambda route: route.service.name), {compares})
        self.assertEqual(self.judged(counted), {"test_only_the_route_decides"})
        self.assertIn(compares, self.judged(lambda route: (route.destination.match.paths[0].value,)))


class RouteConditionContractTests(SynchronousTestCase):
    """
    Faulty conditions.
    """

    def judged(self, compiled: Callable[[tuple[str, ...]], Any], **attributes: object) -> set[str]:
        """
        What the suite says of a condition on paths.
        """

        @implementer(IPlugin, IRouteConditionFactory)
        class Condition:
            name = "faulty"
            description = "faulty on purpose"

            def compile(self, values: tuple[str, ...]) -> object:
                return compiled(values)

        body = {
            "factory": Condition(),
            "values": ("/a",),
            "accepted": [FakeRequest(target=b"/a")],
            "rejected": [FakeRequest(target=b"/b")],
            **attributes,
        }
        return failed(type("Judged", (RouteConditionContract, SynchronousTestCase), body))

    def test_sound_one_passes(self) -> None:
        """
        A condition without a fault fails nothing.
        """
        self.assertEqual(self.judged(lambda values: lambda request: request.path == b"/a"), set())

    def test_faults(self) -> None:
        """
        Answers that are no booleans, wrong answers, exceptions on odd requests, values that are not refused.
        """
        decides, odd = "test_decides", "test_no_request_surprises_it"
        self.assertIn(decides, self.judged(lambda values: lambda request: request.path.find(b"/a") + 1))
        self.assertEqual(self.judged(lambda values: lambda request: True), {decides})
        self.assertEqual(self.judged(lambda values: lambda request: request.target.decode() == "/a"), {odd})
        self.assertEqual(
            self.judged(lambda values: lambda request: request.path == b"/a", invalid=[("x",)]),
            {"test_values_are_refused_by_name"},
        )
        self.assertEqual(
            self.judged(
                lambda values: lambda request: request.path == b"/a" if int(values[0], 36) else False, values=("a",)
            ),
            set(),
        )
        self.assertIn(
            "test_values_are_refused_by_name",
            self.judged(lambda values: values[0] and (lambda request: request.path == b"/a")),
        )
        self.assertIn(decides, self.judged(lambda values: lambda request: request.path == b"/a", rejected=[]))


class FakeTests(SynchronousTestCase):
    """
    What tests of strategies are made of.
    """

    def test_provide_their_interfaces(self) -> None:
        """
        A fake has all that the real one has.
        """
        verifyObject(IRequest, FakeRequest())
        verifyObject(IServer, FakeServer())

    def test_request_is_read_from_its_target(self) -> None:
        """
        Path and host come out as the proxy reads them.
        """
        for target, path in (
            (b"/a/b?c=/d", b"/a/b"),
            (b"http://h.example/a?b", b"/a"),
            (b"http://h.example?x=/y", b"/"),
            (b"*", b""),
            (b"", b""),
        ):
            self.assertEqual(FakeRequest(target=target).path, path, target)
        request = FakeRequest(headers=[(b"Host", b"a.example:81"), (b"X-A", b" 1 "), (b"x-a", b"2")])
        self.assertEqual(request.host, b"a.example:81")
        self.assertEqual(request.values(b"x-a"), [b"1", b"2"])
        self.assertEqual(request.values(b"x-b"), [])
        self.assertEqual(FakeRequest().host, b"")

    def test_servers_are_sorted(self) -> None:
        """
        Lists of servers come as the proxy gives them: by address, each its own.
        """
        servers = fake_servers([1] * 300)
        self.assertEqual(len({server.host for server in servers}), 300)
        self.assertEqual(list(servers), sorted(servers, key=lambda server: (server.host, server.port)))
        self.assertEqual([server.weight for server in fake_servers([3, 1])], [3, 1])
