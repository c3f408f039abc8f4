"""
`make mutants`: puts each deliberate fault into a copy of the tree; the tests it names must fail there.

    python -m tests.mutants.run [BEGINNING...]      only patches whose name begins so

A fault that is noticed is a passed result, one that is missed (or does not apply) a failed one; .ci/run counts them.
Unfaulted, the same tests pass first: else everything would look caught.
"""

from __future__ import annotations

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


def run_tests(tree: Path, tests: Iterable[str], limit_s: float = LIMIT_S) -> tuple[int | None, str]:
    """
    Run tests in a copy of the tree, where hypothesis does not look for the smallest example.

    Returns:
        Exit status (None: took too long) and what was printed.
    """
    said = tree / "said"
    # The copy comes first on the path, before the editable install of the real tree.
    command = f'exec env PYTHONPATH="{tree}" PYTHONDONTWRITEBYTECODE=1 "$@" > "{said}" 2>&1'
    trial = (sys.executable, "-m", "tests.mutants.hurried", "--temp-directory", str(tree / "trial"), *tests)
    status, _ = run_limited(("sh", "-c", f'cd "{tree}" && {command}', "sh", *trial), limit_s)
    return status, said.read_text(errors="replace") if said.exists() else ""


def try_mutant(mutant: Mutant) -> tuple[Mutant, str]:
    """
    Apply one fault and run its tests.

    Returns:
        The mutant and, unless it was caught, what went wrong.
    """
    with tempfile.TemporaryDirectory(prefix="dfproxy-mutant-") as folder:
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
        status, said = run_tests(tree, mutant.tests)
        if status == 0:
            return mutant, f"missed by {' '.join(mutant.tests)}"
        if status is not None and "Ran 0 tests" in said:
            return mutant, f"{' '.join(mutant.tests)} holds no test"
        return mutant, ""


def try_unfaulted(tests: Iterable[str], limit_s: float) -> str:
    """
    Run tests without a fault.

    Returns:
        What they printed if they fail or take too long, else "".
    """
    with tempfile.TemporaryDirectory(prefix="dfproxy-mutant-") as folder:
        copy_tree(Path(folder))
        status, said = run_tests(Path(folder), tests, limit_s)
    return "" if status == 0 else said or f"ended after {limit_s:g} s"


def find_failing(mutants: list[Mutant], pool: ThreadPoolExecutor) -> set[tuple[str, ...]]:
    """
    Which tests fail without any fault: of their mutants nothing can be said.
    """
    print("some tests fail without any fault; which ones?", flush=True)
    groups = sorted({mutant.tests for mutant in mutants})
    failing = set()
    for tests, said in zip(groups, pool.map(lambda tests: try_unfaulted(tests, LIMIT_S), groups), strict=True):
        if said:
            failing.add(tests)
            print(f"{said[-2000:]}\n{' '.join(tests)}: fail without any fault", flush=True)
    return failing


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
        failing = find_failing(mutants, pool) if names and try_unfaulted(names, UNFAULTED_LIMIT_S) else set()
        print(f"without a fault: {time.monotonic() - began:.0f} s", flush=True)
        sound = [mutant for mutant in mutants if mutant.tests not in failing]
        outcomes = [(mutant, "its tests fail without the fault, too") for mutant in mutants if mutant.tests in failing]
        for position, (mutant, wrong) in enumerate(chain(outcomes, pool.map(try_mutant, sound)), 1):
            missed += bool(wrong)
            print(f"[{position}/{len(mutants)}] {wrong or 'caught'}: {mutant.name}: {mutant.fault}", flush=True)
            write_result("mutants", f"mutant: {mutant.name}", "failed" if wrong else "passed", wrong)
    print(f"{len(mutants) - missed} caught, {missed} missed, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
