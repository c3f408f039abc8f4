"""
Requests per CPU second of the proxy: small answers and big ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from bench.answers import check_answer
from bench.api import Published
from bench.caddy import start_caddy
from bench.envoy import start_envoy
from bench.load import Run, run_wrk, wrk_command
from bench.machine import Bench
from bench.proxies import Proxy, start_dfproxy, start_haproxy, start_nginx, start_stock
from bench.report import Goal, Report
from bench.rounds import Entrants, Work, compete
from bench.servers import TARGET_BIG, Backends

GROUP = "Requests per proxy-CPU-second, ratio of dfproxy"
PEER = Goal(3, 2)
"""Against proxies that, like ours, can be changed while they run."""
SMALL = {"HAProxy": Goal(0.9, 0.6), "stock": Goal(20, 10), "Envoy": PEER, "Caddy": PEER}
BIG = {"HAProxy": Goal(1.5, 0.9)}
SERVICE = Published("bench", (("servicePath", "/"),), "/")

BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Referer: http://bench/demo/",
    "Connection: keep-alive",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
    "Sec-Fetch-Dest: image",
    "Sec-Fetch-Mode: no-cors",
    "Sec-Fetch-Site: same-origin",
)
"""
Fields of a browser that fetches what a page consists of.
"""

WORKS = (
    ("small GET, 32 connections", "/demo/hello", 32, SMALL, ()),
    ("small GET, 256 connections", "/demo/hello", 256, SMALL, ()),
    ("small GET with a browser's fields, 32 connections", "/demo/hello", 32, {}, BROWSER),
    ("1 MB response, 8 connections", TARGET_BIG, 8, BIG, ()),
)


def measure(bench: Bench, report: Report, backends: Backends) -> None:
    """
    All works in interleaved rounds; then small ones with an access line for each.
    """
    entrants = Entrants(start_published(bench, "dfproxy-throughput", backends))
    entrants.others = [start(bench, backends.http) for start in (start_haproxy, start_nginx, start_stock)]
    modern = Entrants(entrants.ours, list(entrants.others))
    modern.join("Envoy", partial(start_envoy, bench, backends.http))
    modern.join("Caddy", partial(start_caddy, bench, backends.http))
    for what, target, connections, goals, fields in WORKS:
        work(bench, report, modern if goals is SMALL else entrants, what, target, connections, goals, fields)
    modern.end()
    measure_logged(bench, report, backends)


def measure_logged(bench: Bench, report: Report, backends: Backends) -> None:
    """
    Envoy as its quick start has it, which is with an access log, and ours with one.
    """
    lines = bench.folder / "access.log"
    entrants = Entrants(start_published(bench, "dfproxy-logged", backends, ("--access-log", f"httplog:{lines}")))
    entrants.join("Envoy", partial(start_envoy, bench, backends.http, log=True))
    work(bench, report, entrants, "small GET with access logs, 32 connections", "/demo/hello", 32, {})
    entrants.end()


def start_published(bench: Bench, name: str, backends: Backends, options: tuple[str, ...] = ()) -> Proxy:
    """
    Ours, with one service for everything.
    """
    ours = start_dfproxy(bench, name, options=options)
    assert ours.api is not None
    asyncio.run(ours.api.publish(SERVICE, backends.http))
    return ours


def work(
    bench: Bench,
    report: Report,
    entrants: Entrants,
    what: str,
    target: str,
    connections: int,
    goals: dict[str, Goal],
    fields: Sequence[str] = (),
) -> None:
    """
    One work by all.
    """
    rounds, seconds = (1, 1) if bench.short else (5, 2)
    assert entrants.ours is not None
    command = " ".join(wrk_command(entrants.ours, target, connections, seconds, fields=fields))

    def run(proxy: Proxy, warming: bool) -> Run:
        if warming:
            check_answer(proxy, target)
        return run_wrk(proxy, target, connections, 1 if warming else seconds, fields=fields)

    compete(report, Work(GROUP, what, command, goals), entrants, rounds, run)
