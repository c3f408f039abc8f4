"""
The statistics on the ports of the data plane: who sees them, in which form, and that nobody waits for them.
"""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.control.apply import LocalDataPlane
from dfproxy.exchange.statistics import PAGES, SLICE_S, Showing, StatisticsPage
from dfproxy.interfaces import ILookup
from dfproxy.model.listener import Listener
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.settings import Settings, Statistics
from dfproxy.model.snapshot import Change, Membership, Revision, ServerAddress
from dfproxy.model.steps import Redirect, Steps
from dfproxy.routing.table import EMPTY
from dfproxy.service import make_data_plane
from tests.dialogue import CLIENT_HOST, UvWire

OPEN = Statistics(is_open=True)
CLOSED = Statistics(user="me", password="pass:word")
MANY = 3000


class PageCase(SynchronousTestCase):
    """
    A data plane with statistics, and clients of it.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def make(self, statistics: Statistics = OPEN, services: int = 0, **options: Any) -> LocalDataPlane:
        plane = make_data_plane(Settings(statistics=statistics, **options), self.reactor, None)
        self.addCleanup(plane.site.traffic.deadlines.stop)
        made, members = [], []
        for number in range(services):
            name = f"s{number}"
            made.append(Service(name, name, (Destination(0, 80, Match(), name, f"{name}-be80_0"),)))
            members.append(Membership(name, 0, 1, (ServerAddress(f"192.0.2.{number % 200}", 80),)))
        if made:
            self.publish(plane, *made, memberships=tuple(members))
        return plane

    def publish(self, plane: LocalDataPlane, *services: Service, memberships: tuple[Membership, ...] = ()) -> None:
        change = Change(Revision(1, "1" * 32), services, memberships=memberships)
        self.successResultOf(plane.prepare(change))
        self.successResultOf(plane.commit(change.revision))

    def connect(self, factory: Any) -> UvWire:
        wire = UvWire(self.reactor, IPv4Address("TCP", "192.0.2.2", 80), IPv4Address("TCP", CLIENT_HOST, 5))
        wire.protocol = factory.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        return wire

    def turn(self) -> bool:
        """
        One call that is due, as one turn of a reactor; a test clock would also make those that it makes due.
        """
        calls = self.reactor.getDelayedCalls()
        due = [call for call in calls if call.getTime() <= self.reactor.seconds()]
        if due:
            self.reactor.calls.remove(due[0])
            due[0].called = 1
            due[0].func(*due[0].args, **due[0].kw)
        return bool(due)

    def go_on(self) -> int:
        """
        As many turns as there are; how many.
        """
        turns = 0
        while self.turn():
            turns += 1
            self.assertLess(turns, 100_000)
        return turns

    def ask(self, factory: Any, target: str = "/admin?stats", method: str = "GET", **fields: str) -> tuple[str, str]:
        """
        Head and body of the answer.
        """
        wire = self.connect(factory)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        wire.send(f"{method} {target} HTTP/1.1\r\nHost: any.test\r\n{lines}\r\n".encode())
        self.go_on()
        head, _, body = wire.heard.decode().partition("\r\n\r\n")
        return head, body


class ShownTests(PageCase):
    """
    What is where.
    """

    def test_page(self) -> None:
        """
        Whatever the host, path and query that begin with the address lead to the page; others go on to services.
        """
        site = self.make(services=1).site
        for target in ("/admin?stats", "/admin?stats;norefresh", "http://any.test/admin?stats"):
            head, body = self.ask(site, target)
            self.assertTrue(head.startswith("HTTP/1.1 200 OK\r\n"), head)
            self.assertIn("Content-Type: text/html", head)
            self.assertIn("s0-be80_0", body)
            self.assertEqual('http-equiv="refresh"' in body, "norefresh" not in target)
        for target in ("/admin", "/admin?stat", "/x/admin?stats"):
            self.assertNotIn("Statistics", self.ask(site, target)[1], target)

    def test_csv(self) -> None:
        """
        `;csv` gives HAProxy's lines, and what was asked before is counted in them.
        """
        plane = self.make(services=2)
        self.ask(plane.site, "/admin?stats")
        plane.counters()
        head, body = self.ask(plane.site, "/admin?stats;csv")
        self.assertIn("Content-Type: text/plain", head)
        self.assertIn(f"Content-Length: {len(body)}", head)
        rows = list(csv.DictReader(io.StringIO(body.removeprefix("# "))))
        names = [(row["pxname"], row["svname"]) for row in rows]
        self.assertEqual(names[:3], [("services", "FRONTEND"), ("s0-be80_0", "s0"), ("s0-be80_0", "BACKEND")])
        self.assertEqual((rows[0]["req_tot"], rows[0]["hrsp_2xx"], rows[1]["status"]), ("1", "1", "UP"))

    def test_refused(self) -> None:
        """
        What rules deny and what cannot be read has columns of its own.
        """
        plane = self.make()
        destination = Destination(0, 80, Match(), "s", "s-be80_0", steps=Steps(denied_methods=("DELETE",)))
        self.publish(plane, Service("s", "s", (destination,), is_default=True))
        self.assertTrue(self.ask(plane.site, "/", "DELETE")[0].startswith("HTTP/1.1 403 "))
        wire = self.connect(plane.site)
        wire.send(b"nonsense\r\n\r\n")
        plane.counters()
        _, body = self.ask(plane.site, "/admin?stats;csv")
        frontend, backend = list(csv.DictReader(io.StringIO(body.removeprefix("# "))))
        self.assertEqual((frontend["dreq"], frontend["ereq"], backend["dreq"]), ("1", "1", "1"))

    def test_head_and_others(self) -> None:
        """
        HEAD gives no body; nothing but reading is possible.
        """
        site = self.make().site
        head, body = self.ask(site, method="HEAD")
        self.assertEqual((head.split("\r\n")[0], body), ("HTTP/1.1 200 OK", ""))
        self.assertNotIn("chunked", head)
        self.assertTrue(self.ask(site, method="DELETE")[0].startswith("HTTP/1.1 405 "))

    def test_after_redirects(self) -> None:
        """
        Redirects of the frontend come first (contract 4.2).
        """
        plane = self.make()
        redirect = Redirect(Match(), host="b.test")
        destination = Destination(0, 80, Match(), "s", "s-be80_0", steps=Steps(redirects=(redirect,)))
        self.publish(plane, Service("s", "s", (destination,)))
        self.assertTrue(self.ask(plane.site)[0].startswith("HTTP/1.1 302 "))

    def test_before_routes(self) -> None:
        """
        A service that would take the address does not get it, and one without statistics pays nothing.
        """
        plane = self.make()
        self.publish(plane, Service("s", "s", (Destination(0, 80, Match(), "s", "s-be80_0"),), is_default=True))
        self.assertIn("Statistics", self.ask(plane.site)[1])
        lookup = plane._lookup()
        self.assertTrue(verifyObject(ILookup, lookup))
        self.assertIsInstance(lookup, Showing)
        without = make_data_plane(Settings(), self.reactor, None)
        self.addCleanup(without.site.traffic.deadlines.stop)
        self.assertIs(without._lookup(), EMPTY)

    def test_from_the_start(self) -> None:
        """
        They are there before the first service.
        """
        self.assertIn("services,FRONTEND,", self.ask(self.make().site, "/admin?stats;csv")[1])

    def test_names_are_escaped(self) -> None:
        """
        A name is text, never markup.
        """
        plane = self.make()
        name = '<b onload="x">'
        self.publish(plane, Service(name, name, (Destination(0, 80, Match(), "s", f"{name}-be"),)))
        body = self.ask(plane.site)[1]
        self.assertNotIn(name, body)
        self.assertIn("&lt;b onload=&quot;x&quot;&gt;-be", body)


class AdmittedTests(PageCase):
    """
    Who sees them.
    """

    def basic(self, text: str) -> str:
        return "Basic " + b64encode(text.encode()).decode()

    def test_password(self) -> None:
        """
        Without the right name and password 401, and nothing of the numbers.
        """
        site = self.make(CLOSED).site
        for given in ("", "me:pass", "me:", ":pass:word", "you:pass:word", "me:pass:word2"):
            head, body = self.ask(site, **({"Authorization": self.basic(given)} if given else {}))
            self.assertTrue(head.startswith("HTTP/1.1 401 Unauthorized\r\n"), given)
            self.assertIn('WWW-Authenticate: Basic realm="Strictly Private"', head)
            self.assertNotIn("services", body)
        for target in ("/admin?stats", "/admin?stats;csv"):
            self.assertIn("services", self.ask(site, target, Authorization=self.basic("me:pass:word"))[1])

    def test_methods_tell_nothing(self) -> None:
        """
        Who has no password learns nothing by another method.
        """
        head, _ = self.ask(self.make(CLOSED).site, method="DELETE")
        self.assertTrue(head.startswith("HTTP/1.1 401 "))


class SlicedTests(PageCase):
    """
    Pages of many services.
    """

    def setUp(self) -> None:
        super().setUp()
        self.plane = self.make(services=MANY)
        self.clock = 0.0
        traffic = self.plane.site.traffic
        traffic.monotonic = self.monotonic

    def monotonic(self) -> float:
        self.clock += SLICE_S / 50
        return self.clock

    def chunks(self, wire: UvWire) -> tuple[int, str]:
        """
        How many chunks came, and what they make together.
        """
        rest, found = wire.heard.partition(b"\r\n\r\n")[2], []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            found.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        self.assertEqual(found.pop(), b"")
        return len(found), b"".join(found).decode()

    def test_slices(self) -> None:
        """
        A long page is made in many turns, and is whole.
        """
        wire = self.connect(self.plane.site)
        wire.send(b"GET /admin?stats;csv HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertGreater(self.go_on(), MANY // 50)
        _, text = self.chunks(wire)
        self.assertEqual(len(text.splitlines()), 2 + 2 * MANY)
        wire.send(b"GET /admin?stats;csv HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(wire.fate, "open")

    def test_slow_reader(self) -> None:
        """
        A client that does not read holds up only its own page, and one that never reads is cut off.
        """
        wire = self.connect(self.plane.site)
        wire.room = 1000
        wire.send(b"GET /admin?stats HTTP/1.1\r\nHost: a\r\n\r\n")
        self.go_on()
        unsent = len(wire._unsent)
        self.assertLess(unsent, 4 * wire.limit_bytes)
        self.assertIn("FRONTEND", self.whole("/admin?stats;csv"))
        self.assertEqual(len(wire._unsent), unsent)
        self.page = self.plane._page
        assert self.page is not None
        self.assertEqual(self.page.under_way, 1)
        for _ in range(300):
            self.reactor.advance(0.1)
        self.assertEqual(wire.fate, "reset")
        self.assertEqual(self.page.under_way, 0)

    def whole(self, target: str) -> str:
        wire = self.connect(self.plane.site)
        wire.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        self.go_on()
        return self.chunks(wire)[1]

    def test_too_many(self) -> None:
        """
        Beyond some pages at once more are refused; what ends or is left makes room.
        """
        wires = []
        for _ in range(PAGES + 1):
            wires.append(self.connect(self.plane.site))
            wires[-1].send(b"GET /admin?stats HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(5 * len(wires)):
            self.turn()
        self.assertTrue(wires[-1].heard.startswith(b"HTTP/1.1 503 "))
        wires[0].reset()
        self.assertIn("FRONTEND", self.whole("/admin?stats;csv"))


class AloneTests(PageCase):
    """
    `STATS_PORT`.
    """

    def test_alone(self) -> None:
        """
        They are on their own port only, and nothing else is there.
        """
        plane = self.make(Statistics(is_open=True, listeners=(Listener("", 1936, statistics=True),)))
        self.assertTrue(self.ask(plane.site)[0].startswith("HTTP/1.1 503 "))
        self.assertIn("Statistics", self.ask(plane.statistics_site)[1])
        self.assertTrue(self.ask(plane.statistics_site, "/")[0].startswith("HTTP/1.1 503 "))
        self.assertIs(plane._lookup(), EMPTY)

    def test_wanted(self) -> None:
        """
        Another address than the usual one.
        """
        plane = self.make(Statistics(uri="/numbers", is_open=True))
        self.assertIsInstance(plane._page, StatisticsPage)
        self.assertIn("Statistics", self.ask(plane.site, "/numbers;norefresh")[1])
        self.assertNotIn("Statistics", self.ask(plane.site)[1])
