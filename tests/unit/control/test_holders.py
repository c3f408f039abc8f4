"""
Who has a port.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.holders import holder_of


class HolderTests(SynchronousTestCase):
    """
    `holder_of`.
    """

    def test_ours(self) -> None:
        """
        The process that listens is named with its number, on both families; one that only connects is not.
        """
        name = Path("/proc/self/comm").read_text().strip()
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
            with socket.create_server((host, 0), family=family) as listening:
                port = listening.getsockname()[1]
                self.assertEqual(holder_of(port), f"{name} (pid {os.getpid()})")
                with socket.create_connection((host, port)) as connected:
                    self.assertEqual(holder_of(connected.getsockname()[1]), "")
            self.assertEqual(holder_of(port), "")

    def test_unreadable(self) -> None:
        """
        Where nothing can be read nobody is known, and what ends meanwhile is passed over.
        """
        proc = Path(self.mktemp())
        self.assertEqual(holder_of(80, proc), "")
        (proc / "net").mkdir(parents=True)
        line = "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n"
        (proc / "net" / "tcp").write_text("header\n" + line)
        (proc / "1").mkdir()
        (proc / "2" / "fd").mkdir(parents=True)
        (proc / "2" / "fd" / "3").symlink_to("socket:[4711]")
        self.assertEqual(holder_of(80, proc), "")
        (proc / "2" / "comm").write_text("redis\n")
        self.assertEqual(holder_of(80, proc), "redis (pid 2)")
        self.assertEqual(holder_of(81, proc), "")
