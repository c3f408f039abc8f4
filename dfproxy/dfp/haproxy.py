"""
The table of routes as HAProxy configuration: to read, to search, and to run beside us as an oracle.

HAProxy 2.6 accepts the text and behaves as we do, except where a comment says that it cannot. No value that came from
outside can add a line or a word: see `word` and `comment` in `haproxytext`.

Source: HAProxy manual; DFP `proxy/template.go` for names and order.
"""

from __future__ import annotations

import ipaddress
import os.path
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dfproxy.dfp import checks
from dfproxy.dfp.haproxyanswers import StatisticsText, page_lines
from dfproxy.dfp.haproxyraw import front_lines, led_to, raw_lines
from dfproxy.dfp.haproxysteps import StepsText, trusting
from dfproxy.dfp.haproxystreams import ANNOUNCED, StreamsText, shared_bind
from dfproxy.dfp.haproxytext import Names, acl_lines, balance_lines, comment, milliseconds, word
from dfproxy.dfp.resilience import general_lines, server_words
from dfproxy.model.certificate import Certificate
from dfproxy.model.checks import Address, Order
from dfproxy.model.match import FRONT_LINES, Condition, Match
from dfproxy.model.pool import Pool, Pools
from dfproxy.model.service import Route, ServerTls
from dfproxy.model.settings import Settings, Tls
from dfproxy.model.snapshot import Revision, ServerAddress, server_names
from dfproxy.wire.networks import is_address

Servers = Callable[[str, int], Sequence[ServerAddress]]

LISTED = 16
"""
Certificates named one by one; HAProxy takes 64 words in a line.
"""

LISTED_CHARS = 1500
"""
Characters of their paths; HAProxy takes 2,048 in a line.
"""


def render(
    settings: Settings,
    routes: Iterable[tuple[Route, object]],
    default: Route | None,
    servers: Servers,
    revision: Revision,
    quarantined: Mapping[str, str] = {},
    certificates: Sequence[Certificate] = (),
    pools: Mapping[int, tuple[Pool, ...]] = {},
    orders: Mapping[str, Mapping[Address, Order]] = {},
    pages: Mapping[int, tuple[str, int]] = {},
) -> Iterator[str]:
    """
    Make the text, a piece for each route and backend, so that it can be made in slices.

    Args:
        settings: for listeners, time-outs and the strategy of who names none.
        routes: every route, in the order in which they win, each with its target (not looked at).
        default: the route that takes what none matches.
        servers: the servers of a destination, by name of the service and index.
        revision: of the definitions shown.
        quarantined: services that could not be loaded, with the reason; their backends have no servers.
        certificates: those in force, the default one first.
        pools: what whole connections go to.
        orders: what an operator says of single servers.
        pages: error pages of the operator that are in use: status to path and length in bytes.
    """
    listed = [route for route, _ in routes]
    steps = StepsText(settings, [*listed, *([default] if default is not None else [])])
    statistics = StatisticsText(settings.statistics, steps.list_names)
    yield _head(settings, revision, quarantined, pages)
    yield from steps.user_lists()
    yield from statistics.user_list()
    yield _frontend(settings, certificates, pools)
    yield from (f"    {line}\n" for line in statistics.shared_lines())
    yield from (f"    {line}\n" for line in raw_lines(settings.front_lines, "frontend"))
    backends, stems = Names(), Names()
    yield from steps.redirects(stems)
    named: dict[tuple[str, int], str] = {}
    for route in listed:
        named[_key(route)] = backends.take(route.destination.backend_name)
    written: set[str] = set()
    for route in listed:
        if lines := _front_lines(route):
            if route.service.name not in written:
                written.add(route.service.name)
                yield _templated(route, lines, named, stems)
            continue
        yield _route(route, named[_key(route)], stems)
    if default is not None:
        if _key(default) not in named:
            listed.append(default)
            named[_key(default)] = backends.take(default.destination.backend_name)
        yield f"    default_backend {named[_key(default)]}\n"
    for route in listed:
        found = () if route.service.name in quarantined else servers(*_key(route))
        yield _backend(settings, route, named[_key(route)], found, steps, orders.get(route.service.name, {}))
    yield from StreamsText(settings, pools, servers, _address, backends, orders).pieces()
    for missing in led_to(settings.front_lines, set(named.values())):
        yield f"\nbackend {word(missing)}\n    # there is no such destination now: 503\n"
    yield from statistics.frontend()


_MODES = {"http-tunnel": "http-keep-alive", "forceclose": "httpclose"}
"""
Connection modes that HAProxy 2.6 does not know any more, and what is done instead.
"""


def _key(route: Route) -> tuple[str, int]:
    return route.service.name, route.destination.index


def _head(
    settings: Settings, revision: Revision, quarantined: Mapping[str, str], pages: Mapping[int, tuple[str, int]]
) -> str:
    limits = settings.limits
    lines = [
        f"# revision {revision.number} {comment(revision.digest)}",
        *(f"# service {comment(name)} is not served: {comment(why)}" for name, why in sorted(quarantined.items())),
        "global",
        "    pidfile /var/run/haproxy.pid",
        f"    tune.http.maxhdr {min(max(limits.fields, 1), 32767)}",
        *([f"    maxconn {limits.client_connections}"] if limits.client_connections else []),
        "",
        "defaults",
        "    mode http",
        f"    option {_MODES.get(settings.connection_mode, settings.connection_mode)}",
        *([] if settings.trusted_proxies else ["    option forwardfor"]),
        "    option redispatch",
        f"    retries {max(limits.connect_attempts - 1, 0)}",
        f"    timeout connect {milliseconds(limits.connect_timeout_s)}",
        f"    timeout client {milliseconds(limits.client_timeout_s)}",
        f"    timeout server {milliseconds(limits.server_timeout_s)}",
        f"    timeout queue {milliseconds(limits.queue_timeout_s)}",
        f"    timeout tunnel {milliseconds(limits.tunnel_timeout_s)}",
        f"    timeout http-request {milliseconds(limits.head_timeout_s)}",
        f"    timeout http-keep-alive {milliseconds(limits.keep_alive_timeout_s)}",
        *(f"    {line}" for line in page_lines(pages)),
        "",
    ]
    return "\n".join(lines) + "\n"


def _frontend(settings: Settings, certificates: Sequence[Certificate], pools: Pools) -> str:
    lines = ["frontend services"]
    for listener in settings.listeners:
        address = f"[{listener.address}]" if ":" in listener.address else word(listener.address or "*")
        bind = " ".join([f"bind {address}:{listener.port}", *map(word, listener.options)])
        if listener.port == 0:
            lines.append(f"    # {comment(bind)}: the system chooses the port, HAProxy cannot have that")
            continue
        if listener.port in pools:
            bind = shared_bind(listener)
        if listener.tls and certificates:
            bind += _tls(settings, certificates)
        elif listener.tls:
            lines.append("    # the next one speaks TLS once there is a certificate")
        lines.append(f"    {bind}")
    lines += [f"    {line}" for line in trusting(settings.trusted_proxies)]
    return "\n".join(lines) + "\n"


def _tls(settings: Settings, certificates: Sequence[Certificate]) -> str:
    """
    What follows an address with TLS. Many certificates are named by their folder, after the default one; where there is
    a list of them it is named.
    """
    tls = settings.tls
    folders = {"folder": settings.certs_dir, "secret": settings.secrets_dir, "list": ""}
    paths = [os.path.join(folders[each.source], each.file) for each in certificates]
    words = ["ssl"]
    if tls.crt_list and any(each.listed for each in certificates):
        words += ["crt-list", tls.crt_list]
        paths = []
    elif len(paths) > LISTED or sum(map(len, paths)) > LISTED_CHARS:
        secrets = [path for path, each in zip(paths, certificates) if each.source == "secret"]
        paths = list(dict.fromkeys([paths[0], *([settings.certs_dir] if len(secrets) < len(paths) else []), *secrets]))
        paths = paths[:LISTED]
    for path in paths:
        words += ["crt", path]
    words += ["alpn", "h2,http/1.1" if settings.http2 else "http/1.1", "ssl-min-ver", _version(tls.min_version)]
    if tls.max_version:
        words += ["ssl-max-ver", _version(tls.max_version)]
    if tls.ciphers:
        words += ["ciphers", tls.ciphers]
    if tls.ca_file:
        words += ["ca-file", tls.ca_file, "verify", "optional"]
    words += ["no-tls-tickets"] * (not tls.tickets) + ["strict-sni"] * tls.strict_sni
    return "".join(f" {word(each)}" for each in words)


def _version(name: str) -> str:
    return "TLSv1.0" if name == "TLSv1" else name


def _front_lines(route: Route) -> tuple[str, ...]:
    """
    The lines that decide whether it is taken, if such do.
    """
    match route.destination.match.conditions:
        case (Condition(name, values),) if name == FRONT_LINES:
            return values[1:]
    return ()


def _templated(route: Route, lines: tuple[str, ...], named: Mapping[tuple[str, int], str], stems: Names) -> str:
    """
    All routes of a service that has a template for them; they stand where its first one does.
    """
    service = route.service
    backends = {
        each.backend_name: named[service.name, each.index]
        for each in service.destinations
        if (service.name, each.index) in named
    }
    found = front_lines(lines, stems.take(f"template_{service.order_name}"), backends)
    return "".join(f"    {line}\n" for line in found)


def _route(route: Route, backend: str, stems: Names) -> str:
    """
    The conditions of a route and its `use_backend`; all in a comment where HAProxy cannot decide one of them.
    """
    destination = route.destination
    stem = stems.take(f"{route.service.order_name}{destination.port}_{destination.index}")
    lines: list[str] = []
    conditions: list[str] = []
    reasons = [f"a plugin decides condition {condition.name}" for condition in destination.match.conditions]
    for name, negated, found in _acls(destination.match, stem):
        if isinstance(found, str):
            reasons.append(found)
            continue
        lines += found
        conditions.append(f"!{name}" if negated else name)
    rule = f"use_backend {backend}" + (f" if {' '.join(conditions)}" if conditions else "")
    if reasons:
        return f"    # {comment(rule)}: HAProxy cannot: {comment('; '.join(reasons))}\n"
    return "".join(f"    {line}\n" for line in (*lines, rule))


def _acls(match: Match, stem: str) -> Iterator[tuple[str, bool, list[str] | str]]:
    """
    Each condition: its ACL name, whether it must not hold, and its lines, or why there are none.
    """
    if match.paths:
        yield f"url_{stem}", False, acl_lines(f"url_{stem}", match.paths)
    if match.excluded:
        yield f"url_exclude_{stem}", True, acl_lines(f"url_exclude_{stem}", match.excluded)
    if match.hosts:
        yield f"domain_{stem}", False, acl_lines(f"domain_{stem}", match.hosts)
    for number, header in enumerate(match.headers):
        yield f"hdr_{stem}_{number}", False, acl_lines(f"hdr_{stem}_{number}", (header,))
    if match.local_port:
        yield f"srcPort_{stem}", False, [f"acl srcPort_{stem} dst_port {match.local_port}"]
    if match.user_agents:
        yield f"user_agent_{stem}", False, acl_lines(f"user_agent_{stem}", match.user_agents)


def _backend(
    settings: Settings,
    route: Route,
    name: str,
    servers: Sequence[ServerAddress],
    steps: StepsText,
    ordered: Mapping[Address, Order],
) -> str:
    destination, service = route.destination, route.service
    lines = ["", f"backend {name}", *balance_lines(service.balance)]
    if destination.server_timeout_s is not None:
        lines.append(f"timeout server {milliseconds(destination.server_timeout_s)}")
    if destination.tunnel_timeout_s is not None:
        lines.append(f"timeout tunnel {milliseconds(destination.tunnel_timeout_s)}")
    lines += steps.backend(route)
    if settings.trusted_proxies:
        lines.append("http-request add-header X-Forwarded-For %[var(txn.peer)]")
    lines += general_lines(destination.resilience)
    lines += checks.backend_lines(destination.check)
    secured = ""
    announced = ANNOUNCED[destination.announce] + server_words(destination.resilience)
    announced += checks.server_words(destination.check, destination.slow_start_s)
    if destination.tls is not None:
        said, secured = _server_tls(destination.tls, settings)
        lines += said
    names = Names()
    for number, (wanted, server) in enumerate(zip(server_names(service.name, servers), servers)):
        called = names.take(wanted)
        address = _address(server)
        weight = checks.order_words(server.weight, ordered.get((server.host, server.port)))
        if address is None:
            lines.append(f"# server {called} {comment(server.host)}: HAProxy would ask for this name when it starts")
        else:
            lines.append(f"server {called} {address}{weight}{secured}{announced}{steps.cookie(route, server, number)}")
    if not servers:
        lines.append("# no servers: 503")
    if destination.steps is not None:
        lines += raw_lines(destination.steps.raw, "backend")
    return "\n".join(line if line.startswith("backend") or not line else f"    {line}" for line in lines) + "\n"


def _server_tls(tls: ServerTls, settings: Settings) -> tuple[list[str], str]:
    """
    Lines before the servers, and what follows the address of each. A name that HAProxy cannot verify as we do matches
    no certificate there: it fails, where without `verifyhost` it would believe any.
    """
    lines: list[str] = []
    words = ["ssl", "verify", "required" if tls.verify else "none"]
    if tls.verify:
        words += ["ca-file", os.path.join(settings.certs_dir, tls.ca) if tls.ca else "@system-ca"]
    name = tls.server_name.rstrip(".")
    if name and not is_address(name):
        words += ["sni", f"str({name})"]
    elif tls.verify:
        lines.append(f"# HAProxy cannot verify an IP address ({comment(name)}): no connection is had")
    if tls.verify:
        words += ["verifyhost", name]
    if tls.certificate:
        words += ["crt", os.path.join(settings.certs_dir, tls.certificate)]
    chosen = settings.tls
    if (chosen.min_version, chosen.max_version) != (Tls().min_version, ""):
        words += ["ssl-min-ver", _version(chosen.min_version)]
        words += ["ssl-max-ver", _version(chosen.max_version)] if chosen.max_version else []
    if chosen.ciphers:
        words += ["ciphers", chosen.ciphers]
    return lines, "".join(f" {word(each)}" for each in words)


def _address(server: ServerAddress) -> str | None:
    try:
        address = ipaddress.ip_address(server.host)
    except ValueError:
        return None
    if "%" in server.host:
        return None
    return f"[{address}]:{server.port}" if address.version == 6 else f"{address}:{server.port}"
