"""
Contract suites and fakes for authors of strategies, route orders and route conditions.

A suite is a mixin: derive from it and from a `TestCase` (Twisted's or the standard library's), name your factory,
and run. Everything that the proxy relies on is checked; what your plugin decides is yours to test, with the fakes.

```python
class TestBurst(BalancerContract, SynchronousTestCase):
    factory = burst
```

Ours, the examples in `plugins/` and third parties' own plugins pass the same suites. Longer than most modules, but
one thing: all that an author needs, from one import.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from random import Random
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from zope.interface import implementer
from zope.interface.verify import verifyObject

from dfproxy.balancing.preview import Unforeseen, preview
from dfproxy.errors import InvalidBalance, InvalidRoute
from dfproxy.interfaces import (
    IBalancer,
    IBalancerFactory,
    IRequest,
    IRouteConditionFactory,
    IRouteOrderFactory,
    IServer,
)
from dfproxy.model.match import Condition, HostPattern, Match, PathPattern
from dfproxy.model.service import Destination, Route, Service

if TYPE_CHECKING:
    from unittest import TestCase as _Case
else:
    _Case = object  # a mixin: were it a TestCase, each module that imports it would run it

LATENCY_S = 0.01
"""
How long servers take in the suites, in seconds.
"""


@implementer(IRequest)
class FakeRequest:
    """
    The head of a request, made up.

    Args:
        method: see `IRequest`, as all others.
        target: request target; `path` is made from it.
        headers: fields in order; names in any case. `Host` is where `host` comes from.
        client_host: from TEST-NET-1 unless given.
        local_port: where the client connected to.
    """

    def __init__(
        self,
        method: bytes = b"GET",
        target: bytes = b"/",
        headers: Sequence[tuple[bytes, bytes]] = (),
        client_host: str = "192.0.2.1",
        local_port: int = 80,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = tuple((name.lower(), value.strip(b" \t")) for name, value in headers)
        self.client_host = client_host
        self.local_port = local_port
        before_query = target.partition(b"?")[0]
        if b"://" in before_query:
            before_query = b"/" + before_query.partition(b"://")[2].partition(b"/")[2]
        self.path = before_query[before_query.find(b"/") :] if b"/" in before_query else b""
        self.host = next(iter(self.values(b"host")), b"")

    def values(self, name: bytes) -> list[bytes]:
        """
        All values of one field; see `IRequest.values`.
        """
        return [value for field, value in self.headers if field == name]

    def __repr__(self) -> str:
        return f"<FakeRequest {self.method!r} {self.target!r} from {self.client_host}>"


@implementer(IServer)
class FakeServer:
    """
    A server that counts only what a test tells it.

    Args:
        name: see `IServer`, as all others.
    """

    def __init__(
        self,
        name: str = "web_0",
        host: str = "192.0.2.10",
        port: int = 8080,
        weight: int = 1,
        in_flight: int = 0,
        elsewhere: int = 0,
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.weight = weight
        self.in_flight = in_flight
        self.elsewhere = elsewhere

    def __repr__(self) -> str:
        return f"<FakeServer {self.name} {self.host}:{self.port} weight {self.weight} in flight {self.in_flight}>"


def fake_servers(weights: Sequence[int]) -> tuple[FakeServer, ...]:
    """
    One server for each weight, sorted by address as `IBalancer.update` gets them.
    """
    first = IPv4Address("198.51.100.0") if len(weights) <= 256 else IPv4Address("198.18.0.0")
    servers = [FakeServer(f"web_{i}", str(first + i), 8080, weight) for i, weight in enumerate(weights)]
    return tuple(sorted(servers, key=lambda server: (server.host, server.port)))


class BalancerContract(_Case):
    """
    What the proxy expects of each strategy.

    Attributes:
        factory: the strategy.
        arguments: what it is built with.
        spreads: with many different requests every server gets some. Not so for `first`.
        follows_weights: shares are proportional to weights.
        tolerance: by which part of its due share a server may be off, where `follows_weights`.
        stable: what is picked depends only on request and servers, in each process and on each machine alike.
    """

    factory: IBalancerFactory
    arguments: tuple[str, ...] = ()
    spreads = True
    follows_weights = False
    tolerance = 0.25
    stable = False

    def setUp(self) -> None:
        """
        A clock that each exchange moves.
        """
        super().setUp()
        self.clock = Clock()

    def request(self, number: int) -> IRequest:
        """
        The request of a client; override it if your strategy looks at something else.

        Args:
            number: requests of different numbers differ in all that a built-in strategy looks at.
        """
        return FakeRequest(
            target=b"/articles/%d/index.html?page=%d" % (number, number),
            headers=[(b"Host", b"www.example.com"), (b"X-User", b"user%d" % number)],
            client_host=str(IPv4Address("10.0.0.0") + number),
        )

    def build(self, seed: int = 1) -> IBalancer:
        """
        A new balancer.
        """
        return self.factory.build(self.arguments, self.clock, Random(seed))

    def exchange(self, balancer: IBalancer, number: int) -> FakeServer:
        """
        One request from pick to end, while nothing else is under way.
        """
        server = cast(FakeServer, balancer.pick(self.request(number)))
        self.assertIsNotNone(server, "picked nobody while there were servers")
        server.in_flight += 1
        balancer.taken(server)
        self.clock.advance(LATENCY_S)
        server.in_flight -= 1
        balancer.released(server, LATENCY_S, False)
        return server

    def shares(self, balancer: IBalancer, count: int, first: int = 0) -> Counter[FakeServer]:
        """
        How many of `count` exchanges, one after the other, each server got.
        """
        return Counter(self.exchange(balancer, number) for number in range(first, first + count))

    def assert_shares(self, shares: Counter[FakeServer], servers: Sequence[FakeServer]) -> None:
        """
        Everyone got its due, as far as this strategy claims it.
        """
        self.assertEqual(set(shares) - set(servers), set(), "picked a server that may not be used")
        if self.spreads:
            self.assertEqual([server for server in servers if not shares[server]], [], "these got nothing")
        if self.follows_weights:
            total = sum(server.weight for server in servers)
            for server in servers:
                due = shares.total() * server.weight / total
                off = f"{server} got {shares[server]} of {shares.total()}, due were {due:.0f}"
                self.assertLessEqual(abs(shares[server] - due), max(self.tolerance * due, 1), off)

    def test_keeps_the_interfaces(self) -> None:
        """
        The factory is a plugin of dfproxy, and what it builds is a balancer.
        """
        verifyObject(IPlugin, self.factory)
        verifyObject(IBalancerFactory, self.factory)
        self.assertRegex(self.factory.name, r"\A[A-Za-z0-9_-]+\Z")
        self.assertRegex(self.factory.description, r"\A[^\n]+\Z")
        verifyObject(IBalancer, self.build())

    def test_each_backend_has_its_own(self) -> None:
        """
        Two backends of one strategy know nothing of each other's servers.
        """
        one, other = self.build(), self.build()
        self.assertIsNot(one, other)
        one.update(fake_servers([1]))
        other.update(())
        self.assertIsNone(other.pick(self.request(0)))

    def test_odd_arguments_are_refused_by_name(self) -> None:
        """
        Whatever an operator writes after the name, it works or is refused as `InvalidBalance`.
        """
        for arguments in ((), ("",), ("x",), ("-1",), ("0",), ("1", "2", "3"), ("\N{SNOWMAN}",), ("depth",)):
            try:
                balancer = self.factory.build(arguments, self.clock, Random(1))
            except InvalidBalance as error:
                self.assertNotEqual(str(error), "", "a refusal says why")
            else:
                verifyObject(IBalancer, balancer)

    def test_the_next_pick_is_foreseen(self) -> None:
        """
        Whoever asks beforehand where a request would go (`explain`) is told, or that it cannot be foreseen; what is
        picked then and later is the same as if nobody had asked.
        """
        asked, unasked = Random(1), Random(1)
        balancer = self.factory.build(self.arguments, self.clock, asked)
        other = self.factory.build(self.arguments, self.clock, unasked)
        servers = fake_servers([1, 3, 2])
        balancer.update(servers)
        other.update(servers)
        for number in range(60):
            request = self.request(number)
            try:
                foreseen = preview(balancer, request, asked, (*servers, self.clock))
            except Unforeseen:
                foreseen = None
            picked = cast(FakeServer, balancer.pick(request))
            self.assertIs(other.pick(request), picked)
            self.assertIn(foreseen, (None, picked))
            for told in (balancer, other) if number % 3 else ():
                told.taken(picked)
            self.clock.advance(LATENCY_S)
            for told in (balancer, other) if number % 3 else ():
                told.released(picked, LATENCY_S * (1 + number % 5), number % 7 == 0)
            picked.in_flight = number % 4

    def test_nobody_without_servers(self) -> None:
        """
        A backend without usable servers answers 503: nobody is picked, before and after there were some.
        """
        balancer = self.build()
        balancer.update(())
        self.assertIsNone(balancer.pick(self.request(0)))
        balancer.update(fake_servers([1, 1]))
        self.assertIsNotNone(balancer.pick(self.request(0)))
        balancer.update(())
        self.assertIsNone(balancer.pick(self.request(0)))

    def test_the_only_server_gets_all(self) -> None:
        """
        With one server left everything goes there.
        """
        balancer = self.build()
        servers = fake_servers([3, 1, 2])
        balancer.update(servers)
        self.shares(balancer, 10)
        balancer.update(servers[1:2])
        self.assertEqual(self.shares(balancer, 20), Counter({servers[1]: 20}))

    def test_every_server_gets_its_share(self) -> None:
        """
        Requests are spread over the servers of a backend, however many it has.
        """
        for count in (2, 3, 10):
            balancer = self.build()
            servers = fake_servers([1] * count)
            balancer.update(servers)
            self.assert_shares(self.shares(balancer, 400 * count), servers)

    def test_shares_follow_weights(self) -> None:
        """
        A server of weight 4 gets four times what one of weight 1 gets.
        """
        balancer = self.build()
        servers = fake_servers([1, 2, 3, 4])
        balancer.update(servers)
        self.assert_shares(self.shares(balancer, 4000), servers)

    def test_changed_weights_count(self) -> None:
        """
        When a weight changes, shares follow.
        """
        balancer = self.build()
        servers = fake_servers([4, 1, 1])
        balancer.update(servers)
        self.shares(balancer, 100)
        servers[0].weight, servers[2].weight = 1, 4
        balancer.update(servers)
        self.assert_shares(self.shares(balancer, 2400), servers)

    def test_updates_forget_nothing(self) -> None:
        """
        Servers that stay keep their shares though others come and go all the time.
        """
        balancer = self.build()
        *stay, passing = fake_servers([1, 1, 1, 1])
        shares: Counter[FakeServer] = Counter()
        for number in range(1200):
            balancer.update((*stay, passing) if number % 2 else tuple(stay))
            shares[self.exchange(balancer, number)] += 1
        del shares[passing]
        self.assert_shares(shares, stay)

    def test_picks_only_from_the_last_update(self) -> None:
        """
        A server that is gone gets nothing more, and one that has come gets its share.
        """
        balancer = self.build()
        servers = fake_servers([1] * 6)
        balancer.update(servers[:3])
        self.assert_shares(self.shares(balancer, 900), servers[:3])
        balancer.update(servers[2:])
        self.assert_shares(self.shares(balancer, 1600), servers[2:])

    def test_ends_after_its_server_has_gone(self) -> None:
        """
        An exchange may end when its server is no longer listed, and also when it is listed again.
        """
        balancer = self.build()
        servers = fake_servers([1, 1])
        balancer.update(servers)
        held = []
        for number in range(20):
            server = cast(FakeServer, balancer.pick(self.request(number)))
            server.in_flight += 1
            balancer.taken(server)
            held.append(server)
        balancer.update(())
        for server in held[:7]:
            server.in_flight -= 1
            balancer.released(server, 0.0, True)
        balancer.update(servers[:1])
        for server in held[7:14]:
            server.in_flight -= 1
            balancer.released(server, LATENCY_S, False)
        balancer.update(servers)
        for server in held[14:]:
            server.in_flight -= 1
            balancer.released(server, LATENCY_S, False)
        self.clock.advance(60)
        self.assert_shares(self.shares(balancer, 800, 100), servers)

    def test_picks_that_come_to_nothing(self) -> None:
        """
        An attempt whose connection fails is a pick that nothing follows; later picks are as before.
        """
        balancer = self.build()
        servers = fake_servers([1, 1, 1])
        balancer.update(servers)
        for number in range(100):
            self.assertIn(balancer.pick(self.request(number)), servers)
        for _ in range(10):  # strategies may take a moment to see that nothing has come of them
            self.clock.advance(1)
            self.shares(balancer, 3)
        self.assert_shares(self.shares(balancer, 1200), servers)

    def test_exchanges_of_others_are_no_obstacle(self) -> None:
        """
        Numbers of other workers change without a call, to anything.
        """
        balancer = self.build()
        servers = fake_servers([1, 2, 1])
        balancer.update(servers)
        chance = Random(5)
        for number in range(300):
            for server in servers:
                server.elsewhere = chance.randrange(1000)
            self.assertIn(self.exchange(balancer, number), servers)

    def test_chance_is_only_what_was_given(self) -> None:
        """
        The same requests, servers and seed give the same picks: tests and replays can rely on it.
        """
        servers = fake_servers([1, 2, 3])
        runs = []
        for _ in range(2):
            self.clock = Clock()
            balancer = self.build(seed=7)
            balancer.update(servers)
            runs.append([self.exchange(balancer, number) for number in range(60)])
        self.assertEqual(*runs)

    def test_all_agree(self) -> None:
        """
        If `stable`: another worker or replica, with another history, sends the same request to the same server.
        """
        if not self.stable:
            return
        here, there = fake_servers([1, 2, 1, 1]), fake_servers([1, 2, 1, 1])
        one, other = self.build(seed=1), self.build(seed=2)
        one.update(here)
        other.update(there[:1])
        self.shares(other, 10)
        other.update(there[2:])
        other.update(there)
        mine = [here.index(cast(Any, one.pick(self.request(number)))) for number in range(300)]
        theirs = [there.index(cast(Any, other.pick(self.request(number)))) for number in reversed(range(300))]
        self.assertEqual(mine, theirs[::-1])


def fake_routes() -> tuple[Route, ...]:
    """
    Routes of all forms, as orders meet them.
    """
    matches = (
        Match(),
        Match(paths=(PathPattern("prefix", b"/"),)),
        Match(paths=(PathPattern("prefix", b"/demo"), PathPattern("prefix", b"/demo/long"))),
        Match(paths=(PathPattern("exact", b"/demo"),)),
        Match(paths=(PathPattern("regex", b"^/v[0-9]+/"),)),
        Match(paths=(PathPattern("length", b"12"),)),
        Match(paths=(PathPattern("prefix", b"/.well-known/acme-challenge"),)),
        Match(hosts=(HostPattern("exact", b"acme.com"),)),
        Match(hosts=(HostPattern("suffix", b".acme.com", without_port=True),), paths=(PathPattern("prefix", b"/"),)),
        Match(headers=((b"x-tenant", b"a"),), user_agents=(b"curl",), local_port=8443),
        Match(conditions=(Condition("method", ("GET",)),), excluded=(PathPattern("prefix", b"/private"),)),
    )
    routes = []
    for number, match in enumerate(matches):
        for name in (f"service-{number}", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
            destination = Destination(number, 8080, match, name, f"{name}-be8080_{number}")
            service = Service(name, f"{number}-{name}", (destination,))
            routes.append(Route(service, destination))
    return tuple(routes)


class RouteOrderContract(_Case):
    """
    What the proxy expects of each route order.

    Attributes:
        factory: the order.
    """

    factory: IRouteOrderFactory

    def routes(self) -> Sequence[Route]:
        """
        What it is tried with; override it to add your own.
        """
        return fake_routes()

    def test_keeps_the_interfaces(self) -> None:
        """
        It is a plugin of dfproxy.
        """
        verifyObject(IPlugin, self.factory)
        verifyObject(IRouteOrderFactory, self.factory)
        self.assertRegex(self.factory.name, r"\A[A-Za-z0-9_-]+\Z")
        self.assertRegex(self.factory.description, r"\A[^\n]+\Z")

    def test_any_two_routes_compare(self) -> None:
        """
        Whatever is published, its routes have a place: keys are tuples, and each compares with each.
        """
        keys = [self.factory.key(route) for route in self.routes()]
        for one in keys:
            self.assertIsInstance(one, tuple)
            for other in keys:
                self.assertEqual(1, (one < other) + (one > other) + (one == other), f"{one} and {other}")

    def test_only_the_route_decides(self) -> None:
        """
        The same route has the same key at each compile and in each process, whatever came before it.
        """
        forwards = [self.factory.key(route) for route in self.routes()]
        backwards = [self.factory.key(route) for route in reversed(self.routes())]
        self.assertEqual(forwards, backwards[::-1])


class RouteConditionContract(_Case):
    """
    What the proxy expects of each route condition.

    Attributes:
        factory: the condition.
        values: values that it takes.
        accepted: requests for which it then holds.
        rejected: requests for which it does not.
        invalid: lists of values that it must refuse.
    """

    factory: IRouteConditionFactory
    values: tuple[str, ...]
    accepted: Sequence[IRequest] = ()
    rejected: Sequence[IRequest] = ()
    invalid: Sequence[tuple[str, ...]] = ()

    def holds(self, request: IRequest) -> bool:
        """
        What the compiled condition answers.
        """
        predicate = cast(Callable[[IRequest], bool], self.factory.compile(self.values))
        return predicate(request)

    def test_keeps_the_interfaces(self) -> None:
        """
        It is a plugin of dfproxy.
        """
        verifyObject(IPlugin, self.factory)
        verifyObject(IRouteConditionFactory, self.factory)
        self.assertRegex(self.factory.name, r"\A[A-Za-z0-9_-]+\Z")
        self.assertRegex(self.factory.description, r"\A[^\n]+\Z")

    def test_decides(self) -> None:
        """
        It holds for the requests that it should hold for, and for no other.
        """
        self.assertTrue(self.accepted and self.rejected, "name at least one accepted and one rejected request")
        for request in self.accepted:
            self.assertIs(self.holds(request), True, f"{request}")
        for request in self.rejected:
            self.assertIs(self.holds(request), False, f"{request}")

    def test_no_request_surprises_it(self) -> None:
        """
        Clients send anything: the answer is true or false, never an exception.
        """
        for request in (
            FakeRequest(target=b""),
            FakeRequest(b"OPTIONS", b"*"),
            FakeRequest(b"G\xc3\x89T", b"/\xff\xfe?\xff=%zz&&=", [(b"Host", b"\xff"), (b"Cookie", b"")]),
            FakeRequest(target=b"http://other.example/path?q", client_host="fe80::1%eth0"),
            FakeRequest(target=b"/" + b"a" * 8000, client_host="::ffff:192.0.2.1", local_port=65535),
            FakeRequest(client_host=""),
        ):
            self.assertIn(self.holds(request), (True, False))

    def test_values_are_refused_by_name(self) -> None:
        """
        Whatever an operator writes as values, it works or is refused as `InvalidRoute`.
        """
        for values in self.invalid:
            self.assertRaises(InvalidRoute, self.factory.compile, values)
        for values in ((), ("",), (" ",), ("\N{SNOWMAN}",), ("*", "("), ("-1",)):
            try:
                predicate = self.factory.compile(values)
            except InvalidRoute as error:
                self.assertNotEqual(str(error), "", "a refusal says why")
            else:
                self.assertTrue(callable(predicate))
