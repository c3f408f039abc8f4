"""
Streams of one data plane: pools, groups, and the tables that doors look into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from dfproxy.control.apply import LocalDataPlane
from dfproxy.control.strategies import Strategies
from dfproxy.control.streams import split
from dfproxy.errors import Refused
from dfproxy.model.match import Match
from dfproxy.model.resilience import Resilience
from dfproxy.model.service import Balance, Destination, Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change, Membership, Revision, ServerAddress
from dfproxy.model.stream import Stream
from dfproxy.observe.cells import Cells
from dfproxy.routing.table import Current
from dfproxy.testing import FakeRequest
from dfproxy.upstream.live import LiveBackend
from tests.unit.frontend.streaming import StreamCase
from tests.unit.routing.test_streams import exact, service

REQUEST: Any = FakeRequest()


class StreamsTests(StreamCase):
    """
    `Streams` within a data plane.
    """

    def setUp(self) -> None:
        super().setUp()
        self.plane = self.made()
        self.number = 0

    def made(self, cells: Cells | None = None) -> LocalDataPlane:
        strategies = Strategies.load(())
        return LocalDataPlane(Settings(), self.traffic, self.site, Current(), strategies, Random(0), cells)

    def apply(self, *services: Service, members: Sequence[Membership] = (), **about: Any) -> None:
        self.number += 1
        change = Change(Revision(self.number, f"{self.number:032x}"), services, memberships=tuple(members), **about)
        self.successResultOf(self.plane.prepare(change))
        self.successResultOf(self.plane.commit(change.revision))

    def members(self, name: str, *hosts: str, index: int = 1, cell: int = 0) -> Membership:
        self.number += 1
        return Membership(name, index, self.number, tuple(ServerAddress(host, 80, cell=cell) for host in hosts))

    def target(self, port: int, name: bytes = b"") -> LiveBackend | None:
        table = self.plane.streams.doors.tables.get(port)
        if table is None:
            return None
        found: Any = table.named(name) or table.default
        return found

    def picked(self, backend: LiveBackend | None, times: int) -> list[str]:
        assert backend is not None
        return [server.host for _ in range(times) if (server := backend.pick(REQUEST)) is not None]

    def test_split(self) -> None:
        """
        What of a service takes requests, and what takes connections.
        """
        plain = Destination(0, 80, Match(), "s", "be")
        stream = service("s", Stream(1)).destinations[0]
        self.assertEqual(split(Service("s", "s", (plain, stream))), ((plain,), (stream,)))
        self.assertEqual(split(Service("s", "s", (plain,))), ((plain,), ()))

    def test_by_port(self) -> None:
        """
        A stream is found by port and name, and is no route of HTTP.
        """
        self.apply(service("a", Stream(1, exact("a.test")), Stream(2)), service("b", Stream(1)))
        found = [self.target(1, b"a.test"), self.target(1), self.target(2), self.target(3)]
        self.assertEqual([each and each.destination.backend_name for each in found], ["a-be1", "b-be1", "a-be2", None])
        self.assertEqual(list(self.plane.routes()[0]), [])
        self.assertIsNone(self.plane._current.table.lookup(REQUEST))

    def test_mixed(self) -> None:
        """
        A service may have both; its requests go on as ever.
        """
        plain = Destination(0, 80, Match(), "s", "s-http")
        stream = service("s", Stream(1)).destinations[0]
        self.apply(Service("s", "s", (plain, stream), is_default=True))
        found: Any = self.plane._current.table.lookup(REQUEST)
        self.assertEqual(found.destination.backend_name, "s-http")
        self.assertEqual(getattr(self.target(1), "destination", None), stream)

    def test_unchanged(self) -> None:
        """
        Changes of other services leave the tables as they are; the same backend goes on when its definition changes.
        """
        self.apply(service("a", Stream(1)), members=[self.members("a", "192.0.2.1")])
        tables, backend = self.plane.streams.doors.tables, self.target(1)
        self.apply(Service("p", "p", (Destination(0, 80, Match(), "p", "p"),)))
        self.assertIs(self.plane.streams.doors.tables, tables)
        self.apply(service("a", Stream(1, keep_alive=True)))
        self.assertIs(self.target(1), backend)
        self.apply(removed=("a",))
        self.assertIsNone(self.target(1))

    def test_ports_told(self) -> None:
        """
        Whoever shares ports is told when other ports have streams, not each time.
        """
        told: list[frozenset[int]] = []
        self.plane.streams.on_ports = told.append
        self.apply(service("a", Stream(1)))
        self.apply(service("b", Stream(1)))
        self.apply(service("b", Stream(2)))
        self.apply(removed=("a", "b"))
        self.assertEqual(told, [frozenset({1}), frozenset({1, 2}), frozenset()])

    def test_group(self) -> None:
        """
        Members of a group are one pool that follows each member's servers, and each of them as it comes and goes.
        """
        group = Stream(1, group="g", balance=Balance("first"))
        self.apply(service("a", group), service("b", Stream(9, group="g")), members=[self.members("a", "192.0.2.2")])
        pool = self.target(1)
        self.assertEqual((self.picked(pool, 2), self.target(9)), (["192.0.2.2"] * 2, None))
        self.plane.members(self.members("b", "192.0.2.1", "192.0.2.2"))
        assert pool is not None
        self.assertEqual([server.host for server in pool.servers], ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(self.picked(pool, 2), ["192.0.2.1"] * 2)
        self.apply(service("c", group), members=[self.members("c", "192.0.2.3")])
        self.assertIs(self.target(1), pool)
        self.assertEqual(len(pool.servers), 3)
        self.apply(removed=("b",))
        self.assertEqual([server.host for server in pool.servers], ["192.0.2.2", "192.0.2.3"])
        self.apply(removed=("a", "c"))
        self.assertEqual((pool.servers, self.target(1)), ((), None))

    def test_group_strategy(self) -> None:
        """
        A group has the strategy that its first member names, also another one later; an unknown one is refused.
        """
        servers = [self.members("a", "192.0.2.1", "192.0.2.2")]
        self.apply(service("a", Stream(1, group="g")), members=servers)
        pool = self.target(1)
        self.assertEqual(sorted(self.picked(pool, 2)), ["192.0.2.1", "192.0.2.2"])
        self.apply(service("a", Stream(1, group="g", balance=Balance("first"))))
        self.assertEqual(self.picked(pool, 3), ["192.0.2.1"] * 3)
        wrong = Change(Revision(99, "9" * 32), (service("z", Stream(1, group="h", balance=Balance("unknown"))),))
        self.failureResultOf(self.plane.prepare(wrong), Refused)
        self.assertEqual(self.picked(pool, 1), ["192.0.2.1"])

    def test_group_places(self) -> None:
        """
        A group has the places that its first member asks for, also when that asks for others.
        """
        for most in (2, 3, 0):
            made = service("a", Stream(1, group="g"))
            limited = replace(made.destinations[0], resilience=Resilience(max_connections=most))
            self.apply(replace(made, destinations=(limited,)), members=[self.members("a", "192.0.2.1")])
            pool = self.target(1)
            assert pool is not None
            self.assertEqual(0 if pool.places is None else pool.places.each, most)

    def test_group_counted(self) -> None:
        """
        What goes through a group is counted at the member whose server it is, and its names are asked when one fails.
        """
        group = Stream(1, group="g")
        self.apply(
            service("a", group),
            service("b", group),
            members=[self.members("a", "192.0.2.1"), self.members("b", "192.0.2.2")],
        )
        pool = self.target(1)
        assert pool is not None
        asked: list[tuple[str, int]] = []
        self.plane.ask_names = lambda name, index: asked.append((name, index))
        for server in pool.servers:
            server.bytes_in += 10 if server.host == "192.0.2.1" else 7
            self.traffic.touch(server)
        place = 9  # bytes_in, see `FIELDS`
        counted = {(t.kind, t.service): t.values[place] for t in self.plane.totals()}
        self.assertEqual([counted["server", "a"], counted["server", "b"], counted["backend", "b"]], [10, 7, 7])
        self.plane.counters()
        self.assertEqual(self.plane.busy, {("a", 1), ("b", 1)})
        pool.connect_failed(pool.servers[0])
        self.assertEqual(asked, [("a", 1), ("b", 1)])

    def test_ejected(self) -> None:
        """
        An ejected server is tried by a bare connection, which ends at once when it is had.
        """
        listening = self.listening()
        port = listening.getsockname()[1]
        address = ServerAddress("127.0.0.1", port)
        self.apply(service("a", Stream(1)), members=[Membership("a", 1, 1, (address, ServerAddress("192.0.2.1", 80)))])
        pool = self.target(1)
        assert pool is not None
        server = pool.servers[0]
        while not server.record.ejected:
            pool.connect_failed(server)
        self.assertNotIn(server, pool.usable)
        self.reactor.advance(server.record.pause_s)
        self.reactor.until(lambda: server in pool.usable)
        self.assertEqual(self.received(self.accepted(listening), 1), b"")

    def test_quarantined(self) -> None:
        """
        At the start one whose strategy is missing costs only itself.
        """
        bad = Service("bad", "bad", service("bad", Stream(2)).destinations, Balance("unknown"))
        self.apply(service("a", Stream(1)), bad, whole=True)
        self.assertEqual(list(self.plane.quarantined), ["bad"])
        self.assertEqual((self.target(1) is not None, self.target(2)), (True, None))
