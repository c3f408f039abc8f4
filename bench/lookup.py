"""
What a lookup and a change of the routing table cost.

    python -m bench.lookup [--services 10000]

Prints microseconds per lookup for the four measured sets, beside a table of one route: first, middle and last route
in winning order, no match, no match for a Host that comes for the first time, and the mean over all routes. Then
milliseconds for one change at 1, 1,000 and 10,000 services.
"""

from __future__ import annotations

import argparse
import gc
import random
import string
import time
from collections.abc import Callable
from dataclasses import dataclass

from zope.interface import implementer

from dfproxy.interfaces import IRequest
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Destination, Route, Service
from dfproxy.routing.compile import TableBuilder
from dfproxy.routing.precedence import DfpOrder
from dfproxy.routing.table import EMPTY, RouteTable

ORDER = DfpOrder()


@implementer(IRequest)
@dataclass(slots=True)
class Request:
    """
    A request head with nothing but what most routes ask for.
    """

    path: bytes
    host: bytes
    method: bytes = b"GET"
    client_host: str = "192.0.2.1"
    local_port: int = 80

    @property
    def target(self) -> bytes:
        """
        The same as the path.
        """
        return self.path

    def values(self, name: bytes) -> list[bytes]:
        """
        No fields.
        """
        return []


def service(name: str, match: Match) -> Service:
    """
    A service of one destination.
    """
    return Service(name, name, (Destination(0, 8080, match, name, f"{name}-be8080_0"),))


def word(chance: random.Random, length: int) -> bytes:
    """
    Letters and digits.
    """
    return "".join(chance.choices(string.ascii_lowercase + string.digits, k=length)).encode()


def by_path(chance: random.Random, count: int) -> list[Service]:
    """
    Set 1: paths of 2 to 60 bytes, prefix form, no two alike.
    """
    paths: set[bytes] = set()
    while len(paths) < count:
        path = bytearray(b"/" + word(chance, chance.randint(1, 59)))
        for at in range(chance.randint(5, 12), len(path) - 1, chance.randint(6, 15)):
            path[at : at + 1] = b"/"
        paths.add(bytes(path))
    return [
        service(f"{chance.randrange(10**9)}-p{i}", Match(paths=(PathPattern("prefix", p),)))
        for i, p in enumerate(sorted(paths))
    ]


def by_domain(chance: random.Random, count: int) -> list[Service]:
    """
    Set 2: domains of 5 to 60 bytes with the path `/`, prefix form, one in ten a wildcard.
    """
    domains: set[bytes] = set()
    while len(domains) < count:
        length = chance.randint(5, 60)
        top = chance.choice((b".com", b".org", b".io", b".de"))
        name = bytearray(word(chance, length - len(top)) + top)
        for at in range(chance.randint(4, 12), length - len(top) - 2, chance.randint(6, 20)):
            name[at : at + 1] = b"."
        domains.add(bytes(name))
    found = []
    for i, domain in enumerate(sorted(domains)):
        if chance.random() < 0.1:
            host = HostPattern("suffix", b"." + domain, without_port=True)
        else:
            host = HostPattern("prefix", domain)
        found.append(
            service(f"{chance.randrange(10**9)}-d{i}", Match(paths=(PathPattern("prefix", b"/"),), hosts=(host,)))
        )
    return found


def by_regex(chance: random.Random, count: int) -> list[Service]:
    """
    Regular expressions of several kinds: anchored, ending, in the middle, with alternatives.
    """
    shapes: tuple[Callable[[bytes], bytes], ...] = (
        lambda w: rb"^/" + w + rb"/v[0-9]+/",
        lambda w: rb"/v[0-9]+/" + w + rb"$",
        lambda w: rb"/" + w + rb"/[a-f0-9]{8}",
        lambda w: rb"\." + w + rb"(\?|$)",
        lambda w: rb"^/(?:api|rest)/" + w + rb"\b",
    )
    return [
        service(
            f"{chance.randrange(10**9)}-r{i}",
            Match(paths=(PathPattern("regex", shapes[i % len(shapes)](word(chance, chance.randint(4, 12)))),)),
        )
        for i in range(count)
    ]


def sets(count: int) -> dict[str, list[Service]]:
    """
    The measured sets, each of `count` services.
    """
    chance = random.Random(7)
    grid = [
        service(
            f"{chance.randrange(10**9)}-g{i}",
            Match(
                paths=(PathPattern("prefix", b"/" + word(chance, chance.randint(3, 20))),),
                hosts=(HostPattern("prefix", b"shop%d.example.com" % (i // 10)),),
            ),
        )
        for i in range(count)
    ]
    mixed = by_path(chance, count // 2) + by_domain(chance, count // 2) + by_regex(chance, max(1, count // 50))
    return {
        "paths": by_path(chance, count),
        "domains": by_domain(chance, count),
        "mixed+regex": mixed,
        "domains x paths": grid,
    }


def table_of(services: list[Service], previous: RouteTable = EMPTY) -> RouteTable:
    """
    A full compile; the target of a route is the name of its service.
    """
    builder = TableBuilder(previous, ORDER.key, {})
    for one in services:
        builder.add(one, (one.name,))
    return builder.build()


def request_for(route: Route) -> Request:
    """
    One that the route takes; regular expressions are answered by a text made for their shape.
    """
    match = route.destination.match
    path, host = b"/~home/items/index.html", b"www.nowhere.example"
    if match.paths and match.paths[0].form == "regex":
        pattern = match.paths[0].value
        path = pattern.replace(rb"(\?|$)", b"").replace(rb"(?:api|rest)", b"api").replace(rb"[a-f0-9]{8}", b"0123abcd")
        path = path.replace(b"[0-9]+", b"12").replace(b"^", b"").replace(b"$", b"").replace(rb"\b", b"")
        path = path.replace(rb"\.", b"/picture.")
    elif match.paths:
        path = match.paths[0].value + b"~home/items/index.html"
    if match.hosts:
        host = match.hosts[0].value if match.hosts[0].form == "prefix" else b"www" + match.hosts[0].value
    return Request(path, host)


NOWHERE = Request(b"/~nothing/here/at/all", b"~unknown.example.net")


def own_request(table: RouteTable, routes: list[Route]) -> Request:
    """
    A request for the first of these routes that is not shadowed by a lower one.
    """
    for route in routes:
        request = request_for(route)
        if table.lookup(request) == route.service.name:
            return request
    raise ValueError("every route is shadowed")


def microseconds(table: RouteTable, request: Request) -> float:
    """
    Of one lookup: the best of many short runs, short enough to fall between two switches of the scheduler.
    """
    lookup = table.lookup
    best = 1e9
    for _ in range(100):
        begin = time.perf_counter()
        for _ in range(200):
            lookup(request)
        best = min(best, time.perf_counter() - begin)
    return best / 200 * 1e6


def unseen(table: RouteTable) -> float:
    """
    The mean for hosts that come for the first time and match nothing, microseconds.
    """
    best = 1e9
    for turn in range(20):
        requests = [Request(b"/~nothing/here/at/all", b"~unknown%d-%d.example.net" % (turn, i)) for i in range(200)]
        begin = time.perf_counter()
        for request in requests:
            table.lookup(request)
        best = min(best, time.perf_counter() - begin)
    return best / 200 * 1e6


def spread(table: RouteTable, requests: list[Request]) -> float:
    """
    The mean over many different requests, microseconds: caches of the processor are cold here.
    """
    lookup = table.lookup
    requests = requests * (1 + 1000 // len(requests))
    best = 1e9
    for _ in range(3):
        begin = time.process_time()
        for request in requests:
            lookup(request)
        best = min(best, time.process_time() - begin)
    return best / len(requests) * 1e6


def milliseconds(services: list[Service]) -> tuple[float, float]:
    """
    Of one added and of one replaced service (mean of 20), each from builder to table.
    """
    table = table_of(services)
    chance = random.Random(3)
    fresh = by_path(chance, 10) + by_domain(chance, 10)
    begin = time.process_time()
    for one in fresh:
        table_of([one], table)
    added = (time.process_time() - begin) / len(fresh)
    some = [chance.choice(services) for _ in range(20)]
    begin = time.process_time()
    for one in some:
        table_of([one], table)
    return added * 1e3, (time.process_time() - begin) / len(some) * 1e3


def main() -> None:
    """
    Measure and print.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--services", type=int, default=10_000)
    count: int = parser.parse_args().services
    print(f"us per lookup{'first':>24} {'middle':>8} {'last':>8} {'none':>8} {'unseen':>8} {'spread':>8}   compile, s")
    for size in (1, count):
        for name, services in sets(size).items():
            begin = time.process_time()
            table = table_of(services)
            took = time.process_time() - begin
            gc.collect()
            gc.freeze()
            routes = [route for route, _ in table.routes()]
            wanted = (routes, routes[len(routes) // 2 :], routes[::-1])
            aimed = [own_request(table, some) for some in wanted]
            if name == "mixed+regex":
                regexes = [r for r in routes if r.destination.match.paths[0].form == "regex"]
                aimed.append(own_request(table, regexes[::-1]))
            cells = [microseconds(table, request) for request in (*aimed[:3], NOWHERE)]
            cells.append(unseen(table))
            cells.append(spread(table, [request_for(route) for route in routes]))
            last_regex = f"   last regex {microseconds(table, aimed[3]):.2f}" if aimed[3:] else ""
            figures = " ".join(f"{cell:8.2f}" for cell in cells)
            print(f"{name:<18}{len(services):>10} {figures}   {took:.2f}{last_regex}")
    print("ms per change" + f"{'added':>24} {'replaced':>8}")
    for size in (1, 1000, count):
        for name, services in sets(size).items():
            added, replaced = milliseconds(services)
            print(f"{name:<18}{len(services):>10} {added:8.2f} {replaced:8.2f}")


if __name__ == "__main__":
    main()
