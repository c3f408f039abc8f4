"""
Connecting: one attempt, its limit, and who is told.
"""

from __future__ import annotations

import gc
import ssl
from dataclasses import replace
from errno import EADDRNOTAVAIL, EMFILE, ENFILE
from typing import Any
from weakref import ref

from twisted.internet.error import ConnectBindError, ConnectionRefusedError
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.deadlines import Deadlines
from dfproxy.model.settings import Limits
from dfproxy.upstream.connector import COMPLAIN_S, Connector
from dfproxy.upstream.http1 import ServerConnection, State
from dfproxy.upstream.live import LiveServer
from tests.dialogue import HOSTS, Dialogue, Memory, UvWire


class Session:
    """
    A connection's TLS, as far as it is looked at.
    """

    def __init__(self, certificate: bytes) -> None:
        self.session = f"session of {certificate.decode()}"
        self._certificate = certificate

    def getpeercert(self, binary: bool) -> bytes:
        return self._certificate


class SecureWire(UvWire):
    """
    A transport with TLS.
    """

    shown = b"good"

    def getHandle(self) -> Any:
        return Session(type(self).shown)


class Believing:
    """
    TLS with servers that show `good`.
    """

    sni = "a.test"

    def __init__(self) -> None:
        self.sessions: list[Any] = []

    def handshake(self, session: Any) -> Any:
        self.sessions.append(session)
        return self

    def mismatch(self, certificate: bytes | None) -> str:
        return "" if certificate == b"good" else "it is another"


class Waits:
    """
    Notes what it is told.
    """

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connected(self, connection: ServerConnection) -> None:
        self.told.append(connection)

    def connect_failed(self, server: LiveServer, timed_out: bool) -> None:
        self.told.append((server, timed_out))


class ConnectorTests(SynchronousTestCase):
    """
    `Connector`.
    """

    def setUp(self) -> None:
        self.dialogue = Dialogue()
        self.dialogue.traffic.deadlines.stop()
        self.reactor: Memory = self.dialogue.reactor
        reactor: Any = self.reactor
        self.connector = Connector(reactor, Limits(connect_timeout_s=3.0), Deadlines(self.reactor))
        assert self.dialogue.backend is not None
        self.server = self.dialogue.backend.servers[0]
        self.waiter = Waits()

    def ask(self, manner: str) -> None:
        self.reactor.manners[HOSTS[0]] = manner
        self.connector.connect(self.server, self.waiter)

    def test_connected(self) -> None:
        """
        Who asked gets an idle connection that is in no pool, and it is counted.
        """
        self.ask("accept")
        self.reactor.settle()
        (connection,) = self.waiter.told
        self.assertIs(connection.state, State.IDLE)
        self.assertEqual((self.server.idle, self.server.connections, self.server.connect_errors), ([], 1, 0))

    def test_lets_go(self) -> None:
        """
        Who asked is let go of once told, without the help of the garbage collector: a client that has gone, with its
        buffers, would stay as long as the connection to the server, or longer.
        """
        gc.disable()
        self.addCleanup(gc.enable)
        for manner in ("accept", "refuse"):
            self.waiter = Waits()
            left = ref(self.waiter)
            self.ask(manner)
            (attempt,) = self.server.connecting  # which the reactor's connector keeps as long as the connection lives
            self.reactor.settle()
            told = self.waiter.told
            self.assertEqual(len(told), 1)
            del self.waiter
            self.assertIsNone(left(), manner)
            self.assertIsNone(attempt._stop)

    def test_not_its_fault(self) -> None:
        """
        When it is we who have nothing left to connect with, the server is not blamed, who waits is told, and it is
        logged once a minute.
        """
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        for number in (EMFILE, ENFILE, EADDRNOTAVAIL):
            self.ask("ignore")
            (attempt,) = self.server.connecting
            attempt.clientConnectionFailed(None, Failure(ConnectBindError(number, "none left")))
            self.assertEqual(self.waiter.told.pop(), (self.server, False))
            self.assertEqual(self.server.connecting, [])
        self.assertEqual((self.server.connect_errors, self.server.record.failures), (0, 0))
        (line,) = [formatEvent(event) for event in events if "can be opened" in str(event.get("log_format"))]
        self.assertIn("raise the limit of open files", line)

    def test_refused(self) -> None:
        """
        A refused attempt is counted at the server and told as such.
        """
        self.ask("refuse")
        self.reactor.settle()
        self.assertEqual(self.waiter.told, [(self.server, False)])
        self.assertEqual((self.server.connections, self.server.connect_errors, self.server.record.failures), (0, 1, 1))

    def test_time_limit(self) -> None:
        """
        An attempt that nobody answers ends after the limit, and is told as too late.
        """
        self.ask("ignore")
        self.reactor.wait(2.9)
        self.assertEqual(self.waiter.told, [])
        self.reactor.wait(0.2)
        self.assertEqual(self.waiter.told, [(self.server, True)])

    def test_trial(self) -> None:
        """
        A trial connection that is had is kept for use.
        """
        self.connector.try_connect(self.server)
        self.reactor.settle()
        self.assertEqual([type(each) for each in self.server.idle], [ServerConnection])

    def test_trial_fails(self) -> None:
        """
        A trial that fails is followed by another after twice the pause.
        """
        self.reactor.manners[HOSTS[0]] = "refuse"
        for _ in range(3):
            self.connector.connect(self.server, self.waiter)
        self.reactor.settle()
        self.assertTrue(self.server.record.ejected)
        made = len(self.reactor.attempts)
        for seconds, more in ((1.2, 1), (2.2, 2), (3.0, 2), (1.2, 3)):
            self.reactor.wait(seconds)
            self.assertEqual(len(self.reactor.attempts) - made, more)

    def test_server_leaves(self) -> None:
        """
        An attempt at a server that leaves is given up at once: nobody waits for the time to connect to pass.
        """
        self.ask("ignore")
        self.reactor.settle()
        self.assertEqual(self.waiter.told, [])
        self.server.give_up_connecting()
        self.assertEqual(self.waiter.told, [(self.server, False)])
        self.assertEqual(self.server.connecting, [])
        self.reactor.wait(10.0)
        self.assertEqual(len(self.waiter.told), 1)


class AnnouncedTests(SynchronousTestCase):
    """
    Connections that begin with whose they are, on transports in memory.
    """

    def setUp(self) -> None:
        self.dialogue = Dialogue()
        self.addCleanup(self.dialogue.traffic.deadlines.stop)
        self.reactor: Memory = self.dialogue.reactor
        assert self.dialogue.backend is not None
        self.backend = self.dialogue.backend
        self.server = self.backend.servers[0]
        self.announce(1)

    def announce(self, version: int) -> None:
        self.backend.define(self.backend.service, replace(self.backend.destination, announce=version))

    def ask(self, client: Any, method: str = "GET") -> bytes:
        """
        One request, answered.

        Returns:
            What the server heard before it; b"" for a connection that it knew.
        """
        before = [wire.heard for wire in self.reactor.connections]
        client.send(f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
        self.reactor.settle()
        (wire,) = (
            wire
            for n, wire in enumerate(self.reactor.connections)
            if wire.heard != (before[n] if n < len(before) else b"")
        )
        greeting, _, _ = wire.heard.partition(method.encode() + b" / ")
        wire.heard = b""
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.reactor.settle()
        return greeting

    def test_each_his_own(self) -> None:
        """
        A client's first request begins a connection with the header, its next ones use it; another client has
        another, and never the first one's.
        """
        first = self.dialogue.client
        self.dialogue.dial()
        second = self.dialogue.client
        header = self.ask(first)
        self.assertTrue(header.startswith(b"PROXY TCP4 "), header)
        self.assertEqual(self.ask(first), b"")
        other = self.ask(second)
        self.assertTrue(other.startswith(b"PROXY TCP4 "), other)
        self.assertNotEqual(other, header)
        self.assertEqual([self.ask(first), self.ask(second)], [b"", b""])
        self.assertEqual((len(self.reactor.attempts), self.server.private.count, self.server.idle), (2, 2, []))

    def test_once(self) -> None:
        """
        A request that may be sent only once uses no connection that may have ended.
        """
        client = self.dialogue.client
        self.ask(client)
        self.assertNotEqual(self.ask(client, "POST"), b"")
        self.reactor.wait(2.0)
        self.assertNotEqual(self.ask(client, "POST"), b"")
        self.assertEqual(len(self.reactor.attempts), 3)

    def test_changed(self) -> None:
        """
        With another version, or none, nothing kept is used further.
        """
        client = self.dialogue.client
        self.ask(client)
        self.announce(2)
        self.assertEqual(self.server.private.count, 0)
        self.assertTrue(self.ask(client).startswith(b"\r\n\r\n\0\r\nQUIT\n\x21"))
        self.announce(0)
        self.assertEqual([self.ask(client), self.ask(client)], [b"", b""])
        self.assertEqual(len(self.server.idle), 1)
        self.announce(1)
        self.assertEqual(self.server.idle, [])

    def test_changed_meanwhile(self) -> None:
        """
        A connection that was busy when that changed is not kept.
        """
        self.dialogue.client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.reactor.settle()
        self.announce(0)
        self.reactor.connections[-1].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.reactor.settle()
        self.assertEqual((self.server.private.count, self.server.idle), (0, []))

    def test_ended(self) -> None:
        """
        A kept connection that the server closes is not kept any more; one that is idle for too long neither.
        """
        self.ask(self.dialogue.client)
        self.reactor.connections[-1].close()
        self.reactor.settle()
        self.assertEqual(self.server.private.count, 0)
        self.ask(self.dialogue.client)
        self.reactor.wait(Limits().keep_alive_timeout_s + 1)
        self.assertEqual(self.server.private.count, 0)

    def test_trial(self) -> None:
        """
        The trial connection has no client, says so, and is not kept.
        """
        for version, wanted in ((1, b"PROXY UNKNOWN\r\n"), (2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")):
            self.announce(version)
            self.dialogue.traffic.connector.try_connect(self.server)
            self.reactor.settle()
            wire = self.reactor.connections[-1]
            self.assertEqual((wire.heard, wire.fate), (wanted, "closed"))
            self.assertEqual((self.server.idle, self.server.private.count), ([], 0))


class SecureTests(SynchronousTestCase):
    """
    Connecting with TLS, on transports in memory.
    """

    def setUp(self) -> None:
        class Shown(SecureWire):
            pass

        self.wire = Shown
        self.dialogue = Dialogue(wire=Shown)
        self.dialogue.traffic.deadlines.stop()
        self.reactor: Any = self.dialogue.reactor
        self.asked: list[Any] = []
        self.reactor.connectTLS = self.connect_tls
        self.deadlines = Deadlines(self.reactor)
        self.deadlines.start()
        self.addCleanup(self.deadlines.stop)
        self.connector = Connector(self.reactor, Limits(connect_timeout_s=3.0), self.deadlines)
        assert self.dialogue.backend is not None
        self.backend = self.dialogue.backend
        self.server = self.backend.servers[0]
        self.waiter = Waits()
        self.tls = Believing()
        self.define(self.tls)
        self.said: list[str] = []
        globalLogPublisher.addObserver(self.hear)
        self.addCleanup(globalLogPublisher.removeObserver, self.hear)

    def hear(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "dfproxy.upstream.connector":
            self.said.append(formatEvent(event))

    def define(self, tls: Any) -> None:
        self.backend.define(self.backend.service, self.backend.destination, None, tls)

    def connect_tls(
        self, host: str, port: int, factory: Any, context: Any, name: str, timeout: float, preamble: bytes
    ) -> object:
        self.asked.append((host, port, context, name, timeout))
        self.preamble = preamble
        return self.reactor.connectTCP(host, port, factory, timeout)

    def connect(self) -> Any:
        self.connector.connect(self.server, self.waiter)
        self.reactor.settle()
        return self.waiter.told[-1]

    def test_header_before_tls(self) -> None:
        """
        Whose connection it is comes before the handshake: the reactor is given it, nothing is written behind.
        """
        self.connector.connect(self.server, self.waiter, b"PROXY UNKNOWN\r\n")
        self.reactor.settle()
        self.assertEqual(self.preamble, b"PROXY UNKNOWN\r\n")
        self.assertEqual(self.reactor.connections[-1].heard, b"")
        self.assertEqual(self.waiter.told[-1].greeting, b"PROXY UNKNOWN\r\n")

    def test_proven(self) -> None:
        """
        A server that proves its name is connected to; its session is what the next connection resumes.
        """
        self.assertIs(type(self.connect()), ServerConnection)
        self.connect()
        self.assertEqual(self.asked[0], (self.server.host, self.server.port, self.tls, "a.test", 3.0))
        self.assertEqual(self.tls.sessions, [None, "session of good"])
        self.assertEqual((self.server.connections, self.server.connect_errors), (2, 0))

    def test_not_proven(self) -> None:
        """
        One that does not is a failure to connect: the connection is cut, counted and logged, but not each time.
        """
        self.wire.shown = b"bad"
        self.assertEqual(self.connect(), (self.server, False))
        self.assertEqual((self.server.connections, self.server.connect_errors, self.server.connecting), (0, 1, []))
        self.assertEqual(self.reactor.connections[-1].protocol.state, State.OVER)
        self.connect()
        (line,) = self.said
        self.assertIn("asked for as a.test", line)
        self.assertIn("it is another", line)
        self.reactor.wait(COMPLAIN_S + 1)
        self.connect()
        self.assertEqual(len(self.said), 2)
        self.assertEqual(self.tls.sessions, [None] * 3)

    def test_not_believed(self) -> None:
        """
        What OpenSSL says of a chain or a handshake is logged; of a refused connection nothing is.
        """
        problem = ssl.SSLCertVerificationError(1, "x")
        problem.verify_message = "self-signed certificate"
        for reason, logged in (
            (ConnectionRefusedError(), []),
            (problem, ["its certificate is not believed: self-signed certificate"]),
            (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), ["wrong version number"]),
        ):
            self.define(self.tls)
            self.connector.connect(self.server, self.waiter)
            attempt: Any = self.server.connecting[-1]
            attempt.clientConnectionFailed(None, Failure(reason))
            self.assertEqual(self.waiter.told[-1], (self.server, False))
            self.assertEqual([line.split("failed: ")[1].split(";")[0].split("] ")[-1] for line in self.said], logged)
            self.said.clear()
            self.define(None)

    def test_otherwise_by_now(self) -> None:
        """
        When servers are spoken to otherwise from now on, kept connections are closed, and one in use is not kept; no
        session is resumed.
        """
        kept, used = self.connect(), self.connect()
        kept.keep()
        self.assertEqual(self.server.idle, [kept])
        other = Believing()
        self.define(other)
        self.assertEqual(self.server.idle, [])
        used.keep()
        self.assertEqual(self.server.idle, [])
        self.connect().keep()
        self.assertEqual(len(self.server.idle), 1)
        self.assertEqual(other.sessions, [None])
