"""
Where the time goes: system calls of a worker by strace, Python functions by cProfile.

Both distort: strace makes each call dearer, cProfile each Python call. Counts per request are exact, shares are hints.
"""

from __future__ import annotations

import asyncio
import pstats
import re
import signal
import subprocess
import threading

from bench.changes import service
from bench.load import run_wrk
from bench.machine import Bench, find_program
from bench.proxies import start_dfproxy
from bench.report import Report, Result
from bench.servers import Backends

CONNECTIONS = 32
FUNCTIONS = 12


def measure(bench: Bench, report: Report, backends: Backends) -> None:
    """
    Both profiles of small GETs.
    """
    count_calls(bench, report, backends)
    count_functions(bench, report, backends)


def count_calls(bench: Bench, report: Report, backends: Backends) -> None:
    """
    System calls per request of a worker.
    """
    proxy = start_dfproxy(bench, "dfproxy-strace")
    assert proxy.api is not None
    asyncio.run(proxy.api.publish(service("profile"), backends.http))
    run_wrk(proxy, "/profile/", CONNECTIONS, 1)
    out = bench.folder / "strace.txt"
    worker = proxy.running.busiest_child()
    strace = [find_program("strace"), "-f", "-c", "-o", str(out), "-p", str(worker)]
    tracer = subprocess.Popen(strace, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert tracer.stderr is not None
    tracer.stderr.readline()  # attached
    drain = threading.Thread(target=tracer.stderr.read, daemon=True)
    drain.start()
    run = run_wrk(proxy, "/profile/", CONNECTIONS, 1 if bench.short else 3)
    tracer.send_signal(signal.SIGINT)
    tracer.wait(10)
    calls = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", out.read_text(), re.M)
    for count, name in calls[:8]:
        per = int(count) / run.requests
        if per >= 0.01 and name != "total":
            report.add(
                Result("System calls per request (small GET)", name, per, "", " ".join(strace[:3]) + " -p <worker>")
            )
    proxy.running.end()


def count_functions(bench: Bench, report: Report, backends: Backends) -> None:
    """
    Python functions by their own time; the data plane inside the one process.
    """
    stats = bench.folder / "profile.stats"
    twistd = ("--reactor", "uv", f"--profile={stats}", "--profiler=cprofile", "--savestats")
    proxy = start_dfproxy(bench, "dfproxy-profile", 0, twistd)
    assert proxy.api is not None
    asyncio.run(proxy.api.publish(service("profile"), backends.http))
    run = run_wrk(proxy, "/profile/", CONNECTIONS, 1 if bench.short else 3)
    proxy.running.end()
    seen = pstats.Stats(str(stats))
    rows = sorted(seen.stats.items(), key=lambda item: -item[1][2])  # type: ignore[attr-defined]  # untyped there
    total = sum(row[2] for _, row in rows)
    heading = "Python functions by their own time, share of all (small GET, cProfile, --workers 0)"
    command = "twistd --reactor uv --profile=F --profiler=cprofile --savestats dfproxy --workers 0 ..."
    for (file, line, name), row in rows[:FUNCTIONS]:
        short = "/".join(file.split("/")[-2:]) if "/" in file else file
        where = f"{short}:{line} {name}" if line else name
        more = f"{row[0] / run.requests:.2f} calls a request"
        report.add(Result(heading, f"`{where}`".replace("|", "/"), row[2] / total * 100, "%", command, None, more))
