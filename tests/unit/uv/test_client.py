"""
Tests of connecting.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectError, UserError
from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import Factory
from twisted.internet.tcp import makeBinding
from zope.interface.verify import verifyObject

from tests.unit.uv.running import HERE, Giving, Recorder, UvTestCase


class ConnectTests(UvTestCase):
    """
    From an address to a transport.
    """

    def listen(self, server: Recorder | None = None) -> Any:
        port = self.reactor.listenTCP(0, Giving(server or Recorder()), interface=HERE)
        self.addCleanup(port.stopListening)
        return port.getHost()

    def test_short_way(self) -> None:
        """
        To an IP address uvloop connects by itself: no socket, reader, writer, thread or Task of ours.
        """
        import asyncio

        client = Recorder()
        connector = self.reactor.connectTCP(HERE, self.listen().port, Giving(client))
        self.assertTrue(verifyObject(IConnector, connector))
        self.assertIsNone(connector.transport._socket)
        self.assertEqual(self.reactor.getWriters(), [])
        self.assertEqual(asyncio.all_tasks(self.reactor.loop), set())
        self.wait(client.made)
        self.assertIsNone(self.reactor.threadpool)

    def test_binding(self) -> None:
        """
        A Twisted binding object with its options is used as well as a tuple.
        """
        server = Recorder()
        client = Recorder()
        where = self.listen(server)
        binding = makeBinding("127.0.0.3", 0, reuseAddress=True, reusePort=True)
        self.reactor.connectTCP(HERE, where.port, Giving(client), bindAddress=binding)
        self.wait(client.made)
        self.assertEqual(client.wire.getHost().host, "127.0.0.3")
        self.assertEqual(client.wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT), 1)

    def test_given_up(self) -> None:
        """
        An attempt that is given up, whichever way it takes, leaves no descriptor and says UserError once.
        """
        servers = [Recorder() for _ in range(2)]
        port = self.reactor.listenTCP(0, Giving(*servers), interface=HERE)
        before = len(os.listdir("/proc/self/fd"))
        for options in ({}, {"bindAddress": (HERE, 0)}):
            factory = Giving()
            connector = self.reactor.connectTCP(HERE, port.getHost().port, factory, **options)
            connector.stopConnecting()
            self.assertIsInstance(self.successResultOf(factory.failed), UserError)
            self.assertEqual(self.reactor.getDelayedCalls(), [])
        # The kernel had connected them before they were given up.
        for server in servers:
            self.wait(server.lost)
        self.turns(2)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_given_up_in_started_connecting(self) -> None:
        """
        A factory may give up as soon as it hears of the attempt.
        """

        class GivingUp(Giving):
            def startedConnecting(self, connector: Any) -> None:
                connector.stopConnecting()

        factory = GivingUp()
        self.reactor.connectTCP(HERE, self.listen().port, factory)
        self.assertIsInstance(self.successResultOf(factory.failed), UserError)

    def test_bad_port(self) -> None:
        """
        A port number that is none is refused at once.
        """
        for port in (-1, 65536):
            self.assertRaises(OverflowError, self.reactor.connectTCP, HERE, port, Giving())

    def test_unreachable(self) -> None:
        """
        What the system refuses at once is told like any other failure, in a later turn.
        """
        factory = Giving()
        self.reactor.connectTCP("255.255.255.255", 9, factory)
        self.assertFalse(factory.failed.called)
        self.assertIsInstance(self.wait(factory.failed), ConnectError)

    def test_link_local(self) -> None:
        """
        An address with a scope leads through that interface, or fails; it isn't looked up in a thread.
        """
        factory = Giving()
        self.reactor.connectTCP("fe80::1%lo", 9, factory)
        self.wait(factory.failed)
        self.assertIsNone(self.reactor.threadpool)

    def test_endpoints(self) -> None:
        """
        Endpoints work as on any reactor.
        """
        server, client = Recorder(), Recorder()
        listening = TCP4ServerEndpoint(self.reactor, 0, interface=HERE).listen(Giving(server))
        port = self.wait(listening)
        endpoint = TCP4ClientEndpoint(self.reactor, HERE, port.getHost().port)
        self.wait(endpoint.connect(Factory.forProtocol(lambda: client)))
        self.wait(server.made)
        client.wire.write(b"through an endpoint")
        self.until(lambda: server.received == b"through an endpoint")
        self.wait(port.stopListening())
