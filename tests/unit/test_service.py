"""
Assembly of the data plane: what stands in each process, and that the resource of the site is what answers.
"""

from __future__ import annotations

import json
import os
import resource
from typing import Any
from unittest.mock import patch

from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.proxy import ReverseProxyResource as TwistedReverseProxyResource
from twisted.web.server import Site

from dfproxy.control.apply import LocalDataPlane
from dfproxy.descriptors import CONNECTIONS
from dfproxy.frontend.listeners import Listeners
from dfproxy.frontend.resource import ReverseProxyResource
from dfproxy.model.listener import Listener
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.settings import Limits, Settings
from dfproxy.model.snapshot import Change, Revision
from dfproxy.service import make_data_plane
from tests.dialogue import CLIENT_HOST, UvWire


class AssemblyTests(SynchronousTestCase):
    """
    `make_data_plane`.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def make(self, **options: Any) -> LocalDataPlane:
        plane = make_data_plane(Settings(**options), self.reactor, None)
        self.addCleanup(plane.site.traffic.deadlines.stop)
        return plane

    def client(self, factory: Any, text: bytes = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n") -> UvWire:
        wire = UvWire(self.reactor, IPv4Address("TCP", "192.0.2.2", 80), IPv4Address("TCP", CLIENT_HOST, 5))
        wire.protocol = factory.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        wire.send(text)
        return wire

    def test_site(self) -> None:
        """
        The factory of a listener is a Site whose root is a ReverseProxyResource; the instance there answers.
        """
        plane = self.make()
        listeners = Listeners(self.reactor, plane.site)
        listeners.bind(Listener("127.0.0.1", 8000))
        factory = self.reactor.tcpServers[0][1]
        self.assertIsInstance(factory, Site)
        self.assertIsInstance(factory.resource, ReverseProxyResource)
        self.assertIsInstance(factory.resource, TwistedReverseProxyResource)
        asked: list[bytes] = []
        factory.resource.lookup = lambda request: asked.append(request.path)
        self.assertTrue(self.client(factory).heard.startswith(b"HTTP/1.1 503 "))
        self.assertEqual(asked, [b"/x"])

    def test_published(self) -> None:
        """
        What is committed to the data plane is what the site's resource finds.
        """
        plane = self.make()
        destination = Destination(0, 8080, Match(), "web", "web-be8080_0")
        change = Change(Revision(1, "1" * 32), (Service("web", "web", (destination,), is_default=True),))
        self.successResultOf(plane.prepare(change))
        self.successResultOf(plane.commit(change.revision))
        self.assertTrue(self.client(plane.site).heard.startswith(b"HTTP/1.1 503 "))
        self.assertEqual(plane.site.resource.answered, 1)

    def test_access_log(self) -> None:
        """
        With an access log each request leaves a line there.
        """
        path = self.mktemp()
        plane = self.make(access_log=path)
        log: Any = plane.site.traffic.access_log
        self.addCleanup(os.close, log._write.__self__._descriptor)
        self.client(plane.site)
        plane.counters()
        with open(path, encoding="utf-8") as file:
            self.assertEqual(json.loads(file.read())["status"], 503)
        self.assertEqual(log.lost, 0)
        self.assertIsNone(self.make().site.traffic.access_log)

    def test_connections(self) -> None:
        """
        Client connections are shared by the workers; if nothing is said, by the descriptors that there are.
        """
        shared = self.make(workers=4, limits=Limits(client_connections=100))
        self.assertEqual(shared.site.limit, 25)
        self.assertEqual([total.limit for total in shared.totals()], [100])  # of all, as what is counted
        with (
            patch("resource.getrlimit", lambda which: (1000, 2000)),
            patch("resource.setrlimit") as raised,
        ):
            self.assertEqual(self.make().site.limit, 900)
        raised.assert_called_once_with(resource.RLIMIT_NOFILE, (2000, 2000))
        with (
            patch("resource.getrlimit", lambda which: (1000, 2000)),
            patch("resource.setrlimit", side_effect=OSError("no")),
        ):
            self.assertEqual(self.make().site.limit, 450)

    def test_more_than_possible(self) -> None:
        """
        More than the descriptors carry is not taken however much is asked for, and an endless limit of descriptors is
        no reason to take any number. A sixteenth of them is for pipes.
        """
        with patch("resource.getrlimit", lambda which: (1024, 1024)):
            plane = self.make(workers=2, limits=Limits(client_connections=100_000))
        self.assertEqual((plane.site.limit, plane.site.traffic.pipes.most), (460, 16))
        with patch("resource.getrlimit", lambda which: (1 << 30, 1 << 30)):
            self.assertEqual(self.make().site.limit, CONNECTIONS)
            self.assertEqual(self.make(limits=Limits(client_connections=70_000)).site.limit, 70_000)

    def test_limits(self) -> None:
        """
        Options reach what they bound.
        """
        limits = Limits(head_timeout_s=2.0)
        plane = self.make(limits=limits)
        self.assertIs(plane.site.traffic.limits, limits)
        wire = self.client(plane.site, b"GET")
        self.reactor.pump([0.1] * 33)
        self.assertTrue(wire.heard.startswith(b"HTTP/1.1 408 "))
