"""
Tests of the transport: that nothing stands between uvloop and the protocol, and what only a uv transport offers.
"""

from __future__ import annotations

import gc
import os
import socket
import weakref
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ISSLTransport, ITCPTransport, ITLSTransport
from twisted.internet.protocol import Protocol
from zope.interface.verify import verifyObject

from dfproxy.uv.surroundings import discard
from tests.unit.uv.running import HERE, Giving, Recorder, UvTestCase


class NothingBetweenTests(UvTestCase):
    """
    The bytes' way has no code of ours: twice as fast as Twisted's own transports on the same loop.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server, self.client = Recorder(), Recorder()
        self.pair(self.server, self.client)

    def test_uvloop_calls_the_protocol(self) -> None:
        """
        What uvloop calls on received bytes is the protocol's own dataReceived, called from no frame of ours.
        """
        callers: list[Any] = []

        class Looking(Protocol):
            def dataReceived(self, data: bytes) -> None:
                import sys

                callers.append(sys._getframe(1).f_code.co_filename)

        looking = Looking()
        self.server.wire.protocol = looking
        self.assertEqual(self.server.wire.data_received, looking.dataReceived)
        self.client.wire.write(b"x")
        self.until(lambda: callers)
        self.assertNotIn("dfproxy", callers[0])

    def test_write_is_uvloops(self) -> None:
        """
        write and writeSequence are uvloop's own methods of a uvloop TCP transport, while the connection is open.
        """
        for wire in (self.server.wire, self.client.wire):
            for method, name in ((wire.write, "write"), (wire.writeSequence, "writelines")):
                self.assertEqual((type(method.__self__).__name__, method.__name__), ("TCPTransport", name))
        wire = self.client.wire
        wire.loseConnection()
        self.assertEqual((wire.write, wire.writeSequence), (discard, discard))
        self.wait(self.server.lost)
        self.assertEqual((self.server.wire.write, self.server.wire.data_received), (discard, discard))

    def test_nothing_registered(self) -> None:
        """
        Neither reader nor writer is registered for a connection, and its descriptor is uvloop's.
        """
        self.assertEqual((set(self.reactor.getReaders()), self.reactor.getWriters()), ({self.reactor.waker}, []))
        refused = self.assertRaises(RuntimeError, self.reactor.loop.add_reader, self.server.wire.fileno(), self.fail)
        self.assertIn("is used by transport", str(refused))


class TransportTests(UvTestCase):
    """
    What the interfaces leave open.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server, self.client = Recorder(), Recorder()

    def test_interfaces(self) -> None:
        """
        Both ends provide what Twisted's own provide.
        """
        self.pair(self.server, self.client)
        for wire in (self.server.wire, self.client.wire):
            for interface in (ITCPTransport, ITLSTransport, IConsumer, IPushProducer):
                self.assertTrue(verifyObject(interface, wire))
            self.assertFalse(ISSLTransport.providedBy(wire))

    def test_descriptor(self) -> None:
        """
        fileno is the descriptor of this very socket, and -1 after the end.
        """
        self.pair(self.server, self.client)
        wire = self.client.wire
        with socket.socket(fileno=os.dup(wire.fileno())) as copy:
            self.assertEqual(copy.getpeername()[1], wire.getPeer().port)
            self.assertEqual(copy.getsockname()[1], wire.getHost().port)
        wire.abortConnection()
        self.wait(self.client.lost)
        self.assertEqual(wire.fileno(), -1)

    def test_idle_and_forgotten(self) -> None:
        """
        A paused connection to which nobody refers stays open: the reactor keeps it until it ends, and no longer.
        """
        self.pair(self.server, self.client)
        self.client.wire.pauseProducing()
        kept = weakref.ref(self.client)
        self.client = Recorder()
        gc.collect()
        self.turns(3)
        self.assertIsNotNone(kept())
        self.assertFalse(self.server.lost.called)
        self.assertEqual(len(self.reactor.transports), 2)
        self.reactor.disconnectAll()
        self.turns(3)
        gc.collect()
        self.assertIsNone(kept())
        self.assertEqual(self.reactor.transports, set())

    def test_freed_without_collector(self) -> None:
        """
        A connection that has ended is freed at once, on both sides, without work for the garbage collector.
        """
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.pair(self.server, self.client)
        self.client.wire.write(b"x")
        self.until(lambda: self.server.received)
        ends = [weakref.ref(each) for side in (self.server, self.client) for each in (side, side.wire)]
        self.client.wire.loseConnection()
        self.wait(self.client.lost)
        self.wait(self.server.lost)
        self.server, self.client = Recorder(), Recorder()
        self.turns(3)
        self.assertEqual([each() for each in ends], [None] * 4)

    def test_failing_connection_made(self) -> None:
        """
        A protocol that fails in connectionMade is logged, told of the end, and its connection closed.
        """

        class Failing(Recorder):
            def connectionMade(self) -> None:
                raise ValueError("not today")

        failing = Failing()
        port = self.reactor.listenTCP(0, Giving(failing), interface=HERE)
        raw = self.raw_client(port)
        self.assertIsInstance(self.wait(failing.lost), ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        raw.settimeout(1)
        self.turns(2)
        self.assertEqual(raw.recv(1), b"")

    def test_failing_half_close(self) -> None:
        """
        A protocol that fails when told of a half-close loses its connection.
        """
        from twisted.internet.interfaces import IHalfCloseableProtocol
        from zope.interface import implementer

        @implementer(IHalfCloseableProtocol)
        class Failing(Recorder):
            def readConnectionLost(self) -> None:
                raise ValueError("not today")

            def writeConnectionLost(self) -> None:
                raise ValueError("nor this")

        for action in ("peer", "own"):
            server, client = Failing(), Recorder()
            self.pair(server, client)
            (client if action == "peer" else server).wire.loseWriteConnection()
            self.assertIsInstance(self.wait(server.lost), ValueError)
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_end_of_the_reactor(self) -> None:
        """
        When the reactor stops, every protocol hears ConnectionLost at once, and its producer is stopped.
        """
        self.pair(self.server, self.client)
        self.reactor.disconnectAll()
        for protocol in (self.server, self.client):
            self.assertIsInstance(self.successResultOf(protocol.lost), ConnectionLost)

    def test_end_drops_what_waits(self) -> None:
        """
        As on other reactors: the other side's end is the end, though bytes for it still wait.
        """
        port = self.reactor.listenTCP(0, Giving(self.server), interface=HERE)
        raw = self.raw_client(port)
        self.wait(self.server.made)
        while not self.server.wire.unsentBytes():
            self.server.wire.write(bytes(1 << 20))
        raw.shutdown(socket.SHUT_WR)
        self.assertIsInstance(self.wait(self.server.lost), ConnectionDone)

    def test_resume_after_end_of_input(self) -> None:
        """
        resumeProducing after a half-close from the other side doesn't tell of it twice.
        """
        from twisted.internet.interfaces import IHalfCloseableProtocol
        from zope.interface import implementer

        ends: list[str] = []

        @implementer(IHalfCloseableProtocol)
        class Half(Recorder):
            def readConnectionLost(self) -> None:
                ends.append("read")

            def writeConnectionLost(self) -> None:
                ends.append("write")

        half = Half()
        self.pair(half, self.client)
        self.client.wire.loseWriteConnection()
        self.until(lambda: ends)
        half.wire.pauseProducing()
        half.wire.resumeProducing()
        self.turns(3)
        self.assertEqual(ends, ["read"])
        half.wire.loseConnection()
        self.assertIsInstance(self.wait(half.lost), ConnectionDone)
