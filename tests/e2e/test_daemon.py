"""
The daemon as an init system sees it: background, pid file, log, change of user, and how it ends.

Longer than other modules, but one thing: the life of one daemon, from start to each of its ends.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import ANSWER, Backend, answering
from tests.e2e.dialogues import frame, read_frame, websocket
from tests.e2e.proxy import TWISTD, Proxy, free_port, until
from tests.e2e.wire import Ended, Wire, connect
from tests.requirements import ROOT, require_root

NOBODY = pwd.getpwnam("nobody")

ENDED = (0, -signal.SIGTERM)
"""How an orderly end shows: twistd ends itself by the signal that it was sent."""


def fields_of(pid: int) -> dict[str, list[str]]:
    """
    `/proc/<pid>/status`; empty when there is no such process.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def runs(pid: int) -> bool:
    """
    Whether the process is there and no zombie.
    """
    return fields_of(pid).get("State", ["Z"])[0] != "Z"


def children_of(pid: int) -> list[int]:
    """
    Its children.
    """
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def reachable(paths: list[Path]) -> list[str]:
    """
    Shell commands after which these paths can be reached by anybody, seen from a mount namespace of its own: folders
    above them that are closed to others (such as /root) are replaced by open ones with only the way to them inside.
    """
    commands: list[str] = []
    opened: set[Path] = set()
    for path in paths:
        for folder in reversed(path.parents):
            if folder.stat().st_mode & 0o5 != 0o5 and folder not in opened:
                opened.add(folder)
                inner = [other for other in paths if folder in other.parents]
                names = {other.relative_to(folder).parts[0] for other in inner}
                commands += [
                    "kept=$(mktemp -d)",
                    f'mount --bind "{folder}" "$kept"',
                    f'mount -t tmpfs -o mode=755 t "{folder}"',
                ]
                for name in sorted(names):
                    commands += [f'mkdir "{folder}/{name}"', f'mount --bind "$kept/{name}" "{folder}/{name}"']
                commands.append('umount -l "$kept"; rmdir "$kept"')
    return commands


class DaemonTests(SynchronousTestCase):
    """
    `twistd` without `-n`.
    """

    def setUp(self) -> None:
        """
        Make a folder for its files.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="dfproxy-daemon-"))
        self.folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.folder)
        self.pid_file, self.log_file = self.folder / "pid", self.folder / "log"

    def start(self, *before: str, front: int = 0, prefix: str = "") -> int:
        """
        Start it in the background, and wait until it serves.

        Args:
            before: options of twistd itself.
            front: its front port.
            prefix: shell commands run before it, in a mount namespace of their own.

        Returns:
            Its pid.
        """
        self.front, self.api = front or free_port(), free_port()
        command = [TWISTD, "--pidfile", str(self.pid_file), "--logfile", str(self.log_file), *before, "dfproxy"]
        command += ["--ip", "127.0.0.1", "--port", str(self.api), "--workers", "2", "--bind-address", "127.0.0.1"]
        command += ["--default-ports", str(self.front), "--state-dir", str(self.folder / "state")]
        command += ["--access-log", f"json:{self.folder}/access.json"]
        if prefix:
            command = ["unshare", "--mount", "sh", "-ec", f'{prefix}\nexec "$@"', "sh", *command]
        began = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=40, stdin=subprocess.DEVNULL)
        self.assertEqual((began.returncode, began.stdout + began.stderr), (0, ""))
        self.addCleanup(self.end)
        until(lambda: self.pid_file.exists() and self.pid_file.read_text(), what=self.log)
        pid = int(self.pid_file.read_text())
        until(lambda: "control API on" in self.log() or not runs(pid), 40, self.log)
        self.assertTrue(runs(pid), self.log())
        return pid

    def log(self) -> str:
        """
        What it has logged.
        """
        return self.log_file.read_text() if self.log_file.exists() else ""

    def end(self) -> None:
        """
        End it if the test has not.
        """
        if self.pid_file.exists():
            pid = int(self.pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            until(lambda: not runs(pid), 20, f"end of {pid}; the log: {self.log()}")

    def publish(self, backend: Backend) -> None:
        """
        A service on `/`.
        """
        connection = HTTPConnection("127.0.0.1", self.api, timeout=10)
        query = f"serviceName=a&servicePath=/&endpoints=127.0.0.1:{backend.port}"
        connection.request("GET", f"/v1/docker-flow-proxy/reconfigure?{query}")
        response = connection.getresponse()
        self.assertEqual(response.status, 200, response.read())
        connection.close()

    def get(self) -> bytes:
        """
        What is answered at the front.
        """
        with connect("127.0.0.1", self.front) as client:
            client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            return client.final().body

    def served(self) -> Backend:
        """
        A server, published.
        """
        backend = Backend(answering())
        self.addCleanup(backend.close)
        self.publish(backend)
        return backend

    def test_background(self) -> None:
        """
        The command returns, the daemon serves in a session of its own, writes its pid and log, and takes the pid file
        away when it ends.
        """
        pid = self.start()
        self.served()
        self.assertEqual(self.get(), b"hello")
        status = fields_of(pid)
        self.assertNotEqual(os.getsid(pid), os.getsid(0))
        self.assertEqual(len(status["Pid"]), 1)
        workers = children_of(pid)
        self.assertGreaterEqual(len(workers), 2)
        self.assertIn("serving HTTP on", self.log())
        self.assertNotIn("Traceback", self.log())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not runs(pid), 15)
        self.assertFalse(self.pid_file.exists())
        self.assertEqual([worker for worker in workers if runs(worker)], [])
        with self.assertRaises(ConnectionRefusedError):
            connect("127.0.0.1", self.front)
        self.assertNotIn("Traceback", self.log())
        line = json.loads((self.folder / "access.json").read_text().splitlines()[0])
        self.assertEqual((line["target"], line["status"]), ("/", 200))

    def test_other_user(self) -> None:
        """
        With `--uid` and `--gid` ports below 1024 are bound as root, and everything then runs as that user; its workers
        are started anew as that user, too.
        """
        require_root()
        port = next(port for port in range(1023, 600, -1) if not self.in_use(port))
        needed = [Path(os.path.realpath(sys.executable)), Path(sys.executable), ROOT]
        (self.folder / "state").mkdir()
        for path in (self.folder, self.folder / "state"):
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
        prefix = "\n".join(reachable(needed)) or ":"
        pid = self.start("--uid", str(NOBODY.pw_uid), "--gid", str(NOBODY.pw_gid), front=port, prefix=prefix)
        self.served()
        self.assertEqual(self.get(), b"hello")
        workers = children_of(pid)
        for process in (pid, *workers):
            self.assertEqual(set(fields_of(process)["Uid"]), {str(NOBODY.pw_uid)})
            self.assertEqual(set(fields_of(process)["Gid"]), {str(NOBODY.pw_gid)})
        # A worker that dies is replaced, though nobody could bind that port any more.
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: set(children_of(pid)) - set(workers), 15, "a new worker")
        for _ in range(10):
            self.assertEqual(self.get(), b"hello")

    def test_upgrade(self) -> None:
        """
        As that user, who could not bind the port, it becomes another version in the background, at SIGHUP and again
        with more workers: same process, pid file and log, and the pid file is gone at the end.
        """
        require_root()
        port = next(port for port in range(1023, 600, -1) if not self.in_use(port))
        needed = [Path(os.path.realpath(sys.executable)), Path(sys.executable), ROOT]
        (self.folder / "state").mkdir()
        for path in (self.folder, self.folder / "state"):
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
        prefix = "\n".join(reachable(needed)) or ":"
        pid = self.start("--uid", str(NOBODY.pw_uid), "--gid", str(NOBODY.pw_gid), front=port, prefix=prefix)
        self.served()
        for count in (1, 2):
            workers = children_of(pid)
            if count == 1:
                os.kill(pid, signal.SIGHUP)
            else:
                connection = HTTPConnection("127.0.0.1", self.api, timeout=40)
                connection.request("POST", "/v1/docker-flow-proxy/upgrade?workers=3")
                response = connection.getresponse()
                self.assertEqual(response.status, 200, response.read())
                connection.close()
            until(lambda wanted=count + 1: self.log().count("control API on") == wanted, 40, self.log)
            until(lambda former=workers: not any(map(runs, former)), 20, self.log)
            for _ in range(10):
                self.assertEqual(self.get(), b"hello")
        until(lambda: len(children_of(pid)) == 3, 5, "the former ones are reaped")
        self.assertIn("workers share a queue", self.log())
        self.assertEqual(set(fields_of(pid)["Uid"]), {str(NOBODY.pw_uid)})
        self.assertEqual(self.pid_file.read_text(), str(pid))
        self.assertNotIn("Traceback", self.log())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not runs(pid), 15, self.log)
        self.assertFalse(self.pid_file.exists())

    def in_use(self, port: int) -> bool:
        """
        Whether somebody listens there.
        """
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return True
            return False

    def test_wrong_options(self) -> None:
        """
        One line for each problem, and no daemon.
        """
        done = subprocess.run(
            (TWISTD, "--pidfile", str(self.pid_file), "dfproxy", "--workers", "some", "--balance", "nothing"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=40,
        )
        self.assertEqual(done.returncode, 1)
        lines = done.stderr.strip().splitlines()
        self.assertTrue(all(line.startswith("dfproxy: ") for line in lines), lines)
        self.assertIn("some", lines[0])
        self.assertFalse(self.pid_file.exists())

    def test_port_in_use(self) -> None:
        """
        A port that is taken is said in one line, and the start fails.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = subprocess.run(
                (TWISTD, "--nodaemon", "--pidfile=", "dfproxy", "--ip", "127.0.0.1", "--port", str(free_port()))
                + ("--bind-address", "127.0.0.1", "--default-ports", str(port), "--state-dir", str(self.folder)),
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=40,
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(port), done.stderr + done.stdout)
        self.assertNotIn("Traceback", done.stderr + done.stdout)


class EndTests(SynchronousTestCase):
    """
    Signals, with workers and without.
    """

    workers = 2

    def start(self, drain_s: float = 8, *options: str) -> None:
        """
        Start a proxy of its own, with a server that answers when told.

        Args:
            options: further ones of the proxy.
        """
        self.proxy = Proxy("--timeout-drain", str(drain_s), *options, workers=self.workers)
        self.addCleanup(self.proxy.kill)
        self.go_on = threading.Event()

        def script(wire: Wire, backend: Backend) -> None:
            while True:
                wire.request()
                backend.note("asked")
                self.go_on.wait(20)
                wire.send(ANSWER % (4, b"done"))

        self.backend = Backend(script)
        self.addCleanup(self.backend.close)
        self.addCleanup(self.go_on.set)
        self.proxy.publish("a", self.backend)

    def ask(self) -> Wire:
        """
        A request that waits at the server.
        """
        client = self.proxy.connect()
        self.addCleanup(client.close)
        count = len(self.backend.requests)
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        self.backend.until(lambda: len(self.backend.requests) > count)
        return client

    def is_served(self) -> bool:
        """
        Whether a new connection is answered.
        """
        try:
            with self.proxy.connect() as client:
                client.sock.settimeout(0.5)
                client.send("GET /nowhere HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                client.final()
        except (OSError, Ended):
            return False
        return True

    def test_graceful(self) -> None:
        """
        SIGTERM: idle clients are let go, nothing new is accepted, and what is under way is finished before the end.
        """
        self.start()
        idle = self.proxy.connect()
        self.addCleanup(idle.close)
        quick = Backend(answering())
        self.addCleanup(quick.close)
        self.proxy.publish("quick", quick, path="/quick", aclName="0")
        idle.send("GET /quick HTTP/1.1\r\nHost: test\r\n\r\n")
        self.assertEqual(idle.response().body, b"hello")
        waiting = self.ask()
        uploading = self.proxy.connect()
        self.addCleanup(uploading.close)
        uploading.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nab")
        workers = self.proxy.worker_pids()
        self.proxy.signal(signal.SIGTERM)
        until(lambda: not self.is_served(), 5, "no new connections")
        self.assertTrue(idle.ends(3))
        self.assertTrue(self.proxy.alive)
        uploading.send("cd")
        self.go_on.set()
        for client in (waiting, uploading):
            response = client.response()
            self.assertEqual((response.body, response.get("connection")), (b"done", "close"))
            self.assertTrue(client.ends(2))
        self.assertIn(self.proxy.wait(6), ENDED)
        self.assertEqual([pid for pid in workers if runs(pid)], [])
        self.assertNotIn("Traceback", self.proxy.log())

    def test_at_once(self) -> None:
        """
        A second SIGTERM ends everything at once, whatever is under way.
        """
        self.start()
        waiting = self.ask()
        workers = self.proxy.worker_pids()
        self.proxy.signal(signal.SIGTERM)
        until(lambda: not self.is_served(), 5, "no new connections")
        self.assertTrue(self.proxy.alive)
        began = time.monotonic()
        self.proxy.signal(signal.SIGTERM)
        self.proxy.wait(5)
        until(lambda: not any(map(runs, workers)), 5)
        self.assertLess(time.monotonic() - began, 2)
        self.assertTrue(waiting.ends(2))

    def test_deadline(self) -> None:
        """
        What is not finished within `--timeout-drain` is cut.
        """
        self.start(drain_s=1)
        waiting = self.ask()
        began = time.monotonic()
        self.proxy.signal(signal.SIGTERM)
        self.proxy.wait(8)
        self.assertTrue(0.8 < time.monotonic() - began < 5)
        self.assertTrue(waiting.ends(2))

    def upgraded(self) -> Wire:
        """
        A WebSocket through the proxy.
        """
        backend = Backend(websocket)
        self.addCleanup(backend.close)
        self.proxy.publish("ws", backend, path="/ws", aclName="0")
        client = self.proxy.connect()
        self.addCleanup(client.close)
        client.send(
            "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: x\r\n\r\n"
        )
        self.assertEqual(client.head().status, 101)
        self.check(client)
        return client

    def check(self, client: Wire) -> None:
        """
        A message goes there and back.
        """
        client.send(frame(b"message", masked=True))
        self.assertEqual(read_frame(client), b"message")

    def test_tunnel(self) -> None:
        """
        A WebSocket outlives `--timeout-drain`, when requests are cut, and is cut at `--timeout-tunnel-drain`.
        """
        self.start(0.3, "--timeout-tunnel-drain", "1.5")
        waiting, client = self.ask(), self.upgraded()
        began = time.monotonic()
        self.proxy.signal(signal.SIGTERM)
        self.assertTrue(waiting.ends(1.2))
        self.check(client)
        self.assertTrue(client.ends(4))
        self.assertTrue(1.3 < time.monotonic() - began < 4)
        self.assertIn(self.proxy.wait(6), ENDED)
        self.assertIn("waiting for 1 tunnels, at most 1 s more", self.proxy.log())

    def test_last_tunnel_ends(self) -> None:
        """
        With the last WebSocket the proxy ends, long before `--timeout-tunnel-drain`.
        """
        self.start(0.3, "--timeout-tunnel-drain", "60")
        client = self.upgraded()
        self.proxy.signal(signal.SIGTERM)
        self.proxy.wait_for_log("waiting for 1 tunnels")
        self.check(client)
        began = time.monotonic()
        client.close()
        self.assertIn(self.proxy.wait(6), ENDED)
        self.assertLess(time.monotonic() - began, 3)

    def test_tunnel_at_once(self) -> None:
        """
        A second SIGTERM waits for no WebSocket.
        """
        self.start(0.3, "--timeout-tunnel-drain", "60")
        client = self.upgraded()
        self.proxy.signal(signal.SIGTERM)
        self.proxy.wait_for_log("waiting for 1 tunnels")
        began = time.monotonic()
        self.proxy.signal(signal.SIGTERM)
        self.proxy.wait(5)
        self.assertTrue(client.ends(2))
        self.assertLess(time.monotonic() - began, 3)

    def test_quick_when_idle(self) -> None:
        """
        With nothing under way it ends within a second or so, kept connections or not.
        """
        self.start()
        self.go_on.set()
        client = self.ask()
        client.response()
        began = time.monotonic()
        self.proxy.signal(signal.SIGTERM)
        self.assertIn(self.proxy.wait(8), ENDED)
        self.assertLess(time.monotonic() - began, 2.5)
        self.assertTrue(client.ends(1))


class EndInOneProcessTests(EndTests):
    """
    The same with `--workers 0`.
    """

    workers = 0


class LeaderKilledTests(SynchronousTestCase):
    """
    The leader is gone.
    """

    def test_workers_finish(self) -> None:
        """
        Workers whose leader was killed finish what is under way, and end.
        """
        proxy = Proxy("--timeout-drain", "8")
        self.addCleanup(proxy.kill)
        go_on = threading.Event()

        def script(wire: Wire, backend: Backend) -> None:
            wire.request()
            backend.note("asked")
            go_on.wait(10)
            wire.send(ANSWER % (4, b"done"))

        backend = Backend(script)
        self.addCleanup(backend.close)
        self.addCleanup(go_on.set)
        proxy.publish("a", backend)
        with proxy.connect() as client:
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            backend.until(lambda: backend.requests)
            workers = proxy.worker_pids()
            proxy.signal(signal.SIGKILL)
            proxy.wait(5, whole_log=False)
            until(lambda: sum(map(runs, workers)) == 1, 5, "the end of the idle worker")
            go_on.set()
            self.assertEqual(client.response().body, b"done")
        until(lambda: not any(map(runs, workers)), 5, "the end of the other one")
