"""
What a route does not use costs it nothing: users, rewriting and header rules of other services.
"""

from __future__ import annotations

import asyncio
from statistics import median

from bench.api import Published, ask
from bench.load import LoadFailed, wrk_command
from bench.machine import Bench
from bench.proxies import start_dfproxy
from bench.report import Goal, Report, Result
from bench.routes import compare
from bench.servers import Backends

COST = Goal(1.05, 1.15, less_is_better=True)
"""Nothing, up to what two runs of the same differ by."""

OTHERS = 50

RULES = (
    ("users", "ann:secret,bob:secret"),
    ("reqPathSearchReplace", "^/other([0-9]+)/,/in/\\1/"),
    ("setReqHeader", "X-Seen-By proxy,X-Path %[path]"),
    ("addReqHeader", "X-Tag other if { path_beg /other }"),
    ("delReqHeader", "X-Debug"),
    ("setResHeader", "X-Frame-Options DENY,X-Served-By other"),
    ("addResHeader", "X-Also other"),
    ("delResHeader", "Server"),
)
"""Parameters of each of the other services."""

MEASURED = Published("zz-plain", (("servicePath", "/demo/"),), "/demo/hello")


def other(number: int) -> Published:
    """
    A service that has everything that costs something where it is used.
    """
    return Published(f"other-{number:02}", (("servicePath", f"/other{number}/"), *RULES), f"/other{number}/")


def measure(bench: Bench, report: Report, backends: Backends) -> None:
    """
    The same small GET of two proxies in turns: one has only its service, the other one all of them.
    """
    rounds, seconds = (1, 1) if bench.short else (5, 2)
    alone, beside = start_dfproxy(bench, "dfproxy-alone"), start_dfproxy(bench, "dfproxy-beside")
    assert alone.api is not None and beside.api is not None
    asyncio.run(alone.api.publish(MEASURED, backends.http))
    asyncio.run(beside.api.publish_all([*(other(i) for i in range(OTHERS)), MEASURED], backends.http))
    status, _ = asyncio.run(ask(beside.port, other(0).target))
    if status != 401:
        raise LoadFailed(f"{other(0).name} answers {status}: its users are not in force")
    ratios, costs = compare(alone, beside, MEASURED.target, MEASURED.host, 200, rounds, seconds)
    what = f"small GET beside {OTHERS} services with users, rewriting and header rules"
    command = " ".join(wrk_command(beside, MEASURED.target, 32, seconds))
    more = costs.replace("one -> many", "alone -> beside them")
    report.add(
        Result("What a route does not use, cost ratio to without", what, median(ratios), "", command, COST, more)
    )
    for proxy in (alone, beside):
        proxy.running.end()
