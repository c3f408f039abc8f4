"""
How many workers are started, when, and when no more: with time in the test's hands. Real processes are in
`tests.e2e.test_workers`.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.errors import InvalidSettings, NotReady
from dfproxy.interfaces import IDataPlane
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Limits, Settings
from dfproxy.model.snapshot import Change, Revision
from dfproxy.observe.cells import FRONTEND, WORDS
from dfproxy.workers.channel import Channel
from dfproxy.workers.leader import BACK_OFF_S, KILL_S, REPLACEMENTS, TICK_S, WorkerSet
from dfproxy.workers.messages import Beat, build_id
from tests.unit.workers.pump import Pump


class NoProcesses(Pump):
    """
    A machine that has no processes left.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tried = 0

    def spawnProcess(self, *args: object, **arguments: object) -> None:
        self.tried += 1
        raise OSError("Resource temporarily unavailable")


class WorkerSetTests(SynchronousTestCase):
    """
    Life without any worker.
    """

    def setUp(self) -> None:
        self.reactor = NoProcesses()
        self.workers = WorkerSet(self.reactor, Settings(workers=1, listeners=(Listener("127.0.0.1", 0),)), {})
        self.addCleanup(self.workers.stop)

    def test_interface(self) -> None:
        """
        The publisher sees a data plane.
        """
        verifyObject(IDataPlane, self.workers)
        self.assertEqual(self.successResultOf(self.workers.query("ping", None)), [])
        self.assertEqual(self.workers.totals(FRONTEND), (0,) * WORDS)
        self.assertEqual(self.workers.pids(), ())

    def test_does_not_come_up(self) -> None:
        """
        When no process can be had the start fails with the reason after some tries, and nothing is left.
        """
        started: Deferred[None] = self.workers.start()
        self.assertEqual(self.reactor.tried, 1)
        for _ in range(REPLACEMENTS - 1):
            self.assertNoResult(started)
            self.reactor.advance(BACK_OFF_S)
        error = self.failureResultOf(started, NotReady)
        self.assertIn("Resource temporarily unavailable", error.getErrorMessage())
        self.assertIn("replaced", self.workers.degraded)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.workers.slots.addresses(), ())

    def test_stopped(self) -> None:
        """
        After the end no change is taken; ending twice is fine.
        """
        self.successResultOf(self.workers.stop())
        self.successResultOf(self.workers.stop())
        self.failureResultOf(self.workers.prepare(Change(Revision(1))), NotReady)

    def test_address(self) -> None:
        """
        An address that cannot be had is named before anything is started.
        """
        workers = WorkerSet(self.reactor, Settings(listeners=(Listener("203.0.113.9", 80),)), {})
        self.addCleanup(workers.stop)
        error = self.assertRaises(InvalidSettings, workers.open)
        self.assertIn("203.0.113.9:80", str(error))
        self.assertEqual(self.reactor.tried, 0)


class Worker:
    """
    A process on paper, with the other end of its channel.
    """

    pid = 4711

    def __init__(self, reactor: Pump, protocol: Any, sock: socket.socket) -> None:
        self.protocol = protocol
        self.signals: list[str] = []
        self.channel = Channel(reactor, sock, build_id(), lambda *_: None, lambda _: None)
        self.channel.start()

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def end(self) -> None:
        self.channel.close()
        self.protocol.processExited(Failure(ProcessTerminated(0)))


class PaperProcesses(Pump):
    """
    A machine whose processes live on paper.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Worker] = []

    def spawnProcess(self, protocol: Any, *args: object, **arguments: Any) -> Worker:
        sock = socket.socket(fileno=os.dup(arguments["childFDs"][3]))
        self.started.append(Worker(self, protocol, sock))
        return self.started[-1]


class EndTests(SynchronousTestCase):
    """
    How long workers that are told to end may take.
    """

    def setUp(self) -> None:
        self.reactor = PaperProcesses()
        limits = Limits(drain_s=20.0, tunnel_drain_s=60.0)
        settings = Settings(workers=2, listeners=(Listener("127.0.0.1", 0),), limits=limits)
        self.workers = WorkerSet(self.reactor, settings, {})
        self.workers.start()
        self.first, self.second = self.reactor.started
        self.pass_time(1.0)
        self.stopped = self.workers.stop()
        self.addCleanup(lambda: self.successResultOf(self.stopped))
        self.addCleanup(lambda: [worker.end() for worker in self.reactor.started])

    def pass_time(self, seconds: float, first: int | None = 0, second: int | None = 0) -> None:
        """
        Args:
            first: tunnels that the first worker says with each heartbeat; None: it is silent.
            second: the same of the second.
        """
        for _ in range(round(seconds / TICK_S)):
            for worker, tunnels in ((self.first, first), (self.second, second)):
                if tunnels is not None:
                    worker.channel.send(Beat(tunnels))
            self.reactor.pump()
            self.reactor.advance(TICK_S)

    def test_tunnels(self) -> None:
        """
        One that drains has the time for requests, and the time for tunnels if it says that it has some; then it is
        killed.
        """
        self.pass_time(20.0, 2, 0)
        self.assertEqual((self.first.signals, self.second.signals), (["TERM"], ["TERM"]))
        self.pass_time(2.0, 2, 0)
        self.assertEqual((self.first.signals, self.second.signals), (["TERM"], ["TERM", "KILL"]))
        self.pass_time(38.0, 2, None)
        self.assertEqual(self.first.signals, ["TERM"])
        self.pass_time(2.0, 2, None)
        self.assertEqual(self.first.signals, ["TERM", "KILL"])
        self.assertNoResult(self.stopped)

    def test_last_tunnel_ends(self) -> None:
        """
        The longer time ends with the last tunnel: a worker that does not go by itself then is killed soon, as is one
        that falls silent.
        """
        self.pass_time(30.0, 1, 1)
        self.pass_time(KILL_S, 0, None)
        self.assertEqual((self.first.signals, self.second.signals), (["TERM", "KILL"], ["TERM", "KILL"]))
