"""
What a request costs with 10,000 services against the same request with one; what the services take in memory.

Two proxies side by side, one with the whole set, one with just the route that is asked for, asked in turns.
"""

from __future__ import annotations

import asyncio
from statistics import median

from bench.load import run_wrk, wrk_command
from bench.machine import Bench, rss_mb
from bench.proxies import Proxy, start_dfproxy
from bench.report import Goal, Report, Result
from bench.servers import Backends
from bench.sets import ServiceSet, make_sets

COST = Goal(1.25, 1.5, less_is_better=True)
MEMORY_ONE = Goal(60, 60, less_is_better=True)
MEMORY_MANY = Goal(150, 150, less_is_better=True)


def measure(bench: Bench, report: Report, backends: Backends) -> None:
    """
    The four sets, one after the other.
    """
    count = 1_000 if bench.short else 10_000
    for position, services in enumerate(make_sets(count)):
        measure_set(bench, report, backends, services, position)


def measure_set(bench: Bench, report: Report, backends: Backends, services: ServiceSet, position: int) -> None:
    """
    One set: first, middle, last route and no match.
    """
    rounds, seconds = (1, 1) if bench.short else (3, 2)
    one = start_dfproxy(bench, f"dfproxy-one-{position}")
    many = start_dfproxy(bench, f"dfproxy-many-{position}")
    assert one.api is not None and many.api is not None
    took = asyncio.run(many.api.publish_all(services.services, backends.http))
    count = len(services.services)
    heading = "Cost per request with many services, ratio to one service"
    for place, service in services.asked:
        asyncio.run(one.api.publish(service, backends.http))
        if position == 0 and place == "first":
            note_memory(report, "a worker with 1 service", one, MEMORY_ONE)
        ratios, absolute = compare(one, many, service.target, service.host, 200, rounds, seconds)
        asyncio.run(one.api.withdraw(service.name))
        command = " ".join(wrk_command(many, service.target, 32, seconds, service.host))
        what = f"{services.name}: {place} of {count:,}"
        report.add(Result(heading, what, median(ratios), "", command, COST, absolute))
    target, host = services.unmatched
    asyncio.run(one.api.publish(services.asked[0][1], backends.http))
    ratios, absolute = compare(one, many, target, host, 503, rounds, seconds)
    command = " ".join(wrk_command(many, target, 32, seconds, host))
    report.add(Result(heading, f"{services.name}: no match", median(ratios), "", command, COST, absolute))
    note_memory(
        report, f"a worker with {count:,} services ({services.name})", many, MEMORY_MANY, f"published in {took:.1f} s"
    )
    for proxy in (one, many):
        proxy.running.end()


def compare(
    one: Proxy, many: Proxy, target: str, host: str, status: int, rounds: int, seconds: int
) -> tuple[list[float], str]:
    """
    The same request of both, in turns.

    Returns:
        Cost with many over cost with one, for each round; and the costs in words.
    """
    for proxy in (one, many):
        run_wrk(proxy, target, 32, 1, host, status)
    pairs = []
    for _ in range(rounds):
        few = run_wrk(one, target, 32, seconds, host, status)
        lots = run_wrk(many, target, 32, seconds, host, status)
        pairs.append((few.cpu_us, lots.cpu_us))
    costs = ", ".join(f"{a:.1f} -> {b:.1f}" for a, b in pairs)
    return [b / a for a, b in pairs], f"CPU us a request, one -> many: {costs}"


def note_memory(report: Report, what: str, proxy: Proxy, goal: Goal, more: str = "") -> None:
    """
    Resident memory of the biggest worker, the leader's beside it.
    """
    workers = [rss_mb(pid) for pid in proxy.running.children()]
    leader = rss_mb(proxy.running.pid)
    said = f"leader {leader:.0f} MB" + (f"; {more}" if more else "")
    report.add(Result("Memory", what, max(workers or [leader]), "MB RSS", "VmRSS of /proc/<pid>", goal, said))
