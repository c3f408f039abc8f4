"""
The built-in route conditions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_pton

from twisted.plugin import IPlugin
from zope.interface import implementer

from dfproxy.errors import InvalidRoute
from dfproxy.interfaces import IRequest, IRouteConditionFactory

MAPPED = bytes(10) + b"\xff\xff"
"""
How an IPv4 address begins when it is written as an IPv6 one (RFC 4291 section 2.5.5.2).
"""

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""
RFC 9110 section 5.6.2.
"""

STANDARD_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


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


@implementer(IPlugin, IRouteConditionFactory)
class Network:
    """
    The client's address lies in one of the networks.
    """

    name = "network"
    description = "client address in one of these networks: network:10.0.0.0/8|2001:db8::/32"

    def compile(self, values: tuple[str, ...]) -> Callable[[IRequest], bool]:
        """
        Args:
            values: networks or single addresses, IPv4 or IPv6.
        """
        if not values:
            raise InvalidRoute("network takes one network or more, such as 10.0.0.0/8")
        # One set of network numbers for each size of address and number of host bits: few, however many networks.
        by_size: dict[tuple[int, int], set[int]] = {}
        for value in values:
            try:
                network = ip_network(value.strip())
            except ValueError as error:
                raise InvalidRoute(f"network: {error}") from error
            host_bits = network.max_prefixlen - network.prefixlen
            key = network.max_prefixlen // 8, host_bits
            by_size.setdefault(key, set()).add(int(network.network_address) >> host_bits)
        tests = tuple((size, host_bits, frozenset(numbers)) for (size, host_bits), numbers in by_size.items())

        def in_network(request: IRequest) -> bool:
            raw = packed(request.client_host)
            if raw is None:
                return False
            number = int.from_bytes(raw)
            length = len(raw)
            for size, host_bits, numbers in tests:
                if size == length and number >> host_bits in numbers:
                    return True
            return False

        return in_network


@implementer(IPlugin, IRouteConditionFactory)
class Method:
    """
    The request's method is one of those given.
    """

    name = "method"
    description = "request method is one of these: method:GET|HEAD"

    def compile(self, values: tuple[str, ...]) -> Callable[[IRequest], bool]:
        """
        Args:
            values: methods. Case matters (RFC 9110 section 9.1), so `get` is refused as a slip.
        """
        if not values:
            raise InvalidRoute("method takes one method or more, such as GET")
        for value in values:
            if not TOKEN.fullmatch(value):
                raise InvalidRoute(f"method: {value!r} is not a method")
            if value not in STANDARD_METHODS and value.upper() in STANDARD_METHODS:
                raise InvalidRoute(f"method: case matters, write {value.upper()} instead of {value}")
        methods = frozenset(value.encode() for value in values)

        def has_method(request: IRequest) -> bool:
            return request.method in methods

        return has_method


network = Network()
method = Method()
