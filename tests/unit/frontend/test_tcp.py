"""
One client connection whose bytes are not looked into, over real sockets.
"""

from __future__ import annotations

import gc
import socket

from zope.interface.verify import verifyObject

from dfproxy.exchange.relay import Relay, _Way
from dfproxy.frontend.tcp import StreamHead, StreamSession
from dfproxy.interfaces import IRequest
from dfproxy.upstream.live import LiveBackend
from dfproxy.upstream.plain import PlainAttempt
from dfproxy.wire.proxyprotocol import Announcement, read_header, write_header
from tests.e2e.backends import refused_port
from tests.unit.exchange.test_relay import pair, reset
from tests.unit.frontend.streaming import StreamCase

UNSAID = Announcement()


class SessionTests(StreamCase):
    """
    `StreamSession`.
    """

    def session(
        self, backend: LiveBackend, timeout_s: float = 20.0, name: bytes = b"", said: Announcement = UNSAID
    ) -> tuple[socket.socket, StreamSession]:
        """
        A client, and its session, which has begun.
        """
        client, ours = pair()
        self.addCleanup(client.close)
        session = StreamSession(self.site, backend, ours, name, said)
        self.assertTrue(self.site.admit(session))
        session.begin(timeout_s)
        return client, session

    def header_of(self, client: socket.socket) -> bytes:
        """
        The header of version 1 that says who this client is.
        """
        (host, port), (local_host, local_port) = client.getsockname(), client.getpeername()
        return write_header(1, Announcement(host, port, local_port, local_host))

    def ending(self) -> str:
        """
        How the one that is over ended.
        """
        self.reactor.until(lambda: self.lines.added)
        return str(self.lines.added.pop()[1].word)

    def test_whole(self) -> None:
        """
        Bytes both ways, counted while it runs and in flight until it is over.
        """
        listening = self.listening()
        backend = self.backend(listening.getsockname())
        client, session = self.session(backend)
        server = self.accepted(listening)
        client.send(b"question")
        self.assertEqual(self.received(server, 8), b"question")
        server.send(b"answer!")
        self.assertEqual(self.received(client, 7), b"answer!")
        counted = backend.servers[0]
        self.assertEqual((counted.in_flight, counted.connections, counted.bytes_in, counted.bytes_out), (1, 1, 8, 7))
        self.assertEqual((self.traffic.frontend.in_flight, self.site.tunnels()), (1, 1))
        self.assertIn(counted, self.traffic.dirty)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.received(server, 1), b"")
        server.close()
        self.assertEqual(self.ending(), "tunnel")
        self.assertEqual((counted.in_flight, self.site.sessions_open, self.traffic.frontend.in_flight), (0, set(), 0))
        self.assertEqual((session.bytes_in, session.bytes_out, session.server_name), (8, 7, "-"))

    def test_nothing_left(self) -> None:
        """
        What is over is gone at once, without the garbage collector: connections come by thousands a second.
        """

        def left() -> int:
            return sum(type(each) in (StreamSession, Relay, _Way, PlainAttempt) for each in gc.get_objects())

        listening = self.listening()
        backend = self.backend(listening.getsockname())
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        before = left()
        for cut in (False, True):
            client, session = self.session(backend)
            server = self.accepted(listening)
            client.send(bytes(200_000))
            self.assertEqual(len(self.received(server, 200_000)), 200_000)
            self.assertGreater(left(), before)
            if cut:
                session.abortConnection()
            else:
                client.close()
                server.close()
            del session
            self.ending()
            self.assertEqual(left(), before)

    def test_other_server(self) -> None:
        """
        A server that refuses is left for another one at once; the client notices nothing.
        """
        listening = self.listening()
        backend = self.backend(("127.0.0.1", refused_port()), listening.getsockname())
        for _ in range(2):
            client, _ = self.session(backend)
            server = self.accepted(listening)
            server.send(b"x")
            self.assertEqual(self.received(client, 1), b"x")
        good, bad = sorted(backend.servers, key=lambda each: each.connect_errors)
        self.assertEqual((good.connections, good.connect_errors, bad.connections), (2, 0, 0))
        self.assertEqual(bad.retries, bad.connect_errors)

    def test_lone_server(self) -> None:
        """
        A lone server is tried again after a pause, and when there is news; then the client is let go.
        """
        backend = self.backend(("127.0.0.1", refused_port()))
        client, _ = self.session(backend)
        lone = backend.servers[0]
        for count in (1, 2, 3):
            self.reactor.until(lambda: not lone.connecting and lone.connect_errors)
            self.assertEqual(lone.connect_errors, count)
            self.reactor.advance(1.0)
        self.assertEqual((self.received(client, 1), self.ending()), (b"", "connect_failed"))
        self.assertEqual(backend.waiting, [])
        client, _ = self.session(backend)
        self.reactor.until(lambda: backend.waiting)
        backend.wake_all()
        self.reactor.until(lambda: lone.connect_errors == 5)
        self.assertEqual(lone.in_flight, 0)

    def test_nobody(self) -> None:
        """
        Without any server the client is let go at once, and that is counted.
        """
        backend = self.backend()
        client, _ = self.session(backend)
        self.assertEqual((self.received(client, 1), self.ending()), (b"", "no_server"))
        self.assertEqual(backend.tally.connect_errors, 1)

    def test_time_to_connect(self) -> None:
        """
        The client's time-out counts until there is a server.
        """
        backend = self.backend(("127.0.0.1", refused_port()))
        client, _ = self.session(backend, timeout_s=0.5)
        self.reactor.until(lambda: backend.waiting)
        self.reactor.pump([0.1] * 9)
        self.reactor.pump([0.1] * 9)
        self.assertEqual((self.received(client, 1), backend.waiting), (b"", []))
        self.assertEqual(self.ending(), "client_stalled")

    def test_idle(self) -> None:
        """
        Then only that of tunnels: the destination's own, from the last byte of either side on.
        """
        listening = self.listening()
        client, session = self.session(self.backend(listening.getsockname(), tunnel_timeout_s=30.0), 1.0)
        server = self.accepted(listening)
        self.reactor.pump([0.1] * 250)
        server.send(b"x")
        self.assertEqual(self.received(client, 1), b"x")
        self.reactor.pump([0.1] * 250)
        self.assertFalse(session.over)
        self.reactor.pump([0.1] * 70)
        self.assertEqual((self.received(client, 1), self.received(server, 1)), (b"", b""))
        self.assertEqual(self.ending(), "tunnel_idle")

    def test_broken(self) -> None:
        """
        A reset of either side reaches the other, and counts against whose fault it is.
        """
        listening = self.listening()
        backend = self.backend(listening.getsockname())
        client, _ = self.session(backend)
        server = self.accepted(listening)
        reset(server)
        self.assertEqual((self.received(client, 1), self.ending()), (b"reset", "server_cut"))
        self.assertEqual(backend.servers[0].response_errors, 1)
        client, _ = self.session(backend)
        server = self.accepted(listening)
        client.send(b"x")
        self.received(server, 1)
        reset(client)
        self.assertEqual((self.received(server, 1), self.ending()), (b"reset", "client_gone"))
        self.assertEqual(backend.servers[0].client_aborts, 1)

    def test_drained(self) -> None:
        """
        It is a tunnel: idle ones are not closed, and only the end of the time for tunnels cuts it.
        """
        listening = self.listening()
        client, session = self.session(self.backend(listening.getsockname()))
        server = self.accepted(listening)
        self.site.close_idle()
        self.site.abort_requests()
        server.send(b"x")
        self.assertEqual(self.received(client, 1), b"x")
        self.site.abort_all()
        self.assertEqual((self.received(client, 1), self.ending()), (b"reset", "shutdown"))
        self.assertTrue(session.over)

    def test_cut_while_connecting(self) -> None:
        """
        One that still waits for a server lets go of everything as well.
        """
        backend = self.backend(("127.0.0.1", refused_port()))
        client, session = self.session(backend)
        self.reactor.until(lambda: backend.waiting)
        session.abortConnection()
        self.assertEqual((backend.waiting, self.ending()), ([], "shutdown"))
        self.reactor.advance(5.0)
        self.assertEqual(backend.servers[0].in_flight, 0)

    def test_announced(self) -> None:
        """
        With `sendProxy` the server is told whose connection it is, before anything else; where we were told, that.
        """
        listening = self.listening()
        for version in (1, 2):
            backend = self.backend(listening.getsockname(), announce=version)
            client, _ = self.session(backend)
            client.send(b"hello")
            server = self.accepted(listening)
            here = client.getsockname()
            found = read_header(self.received(server, 28 if version == 2 else len(self.header_of(client))))
            assert found is not None
            self.assertEqual((found[0].host, found[0].port), here)
            self.assertEqual((found[0].local_host, found[0].local_port), client.getpeername())
        said = Announcement("192.0.2.7", 4711, 443, "192.0.2.1")
        client, session = self.session(backend, said=said)
        server = self.accepted(listening)
        self.assertEqual(read_header(self.received(server, 28)), (said, 28))
        self.assertEqual((session.request.client_host, session.request.local_port), ("192.0.2.7", 443))
        self.assertEqual((session.getPeer().host, session.getHost().port), ("192.0.2.7", 443))

    def test_head(self) -> None:
        """
        What a strategy sees: no request, but who it is and the name that it asks for.
        """
        head = StreamHead(b"a.test", "192.0.2.7", 4711, 443)
        verifyObject(IRequest, head)
        self.assertEqual(
            (head.host, head.client_host, head.values(b"host"), head.path), (b"a.test", "192.0.2.7", [], b"")
        )

    def test_faulty_strategy(self) -> None:
        """
        A strategy that raises costs its own connections only.
        """
        listening = self.listening()
        backend = self.backend(listening.getsockname())

        def fails(*_: object) -> None:
            raise ZeroDivisionError("oops")

        backend.taken = backend.released = fails
        client, _ = self.session(backend)
        self.accepted(listening).close()
        client.close()
        self.assertEqual(self.ending(), "tunnel")
        backend.pick = fails  # type: ignore[assignment]  # as a plugin might
        client, _ = self.session(backend)
        self.assertEqual((self.received(client, 1), self.ending()), (b"", "no_server"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
