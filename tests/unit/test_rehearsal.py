"""
`--check-start`: a start beside one that runs, in a process of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.proxy import TWISTD
from tests.requirements import ROOT


class RehearsalTests(SynchronousTestCase):
    def rehearsed(self, *options: str) -> subprocess.CompletedProcess[str]:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        return subprocess.run(
            (TWISTD, "--nodaemon", "--pidfile=", "dfproxy", "--ip", "127.0.0.1", "--port", "0", "--check-start")
            + ("--certs-dir", "/no", "--secrets-dir", "/no", "--state-dir", str(self.folder), *options),
            cwd=ROOT,
            env={**os.environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_would_start(self) -> None:
        """
        It tells what it would be, binds no address (this one is taken), and leaves nothing in the state folder.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = self.rehearsed("--bind-address", "127.0.0.1", "--default-ports", str(port), "--workers", "3")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        proof: Any = json.loads(done.stdout)
        self.assertEqual((proof["workers"], proof["services"], proof["quarantined"]), (3, [], {}))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_would_not(self) -> None:
        """
        What would end a start ends it, with the reason on one line and nothing that looks like a proof.
        """
        done = self.rehearsed("--route-order", "alphabet")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("dfproxy: --route-order", done.stderr)
