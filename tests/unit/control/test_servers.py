"""
Single servers: found, ordered, shown, and forgotten.
"""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.checks import CheckingDataPlane
from dfproxy.control.publisher import Publisher
from dfproxy.control.servers import GONE_S, LOOK_S, Look, Servers, UnknownServer
from dfproxy.model.checks import DRAIN, MAINT, READY, Check, Order
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.tls.servers import ServerSides
from dfproxy.upstream.probe import Goal
from tests.fakes import FakeDataPlane, FakeNames
from tests.unit.control.test_checks import Attempt

A, B, C = ("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.1", 81)


class ServersCase(SynchronousTestCase):
    """
    A service with two destinations: A and B, and another port of the first.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.dead: set[str] = set()
        self.left_out: dict[tuple[str, int], int] = {}
        self.inner = FakeDataPlane()

        def begin(goal: Goal, done: object) -> Attempt:
            assert callable(done)
            done("refused" if goal.host in self.dead else "")
            return Attempt()

        self.checks = CheckingDataPlane(
            self.inner, lambda verdicts: None, self.clock, begin, ServerSides("/nowhere"), 1000, Random(1)
        )
        self.names = FakeNames()
        self.publisher = Publisher(self.checks, self.names, self.clock)
        self.servers = Servers(
            self.publisher, self.names, self.checks, lambda key, address: self.left_out.get(address, 0), self.clock
        )
        self.servers.start()
        self.addCleanup(self.checks.stop)
        self.addCleanup(self.servers.stop)
        check = Check(interval_s=0.5)
        self.service = Service(
            "s",
            "s",
            (
                Destination(0, 80, Match(), "h", "s-be80_0", check=check),
                Destination(1, 81, Match(), "h", "s-be81_1"),
            ),
        )
        self.known(0, A, B)
        self.known(1, C)
        self.successResultOf(self.publisher.publish((self.service,)))

    def known(self, index: int, *addresses: tuple[str, int]) -> None:
        self.names.known["s", index] = servers = tuple(ServerAddress(*address) for address in addresses)
        self.checks.members(Membership("s", index, 100, servers))

    def order(self, text: str, standing: str | None = None, weight: int | None = None, reset: bool = False) -> None:
        self.successResultOf(self.servers.order("s", self.servers.find("s", text), standing, weight, reset))

    def said(self) -> dict[tuple[str, int], tuple[str, int | None]]:
        orders = self.publisher.snapshot.orders.get("s", {})
        return {address: (order.standing, order.weight) for address, order in orders.items()}

    def rows(self, text: str = "") -> dict[str, tuple[bool, str]]:
        rows = self.servers.rows((self.service,), text)
        return {row["Address"]: (row["Used"], row["Why"]) for row in rows}


class FindTests(ServersCase):
    """
    What callers may call a server.
    """

    def test_names(self) -> None:
        """
        By address, by name, by backend and name, or by IP address, which may mean several.
        """
        for text, wanted in (
            ("10.0.0.2:80", (B,)),
            ("s_1", (B,)),
            ("s-be80_0/s_1", (B,)),
            ("s-be81_1/s", (C,)),
            ("10.0.0.1", (A, C)),
        ):
            self.assertEqual(self.servers.find("s", text), wanted, text)

    def test_unknown(self) -> None:
        """
        Who asks for one that is not there is told which are.
        """
        for service, text, said in (("s", "s_9", "10.0.0.2:80 (s_1)"), ("t", "x", "there are: s")):
            error = self.assertRaises(UnknownServer, self.servers.find, service, text)
            self.assertIn(said, str(error))


class OrderTests(ServersCase):
    """
    Orders about one server.
    """

    def test_what_is_not_said_stays(self) -> None:
        """
        A weight does not end a drain, nor the other way round; `ready` and the own weight leave nothing.
        """
        self.order("s_0", DRAIN)
        self.order("s_0", weight=7)
        self.assertEqual(self.said(), {A: (DRAIN, 7)})
        self.order("s_0", READY)
        self.assertEqual(self.said(), {A: (READY, 7)})
        self.order("s_0", reset=True)
        self.assertEqual(self.said(), {})

    def test_replaced(self) -> None:
        """
        A new definition of the service keeps what was said; removing the service ends it.
        """
        self.order("s_1", MAINT)
        other = Service("s", "s", self.service.destinations, is_default=True)
        self.successResultOf(self.publisher.publish((other,)))
        self.assertEqual(self.said(), {B: (MAINT, None)})
        self.successResultOf(self.publisher.withdraw(("s",)))
        self.successResultOf(self.publisher.publish((self.service,)))
        self.assertEqual(self.said(), {})

    def test_every_worker(self) -> None:
        """
        It is prepared and committed as any change, so every worker has it before the answer; the definitions, and so
        their hash, are the same.
        """
        before = self.publisher.snapshot.revision
        self.order("s_0", DRAIN)
        ((_, change),) = [call for call in self.inner.calls if call[0] == "prepare"][-1:]
        self.assertEqual(change.orders, (Order("s", *A, DRAIN),))  # type: ignore[attr-defined]  # a Change
        after = self.publisher.snapshot.revision
        self.assertEqual((after.number, after.digest), (before.number + 1, before.digest))

    def test_at_once(self) -> None:
        """
        Of a state and a weight that are said at the same moment neither is lost.
        """
        self.inner.hold = True
        first = self.servers.order("s", (A,), DRAIN, None, False)
        second = self.servers.order("s", (A,), None, 9, False)
        third = self.servers.order("s", (B,), MAINT, None, False)
        while self.inner.held:
            self.inner.held.pop().callback(None)
        for each in (first, second, third):
            self.successResultOf(each)
        self.assertEqual(self.said(), {A: (DRAIN, 9), B: (MAINT, None)})
        self.assertEqual(self.servers._turns, {})

    def test_same_again(self) -> None:
        """
        The same order again is no change.
        """
        self.order("s_0", DRAIN)
        before = self.publisher.snapshot.revision
        self.order("s_0", DRAIN)
        self.assertEqual(self.publisher.snapshot.revision, before)

    def test_service_gone_meanwhile(self) -> None:
        """
        An order that meets the end of its service comes to nothing.
        """
        self.inner.hold = True
        first = self.publisher.publish((Service("t", "t", self.service.destinations),))
        gone = self.publisher.withdraw(("s",))
        ordered = self.servers.order("s", (A,), DRAIN, None, False)
        self.inner.hold = False
        self.inner.held.pop().callback(None)
        for each in (first, gone, ordered):
            self.successResultOf(each)
        self.assertEqual(self.publisher.snapshot.orders, {})

    def test_server_gone(self) -> None:
        """
        What was said of a server is forgotten when it has been gone for a minute, not while the service has no
        server at all, and not while it comes back in time.
        """
        self.order("s_1", DRAIN)
        self.known(0)
        self.known(1)
        self.clock.pump([LOOK_S] * 20)
        self.assertEqual(self.said(), {B: (DRAIN, None)}, "nothing is known of the service just now")
        self.known(0, A)
        self.clock.pump([LOOK_S] * 3)
        self.known(0, A, B)
        self.clock.pump([LOOK_S] * 20)
        self.assertEqual(self.said(), {B: (DRAIN, None)})
        self.known(0, A)
        self.clock.pump([LOOK_S] * (int(GONE_S / LOOK_S) + 2))
        self.assertEqual(self.said(), {})


class RowsTests(ServersCase):
    """
    How servers stand.
    """

    def test_all_well(self) -> None:
        """
        Every server of every destination, used.
        """
        self.assertEqual(self.rows(), {"10.0.0.1:80": (True, ""), "10.0.0.2:80": (True, ""), "10.0.0.1:81": (True, "")})
        self.assertEqual(list(self.rows("s_1")), ["10.0.0.2:80"])

    def test_why(self) -> None:
        """
        Each reason is told: the operator, weight 0, checks, and what workers have seen.
        """
        self.order("s_0", DRAIN)
        self.assertIn("drain", self.rows()["10.0.0.1:80"][1])
        self.order("s_0", MAINT)
        self.assertIn("maint", self.rows()["10.0.0.1:80"][1])
        self.order("s_0", READY, weight=0)
        self.assertIn("weight is 0", self.rows()["10.0.0.1:80"][1])
        self.order("s_0", reset=True)
        self.left_out[A] = 1
        self.assertIn("1 worker for", self.rows()["10.0.0.1:80"][1])
        self.left_out[A] = 2
        self.assertIn("2 workers", self.rows()["10.0.0.1:80"][1])
        self.dead.add(B[0])
        self.clock.pump([0.02] * 200)
        used, why = self.rows()["10.0.0.2:80"]
        self.assertEqual((used, why), (False, "down: its checks fail: refused"))

    def test_last_resort(self) -> None:
        """
        When none may be used, those that are all the same say so.
        """
        self.order("s_0", DRAIN)
        self.order("s_1", MAINT)
        self.clock.pump([0.02] * 5)
        self.assertEqual(self.rows()["10.0.0.1:80"][0], True)
        self.assertIn("used all the same", self.rows()["10.0.0.1:80"][1])
        self.assertEqual(self.rows()["10.0.0.2:80"][0], False)

    def test_look(self) -> None:
        """
        Statistics say it in HAProxy's words.
        """
        server = ServerAddress(*A)
        looks = [self.servers.look(("s", 0), server, 0), self.servers.look(("s", 0), server, 1)]
        self.assertEqual(looks, [Look("UP", True, 1), Look("DOWN", False, 1)])
        for standing, word in ((DRAIN, "DRAIN"), (MAINT, "MAINT")):
            self.order("s_0", standing, 4)
            self.assertEqual(self.servers.look(("s", 0), server, 0), Look(word, False, 4))
        self.order("s_0", READY)
        self.dead.add(A[0])
        self.clock.pump([0.02] * 40)
        self.assertIn(self.servers.look(("s", 0), server, 0).word, ("UP 2/3", "UP 1/3"))
        self.clock.pump([0.02] * 200)
        self.assertEqual(self.servers.look(("s", 0), server, 0), Look("DOWN", False, 4))
