"""
The data plane of one process, on the reactor of the tests.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from dfproxy.daemon.inprocess import InProcess
from dfproxy.daemon.plane import Plane
from dfproxy.errors import InvalidSettings
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Limits, Settings
from dfproxy.workers.heritage import Command, Left


class InProcessTests(TestCase):
    """
    `InProcess`.
    """

    def plane(self, port: int) -> Plane:
        listeners = (Listener("127.0.0.1", port),)
        return InProcess(reactor, Settings(workers=0, listeners=listeners, limits=Limits(drain_s=0.1)), self.wants)

    def wants(self, service: str, index: int) -> None:
        self.fail("nobody has connected")

    @inlineCallbacks
    def test_life(self) -> Generator[Deferred[Any], Any, None]:
        """
        It binds its addresses itself, says which it cannot have, and lets go of them at its end.
        """
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            taken = self.plane(port)
            self.assertRaises(InvalidSettings, taken.open)
            yield taken.stop()
        plane = self.plane(port)
        plane.open()
        yield plane.start()
        self.assertTrue(plane.is_alive)
        self.assertEqual((plane.degraded, plane.pids()), ("", ()))
        with socket.create_connection(("127.0.0.1", port)):
            yield plane.stop()
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", port))

    @inlineCallbacks
    def test_figures(self) -> Generator[Deferred[Any], Any, None]:
        """
        Traffic is told once; nothing else was counted, and what was is the data plane's own.
        """
        plane: Any = self.plane(0)
        plane.data_plane.busy.add(("a", 0))
        self.assertEqual([set(piece) for piece in plane.traffic()], [{("a", 0)}])
        self.assertEqual([set(piece) for piece in plane.traffic()], [set()])
        self.assertEqual(plane.left_out(("a", 0), ("10.0.0.1", 80)), 0)
        self.assertEqual(set(plane.clients()), {0})
        self.assertEqual([each.kind for each in plane.figures(None, None, None).totals()], ["frontend"])
        yield plane.stop()

    @inlineCallbacks
    def test_no_upgrade(self) -> Generator[Deferred[Any], Any, None]:
        """
        Its connections cannot be handed on: it says so, and leaves nothing.
        """
        plane = self.plane(0)
        self.assertIn("--workers 0", plane.not_upgradable)
        left = Left(os.getpid(), "1", Command("/bin/x", ("x",), (), "/"))
        self.assertIs(plane.left(left), left)
        yield plane.stop()
