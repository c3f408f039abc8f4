"""
Processes under measurement: started on a given processor, their CPU time and memory read, ended by pid.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_CPUS = sorted(os.sched_getaffinity(0))
PROXY_CPU = _CPUS[0]
"""Where all processes of the proxy that is measured run."""
OTHER_CPU = _CPUS[1 % len(_CPUS)]
"""Where load and backends run. On a machine with one processor it is the same one: the figures then say little."""

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

START_WAIT_S = 30
END_WAIT_S = 5


class NotStarted(Exception):
    """
    Something that is measured did not come up; the text says why.
    """


def find_program(name: str) -> str:
    """
    The path of a program.

    Raises:
        NotStarted: it is not installed.
    """
    # First our environment's own: Envoy and Caddy come as wheels.
    ours = str(Path(sys.executable).parent)
    for folder in [ours, *os.environ.get("PATH", "").split(os.pathsep), "/usr/local/sbin", "/usr/sbin", "/sbin"]:
        if os.access(path := os.path.join(folder, name), os.X_OK):
            return path
    raise NotStarted(f"{name} is not installed")


def free_port(host: str = "127.0.0.1") -> int:
    """
    A port that nobody listens on now.
    """
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def can_connect(port: int) -> bool:
    """
    Whether somebody listens on a port of loopback.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


class Running:
    """
    A program that runs on one processor, with all the processes it starts.
    """

    def __init__(self, name: str, command: Sequence[str], cpu: int, log: Path, **environment: str) -> None:
        """
        Start it.

        Args:
            name: for messages.
            command: what to run.
            cpu: processor that it and its children stay on.
            log: file that takes what it prints.
            environment: variables on top of ours.
        """
        self.name = name
        self.log = log
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
            )
        self.pid = self._process.pid

    def wait_for(self, is_up: Callable[[], bool]) -> None:
        """
        Wait until it serves.

        Raises:
            NotStarted: it ended, or does not serve in time; with the end of its log.
        """
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline:
            if (status := self._process.poll()) is not None:
                raise NotStarted(f"{self.name} ended at its start, status {status}:\n{self.tail()}")
            if is_up():
                return
            time.sleep(0.05)
        raise NotStarted(f"{self.name} does not serve after {START_WAIT_S} s:\n{self.tail()}")

    def tail(self) -> str:
        """
        The end of what it printed.
        """
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def pids(self) -> list[int]:
        """
        It and all its descendants that are alive.
        """
        parents: dict[int, int] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue  # ended meanwhile
                parents[int(entry)] = int(fields[1])
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def children(self) -> list[int]:
        """
        Its descendants only: the workers.
        """
        return self.pids()[1:]

    def cpu_s(self) -> float:
        """
        CPU seconds, of user and kernel, that it and its children have used so far.
        """
        return sum(cpu_s(pid) for pid in self.pids())

    def busiest_child(self) -> int:
        """
        The worker that has worked most: not a spare.

        Raises:
            NotStarted: there is no other process.
        """
        children = self.children()
        if not children:
            raise NotStarted(f"{self.name} has no worker process")
        return max(children, key=cpu_s)

    def end(self) -> None:
        """
        End it and its children.
        """
        pids = self.pids()
        # The second signal asks for an end without waiting for what is open.
        for _ in range(2):
            if self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(END_WAIT_S / 2)
                except subprocess.TimeoutExpired:
                    continue
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pid in pids[1:]:
            deadline = time.monotonic() + END_WAIT_S
            while is_ours(pid, self.pid) and time.monotonic() < deadline:
                time.sleep(0.05)
            if is_ours(pid, self.pid):
                os.kill(pid, signal.SIGKILL)
            while is_ours(pid, self.pid):
                time.sleep(0.005)  # until it takes no time of what is measured next


def is_ours(pid: int, session: int) -> bool:
    """
    Whether a process is alive and of the session that we started: a number that was given anew is not ours.
    """
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z" and int(fields[3]) == session


def cpu_s(pid: int) -> float:
    """
    CPU seconds, of user and kernel, that one process has used; 0 if it has ended.
    """
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    """
    Resident memory of one process in MB (10**6 bytes).
    """
    return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * PAGE_BYTES / 1e6


class Bench:
    """
    What all measurements share: a folder for files, and an end for whatever was started.

    Attributes:
        folder: for configurations and logs; git does not see it.
        short: a glance instead of a measurement: shorter, fewer rounds, fewer services.
    """

    def __init__(self, folder: Path, short: bool) -> None:
        self.folder = folder
        self.short = short
        self.stack = ExitStack()

    def start(self, name: str, command: Sequence[str], cpu: int, **environment: str) -> Running:
        """
        Start a program that is ended with the bench.
        """
        running = Running(name, command, cpu, self.folder / f"{name}.log", **environment)
        self.stack.callback(running.end)
        return running
