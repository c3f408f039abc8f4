"""
What nobody counts as it happens.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.control.counting import EJECTED, Counting
from dfproxy.exchange.traffic import Traffic
from dfproxy.health.outlier import FAILURES
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.settings import Limits
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.observe.cells import CellDirectory, Cells, size
from dfproxy.observe.metrics import FIELDS
from dfproxy.upstream.live import LiveBackend
from dfproxy.upstream.places import Places

CELLS = 16
WAITING = FIELDS.index("waiting")


class CountingTests(SynchronousTestCase):
    """
    Two processes that share numbers.
    """

    def setUp(self) -> None:
        reactor: Any = MemoryReactorClock()
        self.memory = memoryview(bytearray(size(3, CELLS)))
        self.directory = CellDirectory(self.memory, lambda: 0.0, CELLS)
        self.traffic = Traffic(reactor, reactor, Limits(), reactor.seconds)
        self.counting = Counting(self.traffic, Cells(self.memory, self.directory.join(), CELLS))
        self.other = Counting(self.traffic, Cells(self.memory, self.directory.join(), CELLS))
        destination = Destination(0, 80, Match(), "a", "a-be_0")
        service = Service("a", "a", (destination,))
        self.backend = LiveBackend(service, destination, RoundRobin(), reactor, lambda server: None)
        self.backend.members(Membership("a", 0, 1, (ServerAddress("192.0.2.1", 80, cell=3),)))
        self.backend.tally.cell = 2
        (self.server,) = self.backend.servers

    def flush(self) -> None:
        self.traffic.touch(self.server)
        self.counting.flush()

    def test_left_out(self) -> None:
        """
        All processes see that one of them leaves a server out, and that it is used again.
        """
        self.flush()
        self.assertEqual(self.other.of(self.server)[EJECTED], 0)
        for _ in range(FAILURES):
            self.server.record.failed()
        self.flush()
        self.assertEqual(self.other.of(self.server)[EJECTED], 1)
        self.server.record.succeeded()
        self.counting.flush()  # nothing else has happened there
        self.assertEqual(self.other.of(self.server)[EJECTED], 0)

    def test_gone(self) -> None:
        """
        What leaves a server out ends; the others forget it.
        """
        for _ in range(FAILURES):
            self.server.record.failed()
        self.flush()
        self.directory.fold(1)
        self.assertEqual(self.other.of(self.server)[EJECTED], 0)

    def test_waiting(self) -> None:
        """
        Exchanges that wait for a server are seen as long as they do.
        """
        waiter: Any = object()
        self.backend.waiting.append(waiter)
        self.flush()
        self.assertEqual(self.other.of(self.backend.tally)[WAITING], 1)
        self.backend.waiting.clear()
        self.counting.flush()
        self.assertEqual(self.other.of(self.backend.tally)[WAITING], 0)

    def test_queue(self) -> None:
        """
        So are those that wait for a place at one, where each server gets so many at once.
        """
        clock = self.traffic.clock
        places = Places(clock, lambda server, here: 0, 1, 30.0, 10)
        self.backend.places = places
        waiter: Any = object()
        places.wait(waiter)
        self.flush()
        self.assertEqual(self.other.of(self.backend.tally)[WAITING], 1)
        places.leave(waiter)
        self.counting.flush()
        self.assertEqual(self.other.of(self.backend.tally)[WAITING], 0)

    def test_alone(self) -> None:
        """
        Without others what there is is told, with rates and peaks.
        """
        counting = Counting(self.traffic, None)
        self.server.requests, self.server.in_flight = 9, 4
        self.traffic.touch(self.server)
        counting.flush()
        found = dict(zip(FIELDS, counting.of(self.server)))
        self.assertEqual((found["requests"], found["peak"]), (9, 4))
