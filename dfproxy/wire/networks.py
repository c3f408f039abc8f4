"""
Networks of IP addresses, and which client a request is from when proxies stand between it and us.

Source: HAProxy `src` in ACLs; X-Forwarded-For as nginx `real_ip_recursive on` reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

MAPPED = bytes(10) + b"\xff\xff"
"""
How an IPv4 address begins when it is written as an IPv6 one (RFC 4291 section 2.5.5.2).
"""

REMEMBERED = 4096
"""
Addresses whose answer is kept: most requests come from who has been here before. Forgotten all at once when full.
"""

MOST_HOPS = 32
"""
Proxies that are looked behind. Three is much; each is work for each request.
"""


def is_address(text: str) -> bool:
    """
    Whether this is an IP address, not a name.
    """
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def packed(address: str) -> bytes | None:
    """
    Bytes of an IP address: 4 or 16; an IPv4 address within IPv6 gives 4. None if it is none.
    """
    try:
        if ":" not in address:
            return inet_pton(AF_INET, address)
        raw = inet_pton(AF_INET6, address.partition("%")[0])  # without the zone
    except (OSError, ValueError):
        return None
    return raw[12:] if raw.startswith(MAPPED) else raw


class Networks:
    """
    A set of addresses, given as networks; asked with `in`. What is no address is in none.

    Args:
        texts: networks or single addresses, IPv4 or IPv6.

    Raises:
        ValueError: one is none, or has bits set that belong to hosts, such as 10.0.0.1/8.
    """

    __slots__ = ("_known", "_tests")

    def __init__(self, texts: Iterable[str]) -> None:
        # One set of network numbers for each size of address and number of host bits: few, however many networks.
        by_size: dict[tuple[int, int], set[int]] = {}
        for text in texts:
            network = ip_network(text.strip())
            host_bits = network.max_prefixlen - network.prefixlen
            key = network.max_prefixlen // 8, host_bits
            by_size.setdefault(key, set()).add(int(network.network_address) >> host_bits)
        self._tests = tuple((size, host_bits, frozenset(numbers)) for (size, host_bits), numbers in by_size.items())
        self._known: dict[str, bool] = {}

    def __contains__(self, address: object) -> bool:
        known = self._known.get(address)  # type: ignore[call-overload]  # whatever else it is, it is not there
        if known is not None:
            return bool(known)
        if not isinstance(address, str):
            return False
        found = self._has(packed(address))
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[address] = found
        return found

    def _has(self, raw: bytes | None) -> bool:
        if raw is None:
            return False
        number = int.from_bytes(raw)
        length = len(raw)
        for size, host_bits, numbers in self._tests:
            if size == length and number >> host_bits in numbers:
                return True
        return False


def client_behind(lines: Sequence[bytes], trusted: Networks, peer: str) -> str:
    """
    The client of a request that a trusted proxy has sent: from the right the first address that is no trusted proxy's.

    Where a trusted proxy names nobody, or something that is no address, it is itself the client: whatever stands to
    the left of that may be anybody's invention.

    Args:
        lines: values of X-Forwarded-For, in their order.
        trusted: the proxies that are believed.
        peer: IP address of the one that has sent the request; trusted.
    """
    client, hops = peer, 0
    for line in reversed(lines):
        for part in reversed(line.split(b",")):
            address = _forwarded(part)
            hops += 1
            if address is None or hops > MOST_HOPS:
                return client
            client = address
            if client not in trusted:
                return client
    return client


def _forwarded(part: bytes) -> str | None:
    """
    An address of X-Forwarded-For in its usual spelling; some proxies put a port behind it.
    """
    text = part.strip(b" \t").decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    raw = packed(text)
    return None if raw is None else inet_ntop(AF_INET if len(raw) == 4 else AF_INET6, raw)
