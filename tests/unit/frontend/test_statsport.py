"""
A port where the statistics are alone.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.listeners import Listeners
from dfproxy.frontend.statsport import StatisticsSite
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Settings, Statistics
from dfproxy.service import make_data_plane
from tests.dialogue import CLIENT_HOST, UvWire

ALONE = Statistics(is_open=True, listeners=(Listener("", 1936, statistics=True),))


class StatisticsSiteTests(SynchronousTestCase):
    """
    Its sessions.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.plane = make_data_plane(Settings(statistics=ALONE), self.reactor, None)
        self.addCleanup(self.plane.site.traffic.deadlines.stop)

    def test_sessions_are_the_sites(self) -> None:
        """
        They are counted, limited and ended with all others.
        """
        factory: Any = self.plane.statistics_site
        self.assertIsInstance(factory, StatisticsSite)
        wire = UvWire(self.reactor, IPv4Address("TCP", "192.0.2.2", 1936), IPv4Address("TCP", CLIENT_HOST, 5))
        wire.protocol = factory.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        self.assertEqual(len(self.plane.site.sessions_open), 1)
        self.assertEqual(self.plane.site.traffic.frontend.connections, 1)
        self.plane.site.abort_all()
        self.reactor.advance(0)
        self.assertEqual((wire.fate, len(self.plane.site.sessions_open)), ("reset", 0))
        self.plane.site.limit = 1
        self.assertIsNotNone(factory.buildProtocol(None))
        self.assertIsNone(factory.buildProtocol(None))

    def test_listener(self) -> None:
        """
        The listener that says so gets this factory, others the usual one.
        """
        listeners = Listeners(self.reactor, self.plane.site, None, self.plane.statistics_site)
        listeners.bind(Listener("", 8000))
        listeners.bind(ALONE.listeners[0])
        factories = {port: factory for port, factory, *_ in self.reactor.tcpServers}
        self.assertIs(factories[8000], self.plane.site)
        self.assertIs(factories[1936], self.plane.statistics_site)
