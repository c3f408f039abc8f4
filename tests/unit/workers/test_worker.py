"""
What a worker does with what the leader says, over a real channel, with a data plane that notes its calls.
"""

from __future__ import annotations

import gc
import io
import os
import socket
import sys
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from dfproxy.errors import Refused
from dfproxy.interfaces import IDataPlane
from dfproxy.model.settings import Limits, Settings
from dfproxy.model.snapshot import Change, Membership, Revision
from dfproxy.observe.cells import Cells, size
from dfproxy.workers.channel import Channel
from dfproxy.workers.messages import (
    Abort,
    Answer,
    Beat,
    Begin,
    Commit,
    Done,
    Drain,
    Ejected,
    Leaving,
    Members,
    Message,
    Part,
    Prepare,
    Query,
    Refusal,
    Resolve,
    build_id,
)
from dfproxy.workers.worker import BEAT_S, FAILED, FREEZE_SERVICES, LEAVE_S, Relayed, Worker, _write_event
from tests.unit.workers.pump import Pump
from tests.unit.workers.test_definitions import members, service


@implementer(IDataPlane)
class Plane:
    """
    Notes what it is told; does what it is told to.
    """

    site = None
    ask_names: Any = None
    tell_ejected: Any = None

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.ready: Deferred[None] = succeed(None)
        self.applied: Deferred[None] = succeed(None)
        self.drained: Deferred[None] = Deferred()
        self.counted = 0
        self.open = 0

    def prepare(self, change: Change) -> Deferred[None]:
        self.calls.append(change)
        return self.ready

    def commit(self, revision: Revision) -> Deferred[None]:
        self.calls.append(("commit", revision.number))
        return self.applied

    def abort(self, revision: Revision) -> None:
        self.calls.append(("abort", revision.number))

    def members(self, membership: Membership) -> None:
        self.calls.append(("members", membership.epoch))

    def query(self, what: str, argument: Any) -> Deferred[list[Any]]:
        return succeed([{what: argument}])

    def ejected(self, *which: Any) -> None:
        self.calls.append(("ejected", *which))

    def drain(self, deadline_s: float) -> Deferred[None]:
        self.calls.append(("drain", deadline_s))
        return self.drained

    def tunnels(self) -> int:
        return self.open

    def counters(self) -> None:
        self.counted += 1


class WorkerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.pump = Pump()
        self.plane = Plane()
        self.heard: list[Message] = []
        self.left: list[int] = []
        ours, theirs = socket.socketpair()
        cells = os.memfd_create("cells")
        os.ftruncate(cells, size(3, 16))
        self.leader = Channel(self.pump, ours, build_id(), self.hear, lambda _: None)
        self.leader.start()
        self.addCleanup(self.leader.close)
        thresholds = gc.get_threshold()
        self.addCleanup(gc.set_threshold, *thresholds)
        self.addCleanup(gc.unfreeze)
        self.worker = Worker(self.pump, theirs, cells, self.build, self.left.append)
        self.worker.start()
        self.begun = self.leader.ask(Begin(Settings(limits=Limits(drain_s=9.0, tunnel_drain_s=20.0)), 2, 16))
        self.pump.pump()

    def build(self, settings: Settings, reactor: Any, cells: Cells) -> Plane:
        self.block = cells.block
        return self.plane

    def hear(self, message: Message, number: int, descriptors: list[int]) -> None:
        self.heard.append(message)

    def tell(self, *messages: Message) -> None:
        for message in messages:
            self.leader.send(message)
        self.pump.pump()

    def ask(self, message: Message) -> Deferred[Message]:
        answer = self.leader.ask(message)
        self.pump.pump()
        return answer


class WorkerTests(WorkerCase):
    """
    In the order of a worker's life.
    """

    def test_begins(self) -> None:
        """
        It builds its data plane on its own block of cells, then beats and counts.
        """
        verifyObject(IDataPlane, self.plane)
        self.assertEqual(self.successResultOf(self.begun), Done())
        self.assertEqual(self.block, 2)
        self.pump.advance(BEAT_S)
        self.pump.pump()
        self.assertEqual(len(self.heard), 2)
        self.assertGreater(self.plane.counted, 0)

    def test_change(self) -> None:
        """
        Parts make one change; what is not ready yet holds up its commit and what follows.
        """
        self.plane.ready = Deferred()
        self.tell(Part((service("a"),)), Part((service("b"),), ("c",)))
        ready = self.ask(Prepare(Revision(3)))
        applied = self.ask(Commit(Revision(3)))
        self.tell(Members(members("a", 7)))
        change = Change(Revision(3), (service("a"), service("b")), ("c",))
        self.assertEqual(self.plane.calls, [change])
        self.assertNoResult(ready)
        self.plane.ready.callback(None)
        self.pump.pump()
        self.assertEqual(self.plane.calls[1:], [("commit", 3), ("members", 7)])
        self.assertEqual([self.successResultOf(ready), self.successResultOf(applied)], [Done(), Done()])

    def test_refused(self) -> None:
        """
        A refusal says why, a crash what crashed; the next change is not mixed with the refused one.
        """
        self.plane.ready = fail(Refused("no such strategy"))
        self.tell(Part((service("a"),)))
        self.assertEqual(self.successResultOf(self.ask(Prepare(Revision(1)))), Refusal("no such strategy"))
        self.assertEqual(self.successResultOf(self.ask(Commit(Revision(1)))), Refusal("nothing is prepared"))
        self.plane.ready = succeed(None)
        self.tell(Part((service("b"),)))
        self.successResultOf(self.ask(Prepare(Revision(1))))
        self.assertEqual(self.plane.calls[-1].services, (service("b"),))

    def test_aborted(self) -> None:
        """
        An aborted change is forgotten; aborting what was never prepared only drops its parts.
        """
        self.tell(Part((service("a"),)), Prepare(Revision(1)), Abort(Revision(1)))
        self.tell(Part((service("b"),)), Abort(Revision(1)), Prepare(Revision(2)))
        self.assertEqual(self.plane.calls[1:], [("abort", 1), Change(Revision(2))])

    def test_commit_fails(self) -> None:
        """
        A commit that fails, which it may not, ends the worker: nobody knows what it serves.
        """
        self.plane.applied = fail(RuntimeError("half"))
        self.tell(Prepare(Revision(1)), Commit(Revision(1)))
        self.assertEqual(self.left, [FAILED])
        self.assertIn("RuntimeError: half", self.heard[-1].reason)  # type: ignore[union-attr]  # a Fault

    def test_question(self) -> None:
        """
        Questions are passed on.
        """
        self.assertEqual(self.successResultOf(self.ask(Query("stats", 5))), Answer({"stats": 5}))

    def test_wishes(self) -> None:
        """
        A failed connection becomes a wish for names.
        """
        self.plane.ask_names("a", 1)
        self.pump.pump()
        self.assertEqual(self.heard[-1], Resolve("a", 1))

    def test_ejected(self) -> None:
        """
        A server that is left out here is told to the leader; what others leave out is told to the data plane.
        """
        self.plane.tell_ejected("a", 1, "192.0.2.1", 80, 5.0)
        self.pump.pump()
        self.assertEqual(self.heard[-1], Ejected("a", 1, "192.0.2.1", 80, 5.0))
        self.tell(Ejected("b", 2, "192.0.2.2", 81, 6.0))
        self.assertEqual(self.plane.calls[-1], ("ejected", "b", 2, "192.0.2.2", 81, 6.0))

    def test_frozen(self) -> None:
        """
        After a large load the collector leaves what is loaded alone.
        """
        self.tell(Part(tuple(service(f"s{n}") for n in range(FREEZE_SERVICES))), Prepare(Revision(1), True))
        before = gc.get_freeze_count()
        self.tell(Commit(Revision(1)))
        self.assertGreater(gc.get_freeze_count(), before)

    def test_drained(self) -> None:
        """
        Told to drain it lets what is under way end, counts once more, and leaves.
        """
        self.tell(Drain(4.0))
        self.assertEqual(self.plane.calls, [("drain", 4.0)])
        self.assertEqual(self.left, [])
        counted = self.plane.counted
        self.plane.drained.callback(None)
        self.assertEqual(self.left, [0])
        self.assertGreater(self.plane.counted, counted)

    def test_never_drained(self) -> None:
        """
        A data plane that forgets the deadline does not keep the process.
        """
        self.tell(Drain(4.0))
        self.pump.advance(5.0)
        self.assertEqual(self.left, [0])

    def test_tunnels(self) -> None:
        """
        While it drains the leader is told how many tunnels it waits for; there is that much more time while there are.
        """
        self.plane.open = 2
        self.pump.advance(BEAT_S)
        self.pump.pump()
        self.assertEqual(self.heard[-1], Beat(0))
        self.tell(Drain(4.0))
        self.pump.advance(BEAT_S)
        self.pump.pump()
        self.assertEqual(self.heard[-1], Beat(2))
        self.pump.advance(6.0)
        self.assertEqual(self.left, [])
        self.plane.open = 0
        self.pump.advance(BEAT_S)
        self.assertEqual(self.left, [0])

    def test_endless_tunnels(self) -> None:
        """
        A data plane that forgets the time of tunnels does not keep the process either.
        """
        self.plane.open = 1
        self.tell(Drain(4.0))
        self.pump.advance(15.0)
        self.assertEqual(self.left, [])
        self.pump.advance(6.0)
        self.assertEqual(self.left, [0])

    def test_terminated(self) -> None:
        """
        On SIGTERM it says so and goes on until the leader has somebody else, or does not answer.
        """
        self.worker.terminate()
        self.pump.pump()
        self.assertEqual(self.heard[-1], Leaving())
        self.assertEqual(self.plane.calls, [])
        self.pump.advance(LEAVE_S)
        self.assertEqual(self.plane.calls, [("drain", 9.0)])

    def test_leader_gone(self) -> None:
        """
        Without a leader it finishes what is under way and ends.
        """
        self.leader.close()
        self.pump.pump()
        self.assertEqual(self.plane.calls, [("drain", 9.0)])

    def test_nonsense(self) -> None:
        """
        What no leader says ends it, with a reason.
        """
        self.tell(Answer())
        self.assertEqual(self.left, [FAILED])


class RelayedTests(SynchronousTestCase):
    """
    A worker's stderr.
    """

    def test_never_in_the_way(self) -> None:
        """
        Nobody reads, or nobody is there: writing neither waits nor raises.
        """
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        stderr = Relayed(writing)
        stderr.write("first\n")
        for _ in range(100):
            stderr.write("x" * 10_000)
        self.assertEqual(os.read(reading, 6), b"first\n")
        os.close(reading)
        stderr.write("lost\n")

    def test_events(self) -> None:
        """
        What is logged is written with its level, what Twisted says of its sockets is not, its errors are.
        """
        written = io.StringIO()
        self.patch(sys, "stderr", written)
        plain = {"log_format": "a word", "log_level": LogLevel.info, "log_namespace": "dfproxy.x"}
        legacy = {"log_format": "(TCP Port 80 Closed)", "log_level": LogLevel.info, "log_namespace": "log_legacy"}
        for event in (plain, legacy, legacy | {"log_format": "Unhandled Error", "log_level": LogLevel.critical}):
            _write_event(event)
        said = written.getvalue().splitlines()
        self.assertEqual(said, ["info dfproxy.x: a word", "critical log_legacy: Unhandled Error"])
