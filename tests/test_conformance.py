"""
What a real Docker Flow Proxy answered, asked of this one, where the recorded cases are.
"""

from __future__ import annotations

import subprocess
import sys
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.conformance import HARNESS, ROOT, RUN_LIMIT_S


class RecordedTests(SynchronousTestCase):
    """
    All cases of the harness.
    """

    def test_same(self) -> None:
        """
        Every case is answered the same, or as the case says where we differ on purpose.
        """
        if not (HARNESS / "observe.py").exists():
            raise SkipTest("the recorded cases are not beside this checkout")
        done = subprocess.run(
            (sys.executable, "-m", "tests.conformance"),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S + 60,
        )
        sys.stdout.write("\n" + "\n".join(line for line in done.stdout.splitlines() if not line.startswith("same ")))
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-1000:])
