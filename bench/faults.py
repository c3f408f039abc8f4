"""
A worker is killed with -9 under load: who notices.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

from bench.changes import service
from bench.load import SteadyClient
from bench.machine import Bench
from bench.proxies import start_dfproxy
from bench.report import Goal, Report, Result
from bench.servers import Backends

FAILED = Goal(0, 0, less_is_better=True)
LONGEST_WAIT_MS = Goal(100, 500, less_is_better=True)

LOAD_PER_S = 300
CONNECTIONS = 16


def measure(bench: Bench, report: Report, backends: Backends) -> None:
    """
    With two workers (another one is there to take over) and with one (a new one has to start).
    """
    for workers in (2,) if bench.short else (2, 1):
        measure_kill(bench, report, backends, workers)


def measure_kill(bench: Bench, report: Report, backends: Backends, workers: int) -> None:
    """
    Kill a worker three times, each request on a connection of its own.
    """
    proxy = start_dfproxy(bench, f"dfproxy-killed-{workers}", workers)
    assert proxy.api is not None
    asyncio.run(proxy.api.publish(service("steady"), backends.http))
    load = SteadyClient(bench, proxy.port, "/steady/", LOAD_PER_S, CONNECTIONS, keep=False)
    time.sleep(1)
    killed_at = []
    for _ in range(1 if bench.short else 3):
        victim = proxy.running.busiest_child()
        killed_at.append(time.monotonic())
        os.kill(victim, signal.SIGKILL)
        time.sleep(3)
    steady = load.stop()
    refused = [(t, w) for t, w in steady.failed if "Refused" in w]
    # What was under way on the killed one may be cut; what began after it may not.
    cut = [(t, w) for t, w in steady.failed if "Refused" not in w and any(t <= k <= t + 21 for k in killed_at)]
    others = len(steady.failed) - len(refused) - len(cut)
    after = [wait for began, wait in steady.waits if any(k - wait <= began <= k + 2 for k in killed_at)]
    group = f"Worker killed with -9 under load, {workers} workers" if workers > 1 else "The only worker killed with -9"
    command = f"kill -9 <worker>, {LOAD_PER_S} requests a second, each on a new connection"
    more = f"{steady.answered} answered, {len(cut)} cut that were in flight"
    report.add(Result(group, "connections refused", len(refused), "", command, FAILED, more))
    report.add(Result(group, "failed that began after the kill", others, "", command, FAILED))
    goal = LONGEST_WAIT_MS if workers > 1 else None
    report.add(Result(group, "longest wait", max(after, default=0.0) * 1000, "ms", command, goal))
    proxy.running.end()
