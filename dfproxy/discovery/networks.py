"""
Which addresses and networks this machine (or container) has itself.

The tasks of a Swarm service are in a network that we are in, too. A resolver that makes up answers for names it does
not know (wildcard DNS, search domains of a provider) gives others: who is asked by the name of tasks is checked here.

Source: DFP `server/cert.go` (addresses within the networks of the own interfaces); rtnetlink(7).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Any

from twisted.logger import Logger

Interface = IPv4Interface | IPv6Interface

RECHECK_S = 1.0
"""
How often the system is asked, in seconds, at most: a container may be joined to a network while it runs.
"""

_GET_ADDRESSES = 22  # RTM_GETADDR
_ADDRESS = 20  # RTM_NEWADDR
_DONE, _ERROR = 3, 2
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_OF_INTERFACE, _LOCAL = 1, 2  # IFA_ADDRESS, IFA_LOCAL
_HEAD = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_BUFFER_BYTES = 65536

log = Logger()


def read_interfaces() -> tuple[Interface, ...]:
    """
    Every address of every interface, with its network. Asks the kernel, which answers at once.

    Raises:
        OSError: the kernel does not tell us.
    """
    found: list[Interface] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(1.0)
        ask = _MESSAGE.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        sock.send(_HEAD.pack(_HEAD.size + len(ask), _GET_ADDRESSES, _REQUEST_DUMP, 1, 0) + ask)
        while True:
            answer = sock.recv(_BUFFER_BYTES)
            while answer:
                length, kind, _, _, _ = _HEAD.unpack_from(answer)
                if kind == _ERROR:
                    raise OSError("the kernel does not list addresses")
                if kind == _DONE:
                    return tuple(found)
                if kind == _ADDRESS:
                    found += _interface(answer[_HEAD.size : length])
                answer = answer[_aligned(length) :]


def _interface(message: bytes) -> list[Interface]:
    family, prefix, _, _, _ = _MESSAGE.unpack_from(message)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return []
    given: dict[int, bytes] = {}
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            break
        given[kind] = message[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    # Where both are there, IFA_ADDRESS is the other end of a point-to-point link.
    packed = given.get(_LOCAL) or given.get(_OF_INTERFACE)
    return [] if packed is None else [ip_interface((packed, prefix))]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


class OwnNetworks:
    """
    What we are part of, looked up again when it is old.

    Args:
        clock: `IReactorTime`.
        read: tells the addresses of all interfaces.
    """

    def __init__(self, clock: Any, read: Callable[[], tuple[Interface, ...]] = read_interfaces) -> None:
        self._clock = clock
        self._read = read
        self._read_at: float | None = None
        self._known: tuple[Interface, ...] = ()

    def _interfaces(self) -> tuple[Interface, ...]:
        now = self._clock.seconds()
        if self._read_at is None or now - self._read_at >= RECHECK_S:
            self._read_at = now
            try:
                self._known = self._read()
            except OSError as error:
                log.warn("own networks are not known: {reason}", reason=str(error))
        return self._known

    def holds(self, address: str) -> bool:
        """
        Whether this IP address lies in a network of ours. Where these cannot be known, any does.
        """
        wanted = ip_address(address)
        interfaces = self._interfaces()
        return not interfaces or any(wanted in interface.network for interface in interfaces)

    def is_ours(self, address: str, bound: str = "") -> bool:
        """
        Whether who connects to this IP address comes to us.

        Args:
            address: of some replica.
            bound: where we listen; empty, `0.0.0.0` or `::`: everywhere.
        """
        wanted = ip_address(address)
        if bound and not (listens := ip_address(bound)).is_unspecified:
            return wanted == listens
        return wanted.is_loopback or any(wanted == interface.ip for interface in self._interfaces())
