"""
A real DNS server on loopback, over UDP and TCP, for tests.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, fail, maybeDeferred, succeed
from twisted.names import dns, server
from twisted.names.error import DomainError


class Zone:
    """
    What the server knows. Names in lower case.

    Attributes:
        addresses: of a name; none at all: the name exists without addresses.
        aliases: of names to other names.
        silent: names for which no answer ever comes.
        broken: names for which the server has trouble (SERVFAIL).
        asked: how often each (name, type) was asked.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.aliases: dict[str, str] = {}
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.all_silent = False
        self.asked: Counter[tuple[str, int]] = Counter()

    def query(self, query: dns.Query, timeout: Any = None) -> Deferred[Any]:
        """
        Answer as `IResolver.query`.
        """
        name = query.name.name.decode().lower()
        self.asked[name, query.type] += 1
        if self.all_silent or name in self.silent:
            return Deferred()
        if name in self.broken:
            return fail(dns.DNSQueryTimeoutError(0))
        records = []
        if name in self.aliases:
            records.append(dns.RRHeader(name, dns.CNAME, payload=dns.Record_CNAME(self.aliases[name])))
            name = self.aliases[name]
        if name not in self.addresses:
            return fail(DomainError())
        for address in self.addresses[name]:
            kind, made = (dns.A, dns.Record_A) if ip_address(address).version == 4 else (dns.AAAA, dns.Record_AAAA)
            if kind == query.type:
                records.append(dns.RRHeader(name, kind, payload=made(address)))
        return succeed((records, [], []))


class _Factory(server.DNSServerFactory):
    """
    Cuts what does not fit a datagram (RFC 1035 section 4.2.1), which Twisted's server leaves to others.
    """

    noisy = False

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        """
        Send an answer; there is an address only over UDP.
        """
        if address is not None:
            message.maxSize = 512
        super().sendReply(protocol, message, address)


class DnsServer:
    """
    The server; `address` is where it listens.
    """

    def __init__(self, reactor: Any) -> None:
        self.zone = Zone()
        factory = _Factory(clients=[self.zone])
        self._tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.address = ("127.0.0.1", self._tcp.getHost().port)
        protocol = dns.DNSDatagramProtocol(factory, reactor=reactor)
        self._udp = reactor.listenUDP(self.address[1], protocol, interface="127.0.0.1")

    def stop(self) -> Deferred[Any]:
        """
        Give the ports back.
        """
        return DeferredList([maybeDeferred(self._tcp.stopListening), maybeDeferred(self._udp.stopListening)])
