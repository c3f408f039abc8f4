"""
How many workers are started, when, and when no more: with time in the test's hands. Real processes are in
`tests.e2e.test_workers`.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.errors import InvalidSettings, NotReady
from dfproxy.interfaces import IDataPlane
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change, Revision
from dfproxy.observe.cells import FRONTEND, WORDS
from dfproxy.workers.leader import BACK_OFF_S, REPLACEMENTS, WorkerSet
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
