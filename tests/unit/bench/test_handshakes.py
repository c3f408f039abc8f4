"""
What `openssl s_time` says, and that its handshakes are full ones.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import handshakes
from bench.handshakes import handshake_command, read_handshakes, run_handshakes
from bench.load import LoadFailed
from bench.proxies import Proxy

SAID = """Collecting connection statistics for 2 seconds
tttttttt

1503 connections in 0.61s; 2463.93 connections/user sec, bytes read 0
1503 connections in 3 real seconds, 0 bytes read per connection
"""


class HandshakeTests(SynchronousTestCase):
    """
    One run.
    """

    def setUp(self) -> None:
        self.patch(handshakes, "find_program", lambda name: name)
        self.said = SAID
        self.patch(handshakes, "run_client", lambda proxy, command, seconds: (self.said, 0.5))
        nothing: Any = None
        self.proxy = Proxy("someone", 7443, nothing, scheme="https")

    def test_counted(self) -> None:
        """
        Connections in real seconds, not in those of s_time's own CPU.
        """
        self.assertEqual(read_handshakes(SAID), (1503, 3))

    def test_run(self) -> None:
        """
        Handshakes beside CPU time; none, or a text that is not understood, is no figure.
        """
        run = run_handshakes(self.proxy, 2)
        self.assertEqual((run.requests, run.per_cpu_s, run.wall_s), (1503, 3006, 3))
        self.said = SAID.replace("1503", "0")
        self.assertIn("someone: s_time", str(self.assertRaises(LoadFailed, run_handshakes, self.proxy, 2)))
        self.said = "ERROR\n"
        self.assertRaises(LoadFailed, run_handshakes, self.proxy, 2)

    def test_command(self) -> None:
        """
        Each handshake is a new one.
        """
        command = handshake_command(self.proxy, 2)
        self.assertIn("-new", command)
        self.assertNotIn("-reuse", command)
        self.assertEqual(command[command.index("-connect") + 1], "127.0.0.1:7443")
