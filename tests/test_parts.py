"""
Holds docs/parts.md to what is there: a row for each numbered part of each issue, and tests that exist and ran.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import require
from tests.run import is_listed, read_results, read_skips

UNIT_LIMIT_S = 120.0 if os.environ.get("CI") else 60.0
"""
How long all unit tests may take together: more than a minute, and nobody runs them before each commit. A CI machine is
shared, and has twice as long.
"""

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "parts.md"

PARTS = {3: 11, 4: 5, 5: 6, 6: 10, 7: 10}
"""How many numbered parts each issue has."""

STATES = ("works", "partly", "not yet")


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of the table.
    """

    part: str
    state: str
    tests: tuple[str, ...]


def read_rows(text: str) -> list[Row]:
    """
    The rows whose first cell is `issue.part`.
    """
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"\d+\.\d+", cells[0]):
            rows.append(Row(cells[0], cells[2], tuple(re.findall(r"`(tests\.[\w.]+)`", cells[3]))))
    return rows


def exists(name: str) -> bool:
    """
    Whether a dotted name is a package, module, class or method of the tests; without importing anything.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        rest = parts[length:]
        if (place / "__init__.py").exists():
            return not rest and any(place.rglob("test_*.py"))
        if place.with_suffix(".py").exists():
            body = ast.parse(place.with_suffix(".py").read_text()).body
            for wanted in rest:
                found = [n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == wanted]
                if not found:
                    return False
                body = found[0].body
            return True
    return False


def outcomes_of(name: str, results: dict[str, dict[str, str]]) -> dict[str, str]:
    """
    What became of the tests that a dotted name stands for.
    """
    return {t: row["outcome"] for t, row in results.items() if t == name or t.startswith(f"{name}.")}


class PartsTests(SynchronousTestCase):
    """
    The page of parts.
    """

    def setUp(self) -> None:
        self.rows = read_rows(PAGE.read_text())

    def test_each_part_has_a_row(self) -> None:
        """
        Each numbered part of each issue stands in the table once, with a state.
        """
        wanted = [f"{issue}.{part}" for issue, count in PARTS.items() for part in range(1, count + 1)]
        self.assertEqual([row.part for row in self.rows], wanted)
        self.assertEqual([row.part for row in self.rows if row.state not in STATES], [])

    def test_what_works_is_shown(self) -> None:
        """
        A part that works, or partly does, names tests that exist; one that does not yet names none.
        """
        wrong = []
        for row in self.rows:
            if (row.state == "not yet") != (not row.tests):
                wrong.append(f"{row.part}: {row.state}, but {len(row.tests)} tests")
            wrong += [f"{row.part}: there is no {name}" for name in row.tests if not exists(name)]
        self.assertEqual(wrong, [])

    def test_what_is_shown_ran(self) -> None:
        """
        In a whole run, the tests that a part names ran: none is skipped unless .ci/skips says why.
        """
        if os.environ.get("DFPROXY_REQUIRE") != "all":
            return  # a developer's machine may lack a program, or run only some suites; the run itself says so
        results, skips = read_results(), read_skips()
        wrong = []
        for row in self.rows:
            for name in row.tests:
                if name.startswith("tests.test_parts"):
                    continue
                outcomes = outcomes_of(name, results)
                if not any(outcome != "skipped" for outcome in outcomes.values()):
                    wrong.append(f"{row.part}: {name} did not run")
                skipped = [test for test, outcome in outcomes.items() if outcome == "skipped"]
                wrong += [f"{row.part}: {test} is skipped" for test in skipped if not is_listed(test, skips)]
        self.assertEqual(wrong, [])

    def test_unit_suite_is_quick(self) -> None:
        """
        In a whole run, all unit tests together have taken less than a minute.
        """
        if os.environ.get("DFPROXY_REQUIRE") != "all":
            return  # as above
        took = [float(row["seconds"]) for row in read_results().values() if row["suite"] in ("unit", "unit-more")]
        self.assertLess(sum(took), UNIT_LIMIT_S, f"{len(took)} tests")

    def test_names_are_judged(self) -> None:
        """
        The judgement knows a package, a module, a class and a test, and what is none of them.
        """
        here = "tests.test_parts"
        for name in ("tests.unit", here, f"{here}.PartsTests", f"{here}.PartsTests.test_names_are_judged"):
            self.assertTrue(exists(name), name)
        for name in ("tests.nothing", f"{here}.Missing", f"{here}.PartsTests.test_missing"):
            self.assertFalse(exists(name), name)


class MutantsTests(SynchronousTestCase):
    """
    tests/mutants, without running any: that takes minutes, a patch that went stale is seen here at once.
    """

    def test_each_applies(self) -> None:
        """
        Each deliberate fault still fits the code, letter by letter.
        """
        (patch,) = require("patch")
        stale = []
        for file in sorted((ROOT / "tests" / "mutants").glob("*.patch")):
            command = (patch, "--strip=1", "--batch", "--forward", "--fuzz=0", "--dry-run", "--input", str(file))
            if subprocess.run(command, cwd=ROOT, capture_output=True).returncode:
                stale.append(file.name)
        self.assertEqual(stale, [])
