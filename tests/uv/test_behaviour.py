"""
The behaviour suite, on both reactors, each in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.uv import behaviour

ROOT = Path(__file__).resolve().parents[2]

DEADLINE_S = 90
"""Far more than the second or two it takes; ends a child that stands still."""


class BothReactorsTests(SynchronousTestCase):
    """
    A protocol cannot tell on which reactor it is.
    """

    def run_on(self, reactor: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            child = subprocess.run(
                [
                    *(sys.executable, "-m", "twisted.trial", f"--reactor={reactor}"),
                    *(f"--temp-directory={folder}/trial", behaviour.__name__),
                ],
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
        tests = sum(name.startswith("test_") for name in dir(behaviour.BehaviourTests))
        self.assertEqual(child.returncode, 0, child.stdout + child.stderr)
        self.assertIn(f"PASSED (successes={tests})", child.stdout)

    def test_epoll(self) -> None:
        """
        The suite holds on Twisted's own reactor: it asks for nothing that is peculiar to ours.
        """
        self.run_on("epoll")

    def test_uv(self) -> None:
        """
        The suite holds on the uv reactor.
        """
        self.run_on("uv")
