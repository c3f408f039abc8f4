"""
Proxies take turns; a ratio is taken within a round, and the median of the rounds counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from bench.load import LoadFailed, Run
from bench.machine import NotStarted
from bench.proxies import Proxy
from bench.report import Goal, Report, Result, spread

LABELS = {"stock": "Twisted's ReverseProxyResource"}
"""Proxies that a table calls by a longer name than their own."""


REASON_LIMIT = 200
"""Characters of a reason in a table; a program's log may be long."""


def in_a_cell(error: Exception) -> str:
    """
    A reason in words that a cell of a table can hold.
    """
    return " ".join(str(error).split()).replace("|", "/")[:REASON_LIMIT]


@dataclass(frozen=True, slots=True)
class Work:
    """
    What all proxies do in turns.

    Attributes:
        group: heading of its figures.
        what: in words.
        command: what measures it, as the page shows it.
        goals: name of a proxy to the ratio that is to be reached against it; the other ratios only inform.
        unit: what the CPU time is given for.
    """

    group: str
    what: str
    command: str
    goals: Mapping[str, Goal] = field(default_factory=dict)
    unit: str = "request"


@dataclass(slots=True)
class Entrants:
    """
    Who takes part.

    Attributes:
        ours: dfproxy; None where it cannot do this work.
        others: those it is compared with.
        absent: name of one that cannot take part, to the reason.
    """

    ours: Proxy | None = None
    others: list[Proxy] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    def join(self, name: str, start: Callable[[], Proxy]) -> None:
        """
        Start one that we are compared with. Where it cannot run, its rows say so, and the others' figures stand.
        """
        try:
            self.others.append(start())
        except NotStarted as error:
            self.absent[name] = in_a_cell(error)

    def join_ours(self, start: Callable[[], Proxy]) -> None:
        """
        Start dfproxy with what the work needs of it.
        """
        try:
            self.ours = start()
        except NotStarted as error:
            self.absent["dfproxy"] = in_a_cell(error)

    def end(self) -> None:
        """
        End all.
        """
        for proxy in (*self.others, *([self.ours] if self.ours else [])):
            proxy.running.end()


def compete(report: Report, work: Work, entrants: Entrants, rounds: int, run: Callable[[Proxy, bool], Run]) -> None:
    """
    All do the work in turns; one row for each that we are compared with, also if it is absent.

    Args:
        run: let a proxy work; the second argument says that this is only to warm it: connections, code, caches.

    Raises:
        LoadFailed: ours failed. One of the others that fails has rows that say so.
    """
    absent = dict(entrants.absent)
    ours = entrants.ours
    names = [*(proxy.name for proxy in entrants.others), *(name for name in entrants.absent if name != "dfproxy")]
    runs: dict[str, list[Run]] = {}
    if ours is not None:
        taking_part = [*entrants.others, ours]
        runs = {proxy.name: [] for proxy in taking_part}
        for at in range(rounds + 1):
            for proxy in taking_part:
                if proxy.name in absent:
                    continue
                try:
                    done = run(proxy, at == 0)
                except LoadFailed as error:
                    if proxy is ours:
                        raise
                    absent[proxy.name] = in_a_cell(error)
                    continue
                if at:
                    runs[proxy.name].append(done)
    costs = ", ".join(f"{n} {median(r.cpu_us for r in of):.1f}" for n, of in runs.items() if n not in absent)
    absolute = f"; CPU us a {work.unit}: {costs}"
    for name in names:
        what, goal = f"{work.what}, vs {LABELS.get(name, name)}", work.goals.get(name)
        reason = absent.get("dfproxy") or absent.get(name)
        if reason:
            report.add(Result(work.group, what, None, "", work.command, goal, reason))
            continue
        ratios = [a.per_cpu_s / b.per_cpu_s for a, b in zip(runs["dfproxy"], runs[name])]
        report.add(Result(work.group, what, median(ratios), "", work.command, goal, spread(ratios) + absolute))
        absolute = ""
