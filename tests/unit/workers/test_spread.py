"""
Connections in turn, on real sockets.
"""

from __future__ import annotations

import os
import socket
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.workers import spread
from tests.requirements import require_root


class SpreadTests(SynchronousTestCase):
    """
    What the kernel does with the program.
    """

    def group(self, count: int) -> list[socket.socket]:
        port, group = 0, []
        for _ in range(count):
            opened = socket.socket()
            self.addCleanup(opened.close)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            opened.bind(("127.0.0.1", port))
            opened.listen(300)
            opened.setblocking(False)
            port = opened.getsockname()[1]
            group.append(opened)
        return group

    def queued(self, opened: socket.socket) -> int:
        number = 0
        try:
            while True:
                opened.accept()[0].close()
                number += 1
        except BlockingIOError:
            return number

    def test_in_turn(self) -> None:
        """
        8, 32 and 256 connections over 2 and 4 sockets are exactly even.
        """
        require_root()
        for count in (2, 4):
            group = self.group(count)
            program = spread.load(count)
            spread.attach(group[0], program)
            os.close(program)  # the sockets keep it
            for connections in (8, 32, 256):
                clients = [socket.create_connection(group[0].getsockname()) for _ in range(connections)]
                self.assertEqual([self.queued(opened) for opened in group], [connections // count] * count)
                for client in clients:
                    client.close()

    def test_not_here(self) -> None:
        """
        Where it cannot be had the reason is told, and nothing stays open.
        """
        before = len(os.listdir("/proc/self/fd"))
        with patch.object(spread.platform, "machine", return_value="pdp11"):
            self.assertIn("pdp11", str(self.assertRaises(OSError, spread.load, 2)))
        with patch.object(spread, "_PROG_LOAD", 4242):
            self.assertRaises(OSError, spread.load, 2)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
