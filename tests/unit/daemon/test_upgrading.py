"""
What an upgrade asks of the daemon. A real one is in `tests/e2e/test_upgrade.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from dfproxy import __version__
from dfproxy.daemon.readiness import Phase
from dfproxy.daemon.upgrading import SETTLE_LOOK_S, SETTLE_S, Upgrading, give_log, remove_pid_file
from dfproxy.workers.heritage import API, Command, Door, Left
from dfproxy.workers.succession import Proof
from tests.unit.api.services import service, snapshot

COMMAND = Command("/bin/x", ("x",), (), "/")


class House:
    """
    Everybody who is asked: the data plane, the port of the API, the publisher, the state folder.
    """

    def __init__(self) -> None:
        self.not_upgradable = ""
        self.snapshot = snapshot(service("a"), service("b"))
        self.is_busy = True
        self.folder = self
        self.lock_handle = 9
        self.done: list[str] = []

    def left(self, left: Left) -> Left:
        return left

    def doors(self) -> tuple[Door, ...]:
        return (Door(API, "", 8080, 5),)

    def pause(self) -> None:
        self.done.append("pause")

    def resume(self) -> None:
        self.done.append("resume")

    def close_connections(self) -> None:
        self.done.append("close")

    def stop(self) -> Deferred[None]:
        self.done.append("stop")
        return succeed(None)

    def start(self) -> None:
        self.done.append("start")


class UpgradingTests(SynchronousTestCase):
    """
    `Upgrading`.
    """

    def setUp(self) -> None:
        self.clock, self.house = Clock(), House()
        self.phase = Phase.SERVING
        self.quarantined: dict[str, str] = {}
        self.upgrading = self.make(self.house)

    def make(self, state: Any) -> Upgrading:
        fake: Any = self.house
        return Upgrading(self.clock, fake, fake, fake, state, fake, lambda: self.phase, lambda: self.quarantined)

    def test_impossible(self) -> None:
        """
        While we start and while we end, without a state folder, and where connections cannot be handed on.
        """
        self.assertEqual(self.upgrading.impossible(), "")
        for self.phase, words in ((Phase.STARTING, "start"), (Phase.ENDING, "end")):
            self.assertIn(words, self.upgrading.impossible())
        self.assertIn("--state-dir", self.make(None).impossible())
        self.house.not_upgradable = "no workers"
        self.assertEqual(self.upgrading.impossible(), "no workers")

    def test_missing(self) -> None:
        """
        A service that the new version does not know, or cannot load although we can, is in the way.
        """
        self.assertEqual(self.upgrading.missing(Proof("9", 1, services=("a", "b", "c"))), "")
        self.assertIn("cannot take up b", self.upgrading.missing(Proof("9", 1, services=("a",))))
        bad = Proof("9", 1, services=("a", "b"), quarantined={"a": "no such strategy"})
        self.assertIn("a: no such strategy", self.upgrading.missing(bad))
        self.quarantined = {"a": "no such strategy"}
        self.assertEqual(self.upgrading.missing(bad), "")

    def test_settle(self) -> None:
        """
        Calls under way are waited for, new ones are left to the successor, and then connections are let go of.
        """
        settled = self.upgrading.settle()
        self.clock.advance(SETTLE_LOOK_S)
        self.assertEqual(self.house.done, ["pause"])
        self.house.is_busy = False
        self.clock.advance(SETTLE_LOOK_S)
        self.successResultOf(settled)
        self.assertEqual(self.house.done, ["pause", "close", "stop"])
        self.upgrading.resume()
        self.assertEqual(self.house.done[3:], ["resume", "start"])

    def test_never_settles(self) -> None:
        """
        A call that does not end holds nothing up for ever.
        """
        settled = self.upgrading.settle()
        self.clock.pump([SETTLE_LOOK_S] * int(SETTLE_S / SETTLE_LOOK_S + 2))
        self.successResultOf(settled)

    def test_left(self) -> None:
        """
        The port of the API and the lock go to the successor.
        """
        left = self.upgrading.left(COMMAND)
        self.assertEqual((left.pid, left.version, left.lock), (os.getpid(), __version__, 9))
        self.assertEqual(left.doors, self.house.doors())
        self.assertEqual(self.make(None).left(COMMAND).lock, -1)


class FileTests(SynchronousTestCase):
    """
    Files that twistd knows of, and an upgrade has to see to.
    """

    def test_pid_file(self) -> None:
        """
        The pid file of the version that began is removed; one that is gone, or never was, is nothing.
        """
        file = Path(self.mktemp())
        file.write_text("1")
        remove_pid_file(None)
        remove_pid_file(Left(1, "1", COMMAND))
        self.assertTrue(file.exists())
        left = Left(1, "1", Command("/bin/x", ("x",), (), "/", pid_file=str(file)))
        remove_pid_file(left)
        self.assertFalse(file.exists())
        remove_pid_file(left)

    def test_log(self) -> None:
        """
        A log of ours is given away; a link in its place is not followed, and that is said.
        """
        file = Path(self.mktemp())
        file.write_text("")
        give_log(str(file), (os.geteuid(), os.getegid()))
        link = Path(self.mktemp())
        link.symlink_to(file)
        with capturedLogs() as said:
            give_log(str(link), (os.geteuid(), os.getegid()))
        self.assertIn("no upgrade", formatEvent(said[0]))
