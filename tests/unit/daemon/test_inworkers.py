"""
The leader's data plane, on a machine where no process starts. Real ones are in `tests/e2e`.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.daemon.inworkers import InWorkers
from dfproxy.daemon.plane import Plane
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Limits, Settings
from dfproxy.workers.heritage import API, FRONT, Command, Door, Heritage, Left
from tests.unit.workers.test_leader import NoProcesses


class InWorkersTests(SynchronousTestCase):
    """
    `InWorkers`.
    """

    def setUp(self) -> None:
        settings = Settings(workers=2, listeners=(Listener("127.0.0.1", 0),))
        self.plane: Plane = InWorkers(NoProcesses(), settings, lambda route: 0, lambda name, index: None, Heritage())
        self.addCleanup(self.plane.stop)

    def test_left(self) -> None:
        """
        The next version gets every socket that listens here, beside those that it gets anyway.
        """
        self.plane.open()
        api = Door(API, "127.0.0.1", 8080, 0)
        left = self.plane.left(Left(os.getpid(), "1", Command("/bin/x", ("x",), (), "/"), (api,)))
        self.assertEqual(left.doors[0], api)
        self.assertEqual({door.kind for door in left.doors[1:]}, {FRONT})
        self.assertEqual(len(left.doors), 3)
        self.assertEqual(self.plane.not_upgradable, "")

    def test_limit(self) -> None:
        """
        How many clients all workers together take is told, whether the operator limits them or their descriptors do.
        """
        for asked, most in ((0, 1800), (501, 500)):
            settings = Settings(workers=2, limits=Limits(client_connections=asked))
            with patch("resource.getrlimit", lambda which: (2000, 2000)):
                plane = InWorkers(NoProcesses(), settings, lambda route: 0, lambda name, index: None, Heritage())
            nobody: Any = SimpleNamespace(snapshot=SimpleNamespace(services={}))
            (front,) = plane.figures(nobody, nobody, nobody).totals()
            self.assertEqual(front.limit, most)

    def test_nobody(self) -> None:
        """
        Without a worker nothing was counted, nobody is alive, and that is told.
        """
        self.assertFalse(self.plane.is_alive)
        self.assertIn("no worker", self.plane.degraded)
        self.assertEqual(self.plane.pids(), ())
        self.assertEqual(set(self.plane.clients()), {0})
        self.assertEqual(self.plane.left_out(("a", 0), ("10.0.0.1", 80)), 0)
        self.assertEqual([list(piece) for piece in self.plane.traffic() if piece], [])
