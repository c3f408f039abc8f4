"""
The state folder as the daemon uses it: a real disk and real threads.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from dfproxy.control.journal import JOURNAL
from dfproxy.control.records import Line, _line
from dfproxy.control.statefolder import StateFolder
from dfproxy.errors import InvalidSettings, JournalError
from dfproxy.model.snapshot import Change, Revision
from tests.unit.control.test_publisher import service


class StateFolderTests(TestCase):
    """
    From start to end.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "state"

    def state(self) -> StateFolder:
        state = StateFolder(str(self.path), reactor, lambda parameters, origin: None)
        self.addCleanup(state.stop)
        return state

    @inlineCallbacks
    def test_restart(self) -> Generator[Deferred[Any], Any, None]:
        """
        What was recorded is there at the next start; meanwhile no other leader may use the folder.
        """
        first = self.state()
        first.claim()
        self.assertEqual(first.open().revision, 0)
        yield first.record(Change(Revision(1, "1" * 32), (service("a"),)))
        with self.assertRaises(InvalidSettings) as caught:
            self.state().claim()
        self.assertRegex(str(caught.exception), r"^--state-dir=\S+: is in use by process \d+$")
        self.assertIn("dfproxy_journal_bytes", [measure.name for measure in first.measures()])
        yield first.stop()
        found = self.state().open()
        self.assertEqual((found.revision, list(found.services)), (1, ["a"]))
        yield self.assertFailure(first.record(Change(Revision(2), ())), JournalError)

    def test_unusable(self) -> None:
        """
        A folder that cannot be used is one line that names option, folder and reason.
        """
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(b"")
        for use in (self.state().claim, self.state().open):
            with self.assertRaises(InvalidSettings) as caught:
                use()
            self.assertEqual(str(caught.exception), f"--state-dir={self.path}: Not a directory")

    def test_later_version(self) -> None:
        """
        A journal of a later version is not touched; the line says so.
        """
        self.path.mkdir(parents=True)
        later = _line(Line(9, 0, 0, "begin"))
        (self.path / JOURNAL).write_bytes(later)
        with self.assertRaises(InvalidSettings) as caught:
            self.state().open()
        self.assertIn("format 9", str(caught.exception))
        self.assertEqual((self.path / JOURNAL).read_bytes(), later)
