"""
Who is checked, and who is told what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.control.checks import CheckingDataPlane
from dfproxy.health.status import State
from dfproxy.interfaces import IDataPlane
from dfproxy.model.checks import DRAIN, MAINT, Check, Order, Verdicts
from dfproxy.model.match import Match
from dfproxy.model.pool import Pool
from dfproxy.model.service import Destination, Route, ServerTls, Service
from dfproxy.model.snapshot import Change, Membership, Revision, ServerAddress
from dfproxy.model.stream import Stream
from dfproxy.tls.servers import ServerSides
from dfproxy.upstream.probe import Goal
from tests.fakes import FakeDataPlane

A, B = ("10.0.0.1", 80), ("10.0.0.2", 80)
FAST = Check(interval_s=1.0, timeout_s=0.5, rise=2, fall=3)


class Attempt:
    """
    A check that ends at once.
    """

    def cancel(self) -> None:
        """
        It is over.
        """


def service(name: str = "s", check: Check | None = FAST, index: int = 0, **about: Any) -> Service:
    return Service(name, name, (Destination(index, 80, Match(), "h", f"{name}-be", check=check, **about),))


class Checking(SynchronousTestCase):
    """
    A data plane with checks, servers that are dead or not, and what is told.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = FakeDataPlane()
        self.told: list[Verdicts] = []
        self.goals: list[Goal] = []
        self.dead: set[tuple[str, int]] = set()
        self.number = self.epoch = 0
        self.plane = CheckingDataPlane(
            self.inner, self.told.append, self.clock, self.begin, ServerSides("/nowhere"), 1000, Random(2)
        )
        self.addCleanup(self.plane.stop)

    def begin(self, goal: Goal, done: Callable[[str | None], None]) -> Attempt:
        self.goals.append(goal)
        done("refused" if (goal.host, goal.port) in self.dead else "")
        return Attempt()

    def members(self, name: str, *addresses: tuple[str, int], index: int = 0) -> Membership:
        self.epoch += 1
        return Membership(name, index, self.epoch, tuple(ServerAddress(*address) for address in addresses))

    def change(self, *services: Service, **about: Any) -> None:
        self.number += 1
        change = Change(Revision(self.number), services, **about)
        self.successResultOf(self.plane.prepare(change))
        self.successResultOf(self.plane.commit(change.revision))

    def publish(self, *services: Service) -> None:
        self.change(*services, memberships=tuple(self.members(each.name, A, B) for each in services))

    def run_for(self, seconds: float) -> None:
        self.clock.pump([0.02] * round(seconds / 0.02))

    def down(self) -> list[tuple[tuple[str, int], ...]]:
        return [verdicts.down for verdicts in self.told]

    def value(self, name: str) -> float:
        return {measure.name: dict(measure.samples).get("", 0.0) for measure in self.plane.measures()}[name]


class CheckingTests(Checking):
    """
    From definitions and memberships to verdicts.
    """

    def test_interface(self) -> None:
        """
        It is a data plane.
        """
        verifyObject(IDataPlane, self.plane)

    def test_down_and_up(self) -> None:
        """
        A dead server is told after three failures, once; it is told again when it is back.
        """
        self.publish(service())
        self.run_for(3)
        self.assertEqual(self.told, [])
        self.dead.add(A)
        self.run_for(5)
        self.assertEqual(self.down(), [(A,)])
        self.assertEqual(self.plane.seen(("s", 0), A), State.DOWN)
        self.dead.clear()
        self.run_for(4)
        self.assertEqual(self.down(), [(A,), ()])
        self.assertTrue(self.told[0].epoch < self.told[1].epoch)

    def test_not_asked_for(self) -> None:
        """
        Without a check nothing is checked, and nothing is left when the check is taken away.
        """
        self.publish(service(check=None))
        self.run_for(3)
        self.assertEqual(self.goals, [])
        self.publish(service())
        self.dead.add(A)
        self.run_for(5)
        self.publish(service(check=None))
        before = len(self.goals)
        self.run_for(3)
        self.assertEqual((len(self.goals), self.down()), (before, [(A,), ()]))

    def test_not_before_it_is_in_force(self) -> None:
        """
        What is prepared, or refused, is not checked.
        """
        change = Change(Revision(1), (service(),), memberships=(self.members("s", A),))
        self.plane.prepare(change)
        self.run_for(3)
        self.plane.abort(change.revision)
        self.run_for(3)
        self.assertEqual(self.goals, [])

    def test_removed(self) -> None:
        """
        A service that goes is checked no more, and its destinations neither.
        """
        self.publish(service("s"), service("t"))
        self.run_for(2)
        self.change(removed=("s",))
        self.change(service("t", index=7))
        self.goals.clear()
        self.run_for(3)
        self.assertEqual((self.goals, self.value("dfproxy_check_servers")), ([], 0))

    def test_whole(self) -> None:
        """
        A whole change is all there is.
        """
        self.publish(service("s"), service("t"))
        self.change(service("u"), whole=True, memberships=(self.members("u", A),))
        self.run_for(0.1)
        self.assertEqual(self.value("dfproxy_check_servers"), 1)

    def test_members(self) -> None:
        """
        Servers that come are checked, those that go are not; an older list changes nothing.
        """
        self.publish(service())
        late = self.members("s", A, B)
        self.plane.members(self.members("s", B))
        self.plane.members(late)
        self.run_for(0.1)
        self.goals.clear()
        self.run_for(2)
        self.assertEqual({goal.host for goal in self.goals}, {B[0]})
        self.assertEqual(self.inner.calls[-1], ("members", late), "it is passed on all the same")

    def test_returns(self) -> None:
        """
        A dead server that goes and comes back within a minute is down still; later it is as good as new.
        """
        self.publish(service())
        self.dead.add(A)
        self.run_for(5)
        for away_s, state in ((30, State.DOWN), (61, State.UP)):
            self.plane.members(self.members("s", B))
            self.run_for(0.1)
            self.clock.advance(away_s)
            self.plane.members(self.members("s", A, B))
            self.clock.advance(0)
            self.assertEqual(self.plane.seen(("s", 0), A), state, away_s)

    def test_changed_check(self) -> None:
        """
        Another way to check holds from the next check on, and what is known of servers stays.
        """
        self.publish(service())
        self.dead.add(A)
        self.run_for(5)
        self.publish(service(check=Check("/new", interval_s=1.0)))
        self.run_for(0.1)
        self.goals.clear()
        self.run_for(1.5)
        self.assertEqual({goal.check.path for goal in self.goals}, {"/new"})
        self.assertEqual(self.down(), [(A,)])

    def test_same_definition(self) -> None:
        """
        A definition that says the same disturbs no check.
        """
        self.publish(service())
        self.run_for(0.1)
        before = self.plane.look(("s", 0), A)
        assert before is not None
        subject = before.subject
        self.publish(service())
        self.run_for(0.1)
        self.assertIs(self.plane.look(("s", 0), A), before)
        self.assertIs(before.subject, subject)

    def test_preface(self) -> None:
        """
        Servers that expect the PROXY protocol get a header that names nobody.
        """
        self.publish(service("one", announce=1), service("two", announce=2))
        self.run_for(2)
        prefaces = {goal.preface for goal in self.goals}
        self.assertEqual(prefaces, {b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"})

    def test_tls(self) -> None:
        """
        A GET goes over TLS where requests do; where its files cannot be read servers are checked by connecting.
        """
        get = Check("/", interval_s=1.0)
        self.publish(
            service("good", get, tls=ServerTls(False)), service("bad", get, tls=ServerTls(True, "x", "none.pem"))
        )
        self.run_for(2)
        ways = {(goal.check.path, goal.tls is not None) for goal in self.goals}
        self.assertEqual(ways, {("/", True), ("", False)})


class GroupTests(Checking):
    """
    Members of a `serviceGroup`.
    """

    def setUp(self) -> None:
        super().setUp()
        self.groups: dict[int, tuple[Pool, ...]] = {}
        self.plane._pools = lambda: self.groups

    def member(self, name: str, check: Check | None) -> Service:
        return service(name, check, stream=Stream(5432, group="db"))

    def together(self, *members: Service) -> None:
        routes = tuple(Route(each, each.destinations[0]) for each in members)
        self.groups = {5432: (Pool(Stream(5432, group="db"), routes),)} if routes else {}

    def checked(self) -> dict[str, float]:
        """
        How often servers of each service are checked.
        """
        self.run_for(0.1)
        return {
            key[0]: checked.check.interval_s for key, here in self.plane._checked.items() for checked in here.values()
        }

    def test_as_the_first_says(self) -> None:
        """
        The first one says how all are checked; when another becomes the first, that one does.
        """
        first, second = self.member("a", FAST), self.member("b", None)
        self.together(first, second)
        self.publish(first, second)
        self.assertEqual(self.checked(), {"a": 1.0, "b": 1.0})
        self.together(second)
        self.change(removed=("a",))
        self.assertEqual(self.checked(), {})
        slow = self.member("a", Check(interval_s=9.0))
        self.together(slow, second)
        self.publish(slow)
        self.assertEqual(self.checked(), {"a": 9.0, "b": 9.0})


class LastResortTests(Checking):
    """
    Nobody is allowed.
    """

    def test_all_down(self) -> None:
        """
        It is counted once each time, and over when one is back.
        """
        self.publish(service())
        self.dead.update((A, B))
        self.run_for(6)
        self.assertEqual((self.value("dfproxy_panic_backends"), self.value("dfproxy_panics_total")), (1, 1))
        self.assertTrue(self.plane.is_last_resort(("s", 0)))
        self.dead.discard(A)
        self.run_for(4)
        self.assertEqual((self.value("dfproxy_panic_backends"), self.value("dfproxy_panics_total")), (0, 1))

    def test_orders(self) -> None:
        """
        Drained servers count, those in maintenance do not; without a check as well.
        """
        self.publish(service(check=None))
        self.change(orders=(Order("s", *A, DRAIN), Order("s", *B, MAINT)))
        self.run_for(0.2)
        self.assertTrue(self.plane.is_last_resort(("s", 0)))
        self.change(orders=(Order("s", *A, MAINT),))
        self.run_for(0.2)
        self.assertFalse(self.plane.is_last_resort(("s", 0)), "there is nobody left to be used")
        self.change(removed=("s",))
        self.publish(service(check=None))
        self.run_for(0.2)
        self.assertFalse(self.plane.is_last_resort(("s", 0)))
