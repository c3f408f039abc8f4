"""
Tests of `dfproxy.discovery.destinations`: the list of servers that parts make.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.discovery.destinations import Name, Part, servers_of
from dfproxy.model.snapshot import ServerAddress


class ServersTests(SynchronousTestCase):
    """
    Parts become servers.
    """

    def test_sorted_by_address_as_text(self) -> None:
        """
        The order is DFP's, which numbers sticky servers by it: 10 comes before 9.
        """
        web = Name("web", ("10.0.0.9", "10.0.0.10"))
        self.assertEqual([server.host for server in servers_of((Part((), web, 80, 1),))], ["10.0.0.10", "10.0.0.9"])

    def test_each_once(self) -> None:
        """
        A server that is named twice is one, with its first weight; another port is another server.
        """
        parts = (Part(("10.0.0.1",), None, 80, 3), Part(("10.0.0.1",), None, 80, 5), Part(("10.0.0.1",), None, 79, 0))
        self.assertEqual(servers_of(parts), (ServerAddress("10.0.0.1", 79, 0), ServerAddress("10.0.0.1", 80, 3)))

    def test_name_without_addresses(self) -> None:
        """
        A name that is not known gives no server.
        """
        self.assertEqual(servers_of((Part((), Name("web"), 80, 1),)), ())
