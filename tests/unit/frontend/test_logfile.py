"""
Where access lines go.
"""

from __future__ import annotations

import os
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.logfile import LogFile, stamp


class LogFileTests(SynchronousTestCase):
    """
    `LogFile`.
    """

    def open(self, path: str) -> LogFile:
        opened: list[int] = []
        real = os.open

        def noted(*arguments: object) -> int:
            opened.append(real(*arguments))  # type: ignore[arg-type]  # as given
            return opened[-1]

        with patch("os.open", noted):
            file = LogFile(path)
        for descriptor in opened:
            self.addCleanup(os.close, descriptor)
        return file

    def test_appends(self) -> None:
        """
        Lines are appended to what is there; others may not write the file.
        """
        path = self.mktemp()
        for block in (b"one\n", b"two\n"):
            self.assertTrue(self.open(path).write(block))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"one\ntwo\n")
        self.assertEqual(os.stat(path).st_mode & 0o037, 0)

    def test_cannot_be_opened(self) -> None:
        """
        A path that cannot be opened is told at once.
        """
        self.assertRaises(OSError, LogFile, "/nonexistent/x.log")

    def test_reader_that_does_not_read(self) -> None:
        """
        A full pipe is not waited for.
        """
        path = self.mktemp()
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        file = self.open(path)
        written = 0
        while file.write(b"x" * 4095 + b"\n"):
            written += 1
        self.assertGreater(written, 1)
        os.read(reader, 65536)
        self.assertTrue(file.write(b"x\n"))

    def test_reader_that_is_gone(self) -> None:
        """
        A pipe that nobody reads any more takes nothing, and that is no error.
        """
        path = self.mktemp()
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        file = self.open(path)
        os.close(reader)
        self.assertFalse(file.write(b"x\n"))


class StampTests(SynchronousTestCase):
    """
    `stamp`.
    """

    def test_json(self) -> None:
        """
        RFC 3339 in UTC, with a place for milliseconds.
        """
        self.assertEqual(stamp(1700000000, "json") % 7, "2023-11-14T22:13:20.007Z")

    def test_httplog(self) -> None:
        """
        HAProxy's date, in local time.
        """
        self.assertRegex(stamp(1700000000, "httplog") % 42, r"^1[45]/Nov/2023:\d\d:13:20\.042$")
