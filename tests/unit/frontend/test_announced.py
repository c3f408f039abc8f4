"""
Reading the header that says whose connection it is, on real sockets; the test is their reactor.
"""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.announced import AGAIN_S, HEADER_S, AnnouncedPort, Announcing
from dfproxy.wire.proxyprotocol import Announcement

HEADER = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"


class Watching(Clock):
    """
    A reactor that watches descriptors when it is told to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.woken = 0

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def look(self, within_s: float = 0.05) -> None:
        """
        Wake those who have something to read, until nobody has.
        """
        for _ in range(20):
            ready = select.select(self.readers, [], [], within_s)[0]
            if not ready:
                return
            self.woken += len(ready)
            for reader in ready:
                reader.doRead()


class AnnouncedPortTests(SynchronousTestCase):
    """
    `AnnouncedPort`.
    """

    def setUp(self) -> None:
        self.reactor = Watching()
        self.given: list[tuple[bytes, Announcement]] = []
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = AnnouncedPort(self.reactor, listening, self.give)
        self.addCleanup(self.end)
        self.client = socket.create_connection(("127.0.0.1", self.port.getHost().port), 5)
        self.addCleanup(self.client.close)

    def end(self) -> None:
        self.port.stopListening()
        for pending in list(self.port.pending):
            pending.close()

    def give(self, connection: socket.socket, announcement: Announcement) -> None:
        self.given.append((connection.recv(100) if select.select([connection], [], [], 0)[0] else b"", announcement))

    def ended(self) -> bool:
        """
        Whether the client sees the end of its connection.
        """
        try:
            return self.client.recv(1) == b""
        except ConnectionResetError:
            return True

    def test_only_the_header(self) -> None:
        """
        The header is taken, and not a byte more.
        """
        self.client.sendall(HEADER + b"\x16\x03\x01")
        self.reactor.look()
        self.assertEqual(self.given, [(b"\x16\x03\x01", Announcement("192.0.2.7", 4711, 443, "192.0.2.1"))])
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), ([self.port], []))

    def test_in_pieces(self) -> None:
        """
        A header that comes in pieces is waited for, without being woken for what is known already.
        """
        for at, byte in enumerate(HEADER):
            self.assertEqual(self.given, [])
            self.client.sendall(bytes((byte,)))
            self.reactor.look(0.005)
            self.assertLessEqual(self.reactor.woken, at + 2)
        self.reactor.look()
        self.assertEqual(self.given, [(b"", Announcement("192.0.2.7", 4711, 443, "192.0.2.1"))])

    def test_late(self) -> None:
        """
        One that does not come in time is not waited for.
        """
        self.client.sendall(HEADER[:-1])
        self.reactor.look()
        self.reactor.advance(HEADER_S - 0.1)
        self.assertEqual(len(self.port.pending), 1)
        self.reactor.advance(0.2)
        self.assertTrue(self.ended())
        self.assertEqual((self.given, self.reactor.readers, len(self.port.pending)), ([], [self.port], 0))

    def test_none(self) -> None:
        """
        What is no header is closed at once.
        """
        self.client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.reactor.look()
        self.assertTrue(self.ended())
        self.assertEqual((self.given, self.reactor.getDelayedCalls()), ([], []))

    def test_refusals_are_logged(self) -> None:
        """
        The first is, with its reason; the others of the next minute are only counted. Who says nothing is not refused.
        """
        said: list[str] = []

        def observe(event: Any) -> None:
            if event["log_namespace"] == "dfproxy.frontend.announced":
                said.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        where = ("127.0.0.1", self.port.getHost().port)

        def refuse(count: int) -> None:
            for _ in range(count):
                with socket.create_connection(where, 5) as client:
                    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    self.reactor.look()

        self.client.close()
        self.reactor.look()
        self.assertEqual(said, [])
        refuse(3)
        self.reactor.advance(AGAIN_S)
        refuse(1)
        text = (
            f"port {where[1]} expects the PROXY protocol (accept-proxy), so 127.0.0.1 was refused: there is no header"
        )
        self.assertEqual(said, [f"{text}; {others} others since this was last said" for others in (0, 2)])

    def test_client_leaves(self) -> None:
        """
        A client that ends within its header, or resets, is forgotten.
        """
        self.client.sendall(HEADER[:10])
        self.reactor.look()
        self.client.shutdown(socket.SHUT_WR)
        self.reactor.look()
        self.assertEqual((self.given, len(self.port.pending), self.reactor.readers), ([], 0, [self.port]))

    def test_stopped(self) -> None:
        """
        Once stopped nothing is accepted; what was accepted is served.
        """
        self.reactor.look()
        self.port.stopListening()
        self.port.stopListening()
        self.client.sendall(HEADER)
        self.reactor.look()
        self.assertEqual(len(self.given), 1)
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), ([], []))


class AnnouncingTests(SynchronousTestCase):
    """
    `Announcing`.
    """

    def test_told(self) -> None:
        """
        A session is told before it is connected; one of which nothing was said is not, and a refused one stays so.
        """

        class Session:
            announced: Announcement | None = None

        class Sessions:
            made: Session | None = None

            def buildProtocol(self, addr: object) -> Session | None:
                return self.made

        sessions = Sessions()
        said = Announcement("192.0.2.7", 1, 2)
        self.assertIsNone(Announcing(sessions, said).buildProtocol(None))
        sessions.made = Session()
        self.assertIsNone(Announcing(sessions, Announcement()).buildProtocol(None).announced)
        self.assertIs(Announcing(sessions, said).buildProtocol(None).announced, said)
