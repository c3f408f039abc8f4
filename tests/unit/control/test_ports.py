"""
Ports that services ask for: open before a change is in force, closed when nobody wants them.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.control.ports import RETRY_S, Doors, OpeningDataPlane
from dfproxy.errors import Refused
from dfproxy.interfaces import IDataPlane
from dfproxy.model.listener import Listener
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Route, Service
from dfproxy.model.snapshot import Change, Membership, Revision
from dfproxy.model.stream import Stream
from dfproxy.routing.precedence import DfpOrder
from tests.fakes import FakeDataPlane
from tests.unit.routing.test_streams import exact, service

PLAIN = Service("plain", "plain", (Destination(0, 80, Match(), "p", "p"),))


class PortsTests(SynchronousTestCase):
    """
    `OpeningDataPlane` before a data plane that agrees to everything.
    """

    def setUp(self) -> None:
        self.done: list[tuple[str, tuple[int, ...]]] = []
        self.taken: set[int] = set()
        self.clock = Clock()
        self.inner = FakeDataPlane()
        self.plane = self.made(("",))
        self.number = 0

    def made(self, addresses: tuple[str, ...]) -> OpeningDataPlane:
        doors = Doors(self.open, self.serve, self.close)
        found = OpeningDataPlane(self.inner, doors, addresses, (443,), DfpOrder().key, self.clock)
        self.addCleanup(found.stop)
        return found

    def open(self, listener: Listener) -> None:
        self.assertTrue(listener.stream)
        if listener.port in self.taken or listener.address == "taken":
            raise OSError(98, "Address already in use")
        self.done.append(("open", (listener.port,)))

    def serve(self, listeners: tuple[Listener, ...]) -> Deferred[None]:
        return self.did("serve", listeners)

    def close(self, listeners: tuple[Listener, ...]) -> Deferred[None]:
        return self.did("close", listeners)

    def did(self, what: str, listeners: tuple[Listener, ...]) -> Deferred[None]:
        if listeners:
            self.done.append((what, tuple(listener.port for listener in listeners)))
        return succeed(None)

    def news(self) -> list[tuple[str, tuple[int, ...]]]:
        done, self.done = self.done, []
        return done

    def change(self, *services: Service, **about: Any) -> Change:
        self.number += 1
        return Change(Revision(self.number, f"{self.number:032x}"), services, **about)

    def apply(self, *services: Service, **about: Any) -> None:
        """
        A change in both its phases.
        """
        change = self.change(*services, **about)
        self.successResultOf(self.plane.prepare(change))
        self.successResultOf(self.plane.commit(change.revision))

    def test_interface(self) -> None:
        """
        It is a data plane, and hands on what does not concern ports.
        """
        verifyObject(IDataPlane, self.plane)
        membership = Membership("s", 0, 1)
        self.plane.members(membership)
        self.successResultOf(self.plane.query("ping", None))
        self.assertEqual(self.inner.calls, [("members", membership), ("query", "ping")])

    def test_two_phases(self) -> None:
        """
        Open when prepared, served when all have applied it, and nothing happens to a port that stays.
        """
        change = self.change(service("a", Stream(1), Stream(2)))
        self.successResultOf(self.plane.prepare(change))
        self.assertEqual(self.news(), [("open", (1,)), ("open", (2,))])
        self.successResultOf(self.plane.commit(change.revision))
        self.assertEqual(self.news(), [("serve", (1, 2))])
        self.apply(service("b", Stream(2), Stream(3)))
        self.assertEqual(self.news(), [("open", (3,)), ("serve", (3,))])
        self.assertEqual({port: len(pools) for port, pools in self.plane.pools.items()}, {1: 1, 2: 2, 3: 1})

    def test_last_one_goes(self) -> None:
        """
        A port closes with the last service on it, removed or changed.
        """
        self.apply(service("a", Stream(1)), service("b", Stream(1)))
        self.apply(removed=("a",))
        self.assertEqual(self.news(), [("open", (1,)), ("serve", (1,))])
        self.apply(service("b", Stream(2)))
        self.assertEqual(self.news(), [("open", (2,)), ("serve", (2,)), ("close", (1,))])
        self.apply(PLAIN, removed=("b",))
        self.assertEqual(self.news(), [("close", (2,))])

    def test_moved_within_one_change(self) -> None:
        """
        One comes to the port that another one leaves: it never closes.
        """
        self.apply(service("a", Stream(1)))
        self.news()
        self.apply(service("b", Stream(1)), removed=("a",))
        self.assertEqual(self.news(), [])

    def test_shared(self) -> None:
        """
        Ports that are open anyway are left alone.
        """
        self.apply(service("a", Stream(443, exact("a.test"))))
        self.apply(removed=("a",))
        self.assertEqual(self.news(), [])

    def test_taken(self) -> None:
        """
        A port that cannot be bound refuses the change; the text says which, whose wish it is, and who has it. What was
        opened before is closed again, and nobody was asked.
        """
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.taken = {port}
            refused = self.failureResultOf(
                self.plane.prepare(self.change(service("a", Stream(1), Stream(port)))), Refused
            )
        self.assertIn(f"srcPort={port} of a cannot be bound: Address already in use (held by ", str(refused.value))
        self.assertEqual((self.news(), self.inner.calls), ([("open", (1,)), ("close", (1,))], []))
        self.apply(service("a", Stream(1)))
        self.assertEqual(self.news(), [("open", (1,)), ("serve", (1,))])

    def test_not_allowed(self) -> None:
        """
        Who may not bind a low port is told what helps.
        """
        self.open = self.forbid  # type: ignore[method-assign]  # what the next plane is given
        self.plane = self.made(("",))
        refused = self.failureResultOf(self.plane.prepare(self.change(service("a", Stream(25)))), Refused)
        self.assertIn("--bind-ports", str(refused.value))

    def forbid(self, listener: Listener) -> None:
        raise PermissionError(13, "Permission denied")

    def test_some_addresses(self) -> None:
        """
        On all addresses or on none.
        """
        self.plane = self.made(("192.0.2.1", "taken"))
        self.failureResultOf(self.plane.prepare(self.change(service("a", Stream(1)))), Refused)
        self.assertEqual(self.news(), [("open", (1,)), ("close", (1,))])

    def test_refused_behind(self) -> None:
        """
        The data plane refuses, or the change is aborted: what was opened for it is closed.
        """
        self.inner.failure = Refused("no")
        self.failureResultOf(self.plane.prepare(self.change(service("a", Stream(1)))), Refused)
        self.assertEqual(self.news(), [("open", (1,)), ("close", (1,))])
        self.inner.failure = None
        change = self.change(service("a", Stream(1)))
        self.plane.prepare(change)
        self.plane.abort(change.revision)
        self.assertEqual(self.news(), [("open", (1,)), ("close", (1,))])
        self.assertEqual(self.inner.calls[-1], ("abort", change.revision))

    def test_refused_too_late(self) -> None:
        """
        An aborted change that is refused afterwards takes nothing from the one that came meanwhile.
        """
        self.inner.hold = True
        late = self.change(service("a", Stream(1)))
        prepared = self.plane.prepare(late)
        self.plane.abort(late.revision)
        change = self.change(service("a", Stream(2)))
        self.plane.prepare(change)
        self.inner.held[0].errback(Refused("too late"))
        self.failureResultOf(prepared, Refused)
        self.news()
        self.plane.commit(change.revision)
        self.assertEqual(self.news(), [("serve", (2,))])

    def test_at_the_start(self) -> None:
        """
        What was in force comes back also where one port is taken: it is told, and tried again until it can be had.
        """
        self.taken = {2}
        self.apply(service("a", Stream(1)), service("b", Stream(2)), whole=True)
        self.assertEqual(self.news(), [("open", (1,)), ("serve", (1,))])
        self.clock.advance(RETRY_S)
        self.assertEqual(self.news(), [])
        self.taken.clear()
        self.clock.advance(RETRY_S)
        self.assertEqual(self.news(), [("open", (2,)), ("serve", (2,))])
        self.clock.advance(10 * RETRY_S)
        self.assertEqual((self.news(), self.clock.getDelayedCalls()), ([], []))

    def test_not_wanted_any_more(self) -> None:
        """
        It is tried no more once nobody wants it, or at the end.
        """
        self.taken = {1}
        self.apply(service("a", Stream(1)), whole=True)
        self.apply(removed=("a",))
        self.taken.clear()
        self.clock.advance(10 * RETRY_S)
        self.assertEqual((self.news(), self.clock.getDelayedCalls()), ([], []))
        self.taken = {1}
        self.apply(service("a", Stream(1)), whole=True)
        self.plane.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_order_fails(self) -> None:
        """
        A route order that raises refuses the change.
        """

        def fails(route: Route) -> Any:
            raise ZeroDivisionError("oops")

        plane = OpeningDataPlane(self.inner, Doors(self.open, self.serve, self.close), ("",), (), fails, self.clock)
        self.failureResultOf(plane.prepare(self.change(service("a", Stream(1)))), Refused)
