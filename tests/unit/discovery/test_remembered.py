"""
What discovery knew before this start.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.discovery.remembered import FILE, LIMIT_BYTES, STOP_S, WRITE_S, Known, Remembered
from tests.unit.control.disk import Disk, File

SOME = Known({"go-demo": ("10.0.0.3", "10.0.0.4")}, ("go-demo",))


class RememberedTests(SynchronousTestCase):
    """
    A file on a disk in memory.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.disk = Disk()
        self.version = 0
        self.known = SOME
        self.file = self.make()

    def make(self, run: Callable[[Callable[[], Any]], Deferred[Any]] | None = None) -> Remembered:
        at_once: Callable[[Callable[[], Any]], Deferred[Any]] = lambda work: maybeDeferred(work)  # noqa: E731  short
        return Remembered(self.disk, self.clock, run or at_once, lambda: self.version, lambda: self.known)

    def test_kept(self) -> None:
        """
        Something new is written soon, and found by the next start; nothing new is not written.
        """
        self.assertEqual(self.file.read(), Known())
        self.file.start()
        self.clock.advance(WRITE_S)
        self.assertEqual(self.disk.taken, [])
        self.version = 1
        self.clock.advance(WRITE_S)
        self.assertEqual(self.make().read(), SOME)
        taken = len(self.disk.taken)
        self.clock.advance(WRITE_S)
        self.assertEqual(len(self.disk.taken), taken)

    def test_end(self) -> None:
        """
        The end writes the last state.
        """
        self.successResultOf(self.file.stop())
        self.file.start()
        self.version = 1
        self.successResultOf(self.file.stop())
        self.assertEqual(self.make().read(), SOME)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unreadable(self) -> None:
        """
        A file that cannot be read is as good as none.
        """
        for content in (b"", b"{", b'{"addresses":[1]}', b" " * (LIMIT_BYTES + 1)):
            self.disk.names_[FILE] = File(content, content)
            self.assertEqual(self.file.read(), Known())

    def test_disk_fails(self) -> None:
        """
        A full disk leaves the former file whole; it is tried again.
        """
        self.file.start()
        self.version = 1
        self.clock.advance(WRITE_S)
        self.version, self.known = 2, Known({"b": ("10.0.0.1",)})
        for failing in ("create", "write", "rename"):
            self.disk.fails = lambda number, what, failing=failing: errno.ENOSPC if what == failing else 0  # type: ignore[misc]  # mypy knows no lambda with a bound default
            self.clock.advance(WRITE_S)
            self.assertEqual(self.make().read(), SOME)
        self.disk.fails = lambda number, what: 0
        self.clock.advance(WRITE_S)
        self.assertEqual(self.make().read(), self.known)
        self.assertEqual(self.disk.open_files, {})

    def test_disk_hangs(self) -> None:
        """
        A disk that hangs keeps nobody from ending, and is not written to twice.
        """
        begun: list[Deferred[Any]] = []

        def run(work: Callable[[], Any]) -> Deferred[Any]:
            begun.append(Deferred())
            return begun[-1]

        file = self.make(run)
        file.start()
        self.version = 1
        self.clock.advance(WRITE_S)
        self.version = 2
        self.clock.advance(WRITE_S)
        self.assertEqual(len(begun), 1)
        self.successResultOf(file.stop())
        again = self.make(run)
        again.start()
        self.version = 3
        ended = again.stop()
        self.assertNoResult(ended)
        self.clock.advance(STOP_S)
        self.successResultOf(ended)
