"""
Runs tests with trial and writes down what became of each, one JSON object a line.

`python -m tests.record RESULTS SUITE TEMPORARY NAME...`; tests/run.py starts it once for each suite
and counts from these records, never from the text that trial prints.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from time import monotonic
from typing import IO, Any

from twisted.trial.reporter import TextReporter, VerboseTextReporter
from twisted.trial.runner import DestructiveTestSuite, TestLoader, TrialRunner


class _Recording:
    """
    Mixed into a trial reporter: each outcome goes to the record as it happens.

    So a suite that is killed for its time still shows what it did, and which test it was in.
    """

    record: IO[str]
    suite: str
    _began = 0.0

    def _note(self, test: Any, outcome: str, reason: object = "") -> None:
        row = {
            "suite": self.suite,
            "test": test.id(),
            "outcome": outcome,
            "reason": getattr(reason, "getErrorMessage", reason.__str__)().strip().split("\n")[0][:500],
            "seconds": round(monotonic() - self._began, 3),
        }
        self.record.write(json.dumps(row) + "\n")
        self.record.flush()

    def startTest(self, test: Any) -> None:
        self._began = monotonic()
        super().startTest(test)  # type: ignore[misc]  # a mixin: the reporter comes second

    def addSuccess(self, test: Any) -> None:
        self._note(test, "passed")
        super().addSuccess(test)  # type: ignore[misc]  # a mixin

    def addFailure(self, test: Any, failure: Any) -> None:
        self._note(test, "failed", failure)
        super().addFailure(test, failure)  # type: ignore[misc]  # a mixin

    def addError(self, test: Any, error: Any) -> None:
        self._note(test, "failed", error)
        super().addError(test, error)  # type: ignore[misc]  # a mixin

    def addSkip(self, test: Any, reason: Any) -> None:
        self._note(test, "skipped", reason)
        super().addSkip(test, reason)  # type: ignore[misc]  # a mixin

    def addExpectedFailure(self, test: Any, error: Any, todo: Any = None) -> None:
        # What is known to fail is no pass: it has to stand in .ci/skips like a skip.
        self._note(test, "skipped", f"expected to fail: {getattr(todo, 'reason', todo)}")
        super().addExpectedFailure(test, error, todo)  # type: ignore[misc]  # a mixin

    def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
        self._note(test, "failed", "was expected to fail and passed")
        super().addUnexpectedSuccess(test, todo)  # type: ignore[misc]  # a mixin


class Brief(_Recording, TextReporter):
    """
    A character for each test.
    """


class Named(_Recording, VerboseTextReporter):
    """
    A line for each test: in CI a test that never ends is found by the last one.
    """


def _report(
    cls: type[Brief] | type[Named], record: IO[str], suite: str, *arguments: Any, **keywords: Any
) -> Brief | Named:
    reporter = cls(*arguments, **keywords)
    reporter.record = record
    reporter.suite = suite
    return reporter


def main(results: str, suite: str, temporary: str, *names: str) -> int:
    """
    Run the named tests.

    Returns:
        Exit status: 0 when all passed or were skipped.
    """
    cls = Named if os.environ.get("CI") == "true" else Brief
    with open(results, "w", encoding="utf-8") as record:
        loader = TestLoader()
        loader.suiteFactory = DestructiveTestSuite
        trial = TrialRunner(partial(_report, cls, record, suite), workingDirectory=temporary)
        outcome = trial.run(loader.loadByNames(list(names), recurse=True))
    return 0 if outcome.wasSuccessful() else 1  # type: ignore[no-untyped-call]  # trial is untyped here


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
