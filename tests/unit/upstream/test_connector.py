"""
Connecting: one attempt, its limit, and who is told.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.deadlines import Deadlines
from dfproxy.model.settings import Limits
from dfproxy.upstream.connector import Connector
from dfproxy.upstream.http1 import ServerConnection, State
from dfproxy.upstream.live import LiveServer
from tests.dialogue import HOSTS, Dialogue, Memory


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
