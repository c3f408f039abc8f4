"""
Tests of accepting.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
import time
from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from zope.interface.verify import verifyObject

from dfproxy.uv.ports import BACKLOG_OFFSET, backlog_of
from tests.unit.uv.running import HERE, Giving, Recorder, UvTestCase


class PortTests(UvTestCase):
    """
    A listening port.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server = Recorder()
        self.port: Any = self.reactor.listenTCP(0, Giving(self.server), backlog=5, interface=HERE)

    def test_interface(self) -> None:
        """
        It is an IListeningPort, whose descriptor can be handed to another process.
        """
        self.assertTrue(verifyObject(IListeningPort, self.port))
        with socket.socket(fileno=os.dup(self.port.fileno())) as copy:
            self.assertEqual(copy.getsockname()[1], self.port.getHost().port)

    def test_pause(self) -> None:
        """
        A paused port accepts nothing, connections wait in the kernel; resumed it accepts them.
        """
        self.port.pauseProducing()
        self.port.pauseProducing()
        self.raw_client(self.port)
        self.turns(5)
        self.assertFalse(self.server.made.called)
        self.port.resumeProducing()
        self.port.resumeProducing()
        self.wait(self.server.made)

    def test_backlog(self) -> None:
        """
        The accept queue has the length asked for, and an adopted socket keeps its own.
        """
        self.assertEqual(backlog_of(self.port.socket), 5)
        with socket.socket() as listener:
            listener.bind((HERE, 0))
            listener.listen(77)
            adopted = self.reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, Giving())
            self.assertEqual(backlog_of(listener), 77)
            adopted.stopListening()
            self.turns(2)
            # Where uvloop would have called listen() with a number of its own.
            information = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BACKLOG_OFFSET + 4)
            self.assertEqual(struct.unpack_from("I", information, BACKLOG_OFFSET)[0], 77)

    def test_backlog_of_something_else(self) -> None:
        """
        Where the kernel doesn't tell, the system's maximum is used.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            self.assertEqual(backlog_of(datagrams), socket.SOMAXCONN)

    def test_stop(self) -> None:
        """
        stopListening tells when the address is free again, and closes every descriptor.
        """
        before = len(os.listdir("/proc/self/fd"))
        address = self.port.getHost()
        self.wait(self.port.stopListening())
        self.turns(2)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before - 2)
        again = self.reactor.listenTCP(address.port, Giving(), interface=HERE)
        self.wait(again.stopListening())

    def test_end_of_the_reactor(self) -> None:
        """
        When the reactor stops, an open port is closed and its factory stopped, as on other reactors.
        """
        stopped: list[str] = []
        self.port.factory.stopFactory = lambda: stopped.append("stopped")
        address = self.port.getHost()
        self.reactor.disconnectAll()
        self.assertEqual((stopped, self.reactor.ports), (["stopped"], set()))
        self.turns(2)
        with socket.socket() as raw:
            self.assertRaises(ConnectionRefusedError, raw.connect, (address.host, address.port))

    def test_failing_factory(self) -> None:
        """
        A factory that raises loses that connection only: it is logged, and the next is accepted.
        """
        recorder = Recorder()

        class Failing(Factory):
            calls = 0

            def buildProtocol(self, addr: Any) -> Any:
                self.calls += 1
                if self.calls == 1:
                    raise ValueError("not today")
                return recorder

        port = self.reactor.listenTCP(0, Failing(), interface=HERE)
        self.raw_client(port)
        self.until(lambda: port.factory.calls == 1)
        self.raw_client(port)
        self.wait(recorder.made)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(recorder.wire.sessionno, 1)

    def test_reset_before_accepted(self) -> None:
        """
        A client that resets before it is accepted is forgotten without a word in the log; the next one is served.
        """
        self.port.pauseProducing()
        gone = socket.create_connection((HERE, self.port.getHost().port))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        self.port.resumeProducing()
        self.turns(5)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertFalse(self.server.made.called)
        self.raw_client(self.port)
        self.wait(self.server.made)

    def test_no_descriptors_left(self) -> None:
        """
        When descriptors run out, waiting connections are let go without a busy loop, and later ones are served.
        """
        self.turns(2)
        clients = [socket.socket() for _ in range(4)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        fillers: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
        try:
            while True:
                try:
                    fillers.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    break
            # The loop itself needs two whenever it is started.
            for _ in range(2):
                os.close(fillers.pop())
            for client in clients:
                client.connect((HERE, self.port.getHost().port))
            began = time.process_time()
            deadline = self.reactor.loop.time() + 0.1
            self.until(lambda: self.reactor.loop.time() > deadline)
            self.assertLess(time.process_time() - began, 0.09)
            self.assertFalse(self.server.made.called)
        finally:
            for filler in fillers:
                os.close(filler)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for client in clients:
                client.close()
        self.raw_client(self.port)
        self.wait(self.server.made)


class AdoptedConnectionTests(UvTestCase):
    """
    A connection accepted elsewhere.
    """

    def test_adopted(self) -> None:
        """
        It is served through a duplicate descriptor, by uvloop's own transport; closing leaves no descriptor behind.
        """
        # libuv keeps one descriptor in reserve from the first socket on.
        self.wait(self.reactor.listenTCP(0, Giving(), interface=HERE).stopListening())
        self.turns(2)
        before = len(os.listdir("/proc/self/fd"))
        with socket.create_server((HERE, 0)) as listener, socket.create_connection(listener.getsockname()) as raw:
            accepted, _ = listener.accept()
            server = Recorder()
            wire = self.reactor.adoptStreamConnection(accepted.fileno(), socket.AF_INET, Giving(server))
            accepted.close()
            self.assertIs(self.wait(server.made), wire)
            self.assertEqual(type(wire.write.__self__).__name__, "TCPTransport")
            self.assertEqual(wire.getPeer().port, raw.getsockname()[1])
            wire.loseConnection()
            self.wait(server.lost)
        self.turns(2)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_unix_stays_twisteds(self) -> None:
        """
        AF_UNIX connections get Twisted's own transport, which can pass descriptors.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        server = Recorder()
        wire = self.reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, Giving(server))
        self.assertTrue(hasattr(wire, "sendFileDescriptor"))
        theirs.sendall(b"over unix")
        self.until(lambda: server.received == b"over unix")
