"""
Tests of `dfproxy.discovery.datagrams` on loopback.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from dfproxy.discovery.datagrams import QuietPort


class Collector(DatagramProtocol):
    """
    Remembers what arrives; one datagram is beyond it.
    """

    noisy = False

    def __init__(self, wanted: int) -> None:
        self.received: list[tuple[bytes, Any]] = []
        self.wanted = wanted
        self.done: Deferred[None] = Deferred()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if datagram == b"nonsense":
            raise ValueError("nonsense")
        self.received.append((datagram, addr))
        if len(self.received) == self.wanted:
            self.done.callback(None)


class QuietPortTests(TestCase):
    """
    What a DNS client does with it.
    """

    def server(self) -> socket.socket:
        """
        The other end, blocking.
        """
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        made.settimeout(30)
        made.bind(("127.0.0.1", 0))
        return made

    @inlineCallbacks
    def test_there_and_back(self) -> Any:
        """
        A datagram gets there; answers come back with their sender, also those after one that is nonsense.
        """
        server, protocol = self.server(), Collector(2)
        port = QuietPort(reactor, protocol, False)
        self.assertTrue(verifyObject(IReadDescriptor, port))
        port.write(b"question", server.getsockname())
        question, client = server.recvfrom(100)
        self.assertEqual(question, b"question")
        for answer in (b"one", b"nonsense", b"two"):
            server.sendto(answer, client)
        yield protocol.done
        self.assertEqual(protocol.received, [(b"one", server.getsockname()), (b"two", server.getsockname())])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        port.close()
        self.assertEqual(port.fileno(), -1)
        self.assertNotIn(port, reactor.getReaders())  # type: ignore[attr-defined]  # the reactor is a module to mypy

    def test_given_up_by_the_reactor(self) -> None:
        """
        A descriptor that the reactor drops is closed, and its protocol stopped.
        """
        protocol = Collector(1)
        port = QuietPort(reactor, protocol, False)
        port.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(port.fileno(), -1)
        self.assertEqual(protocol.numPorts, 0)

    def test_no_socket(self) -> None:
        """
        Without a socket there is no port, and no protocol was started.
        """

        def none_left(*arguments: object) -> None:
            raise OSError(24, "Too many open files")

        self.patch(socket, "socket", none_left)
        protocol = Collector(1)
        self.assertRaises(CannotListenError, QuietPort, reactor, protocol, False)
        self.assertEqual(protocol.numPorts, 0)
