"""
Requests per CPU second of the proxy: small answers and big ones, ratios against HAProxy, nginx and stock Twisted.
"""

from __future__ import annotations

import asyncio
from statistics import median

from bench.api import Published
from bench.load import Run, run_wrk, wrk_command
from bench.machine import Bench
from bench.proxies import Proxy, start_dfproxy, start_haproxy, start_nginx, start_stock
from bench.report import Goal, Report, Result, spread
from bench.servers import Backends

SMALL = Goal(0.9, 0.6)
BIG = Goal(1.5, 0.9)
STOCK = Goal(20, 10)

WORKS = (
    ("small GET, 32 connections", "/demo/hello", 32, SMALL),
    ("small GET, 256 connections", "/demo/hello", 256, SMALL),
    ("1 MB response, 8 connections", "/big", 8, BIG),
)


def measure(bench: Bench, report: Report, backends: Backends) -> None:
    """
    All works in interleaved rounds.
    """
    rounds, seconds = (1, 1) if bench.short else (5, 3)
    others = [start_haproxy(bench, backends.http), start_nginx(bench, backends.http), start_stock(bench, backends.http)]
    ours = start_dfproxy(bench, "dfproxy-throughput")
    assert ours.api is not None
    service = Published("bench", (("servicePath", "/"),), "/")
    asyncio.run(ours.api.publish(service, backends.http))
    proxies: list[Proxy] = [*others, ours]
    for what, target, connections, goal in WORKS:
        runs: dict[str, list[Run]] = {proxy.name: [] for proxy in proxies}
        for proxy in proxies:
            run_wrk(proxy, target, connections, 1)  # warm: connections, code, caches
        for _ in range(rounds):
            for proxy in proxies:
                runs[proxy.name].append(run_wrk(proxy, target, connections, seconds))
        command = " ".join(wrk_command(ours.port, target, connections, seconds))
        absolute = ", ".join(f"{name} {median(r.cpu_us for r in of):.1f}" for name, of in runs.items())
        for other in others:
            ratios = [a.per_cpu_s / b.per_cpu_s for a, b in zip(runs["dfproxy"], runs[other.name])]
            reach = goal if other.name == "HAProxy" else None
            if other.name == "stock" and "small" in what:
                reach = STOCK
            more = f"{spread(ratios)}; CPU us a request: {absolute}" if other.name == "HAProxy" else spread(ratios)
            label = "Twisted's ReverseProxyResource" if other.name == "stock" else other.name
            heading = "Requests per proxy-CPU-second, ratio of dfproxy"
            report.add(Result(heading, f"{what}, vs {label}", median(ratios), "", command, reach, more))
    for proxy in proxies:
        proxy.running.end()
