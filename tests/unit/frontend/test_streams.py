"""
Doors of connections that are not looked into, over real sockets.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Any

from dfproxy.frontend.announced import AnnouncedPort
from dfproxy.frontend.streams import HELLO_S, StreamDoors
from dfproxy.model.pool import Pool
from dfproxy.model.service import Route
from dfproxy.model.stream import Stream
from dfproxy.routing.streams import PortTable
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.proxyprotocol import Announcement
from tests.unit.frontend.streaming import StreamCase
from tests.unit.wire.test_clienthello import message, names, records, said


class DoorCase(StreamCase):
    """
    One port.
    """

    def setUp(self) -> None:
        super().setUp()
        self.doors = StreamDoors(self.site, self.traffic)
        self.given: list[tuple[bytes, Announcement]] = []

    def give(self, connection: socket.socket, said: Announcement) -> None:
        """
        HTTP is served: what it would read.
        """
        connection.setblocking(True)
        connection.settimeout(5)
        self.given.append((connection.recv(70000, socket.MSG_PEEK), said))

    def table(self, *backends: LiveBackend, **about: Any) -> None:
        """
        What is in force on port 1.
        """
        pools = []
        for backend in backends:
            stream = backend.destination.stream
            assert stream is not None
            described = Stream(1, stream.names, **about)
            pools.append((Pool(described, (Route(backend.service, backend.destination),)), backend))
        self.doors.tables = {1: PortTable(pools)} if pools else {}

    def port(self, shared: bool = False, announced: bool = False) -> int:
        """
        A port in front, as number 1.
        """
        listening = socket.create_server(("127.0.0.1", 0))
        otherwise = self.give if shared else None
        if announced:
            port: Any = AnnouncedPort(self.reactor, listening, self.doors.announced(1, otherwise))
        else:
            port = self.doors.port(listening, 1, otherwise)
        self.addCleanup(port.stopListening)
        self.addCleanup(lambda: [each.close() for each in list(self.doors.pending)])
        return int(port.getHost().port)

    def client(self, port: int, *pieces: bytes) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", port), 5)
        self.addCleanup(found.close)
        for piece in pieces:
            found.send(piece)
            self.reactor.turn(0.02)
            self.reactor.turn(0.02)
        return found

    def assert_reaches(self, client: socket.socket, listening: socket.socket, data: bytes) -> None:
        """
        This server got the client, with all of its bytes.
        """
        server = self.accepted(listening)
        self.assertEqual(self.received(server, len(data)), data)
        server.send(b"ok")
        self.assertEqual(self.received(client, 2), b"ok")

    def assert_closed(self, client: socket.socket) -> None:
        """
        It was let go without a byte.
        """
        self.assertIn(self.received(client, 1), (b"", b"reset"))


class PortTests(DoorCase):
    """
    A port of streams only.
    """

    def test_at_once(self) -> None:
        """
        Where nobody is chosen by name a connection has its server before the client has said anything.
        """
        listening = self.listening()
        self.table(self.backend(listening.getsockname()))
        client = self.client(self.port())
        self.accepted(listening).send(b"220 hello")
        self.assertEqual(self.received(client, 9), b"220 hello")

    def test_by_name(self) -> None:
        """
        By name the first bytes decide, and none is lost; others go to the default.
        """
        one, two = self.listening(), self.listening()
        self.table(self.backend(one.getsockname(), names=["a.test"]), self.backend(two.getsockname()))
        port = self.port()
        for hello, listening in ((said("A.test"), one), (said("b.test"), two), (said(None), two), (b"GET /", two)):
            self.assert_reaches(self.client(port, hello), listening, hello)

    def test_in_pieces(self) -> None:
        """
        Bytes may come one by one, and records may cut the message.
        """
        listening = self.listening()
        self.table(self.backend(listening.getsockname(), names=["a.test"]))
        port = self.port()
        whole = said("a.test")
        client = self.client(port, whole[:1], whole[1:3], whole[3:6], whole[6:100], whole[100:])
        self.assert_reaches(client, listening, whole)
        cut = records(message(names(b"a.test")), 5)
        self.assert_reaches(self.client(port, cut[:-3], cut[-3:] + b"more"), listening, cut + b"more")

    def test_nobody(self) -> None:
        """
        Without a default, who asks for nobody known is let go without a byte; and where nothing is in force any more.
        """
        self.table(self.backend(names=["a.test"]))
        port = self.port()
        for first in (
            said("b.test"),
            said(None),
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\3\1\0\0",
            records(b"\2" + bytes(9)),
        ):
            self.assert_closed(self.client(port, first))
        self.table()
        self.assert_closed(self.client(port))
        self.assertEqual(self.doors.pending, set())

    def test_improper_hello(self) -> None:
        """
        What began like TLS and is none goes nowhere, not even to the default.
        """
        self.table(self.backend(names=["a.test"]), self.backend(self.listening().getsockname()))
        port = self.port()
        for first in (records(message(names(b"a.test", b"b.test"))), b"\x16\3\1\x40\0\1\0\x40\0" + bytes(16384)):
            self.assert_closed(self.client(port, first))

    def test_silent(self) -> None:
        """
        Who says nothing has five seconds, and is then one without a name; who stops within a word is let go.
        """
        listening = self.listening()
        self.table(self.backend(names=["a.test"]), self.backend(listening.getsockname()))
        port = self.port()
        quiet, slow = self.client(port, b""), self.client(port, said("a.test")[:50])
        self.reactor.until(lambda: len(self.doors.pending) == 2)
        self.reactor.pump([0.1] * int(HELLO_S * 10 - 1))
        self.assertEqual(len(self.doors.pending), 2)
        self.reactor.pump([0.1] * 15)
        self.accepted(listening).send(b"ok")
        self.assertEqual(self.received(quiet, 2), b"ok")
        self.assert_closed(slow)
        self.assertEqual(self.doors.pending, set())

    def test_gone(self) -> None:
        """
        Who ends before it has said enough is forgotten at once.
        """
        self.table(self.backend(names=["a.test"]))
        port = self.port()
        for first in (b"", said("a.test")[:3], said("a.test")[:50]):
            client = self.client(port)
            client.sendall(first)
            client.shutdown(socket.SHUT_WR)
            self.assert_closed(client)
        self.assertEqual(self.doors.pending, set())

    def test_others_meanwhile(self) -> None:
        """
        What is in force when the bytes have come decides.
        """
        one, two = self.listening(), self.listening()
        self.table(self.backend(one.getsockname(), names=["a.test"]))
        whole = said("a.test")
        client = self.client(self.port(), whole[:50])
        self.table(self.backend(two.getsockname(), names=["a.test"]))
        client.send(whole[50:])
        self.assert_reaches(client, two, whole)

    def test_too_many(self) -> None:
        """
        Those that are awaited count; above the limit a connection is let go, and counted.
        """
        self.table(self.backend(names=["a.test"]))
        port = self.port()
        self.site.limit = 2
        self.client(port, b"")
        self.client(port, b"")
        self.reactor.until(lambda: len(self.doors.pending) == 2)
        self.assert_closed(self.client(port, b""))
        self.assertEqual(self.traffic.frontend.connect_errors, 1)

    def test_keep_alive(self) -> None:
        """
        `clitcpka`: the kernel is told to look after silent clients.
        """
        listening = self.listening()
        kept = []
        for wanted in (True, False):
            self.table(self.backend(listening.getsockname()), keep_alive=wanted)
            self.client(self.port())
            self.accepted(listening)
            (session,) = self.site.sessions_open
            kept.append(session._connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))  # type: ignore[attr-defined]  # ours
            self.site.abort_all()
        self.assertEqual([bool(value) for value in kept], [True, False])


class SharedTests(DoorCase):
    """
    A port where HTTP is served as well.
    """

    def test_shared(self) -> None:
        """
        Who asks for a name of a stream goes there; all others are served as ever, with all their bytes.
        """
        listening = self.listening()
        self.table(self.backend(listening.getsockname(), names=["a.test"]))
        port = self.port(shared=True)
        hello = said("a.test")
        self.assert_reaches(self.client(port, hello), listening, hello)
        twice = records(message(names(b"a.test", b"b.test")))
        others: Iterable[bytes] = (said("b.test"), said(None), b"GET / HTTP/1.1\r\n\r\n", twice)
        for first in others:
            self.client(port, first)
            self.reactor.until(lambda: self.given)
            self.assertEqual(self.given.pop()[0], first)

    def test_ends_tls(self) -> None:
        """
        What is given on begins with the whole ClientHello: TLS can be ended there.
        """
        self.table(self.backend(names=["a.test"]))
        hello = said("b.test")
        self.client(self.port(shared=True), hello[:60], hello[60:])
        self.reactor.until(lambda: self.given)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        asked: list[str | None] = []
        context.sni_callback = lambda session, name, _: asked.append(name)  # type: ignore[assignment]  # None: go on
        incoming = ssl.MemoryBIO()
        incoming.write(self.given[0][0])
        session = context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
        self.assertRaises(ssl.SSLError, session.do_handshake)  # it has no certificate
        self.assertEqual(asked, ["b.test"])

    def test_silent(self) -> None:
        """
        After five seconds of silence it is served as ever, whose own limits count then.
        """
        self.table(self.backend(names=["a.test"]))
        client = self.client(self.port(shared=True), b"")
        self.reactor.until(lambda: self.doors.pending)
        client.shutdown(socket.SHUT_WR)  # else `give` would wait for bytes
        self.assert_closed(client)
        client = self.client(self.port(shared=True), said("a.test")[:9])
        self.reactor.until(lambda: self.doors.pending)
        self.reactor.pump([0.1] * 65)
        self.assertEqual(self.given[0][0], said("a.test")[:9])

    def test_announced(self) -> None:
        """
        Behind a header of the PROXY protocol the same, and it goes on whose connection it is.
        """
        listening = self.listening()
        self.table(self.backend(listening.getsockname(), names=["a.test"]))
        port = self.port(shared=True, announced=True)
        header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"
        hello = said("a.test")
        self.assert_reaches(self.client(port, header + hello[:50], hello[50:]), listening, hello)
        (session,) = self.site.sessions_open
        self.assertEqual(session.transport.getPeer().host, "192.0.2.7")
        self.client(port, header + said("b.test"))
        self.reactor.until(lambda: self.given)
        self.assertEqual(self.given[0], (said_b := self.given[0][0], Announcement("192.0.2.7", 4711, 443, "192.0.2.1")))
        self.assertTrue(said_b.startswith(b"\x16\3"))
