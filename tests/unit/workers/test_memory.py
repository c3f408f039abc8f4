"""
What nothing uses goes back to the machine.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

HOLES = """
import os
from dfproxy.workers.memory import give_back

def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

kept = [bytes(20_000) for _ in range(2000)]  # 40 MB, too large for Python's own pools
kept.append(bytes(20_000))
del kept[:-1]  # the last one keeps the end of the heap in place
before = rss()
given = give_back()
print(given, before - rss(), give_back.__module__)
"""


class MemoryTests(SynchronousTestCase):
    def test_given_back(self) -> None:
        """
        Holes in the heap are no part of the process afterwards.
        """
        if platform.libc_ver()[0] != "glibc":
            raise SkipTest("only the GNU C library keeps holes, and gives them back")
        done = subprocess.run(
            (sys.executable, "-c", HOLES), capture_output=True, text=True, check=True, timeout=60, env={**os.environ}
        )
        given, count, _ = done.stdout.split()
        self.assertEqual(given, "True")
        self.assertGreater(int(count), 20_000_000)
