"""
Figures beside their goals and floors.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import report
from bench.machine import NotStarted
from bench.report import BEGIN, END, Goal, Report, Result, percentile, spread, version


class GoalTests(SynchronousTestCase):
    """
    What a figure is worth.
    """

    def test_more_is_better(self) -> None:
        """
        A ratio reaches the goal, or the floor, or neither; exactly at it counts.
        """
        goal = Goal(0.9, 0.6)
        judged = {value: goal.judge(value) for value in (1.2, 0.9, 0.8999, 0.6, 0.5999)}
        below = "BELOW THE FLOOR"
        self.assertEqual(judged, {1.2: "goal", 0.9: "goal", 0.8999: "floor", 0.6: "floor", 0.5999: below})
        self.assertEqual(goal.words(), (">= 0.9", ">= 0.6"))

    def test_less_is_better(self) -> None:
        """
        A time is judged the other way round; one failed request is below a floor of none.
        """
        goal = Goal(10, 50, less_is_better=True)
        judged = {value: goal.judge(value) for value in (9, 10, 11, 50, 51)}
        self.assertEqual(judged, {9: "goal", 10: "goal", 11: "floor", 50: "floor", 51: "BELOW THE FLOOR"})
        self.assertEqual(Goal(0, 0, less_is_better=True).judge(1), "BELOW THE FLOOR")
        self.assertEqual(goal.words(), ("<= 10", "<= 50"))


class FigureTests(SynchronousTestCase):
    """
    Several rounds to one figure.
    """

    def test_percentile(self) -> None:
        """
        The 99th percentile of 100 values is the 99th of them in order, that of ten is the worst.
        """
        self.assertEqual(percentile([float(n) for n in range(100, 0, -1)], 0.99), 99)
        self.assertEqual(percentile([float(n) for n in range(1, 11)], 0.99), 10)
        self.assertEqual(percentile([5.0, 1.0, 3.0], 0.5), 3)
        self.assertEqual(percentile([7.0], 0.01), 7)

    def test_spread(self) -> None:
        """
        Rounds stand beside their median, so that an outlier is seen.
        """
        self.assertEqual(spread([0.5, 0.9, 0.7]), "rounds 0.50, 0.90, 0.70; median 0.70")


class VersionTests(SynchronousTestCase):
    """
    What programs say of themselves.
    """

    def test_versions(self) -> None:
        """
        The version, not a number in a path or in a line that follows; a program that is missing is said to be.
        """
        said = {
            "2.6.12-1+deb12u4": "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\\nbugs-9.9.html",
            "1.22.1": "nginx version: nginx/1.22.1",
            "1.40.0": "/opt/python3.11/bin/envoy  version: 9e5580933739775e8/1.40.0/Clean/RELEASE/BoringSSL",
            "2.11.7": "v2.11.7 h1:yj0Y4fYZGPkSvibBJ1sTWE33xC0fxztVyXEW5iIdUT4=",
        }
        program = Path(self.mktemp())
        self.patch(report, "find_program", lambda name: str(program.resolve()))
        for wanted, text in said.items():
            program.write_text(f"#!/bin/sh\nprintf '{text}\\n'\n")
            program.chmod(0o755)
            self.assertEqual(version("It", "it", "-v"), f"It {wanted}")

        def missing(name: str) -> str:
            raise NotStarted(f"{name} is not installed")

        self.patch(report, "find_program", missing)
        self.assertEqual(version("It", "it", "-v"), "it is not installed")


class PageTests(SynchronousTestCase):
    """
    The report, printed and written.
    """

    def setUp(self) -> None:
        self.patch(report, "surroundings", lambda: "Some machine.")
        self.report = Report()
        for value in (0.95, 0.7, 0.1):
            self.report.add(Result("Ratios", f"at {value}", value, "", "wrk http://x/", Goal(0.9, 0.6)))
        self.report.add(Result("Counts", "failed", 3, "", "asked", None, "of many"))

    def test_not_measured(self) -> None:
        """
        A row without a figure says so and why, is worth nothing, and is named as such.
        """
        missing = Result("Ratios", "vs someone", None, "", "wrk http://x/", Goal(0.9, 0.6), "not installed")
        self.report.add(missing)
        self.assertEqual(self.report.unmeasured(), [missing])
        self.assertEqual([result.value for result in self.report.below_floor()], [0.1])
        self.assertIn("| vs someone | not measured | >= 0.9 | >= 0.6 |  | not installed |", self.report.markdown())

    def test_below_floor(self) -> None:
        """
        What misses its floor is named; what only informs never does.
        """
        self.assertEqual([result.value for result in self.report.below_floor()], [0.1])

    def test_page(self) -> None:
        """
        Tables are written anew between their marks; the prose around stays; a page without marks is not touched.
        """
        page = Path(self.mktemp())
        page.write_text(f"before\n{BEGIN}\nof the last run\n{END}\nafter\n")
        self.report.write_page(page)
        text = page.read_text()
        self.assertTrue(text.startswith(f"before\n{BEGIN}\n"))
        self.assertTrue(text.endswith(f"{END}\nafter\n"))
        self.assertNotIn("of the last run", text)
        self.assertIn("| at 0.7 | 0.70 | >= 0.9 | >= 0.6 | floor |  |", text)
        self.assertIn("| at 0.1 | 0.10 | >= 0.9 | >= 0.6 | BELOW THE FLOOR |  |", text)
        self.assertIn("| failed | 3 |  |  |  | of many |", text)
        page.write_text("no place")
        self.assertRaises(ValueError, self.report.write_page, page)
        self.assertEqual(page.read_text(), "no place")
