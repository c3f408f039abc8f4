"""
The README's commands, run as they stand there, in order; what it shows must be part of what they print.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import ROOT, require

NOT_RUN = {
    "make test": "this test is part of it",
    "python3 -m venv /opt/dfproxy": "tests/e2e/test_packaging.py installs into a fresh environment",
    "/opt/dfproxy/bin/pip install .": "tests/e2e/test_packaging.py installs into a fresh environment",
    "/opt/dfproxy/bin/twistd dfproxy": "would front 80 and 443 of this machine; tests/e2e starts it on other ports",
}
"""Commands that are not run here, with the reason."""

BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)

START_WAIT_S = 120
"""Seconds for `make run`: on a fresh machine it makes its environment first."""

UNUSED_PORTS = (8000, 8080)


def read_blocks(text: str) -> list[tuple[list[str], list[str]]]:
    """
    The command blocks, each with the lines that the block after it shows as their outcome.
    """
    blocks: list[tuple[list[str], list[str]]] = []
    for kind, inside in BLOCK.findall(text):
        lines = [line.strip() for line in inside.splitlines() if line.strip()]
        if kind == "sh":
            blocks.append((lines, []))
        else:
            blocks[-1][1].extend(lines)
    return blocks


class ReadmeTests(SynchronousTestCase):
    """
    The walk of the README.
    """

    def start(self, command: str) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        """
        Start a command that goes on until Ctrl-C.
        """
        said = tempfile.TemporaryFile()
        self.addCleanup(said.close)
        process = subprocess.Popen(
            command, shell=True, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
        self.addCleanup(self.interrupt, process)
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline and process.poll() is None:
            if "The proxy runs" in self.read(said):
                return process, said
            time.sleep(0.1)
        raise AssertionError(f"{command} did not start:\n{self.read(said)}")

    def read(self, said: IO[bytes]) -> str:
        said.seek(0)
        return said.read().decode(errors="replace")

    def interrupt(self, process: subprocess.Popen[bytes]) -> None:
        """
        Ctrl-C, as a terminal gives it to all that runs in front.
        """
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)

    def test_walk(self) -> None:
        """
        All commands work letter by letter, print what the README shows, and Ctrl-C leaves nothing behind.
        """
        require("make", "curl")
        blocks = read_blocks((ROOT / "README.md").read_text())
        ran = 0
        running: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        for commands, shown in blocks:
            printed = ""
            for command in commands:
                if command in NOT_RUN:
                    continue
                ran += 1
                if command == "make run":
                    running.append(self.start(command))
                    continue
                quiet = command.replace("curl ", "curl -sS --fail --max-time 10 ", 1)
                done = subprocess.run(quiet, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=30)
                self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
                printed += done.stdout + "\n"
            lines = [line.strip() for line in printed.splitlines()]
            for line in shown:
                self.assertIn(line, lines, f"after {commands}:\n{printed}")
        self.assertGreater(ran, 5)
        process, said = running[0]
        self.interrupt(process)
        self.assertIn("ending", self.read(said))
        listening = {int(line.split()[1].split(":")[1], 16) for line in self.listening()}
        self.assertEqual([port for port in UNUSED_PORTS if port in listening], [])

    def listening(self) -> list[str]:
        """
        Listening sockets of loopback, as lines of /proc/net/tcp.
        """
        rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return [row for row in rows if row.split()[3] == "0A" and row.split()[1].endswith((":1F40", ":1F90"))]

    def test_three_servers(self) -> None:
        """
        The README's claim that requests go round the three servers is what the demo does; also with plugins of one's
        own, as docs/strategies.md starts it.
        """
        require("make", "curl")
        self.start('make run OPTIONS="--plugins plugins"')
        api = "http://localhost:8080/v1/docker-flow-proxy"
        publish = f"curl -sS --fail '{api}/reconfigure?serviceName=go-demo&servicePath=/demo&port=8080'"
        subprocess.run(publish, shell=True, check=True, capture_output=True, timeout=30)
        seen: list[str] = []
        # Each worker goes round by itself, from a server chosen by chance; there may be many workers.
        while len(seen) < 100 and (len(seen) < 6 or len(set(seen)) < 3):
            done = subprocess.run(
                "curl -sSi --max-time 10 localhost:8000/demo/hello",
                shell=True,
                capture_output=True,
                text=True,
                timeout=30,
            )
            seen += re.findall(r"X-Backend: (\S+)", done.stdout)
        self.assertEqual(set(seen), {"127.0.0.2:8080", "127.0.0.3:8080", "127.0.0.4:8080"})
        done = subprocess.run(
            f"curl -sS --fail {api}/strategies", shell=True, capture_output=True, text=True, timeout=30
        )
        self.assertIn("burst.py", done.stdout)
