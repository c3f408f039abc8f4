"""
Connecting a socket, over loopback.
"""

from __future__ import annotations

import socket
from errno import EMFILE
from typing import Any
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.deadlines import Deadlines
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.polling import Poller
from dfproxy.upstream.live import LiveBackend, LiveServer
from dfproxy.upstream.plain import PlainAttempt, PlainTrial
from tests.e2e.backends import refused_port
from tests.unit.turning import Turning

SILENT = "198.51.100.1"
"""
An address that answers nothing (RFC 5737), should a network have a way there at all.
"""


class AttemptTests(SynchronousTestCase):
    """
    `PlainAttempt`.
    """

    def setUp(self) -> None:
        self.reactor = Turning()
        self.poller = Poller(self.reactor)
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.deadlines.start()
        self.addCleanup(self.deadlines.stop)
        self.had: list[socket.socket] = []
        self.failed: list[tuple[bool, str]] = []
        self.tried: list[LiveServer] = []

    def server(self, host: str, port: int) -> LiveServer:
        destination = Destination(0, port, Match(), host, "be")
        self.backend = LiveBackend(
            Service("s", "s", (destination,)), destination, RoundRobin(), self.clock, self.tried.append
        )
        self.backend.members(Membership("s", 0, 1, (ServerAddress(host, port),)))
        return self.backend.servers[0]

    def attempt(self, host: str, port: int, waiter: Any = None) -> PlainAttempt:
        found = PlainAttempt(self.poller, self.deadlines, 2.0, self.server(host, port), waiter or self)
        self.addCleanup(found.cancel)
        found.begin()
        return found

    def connected(self, connection: socket.socket) -> None:
        self.addCleanup(connection.close)
        self.had.append(connection)

    def connect_failed(self, server: LiveServer, timed_out: bool, reason: str) -> None:
        self.failed.append((timed_out, reason))

    def test_connected(self) -> None:
        """
        A connected socket that does not block, watched by nobody; counted. On both families.
        """
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
            with socket.create_server((host, 0), family=family) as listening:
                self.attempt(host, listening.getsockname()[1])
                self.reactor.until(lambda: self.had)
                connection = self.had.pop()
                self.assertEqual(connection.getpeername()[:2], listening.getsockname()[:2])
                self.assertFalse(connection.getblocking())
                self.assertTrue(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            server = self.backend.servers[0]
            self.assertEqual((server.connections, server.connecting, self.reactor.readers), (1, [], []))

    def test_refused(self) -> None:
        """
        A refusal is told with its reason, and counts against the server, which is left out after some.
        """
        port = refused_port()
        self.attempt("127.0.0.1", port)
        self.reactor.until(lambda: self.failed)
        self.assertEqual(self.failed, [(False, "Connection refused")])
        server = self.backend.servers[0]
        self.assertEqual((server.connect_errors, server.record.failures, server.connecting), (1, 1, []))
        for _ in range(10):
            attempt = PlainAttempt(self.poller, self.deadlines, 2.0, server, self)
            attempt.begin()
            self.reactor.until(lambda: not server.connecting)
        self.assertTrue(server.record.ejected)

    def test_not_its_fault(self) -> None:
        """
        Without a descriptor to connect with it fails at once, and the server is not blamed.
        """
        with patch("dfproxy.upstream.plain.socket", side_effect=OSError(EMFILE, "Too many open files")):
            self.attempt("127.0.0.1", 9)
        self.assertEqual(self.failed, [(False, "Too many open files")])
        server = self.backend.servers[0]
        self.assertEqual((server.connect_errors, server.record.failures, server.connecting), (0, 0, []))

    def test_silent(self) -> None:
        """
        A server that does not answer is given up when the time is over; one that is gone at once.
        """
        self.attempt(SILENT, 9)
        if self.failed:
            self.assertEqual([late for late, _ in self.failed], [False])  # there is no way at all
            return
        self.clock.pump([0.1] * 15)
        self.assertEqual(self.failed, [])
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.failed, [(True, "timed out")])
        self.attempt(SILENT, 9)
        self.backend.servers[0].give_up_connecting()
        self.assertEqual(self.failed[1:], [(False, "the server is gone")])

    def test_cancelled(self) -> None:
        """
        Who does not want it any more hears nothing, and nothing stays open.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.attempt("127.0.0.1", listening.getsockname()[1]).cancel()
        self.reactor.turn(0.05)
        self.assertEqual((self.failed, self.reactor.readers), ([], []))

    def test_trial(self) -> None:
        """
        A trial closes what it gets, and the server may be used again; if it fails it stays left out.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.attempt("127.0.0.1", listening.getsockname()[1], PlainTrial())
            connection, _ = listening.accept()
            with connection:
                self.reactor.until(lambda: self.backend.servers[0].connections)
                connection.settimeout(5)
                self.assertEqual(connection.recv(1), b"")
        server = self.server("127.0.0.1", refused_port())
        while not server.record.failed():
            pass
        before = server.record.pause_s
        PlainAttempt(self.poller, self.deadlines, 2.0, server, PlainTrial()).begin()
        self.reactor.until(lambda: not server.connecting)
        self.assertTrue(server.record.ejected)
        self.assertGreater(server.record.pause_s, before)
