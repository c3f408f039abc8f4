"""
Workers of the leader before, with real processes that do nothing.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.workers.former import MORE_S, Former
from dfproxy.workers.heritage import Old
from tests.unit.workers.pump import Pump

ENDS_WITH_CHANNEL = "import os, sys; os.read(0, 1); os.write(2, b'drained\\n')"
"""
A worker that says something and ends when its channel closes.
"""


class FormerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Pump()
        self.said: list[str] = []
        observer = self.heard
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def heard(self, event: LogEvent) -> None:
        self.said.append(str(event.get("line", "")))

    def started(self, program: str) -> tuple[Former, int]:
        """
        One that runs this, as the new leader finds it.
        """
        theirs, channel = os.pipe()
        errors, said = os.pipe()
        # No Popen object stays: that would reap it.
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-S", "-c", program],
            dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs, 0), (os.POSIX_SPAWN_DUP2, said, 2)],
        )
        os.close(theirs)
        os.close(said)
        self.errors = errors
        return Former(self.reactor, (Old(7, pid, channel, errors),), 3.0), pid

    def over(self, former: Former, pid: int) -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        former.look()
        self.assertEqual((former.pids(), former.left()), ((), ()))
        self.assertEqual(self.reactor.readers, [])
        self.assertRaises(OSError, os.fstat, self.errors)
        self.assertRaises(ChildProcessError, os.waitpid, pid, os.WNOHANG)

    def test_let_go(self) -> None:
        """
        It lives as long as its channel is open, ends when that closes, is reaped, and what it says is in our log.
        """
        former, pid = self.started(ENDS_WITH_CHANNEL)
        former.look()
        self.assertEqual(former.pids(), (pid,))
        [old] = former.left()
        os.fstat(old.channel)
        former.let_go()
        self.assertEqual([each.channel for each in former.left()], [-1])
        former.let_go()
        select.select([self.errors], [], [], 10)
        self.reactor.pump()
        self.assertIn("drained", self.said)
        self.over(former, pid)

    def test_killed(self) -> None:
        """
        One that does not end has the time to drain and no more; before it is let go it has all the time there is.
        """
        former, pid = self.started("import time; time.sleep(60)")
        self.reactor.advance(1000)
        former.look()
        former.let_go()
        self.reactor.advance(3.0 + MORE_S - 0.1)
        former.look()
        self.assertEqual(os.waitpid(pid, os.WNOHANG), (0, 0))
        self.reactor.advance(0.1)
        former.look()
        self.over(former, pid)

    def test_strangers(self) -> None:
        """
        A process that is no child of ours is never touched, whatever the list says.
        """
        with subprocess.Popen(["/bin/sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE) as shell:
            assert shell.stdout is not None
            stranger = int(shell.stdout.readline())
            former = Former(self.reactor, (Old(1, stranger),), 0.0)
            self.assertEqual(former.pids(), ())
            former.let_go()
            self.reactor.advance(10)
            former.look()
            os.kill(stranger, 0)
            os.kill(stranger, signal.SIGKILL)
            shell.kill()
