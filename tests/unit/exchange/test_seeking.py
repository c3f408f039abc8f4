"""
Seeking a server: whole connections wait for places as requests do (`test_resilience` has those).
"""

from __future__ import annotations

import socket
from typing import Any

from dfproxy.frontend.tcp import StreamSession
from dfproxy.model.resilience import Resilience
from dfproxy.upstream.live import LiveBackend
from dfproxy.upstream.places import claim_alone, places_for
from dfproxy.wire.proxyprotocol import Announcement
from tests.e2e.backends import refused_port
from tests.unit.exchange.test_relay import pair
from tests.unit.frontend.streaming import StreamCase


class ConnectionTests(StreamCase):
    """
    One connection at once at the server.
    """

    def limited(self, *servers: tuple[str, int], **policy: Any) -> LiveBackend:
        asked = Resilience(**policy)
        backend = self.backend(*servers, resilience=asked)
        backend.places = places_for(asked, None, self.reactor, claim_alone, 30.0)
        return backend

    def client(self, backend: LiveBackend) -> tuple[socket.socket, StreamSession]:
        """
        A client whose session has begun.
        """
        client, ours = pair()
        self.addCleanup(client.close)
        session = StreamSession(self.site, backend, ours, b"", Announcement())
        self.assertTrue(self.site.admit(session))
        session.begin(5.0)
        return client, session

    def endings(self, count: int) -> list[str]:
        """
        How those that are over ended, once there are so many.
        """
        self.reactor.until(lambda: len(self.lines.added) == count)
        return [ending.word for _, ending in self.lines.added]

    def test_waits(self) -> None:
        """
        The second connection waits until the first is over, longer than a client has for finding a server.
        """
        listening = self.listening()
        backend = self.limited(listening.getsockname(), max_connections=1, queue_timeout_s=20.0)
        first, _ = self.client(backend)
        server = self.accepted(listening)
        client, session = self.client(backend)
        assert backend.places is not None
        self.reactor.pump([1.0] * 10)
        self.assertEqual((len(backend.places.waiting), backend.servers[0].in_flight, session.over), (1, 1, False))
        self.assertIn(backend.servers[0], self.traffic.dirty)
        first.close()
        server.close()
        self.assertEqual(self.endings(1), ["tunnel"])
        second = self.accepted(listening)
        client.send(b"x")
        self.assertEqual(self.received(second, 1), b"x")
        self.assertEqual((len(backend.places.waiting), backend.servers[0].in_flight), (0, 1))
        self.assertGreaterEqual(session.queue_s, 10.0)

    def test_too_long(self) -> None:
        """
        Who waits for too long, or finds the queue full, is let go.
        """
        listening = self.listening()
        backend = self.limited(listening.getsockname(), max_connections=1, queue_timeout_s=2.0, queue_limit=1)
        self.client(backend)
        self.accepted(listening)
        waiting, _ = self.client(backend)
        full, _ = self.client(backend)
        self.assertEqual((self.received(full, 1), self.endings(1)), (b"", ["queue_full"]))
        self.reactor.pump([0.5] * 5)
        self.assertEqual((self.received(waiting, 1), self.endings(2)), (b"", ["queue_full", "queue_timeout"]))
        self.assertEqual(backend.servers[0].in_flight, 1)

    def test_cut(self) -> None:
        """
        One that is cut while it waits leaves the queue.
        """
        listening = self.listening()
        backend = self.limited(listening.getsockname(), max_connections=1)
        self.client(backend)
        self.accepted(listening)
        _, session = self.client(backend)
        session.abortConnection()
        assert backend.places is not None
        self.assertEqual((len(backend.places.waiting), backend.servers[0].in_flight), (0, 1))

    def test_retries(self) -> None:
        """
        As often as the service says, and not at all where connecting is nothing to try again.
        """
        for policy in ({"retries": 0}, {"retry_on": ()}):
            self.lines.added.clear()
            backend = self.limited(("127.0.0.1", refused_port()), **policy)
            client, _ = self.client(backend)
            self.assertEqual((self.received(client, 1), self.endings(1)), (b"", ["connect_failed"]))
            self.assertEqual(backend.servers[0].connect_errors, 1)
