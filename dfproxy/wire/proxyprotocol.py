"""
The header in which a proxy says whose connection it is: PROXY protocol, versions 1 and 2, read and written.

Pure: bytes in, what they say out. Arbitrary bytes give an `InvalidHeader` or wait for more, nothing else. An address of
IPv4 that a socket for both families shows as IPv6 (`::ffff:192.0.2.1`) is itself again, read or written: it is compared
with networks of IPv4, and shown to people.

Source: https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Any

V1_BYTES = 107
"""
Longest header of version 1, its line end included.
"""

V2_BYTES = 536
"""
Longest header of version 2 that is taken: two addresses and what else fits where the protocol says it must (2.2).
"""

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1 = b"PROXY "
_FIXED = 16  # signature, version and command, family, length
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_FAMILIES: dict[int, tuple[type[IPv4Address] | type[IPv6Address], int]] = {
    0x11: (IPv4Address, 4),
    0x21: (IPv6Address, 16),
}


class InvalidHeader(Exception):
    """
    What came is no header of the PROXY protocol.
    """


@dataclass(frozen=True, slots=True)
class Announcement:
    """
    Whose connection it is.

    Attributes:
        host: IP address of the client; empty: nothing is said, the connection's own addresses count.
        port: of the client.
        local_port: the port that the client connected to.
        local_host: the IP address that it connected to.
    """

    host: str = ""
    port: int = 0
    local_port: int = 0
    local_host: str = ""


def here_of(transport: Any, announced: Announcement | None) -> str:
    """
    The IP address that the client of this connection has connected to; as `ends_of`.
    """
    if announced is not None:
        return announced.local_host
    return getattr(transport.getHost(), "host", None) or ""


def ends_of(transport: Any, announced: Announcement | None) -> tuple[str, int, int]:
    """
    Whose connection this is: as it was announced, else as the transport has it.

    Args:
        transport: with `getPeer` and `getHost`.
        announced: None: nobody said.

    Returns:
        IP address and port of the client, and the port that it connected to.
    """
    if announced is not None:
        return announced.host, announced.port, announced.local_port
    peer, here = transport.getPeer(), transport.getHost()
    return getattr(peer, "host", ""), getattr(peer, "port", 0), getattr(here, "port", 0)


def read_header(data: bytes) -> tuple[Announcement, int] | None:
    """
    Read the header that a connection begins with.

    Args:
        data: all that has come so far; may go on after the header.

    Returns:
        What it says and how many bytes it has; None: more is needed.

    Raises:
        InvalidHeader: it is none, or longer than allowed.
    """
    if data.startswith(_SIGNATURE):
        return _read_v2(data)
    if data.startswith(_V1):
        return _read_v1(data)
    if _SIGNATURE.startswith(data) or _V1.startswith(data):
        return None
    raise InvalidHeader("there is no header")


def write_header(version: int, said: Announcement) -> bytes:
    """
    The header that says whose connection this is.

    Addresses of both families are told as IPv6, the one of IPv4 mapped, as HAProxy does.

    Args:
        version: 1 or 2.
        said: both addresses; without either: there is no client, or none with an address.
    """
    source, target = _address(said.host), _address(said.local_host)
    if source is None or target is None:
        return b"PROXY UNKNOWN\r\n" if version == 1 else _SIGNATURE + b"\x20\x00\x00\x00"
    if source.version != target.version:
        source, target = _mapped(source), _mapped(target)
    if version == 1:
        family = f"TCP{source.version}"
        return f"PROXY {family} {source} {target} {said.port} {said.local_port}\r\n".encode("ascii")
    ports = said.port.to_bytes(2, "big") + said.local_port.to_bytes(2, "big")
    body = source.packed + target.packed + ports
    return b"%b\x21%b%b%b" % (
        _SIGNATURE,
        b"\x11" if source.version == 4 else b"\x21",
        len(body).to_bytes(2, "big"),
        body,
    )


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """
    An address without scope.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return _plain(address)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return getattr(address, "ipv4_mapped", None) or address


def _mapped(address: IPv4Address | IPv6Address) -> IPv6Address:
    return IPv6Address(b"\x00" * 10 + b"\xff\xff" + address.packed) if isinstance(address, IPv4Address) else address


def _read_v1(data: bytes) -> tuple[Announcement, int] | None:
    end = data.find(b"\r\n", 0, V1_BYTES)
    if end < 0:
        if len(data) >= V1_BYTES:
            raise InvalidHeader(f"it is longer than {V1_BYTES} bytes")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return Announcement(), end + 2
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise InvalidHeader("it does not name two addresses and two ports")
    kind = IPv4Address if words[1] == b"TCP4" else IPv6Address
    try:
        source, target = kind(words[2].decode("ascii")), kind(words[3].decode("ascii"))
    except (AddressValueError, UnicodeDecodeError) as error:
        raise InvalidHeader("an address is none of its family") from error
    ports = [int(word) if _PORT.fullmatch(word) else 65536 for word in words[4:]]
    if max(ports) > 65535 or getattr(source, "scope_id", None):
        raise InvalidHeader("a port is none, or an address has a scope")
    return Announcement(str(_plain(source)), ports[0], ports[1], str(_plain(target))), end + 2


def _read_v2(data: bytes) -> tuple[Announcement, int] | None:
    if len(data) < _FIXED:
        return None
    command, family, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    end = _FIXED + length
    if command not in (0x20, 0x21):
        raise InvalidHeader("its version or command is unknown")
    if end > V2_BYTES:
        raise InvalidHeader(f"it is longer than {V2_BYTES} bytes")
    if command == 0x21 and family in _FAMILIES and length < 2 * _FAMILIES[family][1] + 4:
        raise InvalidHeader("it is too short for its addresses")
    if len(data) < end:
        return None
    if command == 0x20 or family not in _FAMILIES:
        return Announcement(), end  # a health check of the proxy itself, or a connection without IP addresses
    kind, size = _FAMILIES[family]
    ports = _FIXED + 2 * size
    source, target = (str(_plain(kind(data[at : at + size]))) for at in (_FIXED, _FIXED + size))
    port, local_port = (int.from_bytes(data[at : at + 2], "big") for at in (ports, ports + 2))
    return Announcement(source, port, local_port, target), end
