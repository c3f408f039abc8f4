"""
Results beside their goal and floor, on the terminal and in docs/performance.md.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median

from bench.machine import OTHER_CPU, PROXY_CPU, NotStarted, find_program

BEGIN = "<!-- bench: written by `make bench-doc`, do not edit between these lines -->"
END = "<!-- bench: end -->"

VERSIONS = (
    ("HAProxy", "haproxy", "-v"),
    ("nginx", "nginx", "-v"),
    ("Envoy", "envoy", "--version"),
    ("Caddy", "caddy", "version"),
)
"""What is compared with, its program, and the option that makes it say its version."""


@dataclass(frozen=True, slots=True)
class Goal:
    """
    What a figure has to reach.

    Attributes:
        goal: where we want to be.
        floor: below (above, if less is better) a version is not done.
        less_is_better: for costs, times and memory.
    """

    goal: float
    floor: float
    less_is_better: bool = False

    def judge(self, value: float) -> str:
        """
        In one word and its reason.
        """
        sign = -1 if self.less_is_better else 1
        if value * sign >= self.goal * sign:
            return "goal"
        return "floor" if value * sign >= self.floor * sign else "BELOW THE FLOOR"

    def words(self) -> tuple[str, str]:
        """
        Goal and floor as a table has them.
        """
        sign = "<=" if self.less_is_better else ">="
        return f"{sign} {self.goal:g}", f"{sign} {self.floor:g}"


@dataclass(frozen=True, slots=True)
class Result:
    """
    One figure.

    Attributes:
        group: heading it stands under.
        what: in words.
        value: the figure; None where it could not be measured, and then `more` says why.
        unit: of it; empty for a ratio.
        command: what measured it.
        goal: what it has to reach, None for a figure that only informs.
        more: rounds, spread, absolute figures.
    """

    group: str
    what: str
    value: float | None
    unit: str
    command: str
    goal: Goal | None = None
    more: str = ""

    def shown(self) -> str:
        """
        The figure with its unit.
        """
        if self.value is None:
            return "not measured"
        digits = 0 if self.value == int(self.value) and abs(self.value) < 1e6 else 2 if abs(self.value) < 100 else 0
        return f"{self.value:,.{digits}f}{' ' + self.unit if self.unit else ''}"

    def judged(self) -> str:
        """
        What the figure is worth, in a word; empty where nothing was measured or nothing is to be reached.
        """
        return "" if self.goal is None or self.value is None else self.goal.judge(self.value)


class Report:
    """
    All results of a run, printed as they come.
    """

    def __init__(self) -> None:
        self.results: list[Result] = []

    def add(self, result: Result) -> None:
        """
        Take and print one result.
        """
        if not self.results or self.results[-1].group != result.group:
            print(f"\n{result.group}", flush=True)
        self.results.append(result)
        verdict = ""
        if result.goal is not None:
            goal, floor = result.goal.words()
            verdict = f"  [{result.judged() or 'not judged'}; goal {goal}, floor {floor}]"
        print(f"  {result.what}: {result.shown()}{verdict}", flush=True)
        if result.more:
            print(f"      {result.more}", flush=True)
        print(f"      $ {result.command}", flush=True)

    def below_floor(self) -> list[Result]:
        """
        Results that miss their floor.
        """
        return [r for r in self.results if r.judged().startswith("BELOW")]

    def unmeasured(self) -> list[Result]:
        """
        Results without a figure: neither reached nor missed.
        """
        return [r for r in self.results if r.value is None]

    def markdown(self) -> str:
        """
        The tables of the page.
        """
        lines = [BEGIN, "", surroundings(), ""]
        group = ""
        for result in self.results:
            if result.group != group:
                group = result.group
                lines += [
                    "",
                    f"### {group}",
                    "",
                    "| what | measured | goal | floor | | more |",
                    "|---|---|---|---|---|---|",
                ]
            goal, floor = result.goal.words() if result.goal else ("", "")
            lines.append(f"| {result.what} | {result.shown()} | {goal} | {floor} | {result.judged()} | {result.more} |")
        commands: dict[str, str] = {}
        for result in self.results:
            commands.setdefault(result.command, result.group)
        lines += ["", "What was run (ports and folders vary):", "", "```"]
        lines += [f"{command}   # {heading}" for command, heading in commands.items()]
        lines += ["```", "", END]
        return "\n".join(lines)

    def write_page(self, page: Path) -> None:
        """
        Replace the tables of a page, leave its prose.

        Raises:
            ValueError: the page has no place for them.
        """
        text = page.read_text(encoding="utf-8")
        if BEGIN not in text or END not in text:
            raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r}")
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        page.write_text(before + self.markdown() + after, encoding="utf-8")


def surroundings() -> str:
    """
    On what this was measured.
    """
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    versions = "; ".join(version(*command) for command in VERSIONS)
    kernel = platform.release().split("-")[0]
    return (
        f"Python {platform.python_version()}, Linux {kernel}, {os.cpu_count()} x {model}; {versions}. "
        f"Proxy on CPU {PROXY_CPU}, load and backends on CPU {OTHER_CPU}."
    )


def version(name: str, program: str, option: str) -> str:
    """
    The version of a program, as it says itself.
    """
    try:
        command = [find_program(program), option]
    except NotStarted as error:
        return str(error)
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    # Not what stands before: Envoy names its own path.
    said = (done.stdout + done.stderr).strip().partition("\n")[0].rpartition("version")[2]
    found = re.search(r"\d+\.\d+[-+.\w]*", said)
    return f"{name} {found[0] if found else '?'}"


def percentile(values: list[float], share: float) -> float:
    """
    The smallest value that at least this share of all do not exceed.
    """
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def spread(values: list[float]) -> str:
    """
    Median and range of the rounds.
    """
    return f"rounds {', '.join(f'{v:.2f}' for v in values)}; median {median(values):.2f}"
