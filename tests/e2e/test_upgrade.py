"""
A leader that becomes another version of itself under load: what clients and operators see. Figures are printed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import Backend, answering
from tests.e2e.dialogues import frame, read_frame, websocket
from tests.e2e.load import Load
from tests.e2e.proxy import API, Proxy, free_port, until
from tests.e2e.wire import Ended, connect
from tests.requirements import ROOT

UP_S = 40.0
"""Longest upgrade: three seconds on an idle machine."""


class Fresh:
    """
    Clients that connect anew for each request, from `with` on to its end.
    """

    def __init__(self, host: str, port: int, path: str, clients: int = 2) -> None:
        self._at = (host, port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        self.times: list[float] = []
        self.faults: list[str] = []

    def _ask(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            try:
                with connect(*self._at) as client:
                    client.send(self._request)
                    if client.final().status != 200:
                        self.faults.append("another status")
            except (Ended, OSError) as error:
                self.faults.append(repr(error))
            self.times.append(time.perf_counter() - began)
            self._over.wait(0.003)

    def __enter__(self) -> Fresh:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)


class UpgradeCase(SynchronousTestCase):
    workers = 2
    options: tuple[str, ...] = ()
    environment: dict[str, str] | None = None

    def setUp(self) -> None:
        self.plugins = Path(tempfile.mkdtemp(prefix="dfproxy-e2e-"))
        self.addCleanup(shutil.rmtree, self.plugins, True)
        shutil.copy(ROOT / "plugins" / "burst.py", self.plugins)
        options = (*self.options, "--plugins", str(self.plugins))
        self.proxy = Proxy(*options, workers=self.workers, environment=self.environment)
        self.addCleanup(self.ended)
        self.backend = Backend(answering(b"hello"))
        self.addCleanup(self.backend.close)
        self.proxy.publish("a", self.backend, path="/a")

    def ended(self) -> None:
        """
        Nothing it has logged looks like a fault, and nothing of it is left.
        """
        log = self.proxy.log()
        if self.proxy.alive:
            self.proxy.end()
        else:
            self.proxy.kill()
        self.assertNotIn("Traceback", log)
        self.assertNotIn("went wrong", log)

    def upgraded(self, query: str = "") -> tuple[list[int], float]:
        """
        By the API.

        Returns:
            The workers of before, and how many seconds it took until the new ones served.
        """
        before, began, logged = self.proxy.worker_pids(), time.monotonic(), self.proxy.logged
        status, body = self.proxy.ask(f"{API}/upgrade{query}", "POST")
        self.assertEqual(status, 200, body)
        self.proxy.wait_for_log("control API on", UP_S, logged)
        return before, time.monotonic() - began

    def gone(self, pids: list[int]) -> None:
        until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], 20, "the former workers end")


class LoadTests(UpgradeCase):
    """
    With steady load.
    """

    def test_two_in_a_row(self) -> None:
        """
        Two upgrades, the second by SIGHUP: no request fails, on kept connections or new ones; the process stays the
        same, what was published stays, and at no moment another leader may have the journal.
        """
        free: list[float] = []
        over = threading.Event()

        def watch() -> None:
            with open(self.proxy.folder / "state" / "lock", "rb") as file:
                while not over.is_set():
                    try:
                        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    except OSError:
                        time.sleep(0.001)
                    else:
                        free.append(time.monotonic())
                        return

        watcher = threading.Thread(target=watch)
        watcher.start()
        pid, took = self.proxy.pid, []
        with (
            Load(self.proxy, "/a", clients=3, pause_s=0.003) as kept,
            Fresh("127.0.0.1", self.proxy.port, "/a") as fresh,
        ):
            until(lambda: kept.answers > 100)
            former, seconds = self.upgraded()
            took.append(seconds)
            self.gone(former)
            self.assertEqual(len(self.proxy.worker_pids()), 2)
            former, logged, began = self.proxy.worker_pids(), self.proxy.logged, time.monotonic()
            self.proxy.signal(signal.SIGHUP)
            self.proxy.wait_for_log("control API on", UP_S, logged)
            took.append(time.monotonic() - began)
            self.gone(former)
            answered = kept.answers
            until(lambda: kept.answers > answered + 100)
        over.set()
        watcher.join()
        requests, failed = len(kept.times) + len(fresh.times), kept.faults + fresh.faults
        longest = max(*kept.times, *fresh.times)
        sys.stdout.write(
            f"\ntwo upgrades: {requests} requests ({len(fresh.times)} on new connections), {len(failed)} failed, "
            f"longest wait {longest * 1000:.0f} ms, up after {took[0]:.1f} and {took[1]:.1f} s\n"
        )
        self.assertEqual((failed, free), ([], []))
        self.assertLess(longest, 1.0)
        self.assertEqual(self.proxy.pid, pid)
        status, answer = self.proxy.call("reconfigure", serviceName="b", servicePath="/b", port="1")
        self.assertEqual((status, answer["Revision"]["Number"]), (200, 2))

    def test_other_number_of_workers(self) -> None:
        """
        More workers, then fewer: all serve, no request fails, and no socket is closed, so none is refused or reset.
        """
        with (
            Load(self.proxy, "/a", clients=2, pause_s=0.003) as kept,
            Fresh("127.0.0.1", self.proxy.port, "/a") as fresh,
        ):
            for count in (3, 1):
                former, _ = self.upgraded(f"?workers={count}")
                self.gone(former)
                # A lone worker has a companion without sockets.
                wanted, least = max(2, count), len(fresh.times) + 100
                until(lambda: len(self.proxy.worker_pids()) == wanted and len(fresh.times) > least)  # noqa: B023  called here
        self.assertEqual(kept.faults + fresh.faults, [])
        sys.stdout.write(f"\n2, 3, 1 workers: longest wait {max(*kept.times, *fresh.times) * 1000:.0f} ms\n")


class FailingTests(UpgradeCase):
    """
    The new version is worse than the old one.
    """

    def setUp(self) -> None:
        self.code = Path(tempfile.mkdtemp(prefix="dfproxy-e2e-"))
        self.addCleanup(shutil.rmtree, self.code, True)
        self.environment = {"PYTHONPATH": os.pathsep.join((str(self.code), str(ROOT)))}
        super().setUp()

    def refused(self, what: str) -> None:
        """
        It does not take over: the answer says why, and so does the log; the old workers serve on.
        """
        former, logged = self.proxy.worker_pids(), self.proxy.logged
        status, body = self.proxy.ask(f"{API}/upgrade", "POST")
        self.assertEqual(status, 500, body)
        self.assertIn(what, json.loads(body)["Message"])
        self.proxy.wait_for_log("no upgrade, this version goes on", 5, logged)
        self.assertIn(what, self.proxy.log(logged))
        self.assertEqual(sorted(self.proxy.worker_pids()), sorted(former))
        self.assertEqual(self.proxy.get("/a").status, 200)

    def test_code(self) -> None:
        """
        Code that cannot be imported keeps the old version serving, for SIGHUP as for the API; once that is mended the
        upgrade goes through.
        """
        (self.code / "dfproxy").mkdir()
        broken = self.code / "dfproxy" / "__init__.py"
        broken.write_text("raise ImportError('half installed')\n")
        self.refused("half installed")
        logged = self.proxy.logged
        self.proxy.signal(signal.SIGHUP)
        self.proxy.wait_for_log("no upgrade, this version goes on", UP_S, logged)
        self.assertEqual(self.proxy.get("/a").status, 200)
        shutil.rmtree(broken.parent)
        self.gone(self.upgraded()[0])
        self.assertEqual(self.proxy.get("/a").status, 200)

    def test_service(self) -> None:
        """
        A service that the new version cannot load, since its strategy is broken, is named; it is served on.
        """
        source = (ROOT / "plugins" / "burst.py").read_text()
        strategy = self.plugins / "burst.py"
        self.proxy.publish("b", self.backend, path="/b", balance="burst(2)")
        strategy.write_text("raise RuntimeError('half written')\n")
        self.refused("cannot take up b")
        self.assertEqual(self.proxy.get("/b").status, 200)
        strategy.write_text(source)
        self.gone(self.upgraded()[0])
        self.assertEqual(self.proxy.get("/b").status, 200)


class TunnelTests(UpgradeCase):
    options = ("--timeout-tunnel-drain", "60")

    def test_websocket(self) -> None:
        """
        A WebSocket goes on with its old worker, which ends with it; new requests are answered by new ones meanwhile,
        also after another upgrade.
        """
        backend = Backend(websocket)
        self.addCleanup(backend.close)
        self.proxy.publish("ws", backend, path="/ws")
        client = self.proxy.connect()
        self.addCleanup(client.close)
        client.send(
            "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: x\r\n\r\n"
        )
        self.assertEqual(client.head().status, 101)
        first, _ = self.upgraded()
        second, _ = self.upgraded()
        [holder] = until(lambda: [pid for pid in first if pid in self.proxy.worker_pids()])
        self.gone([pid for pid in {*first, *second} if pid != holder])
        self.assertEqual(self.proxy.get("/a").status, 200)
        client.send(frame(b"message", masked=True))
        self.assertEqual(read_frame(client), b"message")
        client.close()
        self.gone([holder])


class PortTests(UpgradeCase):
    def test_port_of_a_service(self) -> None:
        """
        A port that a service asked for stays open, under load, and closes when the service goes, as ever.
        """
        port = free_port()
        self.proxy.publish("t", self.backend, reqMode="tcp", srcPort=str(port), port=str(self.backend.port))
        with Fresh("127.0.0.1", port, "/") as fresh:
            until(lambda: len(fresh.times) > 50)
            former, _ = self.upgraded("?workers=3")
            self.gone(former)
            answered = len(fresh.times)
            until(lambda: len(fresh.times) > answered + 100)
        self.assertEqual(fresh.faults, [])
        sys.stdout.write(f"\nport of a service: longest wait {max(fresh.times) * 1000:.0f} ms\n")
        self.assertNotIn("tried again", self.proxy.log())
        self.proxy.remove("t")
        self.assertRaises(ConnectionRefusedError, connect, "127.0.0.1", port)
