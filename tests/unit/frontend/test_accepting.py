"""
Accepting connections as sockets.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.accepting import AT_ONCE, PAUSE_S, AcceptingPort
from tests.unit.turning import Turning


class Port(AcceptingPort):
    """
    Keeps what comes.
    """

    def __init__(self, reactor: Any, listening: socket.socket) -> None:
        self.had: list[socket.socket] = []
        super().__init__(reactor, listening)

    def begin(self, connection: socket.socket) -> None:
        self.had.append(connection)


class PortTests(SynchronousTestCase):
    """
    `AcceptingPort`.
    """

    def setUp(self) -> None:
        self.reactor = Turning()
        self.port = Port(self.reactor, socket.create_server(("127.0.0.1", 0), backlog=200))
        self.addCleanup(self.end)

    def end(self) -> None:
        self.port.stopListening()
        for connection in self.port.had:
            connection.close()

    def connect(self) -> None:
        self.addCleanup(socket.create_connection(("127.0.0.1", self.port.getHost().port), 5).close)

    def test_accepted(self) -> None:
        """
        They do not block and send without waiting; many at once leave others a turn.
        """
        for _ in range(AT_ONCE + 1):
            self.connect()
        self.reactor.turn()
        self.assertEqual(len(self.port.had), AT_ONCE)
        self.reactor.turn()
        self.assertEqual(len(self.port.had), AT_ONCE + 1)
        self.assertFalse(self.port.had[0].getblocking())
        self.assertTrue(self.port.had[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_no_descriptors(self) -> None:
        """
        Without descriptors it rests a moment instead of turning round, then goes on.
        """
        listening, self.port._listening = self.port._listening, Without()  # type: ignore[assignment]  # as far as asked
        self.port.doRead()
        self.assertEqual(self.reactor.readers, [])
        self.port._listening = listening
        self.connect()
        self.reactor.advance(PAUSE_S)
        self.reactor.turn()
        self.assertEqual(len(self.port.had), 1)

    def test_stopped(self) -> None:
        """
        Stopped it accepts nothing, also while it rests; stopping twice is fine, and the reactor's end stops it.
        """
        listening, self.port._listening = self.port._listening, Without()  # type: ignore[assignment]  # as far as asked
        self.port.doRead()
        self.port._listening = listening
        self.port.stopListening()
        self.port.stopListening()
        self.reactor.advance(PAUSE_S)
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), ([], []))
        self.assertRaises(OSError, self.connect)
        other = Port(self.reactor, socket.create_server(("::1", 0), family=socket.AF_INET6))
        self.assertEqual(other.getHost().host, "::1")
        other.connectionLost(None)  # type: ignore[arg-type]  # not looked at
        self.assertEqual(self.reactor.readers, [])


class Without:
    """
    A listening socket in a process without descriptors.
    """

    def accept(self) -> Any:
        raise OSError(errno.EMFILE, "too many open files")

    def fileno(self) -> int:
        return 0
