"""
What systemd hears, at a real socket.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.systemd import BEATS, STATUS_CHARS, Notifier


class NotifierTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = str(folder / "notify")
        self.manager = self.listening(self.path)
        self.clock = Clock()

    def listening(self, address: str) -> socket.socket:
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        manager.bind(address)
        self.addCleanup(manager.close)
        return manager

    def notifier(self, **environment: str) -> Notifier:
        return Notifier({"NOTIFY_SOCKET": self.path, **environment}, 42, self.clock, lambda: 1.5)

    def heard(self) -> list[list[str]]:
        found = []
        while True:
            try:
                found.append(self.manager.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return found

    def test_life(self) -> None:
        """
        Serving, changing and ending are told, each with a status of one line.
        """
        notifier = self.notifier()
        notifier.ready("serving\nWATCHDOG=trigger " + "x" * 1000)
        notifier.reloading("another version is tried")
        notifier.stopping("told to end")
        (ready, reloading, stopping) = self.heard()
        self.assertEqual(ready[:2], ["READY=1", "MAINPID=42"])
        self.assertEqual(len(ready), 3)
        self.assertEqual(len(ready[2]), len("STATUS=") + STATUS_CHARS)
        self.assertEqual(reloading, ["RELOADING=1", "MONOTONIC_USEC=1500000", "STATUS=another version is tried"])
        self.assertEqual(stopping, ["STOPPING=1", "STATUS=told to end"])

    def test_watchdog(self) -> None:
        """
        Signs of life come several times within the time of the watchdog, and only while all is well.
        """
        well = True
        notifier = self.notifier(WATCHDOG_USEC="3000000", WATCHDOG_PID="42")
        notifier.watch(lambda: well)
        self.heard()
        self.clock.pump([3.0 / BEATS] * 6)
        self.assertEqual(self.heard(), [["WATCHDOG=1"]] * 6)
        well = False
        self.clock.pump([3.0 / BEATS] * 6)
        self.assertEqual(self.heard(), [])
        well = True
        self.clock.advance(3.0 / BEATS)
        self.assertEqual(self.heard(), [["WATCHDOG=1"]])
        notifier.stop()
        notifier.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_watchdog(self) -> None:
        """
        Without one, with one of another process, or with nonsense there are no signs of life.
        """
        for environment in ({}, {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "43"}, {"WATCHDOG_USEC": "-1"}):
            self.notifier(**environment).watch(lambda: True)
        self.assertEqual((self.heard(), self.clock.getDelayedCalls()), ([], []))

    def test_no_systemd(self) -> None:
        """
        Nobody is told anything, and nothing is logged.
        """
        said: list[LogEvent] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        notifier = Notifier({"WATCHDOG_USEC": "3000000"}, 42, self.clock)
        notifier.watch(lambda: True)
        notifier.ready("serving")
        self.assertEqual((said, self.clock.getDelayedCalls()), ([], []))

    def test_abstract(self) -> None:
        """
        A socket without a file, as systemd may have it.
        """
        name = f"dfproxy-{id(self)}"
        self.manager = self.listening(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}, 42, self.clock).stopping("told to end")
        self.assertEqual(self.heard()[0][0], "STOPPING=1")

    def test_deaf(self) -> None:
        """
        A manager that is gone, or does not read, holds nothing up; that is logged once.
        """
        said: list[LogEvent] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        notifier = self.notifier()
        for _ in range(2000):
            notifier.ready("serving")
        self.assertEqual(len(said), 1)
        self.heard()
        notifier.ready("serving")
        self.assertEqual(self.heard()[0][0], "READY=1")
        self.manager.close()
        notifier.ready("serving")
        notifier.ready("serving")
        self.assertEqual(len(said), 2)
