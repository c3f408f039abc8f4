"""
The data plane of one process: changes are prepared beside what runs, and what they do not concern is not touched.

Longer than most, but one thing: everything that may be asked of a data plane.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.control.apply import FRONTEND_CELL, LocalDataPlane
from dfproxy.control.draining import TELL_S
from dfproxy.control.strategies import Strategies
from dfproxy.errors import Refused
from dfproxy.interfaces import IDataPlane
from dfproxy.model.match import Condition, Match, PathPattern
from dfproxy.model.resilience import Resilience
from dfproxy.model.service import Balance, Destination, ServerTls, Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change, Membership, Revision, ServerAddress
from dfproxy.observe.cells import CELL_BYTES, CellDirectory, Cells
from dfproxy.observe.metrics import FIELDS
from dfproxy.routing.table import Current
from dfproxy.testing import FakeRequest
from dfproxy.upstream.live import LiveBackend, LiveServer
from tests.dialogue import FORWARDED, HOSTS, Dialogue, Party, Step, client, connections, server, waits
from tests.folders import PluginFolders

A, B, C = HOSTS
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")


def service(name: str, path: str = "", count: int = 1, balance: str = "roundrobin", **about: Any) -> Service:
    """
    A service whose destinations, from index 1, take paths below `/<name>`.
    """
    pattern = PathPattern("prefix", (path or f"/{name}").encode())
    return Service(
        name,
        name,
        tuple(
            Destination(index, 8080 + index, Match((pattern,), **about), name, f"{name}-be{index}")
            for index in range(1, count + 1)
        ),
        Balance(balance),
    )


def members(name: str, *hosts: str, index: int = 1, epoch: int = 1, cells: Sequence[int] = ()) -> Membership:
    numbers = [*cells, *[0] * len(hosts)]
    return Membership(
        name, index, epoch, tuple(ServerAddress(host, 8080, 1, cell) for host, cell in zip(hosts, numbers))
    )


class Plane(Dialogue):
    """
    A dialogue whose routes come from a data plane.
    """

    def __init__(self, strategies: Strategies, cells: Cells | None = None) -> None:
        super().__init__(servers=0)
        self.current = Current()
        self.plane = LocalDataPlane(Settings(), self.traffic, self.site, self.current, strategies, Random(0), cells)
        self.resource.lookup = lambda request: self.current.table.lookup(request)
        self.number = 0

    def servers(self) -> Sequence[LiveServer]:
        return [each for backend in self.plane._backends.values() for each in backend.servers]

    def change(self, *services: Service, memberships: Sequence[Membership] = (), **about: Any) -> Change:
        self.number += 1
        return Change(Revision(self.number, f"{self.number:032x}"), services, memberships=tuple(memberships), **about)

    def apply(self, *services: Service, **about: Any) -> None:
        change = self.change(*services, **about)
        done(self.plane.prepare(change))
        done(self.plane.commit(change.revision))

    def target(self, path: str) -> LiveBackend | None:
        found: Any = self.current.table.lookup(FakeRequest(target=path.encode()))
        return found


def done(deferred: Deferred[Any]) -> Any:
    """
    What a Deferred has by now.
    """
    got: list[Any] = []
    deferred.addBoth(got.append)
    assert got, "not done yet"
    if hasattr(got[0], "raiseException"):
        got[0].raiseException()
    return got[0]


BREAKING = """
    from dfproxy.balancing.base import Balancer, Strategy

    class Breaking(Balancer):
        def update(self, servers):
            if servers:
                1 / 0

        def pick(self, request):
            return self.servers[0]

    breaking = Strategy("breaking", "Breaks.", Breaking)
"""


class PlaneCase(PluginFolders, SynchronousTestCase):
    """
    One data plane, with the strategies that there are.
    """

    def setUp(self) -> None:
        super().setUp()
        self.strategies = Strategies.load()
        self.made = Plane(self.strategies)
        self.plane = self.made.plane
        self.addCleanup(self.made.traffic.deadlines.stop)

    def asks(self, path: str, who: Party = server) -> tuple[Step, ...]:
        line = (f"GET {path} HTTP/1.1", "Host: a.test")
        return (
            client.sends(*line),
            who.gets(*line, FORWARDED),
            who.sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
        )


class ChangeTests(PlaneCase):
    """
    Prepare, commit and abort.
    """

    def test_interface(self) -> None:
        """
        It is a data plane.
        """
        self.assertTrue(verifyObject(IDataPlane, self.plane))

    def test_commit(self) -> None:
        """
        A change has no effect until it is committed, and then at once, with its servers.
        """
        change = self.made.change(service("a"), memberships=[members("a", A)])
        done(self.plane.prepare(change))
        self.assertIsNone(self.made.target("/a"))
        self.made.run(client.sends("GET /a HTTP/1.1", "Host: a.test"), client.gets_answer(503))
        done(self.plane.commit(change.revision))
        self.made.dial()
        self.made.run(*self.asks("/a/x"))
        self.assertEqual(done(self.plane.query("revision", None)), [[1, f"{1:032x}"]])
        self.made.finish()

    def test_abort(self) -> None:
        """
        An aborted change leaves everything as it was, and another can be prepared.
        """
        self.made.apply(service("a"), memberships=[members("a", A)])
        before = self.state()
        change = self.made.change(service("a", "/other"), service("b"), removed=())
        done(self.plane.prepare(change))
        self.plane.abort(change.revision)
        self.assertEqual(self.state(), before)
        self.assertRaises(AssertionError, self.plane.commit, change.revision)
        self.made.apply(service("b"))
        self.assertIsNotNone(self.made.target("/b"))

    def state(self) -> tuple[object, ...]:
        """
        Everything that a change may alter.
        """
        return (
            self.made.current.table,
            dict(self.plane._backends),
            dict(self.plane._services),
            [(backend.service, backend.balancer, backend.servers) for backend in self.plane._backends.values()],
            done(self.plane.query("revision", None)),
        )

    def test_refused(self) -> None:
        """
        A change of which one service cannot be loaded is refused whole, and says which service and why.
        """
        self.made.apply(service("a"), memberships=[members("a", A)])
        before = self.state()
        bad = (
            (service("b", balance="none-such"), "b: there is no strategy 'none-such'"),
            (service("a", balance="none-such"), "a: there is no strategy 'none-such'"),
            (service("b", conditions=(Condition("none-such"),)), "b: "),
        )
        for one, reason in bad:
            with self.assertRaises(Refused) as caught:
                done(self.plane.prepare(self.made.change(service("c"), one)))
            self.assertIn(reason, str(caught.exception))
            self.assertEqual(self.state(), before)
        self.made.run(*self.asks("/a"))
        self.made.finish()

    def test_nothing_else_is_touched(self) -> None:
        """
        Servers, health, kept connections, balancer and counters of what a change does not name stay the same objects.
        """
        made = self.made
        made.apply(service("a"), service("b"), memberships=[members("a", A), members("b", B)])
        made.run(*self.asks("/a"))
        one = made.target("/a")
        assert one is not None
        before = (one, one.balancer, one.servers, list(one.servers[0].idle), one.servers[0].requests)
        made.apply(service("c"), service("b", "/bee"), memberships=[members("c", C)])
        made.apply(removed=("b",))
        again = made.target("/a")
        assert again is not None
        self.assertEqual(
            (again, again.balancer, again.servers, list(again.servers[0].idle), again.servers[0].requests), before
        )
        made.run(*self.asks("/a", Party("server", 0)))
        made.finish()

    def test_tls_with_servers(self) -> None:
        """
        TLS with servers is made with the change: refused where it cannot be had, and where a file cannot be read.
        """
        plain = service("s", "/s")
        secure = replace(plain, destinations=(replace(plain.destinations[0], tls=ServerTls(False)),))
        missing = replace(plain, destinations=(replace(plain.destinations[0], tls=ServerTls(ca="/missing.pem")),))
        self.assertIn("uv reactor", str(self.failureResultOf(self.plane.prepare(self.made.change(secure)), Refused)))
        reactor: Any = self.made.reactor
        reactor.connectTLS = None
        refused = self.failureResultOf(self.plane.prepare(self.made.change(missing)), Refused)
        self.assertIn("backendCa: /missing.pem cannot be read", str(refused))
        self.made.apply(secure)
        backend = self.made.target("/s")
        assert backend is not None and backend.tls is not None
        former = backend.tls
        self.made.apply(secure)
        self.assertIs(backend.tls, former)
        self.made.apply(plain)
        self.assertIsNone(backend.tls)

    def test_redefined(self) -> None:
        """
        A service that is published again keeps its servers, connections and, if the strategy is the same, its balancer.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A)])
        made.run(*self.asks("/a"))
        one = made.target("/a")
        assert one is not None
        balancer = one.balancer
        made.apply(service("a", "/new"))
        self.assertIsNone(made.target("/a"))
        self.assertIs(made.target("/new"), one)
        self.assertEqual((one.balancer, one.service), (balancer, service("a", "/new")))
        made.run(*self.asks("/new", Party("server", 0)))
        made.apply(service("a", "/new", balance="leastconn"))
        self.assertIsNot(one.balancer, balancer)
        made.run(*self.asks("/new", Party("server", 0)))
        self.assertEqual(len(made.reactor.attempts), 1)
        made.finish()

    def test_under_way(self) -> None:
        """
        A request under way ends where it began, whatever is published or removed meanwhile.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A)])
        made.run(client.sends("GET /a HTTP/1.1", "Host: a.test"))
        made.apply(removed=("a",))
        made.run(
            server.gets("GET /a HTTP/1.1", "Host: a.test", FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
            server.is_closed(),
            client.sends("GET /a HTTP/1.1", "Host: a.test"),
            client.gets_answer(503),
        )
        made.finish()

    def test_removed(self) -> None:
        """
        A service that is removed lets go of its servers and their connections, a destination likewise.
        """
        made = self.made
        made.apply(service("a"), service("b", count=2), memberships=[members("a", A), members("b", B, index=2)])
        made.run(*self.asks("/a"))
        backends = dict(self.plane._backends)
        made.apply(service("b", count=1), removed=("a", "none-such"))
        made.run(server.is_closed())
        self.assertEqual(list(self.plane._backends), [("b", 1)])
        self.assertEqual((backends["a", 1].servers, backends["b", 2].servers), ((), ()))
        made.apply(service("a"), memberships=[members("a", A, epoch=1)])
        made.run(*self.asks("/a"))
        made.finish()

    def test_whole(self) -> None:
        """
        A whole change is everything there is: what it does not name goes.
        """
        made = self.made
        made.apply(service("a"), service("b"), memberships=[members("a", A), members("b", B)])
        kept = made.target("/b")
        made.apply(service("b"), service("c"), whole=True)
        self.assertEqual([made.target(path) is None for path in ("/a", "/b", "/c")], [True, False, False])
        self.assertIs(made.target("/b"), kept)
        assert kept is not None
        self.assertEqual([each.host for each in kept.servers], [B])
        self.assertEqual(sorted(self.plane._backends), [("b", 1), ("c", 1)])

    def test_quarantine(self) -> None:
        """
        In a whole change a service that cannot be loaded is left out and named; the others are served, and it comes
        back when it is published well.
        """
        made = self.made
        made.apply(
            service("a"),
            service("b", balance="none-such"),
            service("c", conditions=(Condition("none-such"),)),
            memberships=[members("a", A), members("b", B), members("c", C)],
            whole=True,
        )
        (reasons,) = done(self.plane.query("quarantine", None))
        self.assertEqual(sorted(reasons), ["b", "c"])
        self.assertIn("none-such", reasons["b"])
        made.run(*self.asks("/a"), client.sends("GET /b HTTP/1.1", "Host: a.test"), client.finds_nobody())
        made.apply(service("b"), memberships=[members("b", B, epoch=2)])
        made.apply(service("c"), memberships=[members("c", C, epoch=2)])
        self.assertEqual(done(self.plane.query("quarantine", None)), [{}])
        for path in ("/b", "/c"):
            made.dial()
            made.run(*self.asks(path))
        made.finish()

    def test_broken_strategy(self) -> None:
        """
        A strategy that raises when it is told of servers keeps no other service of the same change from being served.
        """
        made = Plane(self.load(self.folder(breaking=BREAKING)))
        self.addCleanup(made.traffic.deadlines.stop)
        made.apply(service("a", balance="breaking"), service("b"), memberships=[members("a", A), members("b", B)])
        made.run(*self.asks("/b"))
        made.plane.members(members("a", A, C, epoch=2))
        made.run(client.sends("GET /a HTTP/1.1", "Host: a.test"), client.finds_nobody())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        made.finish()


class MembersTests(PlaneCase):
    """
    Servers come and go.
    """

    def test_members(self) -> None:
        """
        A membership takes effect at once; one of an unknown destination or an older epoch is ignored.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A, epoch=3)])
        for ignored in (members("a", B, epoch=2), members("a", B, index=7, epoch=9), members("z", B, epoch=9)):
            self.plane.members(ignored)
        made.run(*self.asks("/a"))
        self.plane.members(members("a", C, epoch=4))
        made.run(*self.asks("/a"))
        self.assertEqual(made.reactor.attempts, [A, C])
        made.finish()

    def test_asks_names(self) -> None:
        """
        When a connection fails somebody is asked who the servers are.
        """
        asked: list[tuple[str, int]] = []
        made = self.made
        made.apply(service("a"), memberships=[members("a", A)])
        made.reactor.manners[A] = "refuse"
        made.run(client.sends("GET /a HTTP/1.1", "Host: a.test"))
        self.plane.ask_names = lambda *which: asked.append(which)
        made.reactor.wait(1.2)
        self.assertEqual(asked, [("a", 1)])
        self.plane.members(members("a", epoch=2))
        made.run(client.finds_nobody())
        made.finish()

    def test_no_garbage(self) -> None:
        """
        Changes, and services that go, leave nothing for the collector: in a worker it comes by too rarely.
        """
        made = self.made
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for turn in range(20):
            for name in ("a", "b"):
                made.apply(service(name, f"/{name}/{turn}"), memberships=[members(name, A, B, epoch=turn)])
            made.apply(removed=("b",))
        made.traffic.dirty.clear()
        self.assertEqual(gc.collect(), 0)
        made.finish()

    def test_ejected(self) -> None:
        """
        A server whose answers are bad is told to whoever wants to know, and one that others leave out is left out.
        """
        told: list[tuple[object, ...]] = []
        made = self.made
        made.apply(service("a"), memberships=[members("a", A, B)])
        self.plane.ejected("a", 1, A, 8080, 1.0)
        self.plane.ejected("nobody", 1, A, 8080, 1.0)
        made.run(*self.asks("/a"), connections(B))
        made.reactor.wait(1.1)
        self.plane.tell_ejected = lambda *which: told.append(which)
        self.plane.ejected("a", 1, B, 8080, 1.0)
        self.assertEqual(told, [])
        made.reactor.wait(1.1)
        backend = self.plane._backends["a", 1]
        for _ in range(3):
            backend.outliers.misbehaved(backend.servers[0], True)
        self.assertEqual(told, [("a", 1, A, 8080, 10.0)])
        made.reactor.wait(10.1)
        made.finish()

    def test_places(self) -> None:
        """
        A definition that limits its servers has places, counted in the shared cells; one that does not has none.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A)])
        backend = self.plane._backends["a", 1]
        self.assertIsNone(backend.places)
        limited = service("a")
        (destination,) = limited.destinations
        limited = replace(limited, destinations=(replace(destination, resilience=Resilience(max_connections=2)),))
        made.apply(limited)
        self.assertEqual(getattr(backend.places, "each", None), 2)
        made.apply(service("a"))
        self.assertIsNone(backend.places)
        made.finish()


class CounterTests(PlaneCase):
    """
    What is counted, and where it is shown.
    """

    def setUp(self) -> None:
        super().setUp()
        self.memory = memoryview(bytearray(3 * 64 * CELL_BYTES))
        directory = CellDirectory(self.memory, lambda: 0.0, 64)
        self.cells = Cells(self.memory, directory.join(), 64)
        self.other = Cells(self.memory, directory.join(), 64)
        self.made = Plane(self.strategies, self.cells)
        self.plane = self.made.plane
        self.addCleanup(self.made.traffic.deadlines.stop)

    def cell(self, number: int) -> dict[str, int]:
        words = self.memory.cast("q")
        start = (64 + number) * len(FIELDS)
        return dict(zip(FIELDS, words[start : start + len(FIELDS)].tolist()))

    def test_cells(self) -> None:
        """
        What changed is written to the cells of the frontend, the backend and the server; the rest is not.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A, cells=[12])], cells=(("a", 1, 11),))
        made.run(*self.asks("/a"))
        self.plane.counters()
        self.assertEqual((self.cell(FRONTEND_CELL)["connections"], self.cell(12)["requests"]), (1, 1))
        self.assertEqual(self.cell(12)["responses_2xx"], 1)
        self.plane.members(members("a", epoch=2))
        made.run(client.sends("GET /a HTTP/1.1", "Host: a.test"), client.finds_nobody())
        self.plane.counters()
        self.assertEqual((self.cell(11)["requests"], self.cell(11)["responses_5xx"]), (2, 1))
        self.assertEqual(made.traffic.dirty, [])
        made.finish()

    def test_returning_server(self) -> None:
        """
        A server that comes back is counted on from what its backend took over: no sum ever counts it twice.
        """
        made = self.made
        both = [members("a", A, cells=[12], epoch=epoch) for epoch in (1, 3)]
        made.apply(service("a"), memberships=[both[0]], cells=(("a", 1, 11),))
        made.run(*self.asks("/a"))
        self.plane.counters()
        self.plane.members(members("a", epoch=2))
        self.plane.counters()
        self.plane.members(both[1])
        self.plane.counters()
        self.assertEqual(self.cell(11)["requests"] + self.cell(12)["requests"], 1)
        made.finish()

    def test_elsewhere(self) -> None:
        """
        A busy server knows what the other workers have in flight at it.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A, cells=[12])], cells=(("a", 1, 11),))
        self.other.write(12, tuple(5 if name == "in_flight" else 0 for name in FIELDS))
        made.run(*self.asks("/a"))
        self.plane.counters()
        one = made.target("/a")
        assert one is not None
        self.assertEqual(one.servers[0].elsewhere, 5)
        self.other.write(12, (0,) * len(FIELDS))
        self.plane.counters()
        self.assertEqual(one.servers[0].elsewhere, 0)
        made.finish()

    def test_totals(self) -> None:
        """
        Totals name the frontend, each backend with the sum of its servers, and each server.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A, B)])
        made.run(*self.asks("/a"), *self.asks("/a"))
        rows = {(row.kind, row.server): row for row in self.plane.totals()}
        self.assertEqual(sorted(rows), [("backend", ""), ("frontend", ""), ("server", "a_0"), ("server", "a_1")])
        at = FIELDS.index("requests")
        self.assertEqual([row.values[at] for _, row in sorted(rows.items())], [2, 0, 1, 1])
        self.assertEqual(rows["backend", ""].up, True)
        made.finish()

    def test_without_cells(self) -> None:
        """
        Without workers it is noted which destinations were busy.
        """
        made = Plane(self.strategies)
        self.addCleanup(made.traffic.deadlines.stop)
        made.apply(service("a"), service("b"), memberships=[members("a", A), members("b", B)])
        made.run(*self.asks("/a"))
        made.plane.counters()
        self.assertEqual(made.plane.busy, {("a", 1)})
        made.finish()


class QueryTests(PlaneCase):
    """
    Questions.
    """

    def test_stats(self) -> None:
        """
        `stats` counts what there is, `transports` names what carries it, `ping` is answered.
        """
        made = self.made
        made.apply(service("a"), service("b"), memberships=[members("a", A, B)])
        made.run(*self.asks("/a"))
        (stats,) = done(self.plane.query("stats", None))
        self.assertEqual(
            stats,
            {
                "client_connections": 1,
                "accepted": 1,
                "backends": 2,
                "servers": 2,
                "in_flight": 0,
                "idle_upstreams": 1,
                "ejected": 0,
            },
        )
        wire = "tests.dialogue.UvWire"
        self.assertEqual(done(self.plane.query("transports", None)), [{"client": [wire], "server": [wire]}])
        self.assertEqual(done(self.plane.query("ping", None)), [True])
        made.finish()

    def test_routes(self) -> None:
        """
        The effective routes are told in their order, each with its backend, and the default.
        """
        made = self.made
        last = Service("z", "z", service("z").destinations, is_default=True)
        made.apply(service("b"), service("a"), last)
        routes, default = self.plane.routes()
        self.assertEqual(
            [(route.service.name, backend) for route, backend in routes],
            [(name, made.target(f"/{name}")) for name in ("a", "b", "z")],
        )
        assert default is not None
        self.assertEqual(default.service.name, "z")


class DrainTests(PlaneCase):
    """
    The end of a process.
    """

    def test_drain(self) -> None:
        """
        Connections that have been idle for a second are closed, a request under way is answered, and then it is over.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A)])
        made.run(*self.asks("/a"))
        made.dial()
        made.run(client.sends("GET /a HTTP/1.1", "Host: a.test"))
        over = self.plane.drain(30.0)
        made.run(Party("client", 0).is_open(), waits(1.2))
        made.run(Party("client", 0).is_closed(), server.gets("GET /a HTTP/1.1", "Host: a.test", FORWARDED))
        made.reactor.wait(5)
        self.assertFalse(over.called)
        made.run(server.sends(*OK, body="hi"), client.gets(*OK, "Connection: close", body="hi"))
        made.reactor.wait(0.3)
        self.assertTrue(over.called)
        made.finish()

    def test_deadline(self) -> None:
        """
        What is not done by then is cut.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A)])
        made.run(
            client.sends("GET /a HTTP/1.1", "Host: a.test"), server.gets("GET /a HTTP/1.1", "Host: a.test", FORWARDED)
        )
        over = self.plane.drain(3.0)
        made.reactor.wait(2.5)
        self.assertFalse(over.called)
        made.reactor.wait(1.0)
        self.assertTrue(over.called)
        made.run(client.is_reset(), server.is_reset())
        made.finish()

    UPGRADE = ("Connection: Upgrade", "Upgrade: x")
    SWITCH = ("HTTP/1.1 101 Switching Protocols", "Upgrade: x", "Connection: Upgrade")

    def upgraded(self) -> None:
        """
        A tunnel, of the first client.
        """
        made = self.made
        made.apply(service("a"), memberships=[members("a", A)])
        made.run(
            client.sends("GET /a HTTP/1.1", "Host: a.test", *self.UPGRADE),
            server.gets("GET /a HTTP/1.1", "Host: a.test", *self.UPGRADE, FORWARDED),
            server.sends(*self.SWITCH),
            client.gets(*self.SWITCH),
        )

    def asked(self) -> None:
        """
        A request under way, of another client.
        """
        made = self.made
        made.dial()
        made.run(
            client.sends("GET /a HTTP/1.1", "Host: a.test"), server.gets("GET /a HTTP/1.1", "Host: a.test", FORWARDED)
        )

    def test_tunnel(self) -> None:
        """
        When the time of requests is over a tunnel goes on, both ways, until its own is.
        """
        made, tunnel = self.made, Party("client", 0)
        self.upgraded()
        self.asked()
        over = self.plane.drain(3.0)
        made.reactor.wait(2.5)
        made.run(client.gets_nothing())
        made.reactor.wait(1.0)
        made.run(client.is_reset(), tunnel.sends(b"up"), Party("server", 0).gets(b"up"))
        made.run(Party("server", 0).sends(b"down"), tunnel.gets(b"down"))
        self.assertEqual(self.plane.tunnels(), 1)
        made.reactor.wait(296.0)
        self.assertFalse(over.called)
        made.reactor.wait(1.0)
        self.assertTrue(over.called)
        made.run(tunnel.is_reset(), Party("server", 0).is_reset())
        made.finish()

    def test_last_tunnel_ends(self) -> None:
        """
        It is over soon after the last tunnel has ended, and while it waits for tunnels it says so now and then.
        """
        said: list[str] = []

        def note(event: LogEvent) -> None:
            if event["log_namespace"] == "dfproxy.control.draining":
                said.append(formatEvent(event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        made = self.made
        self.upgraded()
        self.asked()
        over = self.plane.drain(3.0)
        made.reactor.wait(2.0 * TELL_S)
        self.assertFalse(over.called)
        both = "waiting for 1 connections with requests, at most 3 s more and for 1 tunnels, at most 300 s more"
        self.assertEqual(said[:2], [both, "waiting for 1 tunnels, at most 297 s more"])
        self.assertEqual(len(said), 3)
        made.run(Party("client", 0).resets())
        made.reactor.wait(0.3)
        self.assertTrue(over.called)
        made.finish()

    def test_long_drain(self) -> None:
        """
        A tunnel has never less time than a request.
        """
        made = self.made
        self.upgraded()
        over = self.plane.drain(400.0)
        made.reactor.wait(399.0)
        self.assertFalse(over.called)
        made.reactor.wait(1.5)
        self.assertTrue(over.called)
        made.run(client.is_reset(), server.is_reset())
        made.finish()
