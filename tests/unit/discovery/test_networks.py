"""
Tests of `dfproxy.discovery.networks`: what is ours.
"""

from __future__ import annotations

from ipaddress import ip_interface

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.discovery.networks import Interface, OwnNetworks, read_interfaces


class InterfacesTests(SynchronousTestCase):
    def test_loopback(self) -> None:
        """
        The kernel tells of loopback as of every other interface, with its network.
        """
        self.assertIn(ip_interface("127.0.0.1/8"), read_interfaces())


class OwnNetworksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.there: list[Interface] = [
            ip_interface("127.0.0.1/8"),
            ip_interface("10.0.1.5/24"),
            ip_interface("::1/128"),
        ]
        self.failure: OSError | None = None
        self.networks = OwnNetworks(self.clock, self.read)

    def read(self) -> tuple[Interface, ...]:
        if self.failure is not None:
            raise self.failure
        return tuple(self.there)

    def test_networks(self) -> None:
        """
        An address beside ours is in our network, one elsewhere is not.
        """
        held = {address: self.networks.holds(address) for address in ("10.0.1.200", "127.0.0.9", "::1")}
        self.assertEqual(set(held.values()), {True}, held)
        held = {address: self.networks.holds(address) for address in ("10.0.2.1", "8.8.8.8", "fd00::1")}
        self.assertEqual(set(held.values()), {False}, held)

    def test_joined_later(self) -> None:
        """
        A network that we are joined to while running counts a second later.
        """
        self.assertFalse(self.networks.holds("10.0.2.1"))
        self.there.append(ip_interface("10.0.2.5/24"))
        self.clock.advance(1)
        self.assertTrue(self.networks.holds("10.0.2.1"))

    def test_unknown(self) -> None:
        """
        Where the kernel does not tell, no address is dropped for it.
        """
        self.failure = OSError("not permitted")
        self.assertTrue(self.networks.holds("8.8.8.8"))

    def test_ours(self) -> None:
        """
        Bound everywhere, each address of ours leads to us, and all of loopback; bound to one, only that.
        """
        for bound in ("", "0.0.0.0", "::"):
            self.assertTrue(self.networks.is_ours("10.0.1.5", bound))
            self.assertTrue(self.networks.is_ours("127.0.0.3", bound))
            self.assertFalse(self.networks.is_ours("10.0.1.6", bound))
        self.assertTrue(self.networks.is_ours("127.0.0.2", "127.0.0.2"))
        self.assertFalse(self.networks.is_ours("127.0.0.3", "127.0.0.2"))
        self.assertFalse(self.networks.is_ours("10.0.1.5", "127.0.0.2"))
