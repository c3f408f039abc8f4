"""
A uv reactor for each test, run only as long as the test waits.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.uv.reactor import UvReactor

HERE = "127.0.0.1"

DEADLINE_S = 5.0


class Recorder(Protocol):
    """
    Remembers what it received, and lets a test wait for its beginning, bytes and end.
    """

    def __init__(self) -> None:
        self.received = b""
        self.made: Deferred[Any] = Deferred()
        self.lost: Deferred[BaseException] = Deferred()

    @property
    def wire(self) -> Any:
        """
        The transport, for calls that its interfaces do not name.
        """
        return self.transport

    def connectionMade(self) -> None:
        self.made.callback(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default is untyped
        self.lost.callback(reason.value)


class Giving(ClientFactory):
    """
    A factory that gives away one protocol after the other.
    """

    noisy = False

    def __init__(self, *protocols: Protocol | None) -> None:
        self.protocols = list(protocols)
        self.failed: Deferred[BaseException] = Deferred()

    def buildProtocol(self, addr: Any) -> Protocol | None:
        return self.protocols.pop(0)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.failed.callback(reason.value)


class UvTestCase(SynchronousTestCase):
    """
    A test with a uv reactor of its own.
    """

    def setUp(self) -> None:
        self.reactor: Any = UvReactor()
        self.addCleanup(self.end)

    def end(self) -> None:
        """
        End what the test left open, as the end of the reactor would.
        """
        self.reactor.disconnectAll()
        self.turns(3)
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        self.reactor.loop.close()

    def wait(self, result: Deferred[Any]) -> Any:
        """
        Run the reactor until there is a result.
        """
        loop = self.reactor.loop
        return loop.run_until_complete(asyncio.wait_for(result.asFuture(loop), DEADLINE_S))

    def turns(self, count: int = 1) -> None:
        """
        Run the reactor for some turns of its loop.
        """
        for _ in range(count):
            self.reactor.loop.run_until_complete(asyncio.sleep(0))

    def until(self, happened: Any) -> None:
        """
        Run the reactor until a condition holds.
        """
        loop = self.reactor.loop
        deadline = loop.time() + DEADLINE_S
        while not happened():
            self.assertLess(loop.time(), deadline, "it never happened")
            loop.run_until_complete(asyncio.sleep(0.001))

    def pair(self, server: Protocol, client: Protocol) -> None:
        """
        Connect two protocols with each other.
        """
        port = self.reactor.listenTCP(0, Giving(server), interface=HERE)
        self.reactor.connectTCP(HERE, port.getHost().port, Giving(client))
        self.until(lambda: server.connected and client.connected)
        port.stopListening()

    def raw_client(self, port: Any) -> socket.socket:
        """
        Connect a plain socket to a port.
        """
        raw = socket.create_connection((HERE, port.getHost().port))
        self.addCleanup(raw.close)
        return raw
