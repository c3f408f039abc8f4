"""
A test plays systemd: it opens the ports, listens to what it is told, and counts signs of life.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import Backend, answering
from tests.e2e.proxy import API, TWISTD, Proxy, free_port, until
from tests.requirements import ROOT, require

OPENS = """
import os, socket, sys
options = dict(zip(sys.argv, sys.argv[1:]))
for number, name in enumerate(("--default-ports", "--port")):
    opened = socket.create_server(("127.0.0.1", int(options[name])))
    os.dup2(opened.detach(), 3 + number)
    os.set_inheritable(3 + number, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="front:api")
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Opens both ports for itself alone, as systemd does, and becomes the proxy."""

WATCHDOG_S = 0.3

SLOW_S = 1.6
"""What a new worker takes in addition where it is to be slow."""

PLUGIN = f"""
import time
from pathlib import Path

if (Path(__file__).parent / "slow").exists():
    time.sleep({SLOW_S})
"""


class SystemdTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dfproxy-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(self.folder / "notify"))
        self.heard: list[list[str]] = []
        self.times: list[float] = []
        threading.Thread(target=self.listen, daemon=True).start()
        self.addCleanup(self.manager.close)
        self.addCleanup(self.manager.shutdown, socket.SHUT_RDWR)
        environment = {
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
        }
        wrapper = (sys.executable, "-c", OPENS)
        (self.folder / "slowly.py").write_text(PLUGIN)
        self.proxy = Proxy(
            "--plugins", str(self.folder), environment=environment, wrapper=wrapper, api_port=free_port()
        )
        self.addCleanup(lambda: self.proxy.end() if self.proxy.alive else self.proxy.kill())
        backend = Backend(answering(b"hello"))
        self.addCleanup(backend.close)
        self.proxy.publish("a", backend, path="/a")

    def listen(self) -> None:
        while said := self.manager.recv(4096):
            self.times.append(time.monotonic())
            self.heard.append(said.decode().split("\n"))

    def told(self, word: str, start: int = 0) -> list[str]:
        """
        The first message with that word, now or later.
        """
        found: list[str] = until(lambda: next((each for each in self.heard[start:] if word in each), None), 20, word)
        return found

    def test_life(self) -> None:
        """
        Ready when it serves, on the sockets that were open; signs of life while it does; an upgrade is a reload of the
        same process; and its end is told.
        """
        self.assertIn(f"MAINPID={self.proxy.pid}", self.told("READY=1"))
        for _ in range(10):
            self.assertEqual(self.proxy.get("/a").body, b"hello")
        self.assertIn("workers share a queue", self.proxy.log())
        self.told("WATCHDOG=1", len(self.heard))
        start, logged = len(self.heard), self.proxy.logged
        self.assertEqual(self.proxy.ask(f"{API}/upgrade", "POST")[0], 200)
        self.proxy.wait_for_log("control API on", 40, logged)
        self.told("RELOADING=1", start)
        ready = self.told("READY=1", start)
        self.assertIn(f"MAINPID={self.proxy.pid}", ready)
        self.assertEqual(self.proxy.get("/a").body, b"hello")
        self.told("WATCHDOG=1", len(self.heard))
        start = len(self.heard)
        self.proxy.signal(signal.SIGTERM)
        self.told("STOPPING=1", start)
        self.proxy.wait()
        self.assertNotIn("Traceback", self.proxy.log())

    def test_not_well(self) -> None:
        """
        Without a worker that lives there are no signs of life, until there is one again.
        """
        self.told("READY=1")
        (self.folder / "slow").touch()
        stopped = set(self.proxy.worker_pids())
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        began = len(self.times)
        until(lambda: not stopped & set(self.proxy.worker_pids()), 30, "all of them are replaced")
        self.told("WATCHDOG=1", len(self.heard))
        times = self.times[began:]
        longest = max(later - earlier for earlier, later in pairwise(times))
        self.assertGreater(longest, SLOW_S / 2)


class UnitTests(SynchronousTestCase):
    def test_verified(self) -> None:
        """
        systemd finds nothing wrong with the unit and the socket in contrib.
        """
        [analyze] = require("systemd-analyze")
        folder = Path(tempfile.mkdtemp(prefix="dfproxy-e2e-"))
        self.addCleanup(shutil.rmtree, folder)
        for name in ("dfproxy.service", "dfproxy.socket"):
            text = (ROOT / "contrib" / name).read_text()
            (folder / name).write_text(text.replace("/opt/dfproxy/bin/twistd", TWISTD))
        done = subprocess.run(
            (analyze, "verify", "--man=no", str(folder / "dfproxy.service"), str(folder / "dfproxy.socket")),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_options(self) -> None:
        """
        The command of the unit is one that dfproxy takes, and the variables are read.
        """
        lines = (ROOT / "contrib" / "dfproxy.service").read_text().splitlines()
        command = next(line.partition("=")[2] for line in lines if line.startswith("ExecStart="))
        variables = next(line.partition("=")[2] for line in lines if line.startswith("Environment="))
        environment = dict(pair.partition("=")[::2] for pair in variables.split())
        done = subprocess.run(
            (TWISTD, *command.split()[1:], "--check-config"),
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("state_dir = '/var/lib/dfproxy'", done.stdout)
        self.assertIn("api_address = '127.0.0.1'", done.stdout)
