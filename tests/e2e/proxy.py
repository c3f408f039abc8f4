"""
A real `twistd dfproxy` for tests: started on free ports, ready when `Proxy` returns, ended by its pid.

A start takes a second, so tests that want the same options share one; each takes away what it has published. What the
proxy logs is kept: a traceback in it fails the test during which it was written, and a failed test prints it.

Long, and still one thing: a running proxy, seen through its log, its API, its fronts and its processes.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import Backend, Script
from tests.e2e.wire import LIMIT_S, Message, Wire, connect
from tests.requirements import ROOT

START_S = 40.0
"""Longest start: a second on an idle machine."""

END_S = 20.0
"""Longest graceful end when nothing is under way."""

TUNNEL_DRAIN = "1"
"""How long open tunnels keep it from ending, in seconds, if a test says nothing else."""

PORTS = range(10000, 32000)
"""Where free ports are looked for: below those that the kernel gives to outgoing connections."""

API = "/v1/docker-flow-proxy"

TWISTD = str(Path(sys.executable).parent / "twistd")


def free_port(host: str = "127.0.0.1") -> int:
    """
    A port that is free now, and that no outgoing connection takes meanwhile.
    """
    chance = random.SystemRandom()
    for _ in range(200):
        port = chance.choice(PORTS)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def until(wanted: Callable[[], Any], within_s: float = LIMIT_S, what: str | Callable[[], str] = "") -> Any:
    """
    Look again and again until something is true.

    Args:
        what: says what was awaited, or gives what helps to understand.

    Returns:
        What was true.
    """
    deadline = time.monotonic() + within_s
    while not (found := wanted()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what() if callable(what) else what or wanted}")
        time.sleep(0.01)
    return found


class Proxy:
    """
    A running dfproxy.

    Args:
        options: further ones of `twistd dfproxy`. Tunnels that are open at its end are cut soon, unless they say
            otherwise.
        workers: as `--workers`.
        ports: how many front ports it has.
        environment: further variables.
        wrapper: command that runs the one behind it, in its own process.
        ip: loopback address of the API and of the front.
        api_port: of the API; 0: any that is free.
        former: one that was killed (`kill_leader`), whose ports and files this one takes over.

    Attributes:
        api: port of the API.
        port: the first front port.
        ports: all of them.
        pid: the leader's.
        folder: a folder for its files.
    """

    def __init__(
        self,
        *options: str,
        workers: int = 2,
        ports: int = 1,
        environment: dict[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
        ip: str = "127.0.0.1",
        api_port: int = 0,
        former: Proxy | None = None,
    ) -> None:
        self.ip = ip
        self._former = former
        self.ports = former.ports if former is not None else [free_port(ip) for _ in range(ports)]
        self.port = self.ports[0]
        self.workers = workers
        self.api = 0
        self.folder = former.folder if former is not None else Path(tempfile.mkdtemp(prefix="dfproxy-e2e-"))
        self._published: set[str] = set()
        self._lines: list[str] = []
        self._said = threading.Condition()
        command = (TWISTD, "--nodaemon", "--pidfile=", "dfproxy", "--ip", ip, "--port", str(api_port))
        fronts = ("--bind-address", ip, "--default-ports", ",".join(map(str, self.ports)))
        own = ("--state-dir", str(self.folder / "state"), "--workers", str(workers))
        if "--timeout-tunnel-drain" not in options:
            own += ("--timeout-tunnel-drain", TUNNEL_DRAIN)
        self._child = subprocess.Popen(
            (*wrapper, *command, *fronts, *own, *options),
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._child.pid
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            line = self.wait_for_log(f"control API on {ip}:", START_S)
        except AssertionError:
            self.kill()
            raise
        self.api = int(line.rpartition(":")[2])

    # --- its log -----------------------------------------------------------------------------------------------

    def _read_log(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            with self._said:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._lines.append("-- end of the log")
            self._said.notify_all()

    def wait_for_log(self, text: str, within_s: float = LIMIT_S, start: int = 0) -> str:
        """
        The first log line with this text, now or later.
        """
        deadline = time.monotonic() + within_s
        with self._said:
            while True:
                for line in self._lines[start:]:
                    if text in line:
                        return line
                    if line == "-- end of the log":
                        raise AssertionError(f"the proxy ended; its log:\n{self.log()}")
                if not self._said.wait(max(0.0, deadline - time.monotonic())):
                    raise AssertionError(f"{text!r} is not logged; the log:\n{self.log()}")

    def log(self, start: int = 0) -> str:
        """
        What it has logged from that line on.
        """
        return "\n".join(self._lines[start:][-200:])

    @property
    def logged(self) -> int:
        """
        How many lines it has logged.
        """
        return len(self._lines)

    # --- its API -----------------------------------------------------------------------------------------------

    def call(self, verb: str, *pairs: tuple[str, str], **parameters: str) -> tuple[int, dict[str, Any]]:
        """
        One call of the API.

        Returns:
            Status and the answer's JSON.
        """
        status, body = self.ask(f"{API}/{verb}?{urlencode([*parameters.items(), *pairs])}")
        return status, json.loads(body)

    def ask(self, target: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
        """
        One request to the API port.
        """
        connection = HTTPConnection(self.ip, self.api, timeout=LIMIT_S)
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def publish(
        self, name: str, *servers: tuple[str, int] | Backend, path: str = "/", **parameters: str
    ) -> dict[str, Any]:
        """
        Publish a service, with these servers if any are given.

        Raises:
            AssertionError: it is not answered 200.
        """
        if servers:
            pairs = [(server.host, server.port) if isinstance(server, Backend) else server for server in servers]
            parameters.setdefault("endpoints", ",".join(f"{host}:{port}" for host, port in pairs))
        status, answer = self.call("reconfigure", serviceName=name, servicePath=path, **parameters)
        if status != 200:
            raise AssertionError(f"publishing {name}: {status} {answer}")
        self._published.add(name)
        return answer

    def remove(self, name: str) -> dict[str, Any]:
        """
        Take a service away.

        Raises:
            AssertionError: it is not answered 200.
        """
        status, answer = self.call("remove", serviceName=name)
        if status != 200:
            raise AssertionError(f"removing {name}: {status} {answer}")
        self._published.discard(name)
        return answer

    def forget(self) -> None:
        """
        Take away everything published by `publish`.
        """
        for name in list(self._published):
            self.remove(name)

    def config(self) -> str:
        """
        The table as HAProxy text.
        """
        return self.ask(f"{API}/config")[1].decode()

    def metrics(self) -> dict[str, float]:
        """
        Each sample of `/metrics`, by its name with labels.
        """
        status, body = self.ask("/metrics")
        assert status == 200, body
        lines = (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    # --- its fronts --------------------------------------------------------------------------------------------

    def connect(self, port: int = 0) -> Wire:
        """
        A client connection.
        """
        return connect(self.ip, port or self.port)

    def get(self, path: str = "/", host: str = "test", head: str = "") -> Message:
        """
        One GET on a connection of its own.

        Args:
            head: further field lines, each with CRLF.
        """
        with self.connect() as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{head}Connection: close\r\n\r\n")
            return client.final()

    # --- its processes -----------------------------------------------------------------------------------------

    def worker_pids(self) -> list[int]:
        """
        The processes that carry traffic: the workers, or with `--workers 0` the one there is.
        """
        if not self.workers:
            return [self.pid]
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"dfproxy.workers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def rss_bytes(self) -> int:
        """
        Memory of all that carry traffic.
        """
        return sum(
            int(line.split()[1]) * 1024
            for pid in self.worker_pids()
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmRSS:")
        )

    def sockets(self) -> int:
        """
        Open sockets of all that carry traffic.
        """
        return self._descriptors("socket:")

    def pipes(self) -> int:
        """
        Open ends of pipes of all that carry traffic.
        """
        return self._descriptors("pipe:")

    def _descriptors(self, kind: str) -> int:
        count = 0
        for pid in self.worker_pids():
            for link in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    count += os.readlink(link).startswith(kind)
                except OSError:
                    continue  # closed meanwhile
        return count

    @property
    def alive(self) -> bool:
        """
        The leader runs.
        """
        return self._child.poll() is None

    def signal(self, number: int) -> None:
        """
        Send the leader a signal.
        """
        self._child.send_signal(number)

    def wait(self, within_s: float = END_S, whole_log: bool = True) -> int:
        """
        Wait for its end.

        Args:
            whole_log: also for its log, which its workers hold open as well.

        Returns:
            Its exit status.
        """
        status = self._child.wait(within_s)
        if whole_log:
            self._reader.join(10)
        return status

    def kill_leader(self) -> None:
        """
        End the leader as the kernel does when memory is short; its workers see to themselves, its files stay for the
        next one (`former`).
        """
        self._child.kill()
        self._child.wait()

    def end(self) -> None:
        """
        End it gracefully.

        Raises:
            AssertionError: it does not end, or leaves a worker behind.
        """
        if self.alive:
            workers = self.worker_pids()
            self.signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the proxy does not end; its log:\n{self.log()}") from None
            left = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
            if left:
                raise AssertionError(f"workers {left} were left behind; the log:\n{self.log()}")
        self._clear()

    def kill(self) -> None:
        """
        End it and its workers at once.
        """
        if self.alive:
            for pid in self.worker_pids():
                if pid != self.pid:
                    os.kill(pid, signal.SIGKILL)
            self._child.kill()
            self._child.wait()
        self._clear()

    def _clear(self) -> None:
        if self._former is not None:
            self._former._clear()
        self._reader.join(10)
        if self._child.stdout is not None:
            self._child.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


# --- sharing -----------------------------------------------------------------------------------------------------


class _Shared:
    """
    The proxy that the next test probably wants as well.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._proxy: Proxy | None = None

    def get(self, options: tuple[str, ...], workers: int, ports: int) -> Proxy:
        key = (options, workers, ports)
        if self._proxy is None or self._key != key or not self._proxy.alive:
            self.end()
            self._proxy = Proxy(*options, workers=workers, ports=ports)
            self._key = key
        return self._proxy

    def end(self) -> None:
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            proxy.end()


_shared = _Shared()
atexit.register(_shared.end)

_ALARMS = ("Traceback", "Unhandled", "went wrong")


class ProxyCase(SynchronousTestCase):
    """
    Tests with a shared proxy, `self.proxy`.

    Attributes:
        options: with which it runs.
        workers: as `--workers`.
        ports: how many front ports it has.
        alarms: log lines that a test expects although they look like faults.
    """

    options: tuple[str, ...] = ()
    workers = 2
    ports = 1
    expected: tuple[str, ...] = ()

    def setUp(self) -> None:
        """
        See that the proxy runs.
        """
        self.proxy = _shared.get(self.options, self.workers, self.ports)
        self._logged = self.proxy.logged
        self.addCleanup(self._look_at_log)
        self.addCleanup(self.proxy.forget)

    def run(self, result: Any) -> Any:
        """
        As always; the log of the proxy is printed when the test fails.
        """
        listening = _Listening(result)
        super().run(listening)
        if listening.failed and hasattr(self, "proxy"):
            sys.stdout.write(f"\n{self.id()}: the proxy's log:\n{self.proxy.log(self._logged)}\n")

    def _look_at_log(self) -> None:
        new = self.proxy.log(self._logged)
        found = [word for word in _ALARMS if word in new]
        if found or not self.proxy.alive:
            self.fail(f"the proxy is {'alive' if self.proxy.alive else 'dead'}; its log:\n{new}")

    def backend(self, script: Script, host: str = "127.0.0.1", port: int = 0) -> Backend:
        """
        A server that ends with the test.
        """
        backend = Backend(script, host, port)
        self.addCleanup(backend.close)
        return backend

    def client(self, port: int = 0) -> Wire:
        """
        A client connection that ends with the test.
        """
        wire = self.proxy.connect(port)
        self.addCleanup(wire.close)
        return wire


class _Listening:
    """
    A test result that also tells whether something failed.
    """

    def __init__(self, result: Any) -> None:
        self._result = result
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        self.failed = self.failed or name in ("addFailure", "addError")
        return getattr(self._result, name)
