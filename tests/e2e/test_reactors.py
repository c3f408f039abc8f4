"""
The same dialogues without workers, on Twisted's own reactor; and which transports carry traffic.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import Backend, answering
from tests.e2e.dialogues import Dialogues
from tests.e2e.proxy import ProxyCase
from tests.e2e.wire import connect
from tests.requirements import ROOT


class OneProcessTests(Dialogues, ProxyCase):
    """
    Everything in one process (`--workers 0`), on Twisted's default reactor.
    """

    workers = 0


class WorkerTests(ProxyCase):
    """
    Workers, seen from outside.
    """

    def test_uvloop(self) -> None:
        """
        Workers have uvloop loaded, the leader has not: it never carries a request.
        """
        loaded = {
            pid: "/uvloop/" in Path(f"/proc/{pid}/maps").read_text()
            for pid in (self.proxy.pid, *self.proxy.worker_pids())
        }
        self.assertEqual(loaded, {pid: pid != self.proxy.pid for pid in loaded})
        self.assertEqual(len(loaded), 3)


class TransportTests(SynchronousTestCase):
    """
    The data plane of a worker, alone in a process.
    """

    def test_transports(self) -> None:
        """
        Both sides of an exchange are carried by the uv reactor's own transports.
        """
        backend = Backend(answering())
        self.addCleanup(backend.close)
        plane = subprocess.Popen(
            (sys.executable, "-m", "tests.e2e.lone_plane", str(backend.port)),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert plane.stdin is not None and plane.stdout is not None
        self.addCleanup(plane.stdout.close)
        self.addCleanup(plane.wait, 10)
        self.addCleanup(plane.stdin.close)
        with connect("127.0.0.1", int(plane.stdout.readline())) as client:
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            self.assertEqual(client.response().body, b"hello")
            plane.stdin.write(b"transports\n")
            plane.stdin.flush()
            told = json.loads(plane.stdout.readline())
        self.assertEqual({side: len(names) for side, names in told.items()}, {"client": 1, "server": 1})
        for side, (name,) in told.items():
            self.assertTrue(name.startswith("dfproxy.uv."), f"{side}: {name}")
