"""
Processes under measurement, real ones.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import machine
from bench.machine import OTHER_CPU, NotStarted, Running, cpu_s, find_program, is_ours, rss_mb

WORKS_S = 0.3
"""
CPU seconds that the child uses: far more than starting the parent takes in its kernel ticks.
"""

# A leader that does nothing, with a child that works; the child says when it is done, and ends when the leader does.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", sys.argv[1]], stdin=subprocess.PIPE)
time.sleep(60)
"""
CHILD = f"""
import sys, time
while time.process_time() < {WORKS_S}: pass
print("done", flush=True)
sys.stdin.read()
"""
STUBBORN = """
import time
print("done", flush=True)
time.sleep(60)
"""


class RunningTests(SynchronousTestCase):
    """
    A program with a child, as a leader with a worker.
    """

    def setUp(self) -> None:
        self.running = self.start(CHILD)

    def start(self, child: str) -> Running:
        running = Running("pair", [sys.executable, "-S", "-c", PARENT, child], OTHER_CPU, Path(self.mktemp()))
        self.addCleanup(running.end)
        running.wait_for(lambda: "done" in running.tail())
        return running

    def test_all_processes(self) -> None:
        """
        CPU time is that of all processes, so what workers use counts; and the worker is the busiest child.
        """
        pids = self.running.pids()
        self.assertEqual(len(pids), 2)
        self.assertEqual(self.running.children(), pids[1:])
        worker = self.running.busiest_child()
        self.assertEqual([worker], pids[1:])
        self.assertGreaterEqual(cpu_s(worker), WORKS_S - 0.05)
        self.assertGreaterEqual(self.running.cpu_s(), cpu_s(worker))
        self.assertLess(abs(self.running.cpu_s() - sum(map(cpu_s, pids))), 0.05)

    def test_pinned(self) -> None:
        """
        All of them stay on the processor they were given.
        """
        self.assertEqual(
            {frozenset(os.sched_getaffinity(pid)) for pid in self.running.pids()}, {frozenset({OTHER_CPU})}
        )

    def test_ended(self) -> None:
        """
        Ending it ends its children as well, and nothing of it is counted any more.
        """
        pids = self.running.pids()
        self.assertGreater(rss_mb(pids[0]), 1)
        self.running.end()
        self.assertEqual([pid for pid in pids if is_ours(pid, pids[0])], [])
        self.assertEqual(cpu_s(pids[0]), 0)

    def test_stubborn(self) -> None:
        """
        A child that does not end with its leader is killed, so that it takes no time of what is measured next.
        """
        self.patch(machine, "END_WAIT_S", 0.2)
        running = self.start(STUBBORN)
        pids = running.pids()
        running.end()
        self.assertEqual([pid for pid in pids if is_ours(pid, pids[0])], [])


class CpuTests(SynchronousTestCase):
    """
    What counts as CPU time.
    """

    def test_kernel_counts(self) -> None:
        """
        Time that the kernel works for a process counts as its own: system calls are what a proxy mostly makes.
        """
        until = os.times().system + 0.15
        with open("/dev/zero", "rb", buffering=0) as zeros:
            while os.times().system < until:
                zeros.read(1 << 20)
        self.assertLess(abs(cpu_s(os.getpid()) - time.process_time()), 0.1)


class StartTests(SynchronousTestCase):
    """
    What does not come up.
    """

    def test_ends_at_once(self) -> None:
        """
        A program that ends at its start is told with its last words, without waiting.
        """
        command = [sys.executable, "-S", "-c", "import sys; sys.exit('no such port')"]
        running = Running("broken", command, OTHER_CPU, Path(self.mktemp()))
        self.addCleanup(running.end)
        began = time.monotonic()
        error = self.assertRaises(NotStarted, running.wait_for, lambda: False)
        self.assertIn("broken ended at its start, status 1:\nno such port", str(error))
        self.assertLess(time.monotonic() - began, 20)
        self.assertRaises(NotStarted, running.busiest_child)

    def test_not_installed(self) -> None:
        """
        A program that is not installed is named.
        """
        self.assertIn("no-such-program", str(self.assertRaises(NotStarted, find_program, "no-such-program")))
        self.assertTrue(os.access(find_program("sh"), os.X_OK))
