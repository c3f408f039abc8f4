"""
`make mutants`: puts each deliberate fault into a copy of the tree; the tests it names must fail there.

    python -m tests.mutants.run [BEGINNING...]      only patches whose name begins so

A fault that is noticed is a passed result, one that is missed (or does not apply) a failed one; .ci/run counts them.
Unfaulted, the same tests pass first: else everything would look caught.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tests.run import ROOT, run_limited, write_result

PATCHES = Path(__file__).resolve().parent
COPIED = (
    "dfproxy",
    "plugins",
    "tests",
    "twisted",
    "demo",
    "bench",
    "docs",
    "setup.cfg",
    "pyproject.toml",
    "ruff.toml",
    ".ci",
    # What the image and the stacks are made of.
    "contrib",
    "Dockerfile",
    ".dockerignore",
    "stack.yml",
    "stack-dfp.yml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
)
LIMIT_S = 120
"""Seconds for one fault; a fault that makes the tests hang is caught by it."""
UNFAULTED_LIMIT_S = 600
"""Seconds for all tests that any patch names, without a fault."""
AT_ONCE = 2
"""Faults tried side by side: one for each core of the CI machine."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    One patch.

    Attributes:
        name: file name without suffix, `<part>-<n>-<name>`.
        fault: what it breaks, in words.
        tests: names that trial loads.
    """

    name: str
    fault: str
    tests: tuple[str, ...]

    @property
    def file(self) -> Path:
        return PATCHES / f"{self.name}.patch"


def read_mutant(file: Path) -> Mutant:
    """
    Read the header of a patch.

    Raises:
        ValueError: it does not say what it breaks or which tests notice.
    """
    fields = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("--- "):
            break
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    if not fields.get("fault") or not fields.get("tests"):
        raise ValueError(f"{file.name}: the header needs a line `Fault: ...` and a line `Tests: ...`")
    return Mutant(file.stem, fields["fault"], tuple(fields["tests"].split()))


def copy_tree(target: Path) -> None:
    """
    Copy what tests need; not the environment, not what builds left.
    """
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        elif source.exists():
            shutil.copy(source, target / name)


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of tests.

    Attributes:
        status: exit status; None: they took too long.
        ran: tests that ended, passed or failed.
        failed: those of them that failed, with the reason.
        said: what they printed.
    """

    status: int | None
    ran: frozenset[str]
    failed: dict[str, str]
    said: str

    def fails(self, name: str) -> str:
        """
        Why what a name stands for cannot be relied on; empty: it passed.
        """
        mine = {test for test in self.ran if test == name or test.startswith(f"{name}.")}
        failed = {test: why for test, why in self.failed.items() if test in mine or name.startswith(f"{test}.")}
        if failed:
            return "; ".join(f"{test}: {why}" for test, why in failed.items())
        if not mine:
            return f"{name}: {'took too long' if self.status is None else 'holds no test that runs'}"
        return ""


def run_tests(tree: Path, tests: Iterable[str], limit_s: float = LIMIT_S) -> Outcome:
    """
    Run tests in a copy of the tree, where hypothesis does not look for the smallest example.
    """
    said, results = tree / "said", tree / "results"
    # The copy comes first on the path, before the editable install of the real tree.
    command = f'exec env PYTHONPATH="{tree}" PYTHONDONTWRITEBYTECODE=1 "$@" > "{said}" 2>&1'
    hurried = (sys.executable, "-m", "tests.mutants.hurried", str(results), "mutants", str(tree / "trial"), *tests)
    status, _ = run_limited(("sh", "-c", f'cd "{tree}" && {command}', "sh", *hurried), limit_s)
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    return Outcome(
        status,
        frozenset(row["test"] for row in rows if row["outcome"] != "skipped"),
        {row["test"]: row["reason"] for row in rows if row["outcome"] == "failed"},
        said.read_text(errors="replace") if said.exists() else "",
    )


def try_mutant(mutant: Mutant) -> tuple[Mutant, str]:
    """
    Apply one fault and run its tests.

    Returns:
        The mutant and, unless it was caught, what went wrong.
    """
    with tempfile.TemporaryDirectory(prefix="faulted-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        patched = subprocess.run(
            ["patch", "--strip=1", "--batch", "--forward", "--fuzz=0", "--input", str(mutant.file)],
            cwd=tree,
            capture_output=True,
            text=True,
        )
        if patched.returncode != 0:
            return mutant, f"does not apply any more: {patched.stdout.strip().splitlines()[-1:]}"
        outcome = run_tests(tree, mutant.tests)
        if outcome.status == 0:
            return mutant, f"missed by {' '.join(mutant.tests)}"
        modules = [test for test in outcome.failed if (tree / f"{test.replace('.', '/')}.py").exists()]
        if outcome.status is not None and len(modules) == len(outcome.failed):
            return mutant, f"breaks an import, not what a test looks at: {outcome.said[-300:]}"
        return mutant, ""


def try_unfaulted(tests: list[str]) -> dict[str, str]:
    """
    Run tests without a fault.

    Returns:
        Names that cannot be relied on, with the reason.
    """
    if not tests:
        return {}
    with tempfile.TemporaryDirectory(prefix="faulted-") as folder:
        copy_tree(Path(folder))
        once = [name for name in tests if not any(name.startswith(f"{other}.") for other in tests)]
        outcome = run_tests(Path(folder), once, UNFAULTED_LIMIT_S)
    return {name: why for name in tests if (why := outcome.fails(name))}


def main(*beginnings: str) -> int:
    """
    Try all mutants, or those whose name begins as given.

    Returns:
        Exit status: 0 when each was caught.
    """
    files = [f for f in sorted(PATCHES.glob("*.patch")) if not beginnings or f.name.startswith(beginnings)]
    mutants = [read_mutant(file) for file in files]
    began = time.monotonic()
    (ROOT / ".results").mkdir(exist_ok=True)
    (ROOT / ".results" / "mutants.jsonl").unlink(missing_ok=True)
    os.environ.pop("DFPROXY_RESULTS", None)
    missed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        names = sorted({name for mutant in mutants for name in mutant.tests})
        whole = [name for name in names if name.startswith("tests.e2e")]
        unsound: dict[str, str] = {}
        for found in pool.map(try_unfaulted, (whole, [name for name in names if name not in whole])):
            unsound.update(found)
        if unsound:
            # Once more with nothing beside them: how steady tests are is for `make test` to say.
            print(f"failed without a fault, tried again alone: {'; '.join(unsound.values())}", flush=True)
            unsound = try_unfaulted(sorted(unsound))
        print(f"without a fault: {time.monotonic() - began:.0f} s", flush=True)
        idle = {m: f"fails unfaulted: {unsound[name]}" for m in mutants for name in m.tests if name in unsound}
        tried = pool.map(try_mutant, [mutant for mutant in mutants if mutant not in idle])
        for position, (mutant, wrong) in enumerate(chain(idle.items(), tried), 1):
            missed += bool(wrong)
            print(f"[{position}/{len(mutants)}] {wrong or 'caught'}: {mutant.name}: {mutant.fault}", flush=True)
            write_result("mutants", f"mutant: {mutant.name}", "failed" if wrong else "passed", wrong)
    print(f"{len(mutants) - missed} caught, {missed} missed, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
