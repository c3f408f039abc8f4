"""
Runs the whole suite and counts what really ran: what `make test` and .ci/run call.

    python -m tests.run                 everything
    python -m tests.run unit e2e        these suites only
    python -m tests.run --total [STEP]  no run: the count of all results that lie there; each step of CI that is named
                                        has failed, and is a result as well

Each suite is a process of its own with a time limit (some bring their own reactor). A process that
a suite leaves behind is a failure, and ended. With DFPROXY_REQUIRE=all a skip that .ci/skips does not
list is a failure, too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".results"
SKIPS = ROOT / ".ci" / "skips"
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Suite:
    """
    Tests that run in one process.

    Attributes:
        name: as on the command line.
        tests: what trial loads.
        limit_s: seconds after which it is ended; several times what it takes alone on two cores,
            since CI machines are shared.
        lane: 0: it runs alone. Suites of other lanes that stand together run side by side, those of one lane one after
            the other: all of it takes less than six minutes so, on two cores.
    """

    name: str
    tests: tuple[str, ...]
    limit_s: float
    lane: int = 0


FIXED_PORTS = ("test_readme", "test_walk")
"""
Modules of tests/e2e that take the ports of the demo: in one lane, so that they never meet.
"""


LANES = 3
"""
More than cores: whoever waits leaves its own to others.
"""


def end_to_end(lane: int) -> tuple[str, ...]:
    """
    One part of the modules of tests/e2e, each third by name.

    Args:
        lane: 1 to `LANES`.
    """
    found = sorted({file.stem for file in (ROOT / "tests" / "e2e").glob("test_*.py")} - set(FIXED_PORTS))
    return tuple(f"tests.e2e.{name}" for name in (*found[lane - 1 :: LANES], *(FIXED_PORTS if lane == 2 else ())))


SECOND_HALF = "f"
"""
Where the second half of the time of tests/unit begins, by name.
"""


def units(lane: int) -> tuple[str, ...]:
    """
    One half of what is in tests/unit, by the time that it takes.

    Args:
        lane: 1 or 2.
    """
    found = {path.parent.name for path in (ROOT / "tests" / "unit").glob("*/__init__.py")}
    found |= {path.stem for path in (ROOT / "tests" / "unit").glob("test_*.py")}
    return tuple(f"tests.unit.{name}" for name in sorted(found) if (name >= SECOND_HALF) == (lane == 2))


SUITES = (
    Suite("unit", units(1), 180, 1),
    Suite("unit-more", units(2), 180, 2),
    Suite("architecture", ("tests.test_architecture",), 60, 1),
    Suite("uv", ("tests.uv",), 240, 1),
    Suite("plugins", ("tests.plugins",), 60, 2),
    Suite("conformance", ("tests.test_conformance",), 420),
    Suite("e2e", end_to_end(1), 600, 1),
    Suite("e2e-more", end_to_end(2), 600, 2),
    Suite("e2e-rest", end_to_end(3), 600, 3),
    Suite("faults", ("tests.faults",), 180, 3),
    Suite("wire", ("tests.wire",), 120, 3),
    Suite("oracle", ("tests.oracle",), 240, 1),
    # Last: it looks at what the others did.
    Suite("parts", ("tests.test_parts",), 30),
)

LINT = (
    ("ruff check", (str(BIN / "ruff"), "check", "--quiet", ".")),
    ("ruff format", (str(BIN / "ruff"), "format", "--check", "--quiet", ".")),
    ("mypy strict", (str(BIN / "mypy"), "--no-error-summary", "dfproxy")),
)
LINT_LIMIT_S = 180


def read_results(folder: Path = RESULTS) -> dict[str, dict[str, str]]:
    """
    What became of each test: its id to its record, the worst where it has several.
    """
    order = {"passed": 0, "skipped": 1, "failed": 2}
    found: dict[str, dict[str, str]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            before = found.get(row["test"])
            if before is None or order[row["outcome"]] > order[before["outcome"]]:
                found[row["test"]] = row
    return found


def read_skips(file: Path = SKIPS) -> dict[str, str]:
    """
    The skips that CI accepts: a pattern of test ids to the reason.
    """
    listed = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, _, reason = line.strip().partition(" ")
            if not reason.strip():
                raise ValueError(f"{file.name}: {pattern} has no reason")
            listed[pattern] = reason.strip()
    return listed


def is_listed(test: str, skips: Iterable[str]) -> bool:
    """
    Whether a skip is one that CI accepts.
    """
    return any(fnmatchcase(test, pattern) for pattern in skips)


def write_result(suite: str, test: str, outcome: str, reason: str = "", fresh: bool = False) -> None:
    """
    Add one record: for what trial does not run, such as lint and mutants.

    Args:
        fresh: forget what the suite's file held.
    """
    RESULTS.mkdir(exist_ok=True)
    row = {"suite": suite, "test": test, "outcome": outcome, "reason": reason, "seconds": 0}
    with open(RESULTS / f"{suite}.jsonl", "w" if fresh else "a", encoding="utf-8") as record:
        record.write(json.dumps(row) + "\n")


def session_members(session: int) -> Iterator[tuple[int, str]]:
    """
    Processes of a session that are alive, with their names.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            before, _, after = (entry / "stat").read_text().rpartition(")")
        except OSError:
            continue  # ended meanwhile
        fields = after.split()
        if int(fields[3]) == session and fields[0] != "Z":
            yield int(entry.name), before.partition("(")[2]


def run_limited(
    command: tuple[str, ...], limit_s: float, said: IO[bytes] | None = None
) -> tuple[int | None, list[str]]:
    """
    Run a command in a session of its own and end all that is left of it.

    Args:
        said: gets what it prints; None: it is printed at once.

    Returns:
        Its exit status, None when it was ended for its time; and the processes it left behind.
    """
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=None if said is None else subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        status: int | None = child.wait(limit_s)
    except subprocess.TimeoutExpired:
        status = None
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    # What is just ending by itself is not left behind.
    deadline = time.monotonic() + 2
    while (left := list(session_members(child.pid))) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid, _ in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return status, [f"{name} (pid {pid})" for pid, name in left]


def run_lint() -> None:
    """
    Run ruff and mypy, each a result.
    """
    for position, (name, command) in enumerate(LINT):
        status, _ = run_limited(command, LINT_LIMIT_S)
        outcome = "passed" if status == 0 else "failed"
        write_result("lint", f"lint: {name}", outcome, f"exit status {status}" if status else "", position == 0)
        print(f"  {name}: {outcome}", flush=True)


def run_suite(suite: Suite, said: IO[bytes] | None = None) -> None:
    """
    Run one suite; what goes wrong with it as a whole becomes a result as well.

    Args:
        said: as for `run_limited`.
    """
    RESULTS.mkdir(exist_ok=True)
    results = RESULTS / f"{suite.name}.jsonl"
    results.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="dfproxy-trial-") as temporary:
        arguments = (str(results), suite.name, f"{temporary}/trial", *suite.tests)
        status, left = run_limited((sys.executable, "-m", "tests.record", *arguments), suite.limit_s, said)
    rows = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    if status is None:
        write_result(suite.name, f"{suite.name}: time", "failed", f"ended after {suite.limit_s:g} s")
    elif status != 0 and not any('"failed"' in row for row in rows):
        write_result(suite.name, f"{suite.name}: exit", "failed", f"exit status {status}")
    elif not rows:
        write_result(suite.name, f"{suite.name}: empty", "failed", "no test was found")
    if left:
        write_result(suite.name, f"{suite.name}: left behind", "failed", ", ".join(left))


def run_lane(suites: list[Suite], printing: threading.Lock) -> None:
    """
    Run suites one after the other, and print what each said when it is over.
    """
    for suite in suites:
        began = time.monotonic()
        with tempfile.TemporaryFile() as said:
            run_suite(suite, said)
            said.seek(0)
            with printing:
                print(f"---- {suite.name}\n{said.read().decode('utf-8', 'replace')}")
                print(f"  {suite.name}: {time.monotonic() - began:.1f} s", flush=True)


def run_lanes(suites: list[Suite]) -> None:
    """
    Run the lanes side by side.
    """
    printing = threading.Lock()
    lanes = [[suite for suite in suites if suite.lane == lane] for lane in sorted({suite.lane for suite in suites})]
    threads = [threading.Thread(target=run_lane, args=(lane, printing)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def standing_together(first: str) -> list[Suite]:
    """
    The suites from this one on that have lanes, up to the next that runs alone.
    """
    names = [suite.name for suite in SUITES]
    rest = SUITES[names.index(first) :] if first in names else ()
    return list(takewhile(lambda suite: suite.lane, rest))


def print_total(*steps: str) -> int:
    """
    Print what failed and what was skipped, then the count as the last line.

    Args:
        steps: what of CI has failed as a whole.

    Returns:
        The exit status that CI wants.
    """
    results, skips = read_results(), read_skips()
    for step in steps:
        results[f"step: {step}"] = {"test": f"step: {step}", "outcome": "failed", "reason": "see its output above"}
    by_outcome: dict[str, list[dict[str, str]]] = {"passed": [], "failed": [], "skipped": []}
    for row in results.values():
        by_outcome[row["outcome"]].append(row)
    strict = os.environ.get("DFPROXY_REQUIRE") == "all"
    unlisted = [row for row in by_outcome["skipped"] if not is_listed(row["test"], skips)]
    for row in by_outcome["skipped"]:
        mark = "NOT IN .ci/skips" if row in unlisted and strict else "skipped"
        print(f"{mark}: {row['test']}: {row['reason']}")
    for row in by_outcome["failed"]:
        print(f"FAILED: {row['test']}: {row['reason']}")
    print(", ".join(f"{len(rows)} {outcome}" for outcome, rows in by_outcome.items()), flush=True)
    return 1 if by_outcome["failed"] or (unlisted and strict) or not by_outcome["passed"] else 0


def main(*wanted: str) -> int:
    """
    Run the suites asked for.
    """
    if wanted[:1] == ("--total",):
        return print_total(*wanted[1:])
    known = ("lint", *(suite.name for suite in SUITES))
    for name in wanted:
        if name not in known:
            print(f"no suite {name}; there are {', '.join(known)}")
            return 2
    if not wanted and RESULTS.exists():
        for file in RESULTS.glob("*.jsonl"):
            file.unlink()
    chosen = wanted or known
    started: set[str] = set()
    for position, name in enumerate(chosen, 1):
        if name in started:
            continue
        beside = [suite for suite in standing_together(name) if suite.name in chosen]
        if len(beside) > 1:
            started.update(suite.name for suite in beside)
            print(f"[{position}/{len(chosen)}] side by side: {', '.join(suite.name for suite in beside)}", flush=True)
            run_lanes(beside)
            continue
        print(f"[{position}/{len(chosen)}] {name}", flush=True)
        began = time.monotonic()
        if name == "lint":
            run_lint()
        else:
            run_suite(next(suite for suite in SUITES if suite.name == name))
        print(f"  {name}: {time.monotonic() - began:.1f} s", flush=True)
    if wanted:
        # Only these: results of other suites that lie there are not of this run.
        for file in RESULTS.glob("*.jsonl"):
            if file.stem not in wanted:
                file.unlink()
    return print_total()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
