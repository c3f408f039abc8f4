"""
The table as text in a file: current, whole, and never in anybody's way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.configtext import LOOK_S, REST, RETRY_S, SLICE_S, ConfigText


class Turns(Clock):
    """
    A clock that can go on by one turn of a reactor: what is scheduled in it waits for the next.
    """

    def turn(self) -> None:
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)

    def later(self, seconds: float) -> None:
        """
        Let time pass and do one turn.
        """
        self.rightNow += seconds
        self.turn()


class ConfigTextTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Turns()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "haproxy.cfg"
        self.version = 1
        self.pieces = ["frontend services\n", "backend a\n"]
        self.piece_s = 0.0
        self.made = 0
        self.file = ConfigText(self.clock, str(self.path), lambda: self.version, self.text)

    def text(self) -> Iterator[str]:
        self.made += 1
        for piece in list(self.pieces):
            # Making a piece takes time: the slice's own.
            self.clock.rightNow += self.piece_s
            yield piece

    def settle(self) -> None:
        """
        All turns that need no time to pass.
        """
        for _ in range(1000):
            if not any(call.getTime() <= self.clock.seconds() for call in self.clock.calls):
                return
            self.clock.turn()
        self.fail("the reactor never rests")

    def test_written_at_start(self) -> None:
        """
        The file is there after the start, readable for everybody.
        """
        self.file.start()
        self.settle()
        self.assertEqual(self.path.read_text(), "frontend services\nbackend a\n")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o644 & ~_umask())
        self.assertEqual(os.listdir(self.folder), ["haproxy.cfg"])

    def test_follows_changes(self) -> None:
        """
        A change is in the file a moment later; without one nothing is written.
        """
        self.file.start()
        self.settle()
        for _ in range(20):
            self.clock.advance(LOOK_S)
            self.settle()
        self.assertEqual(self.made, 1)
        self.version, self.pieces = 2, ["backend b\n"]
        self.clock.advance(LOOK_S)
        self.settle()
        self.assertEqual(self.path.read_text(), "backend b\n")
        self.assertEqual(self.file.written, 2)

    def test_many_changes_are_one(self) -> None:
        """
        A burst of changes is written once.
        """
        self.file.start()
        self.settle()
        for _ in range(100):
            self.version += 1
            self.clock.advance(LOOK_S / 100.5)
            self.settle()
        self.clock.advance(LOOK_S)
        self.settle()
        self.assertEqual(self.made, 2)

    def test_never_half(self) -> None:
        """
        While a long text is made, in slices, the former one is read; then the whole new one.
        """
        self.file.start()
        self.settle()
        before = self.path.read_text()
        self.version, self.pieces, self.piece_s = 2, [f"backend {n}\n" for n in range(50)], SLICE_S / 4
        self.clock.later(LOOK_S)
        turns = 0
        while self.file.written == 1 and turns < 1000:
            self.assertEqual(self.path.read_text(), before)
            began = self.clock.seconds()
            self.clock.turn()
            self.assertLess(self.clock.seconds() - began, 2 * SLICE_S)
            turns += 1
        self.assertGreater(turns, 5)
        self.assertEqual(self.path.read_text(), "".join(self.pieces))

    def test_change_meanwhile(self) -> None:
        """
        What changes while the text is made is in the next one.
        """
        self.file.start()
        self.settle()
        self.version, self.pieces, self.piece_s = 2, ["backend b\n"] * 10, SLICE_S
        self.clock.later(LOOK_S)
        self.clock.turn()
        self.version, self.pieces = 3, ["backend c\n"]
        self.settle()
        self.assertIn("backend b", self.path.read_text())
        self.clock.advance(LOOK_S + REST * 10 * SLICE_S)
        self.settle()
        self.assertEqual(self.path.read_text(), "backend c\n")

    def test_rests_after_work(self) -> None:
        """
        Under steady change a text that takes long is made seldom: a tenth of the time at most goes into it.
        """
        self.pieces, self.piece_s = ["backend a\n"] * 100, SLICE_S
        self.file.start()
        while self.clock.seconds() < 60:
            self.version += 1
            self.settle()
            self.clock.advance(0.01)
        spent = self.made * len(self.pieces) * self.piece_s
        self.assertLess(spent, 60 / REST * 1.2)
        self.assertGreater(self.made, 5)

    def test_folder_not_writable(self) -> None:
        """
        A folder that is missing or full is said once; when it can be written again, it is.
        """
        self.folder.rmdir()
        self.file.start()
        for _ in range(5):
            self.settle()
            self.clock.advance(RETRY_S)
        self.assertEqual(len(self.flush_warnings()), 1)
        self.folder.mkdir()
        self.settle()
        self.clock.advance(RETRY_S)
        self.settle()
        self.assertTrue(self.path.exists())

    def flush_warnings(self) -> list[object]:
        return [event for event in self.events if event["log_level"].name == "warn"]

    def run(self, result: object) -> object:
        """
        Each test sees what was logged.
        """
        from twisted.logger import globalLogPublisher

        self.events: list[dict[str, object]] = []
        globalLogPublisher.addObserver(self.events.append)
        try:
            return super().run(result)
        finally:
            globalLogPublisher.removeObserver(self.events.append)

    def test_text_that_breaks(self) -> None:
        """
        A text that cannot be made leaves the former file, and is a failure in the log, once.
        """
        self.file.start()
        self.settle()

        def broken() -> Iterator[str]:
            yield "backend b\n"
            raise RuntimeError("no text")

        self.file._text = broken
        self.version = 2
        for _ in range(4):
            self.clock.advance(RETRY_S)
            self.settle()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.path.read_text(), "frontend services\nbackend a\n")
        self.assertEqual(os.listdir(self.folder), ["haproxy.cfg"])

    def test_stop(self) -> None:
        """
        After the end nothing is scheduled, nothing half is left, and the last text stays.
        """
        self.file.start()
        self.settle()
        self.version, self.pieces, self.piece_s = 2, ["backend b\n"] * 10, SLICE_S
        self.clock.later(LOOK_S)
        self.clock.turn()
        self.file.stop()
        self.settle()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.path.read_text(), "frontend services\nbackend a\n")
        self.assertEqual(os.listdir(self.folder), ["haproxy.cfg"])


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
