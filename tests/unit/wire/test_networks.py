"""
Networks, and whom a request is from behind proxies.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire.networks import MOST_HOPS, REMEMBERED, Networks, client_behind, is_address

TRUSTED = Networks(("10.0.0.0/8", "2001:db8::/32"))
PEER = "10.0.0.1"

addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number))),
    st.integers(0, 2**128 - 1).map(lambda number: str(IPv6Address(number))),
)


class AddressTests(SynchronousTestCase):
    """
    What is an address.
    """

    def test_addresses(self) -> None:
        """
        Both families are; names, networks and nothing are not.
        """
        for text in ("10.0.0.1", "::1", "fe80::1%eth0"):
            self.assertTrue(is_address(text), text)
        for text in ("", "a.test", "10.0.0.0/8", "010.0.0.1", "[::1]"):
            self.assertFalse(is_address(text), text)


class NetworksTests(SynchronousTestCase):
    """
    Who is in.
    """

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(addresses, st.integers(0, 32)), max_size=4), addresses)
    def test_as_the_library_has_it(self, given_ones: list[tuple[str, int]], address: str) -> None:
        """
        The same as asking Python's library for each network, the first time and the second.
        """
        networks = [ip_network((host, size), strict=False) for host, size in given_ones]
        found = Networks(map(str, networks))
        plain = ip_address(address)
        mapped = getattr(plain, "ipv4_mapped", None)
        wanted = any((mapped or plain) in network for network in networks)
        self.assertEqual([address in found, address in found], [wanted, wanted])
        for network in networks:
            if not (network.version == 6 and IPv6Address(int(network[0])).ipv4_mapped):
                self.assertIn(str(network[-1]), found)

    def test_no_address(self) -> None:
        """
        What is no address is nowhere.
        """
        everywhere = Networks(("0.0.0.0/0", "::/0"))
        self.assertEqual([text in everywhere for text in ("", "name", "10.1", b"10.0.0.1", None)], [False] * 5)

    def test_refused(self) -> None:
        """
        A network with bits of a host is a slip of the pen.
        """
        for text in ("10.0.0.1/8", "10.0.0.0/33", "office", ""):
            self.assertRaises(ValueError, Networks, (text,))

    def test_memory_is_bounded(self) -> None:
        """
        However many addresses ask, what is remembered of them stays small.
        """
        found = Networks(("10.0.0.0/8",))
        for number in range(2 * REMEMBERED):
            self.assertTrue(str(IPv4Address(0x0A000000 + number)) in found)
        self.assertLessEqual(len(found._known), REMEMBERED)


class ClientTests(SynchronousTestCase):
    """
    The rightmost address that is no trusted proxy's.
    """

    def client(self, *lines: str) -> str:
        return client_behind([line.encode() for line in lines], TRUSTED, PEER)

    def test_rightmost(self) -> None:
        """
        What the client itself has written, to the left, is not believed.
        """
        self.assertEqual(self.client("192.0.2.1"), "192.0.2.1")
        self.assertEqual(self.client("127.0.0.1, 192.0.2.1"), "192.0.2.1")
        self.assertEqual(self.client("127.0.0.1", "192.0.2.1"), "192.0.2.1")
        self.assertEqual(self.client("198.51.100.9, 192.0.2.1, 10.0.0.7, 2001:db8::5"), "192.0.2.1")

    def test_all_trusted(self) -> None:
        """
        A request that comes from within is from the first of the chain.
        """
        self.assertEqual(self.client("10.9.9.9, 10.0.0.7"), "10.9.9.9")
        self.assertEqual(self.client(), PEER)

    def test_spelling(self) -> None:
        """
        Ports and brackets are left out, an IPv4 address within IPv6 is itself.
        """
        self.assertEqual(self.client("192.0.2.1:4711"), "192.0.2.1")
        self.assertEqual(self.client("[2001:db9::1]:4711"), "2001:db9::1")
        self.assertEqual(self.client(" 2001:DB9:0::1\t"), "2001:db9::1")
        self.assertEqual(self.client("::ffff:192.0.2.1"), "192.0.2.1")

    def test_garbage(self) -> None:
        """
        Behind what is no address nothing is believed.
        """
        for garbage in ("unknown", "", ",", "_hidden", "192.0.2.1;", "192.0.2.256", '"[::1]"', "\xff"):
            self.assertEqual(self.client(f"192.0.2.9, {garbage}"), PEER)
            self.assertEqual(self.client(f"192.0.2.9, {garbage}, 10.0.0.2"), "10.0.0.2")

    def test_bounded(self) -> None:
        """
        A chain without end is not followed.
        """
        chain = ["192.0.2.1"] + [f"10.0.0.{number}" for number in range(MOST_HOPS + 5, 0, -1)]
        self.assertEqual(self.client(", ".join(chain)), f"10.0.0.{MOST_HOPS}")
