"""
Ports where whole connections are taken, as HAProxy configuration.

Where HTTP is served on the same port a frontend in mode tcp stands before the other one, and gives it what no name fits
by an abstract socket, with the client's address in a header of the PROXY protocol.

Source: contract 5; DFP `proxy/template.go`; HAProxy `mode tcp`, `tcp-request inspect-delay`, `req.ssl_sni`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dfproxy.dfp.checks import backend_lines, order_words, server_words
from dfproxy.dfp.haproxytext import Names, balance_lines, comment, foreign_regex, milliseconds, value_lines, word
from dfproxy.dfp.resilience import server_words as place_words
from dfproxy.dfp.resilience import stream_lines
from dfproxy.model.checks import Order, Orders
from dfproxy.model.listener import Listener
from dfproxy.model.match import HostForm, HostPattern
from dfproxy.model.pool import Pool, Pools
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import ServerAddress

ANNOUNCED = ("", " send-proxy", " send-proxy-v2")
"""
What a server's line says of the PROXY protocol, by its version.
"""

_METHODS: dict[HostForm, str] = {
    "exact": "",
    "prefix": " -m beg",
    "suffix": " -m end",
    "substring": " -m sub",
    "regex": " -m reg",
    "label": " -m dom",
    "directory": " -m dir",
    "length": " -m len",
}

Address = Callable[[ServerAddress], str | None]


def shared_bind(listener: Listener) -> str:
    """
    Where the frontend of HTTP has its connections from, on a port that it shares.
    """
    return f"bind abns@dfproxy-{listener.port} accept-proxy"


class StreamsText:
    """
    The text of all streams.

    Args:
        settings: for addresses and time-outs.
        pools: by port.
        servers: of a destination.
        address: of a server, as HAProxy writes it.
        backends: names of backends that are taken.
        orders: what an operator says of single servers.
    """

    def __init__(
        self,
        settings: Settings,
        pools: Pools,
        servers: Callable[[str, int], Sequence[ServerAddress]],
        address: Address,
        backends: Names,
        orders: Orders,
    ) -> None:
        self._settings = settings
        self._pools = pools
        self._servers = servers
        self._address = address
        self._backends = backends
        self._orders = orders

    def pieces(self) -> Iterator[str]:
        """
        Frontends and backends, one a piece.
        """
        for port in sorted(self._pools):
            pools = self._pools[port]
            names = [self._backends.take(_wanted(pool)) for pool in pools]
            here = [each for each in self._settings.listeners if each.port == port]
            others = self._backends.take(f"services_{port}") if here else ""
            yield self._frontend(port, pools, names, here, others)
            if others:
                yield f"\nbackend {others}\n    mode tcp\n    server services abns@dfproxy-{port} send-proxy-v2\n"
            for pool, name in zip(pools, names):
                yield self._backend(pool, name)

    def _frontend(
        self, port: int, pools: Sequence[Pool], names: Sequence[str], here: Sequence[Listener], others: str
    ) -> str:
        stream = pools[0].stream
        lines = []
        for listener in here or [Listener(each, port) for each in self._settings.addresses]:
            where = f"[{listener.address}]" if ":" in listener.address else word(listener.address or "*")
            lines.append(f"bind {where}:{port}{' accept-proxy' if listener.announced else ''}")
        lines.append("mode tcp")
        if stream.keep_alive:
            lines.append("option clitcpka")
        if stream.client_timeout_s is not None:
            lines.append(f"timeout client {milliseconds(stream.client_timeout_s)}")
        is_named = any(pool.stream.names for pool in pools)
        if is_named:
            lines += ["tcp-request inspect-delay 5s", "tcp-request content accept if { req_ssl_hello_type 1 } or HTTP"]
        default = others
        for pool, name in zip(pools, names):
            if not pool.stream.names:
                default = others or name  # the last one of several
                continue
            found = _acl(f"sni_{name}", pool.stream.names)
            rule = f"use_backend {name} if sni_{name}"
            lines += [*found, rule] if isinstance(found, list) else [f"# {comment(rule)}: HAProxy cannot: {found}"]
        if default:
            lines.append(f"default_backend {default}")
        kind = "service" if is_named and not default else "tcpFE"
        return "\n".join([f"\nfrontend {kind}_{port}", *(f"    {line}" for line in lines)]) + "\n"

    def _backend(self, pool: Pool, name: str) -> str:
        destination = pool.first.destination
        lines = ["mode tcp", *balance_lines(pool.stream.balance if pool.stream.group else pool.first.service.balance)]
        if destination.server_timeout_s is not None:
            lines.append(f"timeout server {milliseconds(destination.server_timeout_s)}")
        if destination.tunnel_timeout_s is not None:
            lines.append(f"timeout tunnel {milliseconds(destination.tunnel_timeout_s)}")
        lines += stream_lines(destination.resilience)
        lines += backend_lines(destination.check)
        names = Names()
        taken: set[tuple[str, int]] = set()
        for route in pool.members:
            stream, service = route.destination.stream, route.service
            if stream is not None and stream.port != pool.stream.port:
                lines.append(
                    f"# {comment(service.name)}: nothing listens on its srcPort={stream.port}, the group has one port"
                )
            servers = self._servers(service.name, route.destination.index)
            for number, server in enumerate(servers):
                if (server.host, server.port) in taken:
                    continue
                taken.add((server.host, server.port))
                wanted = service.name if len(servers) == 1 else f"{service.name}_{number}"
                if pool.stream.group:
                    wanted = f"{pool.stream.group}-{service.name}{route.destination.port}_{number}"
                words = ANNOUNCED[destination.announce] + place_words(destination.resilience)
                words += server_words(destination.check, 0.0)
                order = self._orders.get(service.name, {}).get((server.host, server.port))
                lines.append(self._server(names.take(wanted), server, words, order))
        if not taken:
            lines.append("# no servers: closed")
        return "\n".join([f"\nbackend {name}", *(f"    {line}" for line in lines)]) + "\n"

    def _server(self, name: str, server: ServerAddress, announced: str, order: Order | None) -> str:
        address = self._address(server)
        if address is None:
            return f"# server {name} {comment(server.host)}: HAProxy would ask for this name when it starts"
        weight = order_words(server.weight, order)
        return f"server {name} {address}{weight}{announced}"


def _wanted(pool: Pool) -> str:
    return pool.stream.group or pool.first.destination.backend_name


def _acl(name: str, patterns: Sequence[HostPattern]) -> list[str] | str:
    """
    The lines of an ACL, or the reason why HAProxy cannot have it.
    """
    groups: dict[str, list[str]] = {}
    for pattern in patterns:
        if pattern.form == "regex" and (reason := foreign_regex(pattern.value)):
            return reason
        if pattern.value:
            groups.setdefault(f"req.ssl_sni{_METHODS[pattern.form]} -i", []).append(word(pattern.value))
    if not groups:
        return [f"acl {name} always_false"]
    return [line for start, values in groups.items() for line in value_lines(f"acl {name} {start}", values)]
