"""
The header that says whose connection it is.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire.proxyprotocol import (
    V1_BYTES,
    V2_BYTES,
    Announcement,
    InvalidHeader,
    ends_of,
    here_of,
    read_header,
    write_header,
)

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
PORTS = st.integers(0, 65535)
ADDRESSES = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6))
)


def v1(source: object, target: object, port: int, local_port: int) -> bytes:
    kind = 4 if isinstance(source, ipaddress.IPv4Address) else 6
    return f"PROXY TCP{kind} {source} {target} {port} {local_port}\r\n".encode()


def v2(body: bytes, family: int = 0x11, command: int = 0x21) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(body).to_bytes(2, "big") + body


def body(source: ipaddress.IPv4Address | ipaddress.IPv6Address, target: Any, port: int, local_port: int) -> bytes:
    packed: bytes = target.packed
    return source.packed + packed + port.to_bytes(2, "big") + local_port.to_bytes(2, "big")


def _shown(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


class GoodTests(SynchronousTestCase):
    """
    Headers.
    """

    @settings(max_examples=60, deadline=None)
    @given(ADDRESSES, PORTS, PORTS, st.binary(max_size=20), st.binary(max_size=20))
    def test_both_versions(self, hosts: tuple[object, ...], port: int, local: int, more: bytes, rest: bytes) -> None:
        """
        What a proxy writes is read, however it is cut; bytes behind it are not touched, further facts passed over.
        """
        source, target = hosts
        assert isinstance(source, ipaddress.IPv4Address | ipaddress.IPv6Address)
        family = 0x11 if source.version == 4 else 0x21
        for header in (v1(source, target, port, local), v2(body(source, target, port, local) + more, family)):
            wanted = (Announcement(_shown(source), port, local, _shown(target)), len(header))
            self.assertEqual(read_header(header + rest), wanted)
            for end in range(len(header)):
                self.assertIsNone(read_header(header[:end]))

    def test_nothing_said(self) -> None:
        """
        A connection of the proxy's own, or without IP addresses: its own addresses count.
        """
        for header in (
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
            v2(b"", 0, 0x20),
            v2(b"x" * 12, 0x11, 0x20),
            v2(b"", 0),
            v2(b"x" * 216, 0x31),
        ):
            self.assertEqual(read_header(header + b"GET"), (Announcement(), len(header)), header)

    def test_longest(self) -> None:
        """
        The longest headers are taken, longer ones are not.
        """
        longest = b"PROXY UNKNOWN " + b"x" * (V1_BYTES - 16) + b"\r\n"
        self.assertEqual(read_header(longest), (Announcement(), V1_BYTES))
        self.assertRaises(InvalidHeader, read_header, b"PROXY UNKNOWN " + b"x" * (V1_BYTES - 15) + b"\r\n")
        host = "120.120.120.120"
        self.assertEqual(read_header(v2(b"x" * 520)), (Announcement(host, 30840, 30840, host), V2_BYTES))
        self.assertRaises(InvalidHeader, read_header, v2(b"x" * 521)[:16])


class WriteTests(SynchronousTestCase):
    """
    `write_header`.
    """

    @settings(max_examples=60, deadline=None)
    @given(ADDRESSES, PORTS, PORTS, st.sampled_from((1, 2)))
    def test_read_again(self, hosts: tuple[Any, ...], port: int, local: int, version: int) -> None:
        """
        What is written is what is read.
        """
        source, target = (getattr(host, "ipv4_mapped", None) or host for host in hosts)
        said = Announcement(str(source), port, local, str(target))
        header = write_header(version, said)
        if source.version == target.version:
            self.assertEqual(read_header(header), (said, len(header)))
        self.assertLessEqual(len(header), V1_BYTES)

    def test_bytes(self) -> None:
        """
        Byte by byte as the specification has it.
        """
        said = Announcement("192.0.2.7", 4711, 443, "192.0.2.1")
        self.assertEqual(write_header(1, said), b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n")
        self.assertEqual(write_header(2, said), SIGNATURE + bytes.fromhex("2111000cc0000207c0000201126701bb"))
        self.assertEqual(
            write_header(2, Announcement("2001:db8::7", 1, 2, "2001:db8::1")),
            SIGNATURE + bytes.fromhex("2121002420010db8" + "0" * 23 + "720010db8" + "0" * 23 + "100010002"),
        )

    def test_nobody(self) -> None:
        """
        Without a client, or without an address of either side: nothing is said, and the server takes the connection's.
        """
        for said in (Announcement(), Announcement("192.0.2.7", 1), Announcement("a socket", 1, 2, "192.0.2.7")):
            self.assertEqual(write_header(1, said), b"PROXY UNKNOWN\r\n")
            self.assertEqual(write_header(2, said), SIGNATURE + b"\x20\0\0\0")

    def test_families(self) -> None:
        """
        A client of IPv4 that has come by a socket for both families is told as IPv4; one of each are both IPv6.
        """
        both = Announcement("::ffff:192.0.2.7", 1, 2, "::ffff:192.0.2.1")
        self.assertEqual(write_header(1, both), b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n")
        mixed = Announcement("192.0.2.7", 1, 2, "fe80::1%eth0")
        for version in (1, 2):
            header = write_header(version, mixed)
            self.assertEqual(read_header(header), (Announcement("192.0.2.7", 1, 2, "fe80::1"), len(header)))

    def test_mapped(self) -> None:
        """
        A client of IPv4 that is announced as IPv6, by a proxy with sockets for both, is one of IPv4.
        """
        hosts = ipaddress.IPv6Address("::ffff:192.0.2.7"), ipaddress.IPv6Address("::ffff:192.0.2.1")
        for header in (v1(*hosts, 4711, 443), v2(body(*hosts, 4711, 443), 0x21)):
            self.assertEqual(read_header(header), (Announcement("192.0.2.7", 4711, 443, "192.0.2.1"), len(header)))


class BadTests(SynchronousTestCase):
    """
    What is none.
    """

    def test_malformed(self) -> None:
        """
        Whatever is not as it has to be is refused.
        """
        for header in (
            b"GET / HTTP/1.1\r\n",
            b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
            b"PROXY \r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
            b"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
            b"PROXY TCP4 ::1 ::2 1 2\r\n",
            b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
            b"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
            b"PROXY TCP4 1.1.1.\xb2 2.2.2.2 1 2\r\n",
            b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
            v2(b"x" * 12, command=0x11),
            v2(b"x" * 12, command=0x22),
            v2(b"x" * 11),
            v2(b"x" * 35, 0x21),
        ):
            self.assertRaises(InvalidHeader, read_header, header)

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"!"]), st.binary())
    def test_anything(self, beginning: bytes, rest: bytes) -> None:
        """
        Arbitrary bytes are refused, read or waited for, and never for more than the longest header.
        """
        try:
            found = read_header(beginning + rest)
        except InvalidHeader:
            return
        if found is None:
            self.assertLess(len(beginning + rest), V2_BYTES)
        else:
            self.assertLessEqual(found[1], len(beginning + rest))


class EndsTests(SynchronousTestCase):
    """
    `ends_of`.
    """

    def test_whose(self) -> None:
        """
        What was announced counts before what the transport has; without it, the transport's addresses do.
        """
        wire = StringTransport(IPv4Address("TCP", "192.0.2.9", 80), IPv4Address("TCP", "192.0.2.1", 4000))
        self.assertEqual(ends_of(wire, None), ("192.0.2.1", 4000, 80))
        self.assertEqual(ends_of(wire, Announcement("10.0.0.1", 5000, 443)), ("10.0.0.1", 5000, 443))
        self.assertEqual(here_of(wire, None), "192.0.2.9")
        self.assertEqual(here_of(wire, Announcement("10.0.0.1", 5000, 443, "10.0.0.2")), "10.0.0.2")
