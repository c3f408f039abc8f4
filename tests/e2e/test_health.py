"""
Checks, slow start and orders about single servers, with a real daemon, real workers and real servers.

Longer than most, but one thing: what becomes of servers that are checked.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import ANSWER, Backend, Script, answering
from tests.e2e.load import Load
from tests.e2e.proxy import API, Proxy, ProxyCase, free_port, until
from tests.e2e.wire import Wire

FAST = {"checkInterval": "0.1", "checkTimeout": "0.3", "checkRise": "2", "checkFall": "2"}

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"process")
    def log_message(self, *words):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
"""
A server that is a process of its own, so that it can be paused and killed.
"""

STALL_S = 0.25
"""
Longest time that the leader may not answer while it checks ten thousand servers, on a busy machine.
"""


class Checked:
    """
    A script that says what it is told to when it is checked, and `name` otherwise.

    Attributes:
        health: the whole answer to a check; empty: none, the connection stays open.
        checks: how often it was checked.
    """

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.health = ANSWER % (2, b"ok")
        self.checks = 0

    def __call__(self, wire: Wire, backend: Backend) -> None:
        while True:
            request = wire.request()
            if request.target != "/health":
                wire.send(ANSWER % (len(self.name), self.name))
                continue
            self.checks += 1
            if not self.health:
                wire.rest()
                return
            wire.send(self.health)


def _says(words: bytes) -> Script:
    """
    A server that says something to whoever connects.
    """

    def script(wire: Wire, backend: Backend) -> None:
        wire.send(words)
        wire.rest()

    return script


class HealthCase(ProxyCase):
    """
    Two workers.
    """

    workers = 2

    def two(self, **parameters: str) -> tuple[Checked, Checked]:
        """
        A service with two servers, which are checked.
        """
        bad, good = Checked(b"bad"), Checked(b"good")
        self.servers = self.backend(bad), self.backend(good)
        self.proxy.publish("go", *self.servers, path="/go", **{"checkPath": "/health", **FAST, **parameters})
        return bad, good

    def look(self, place: int = 0) -> dict[str, Any]:
        """
        What the API says of a server.
        """
        server = self.servers[place]
        status, said = self.proxy.call("server", serviceName="go", server=f"{server.host}:{server.port}")
        self.assertEqual(status, 200, said)
        row: dict[str, Any] = said["Servers"][0]
        return row

    def order(self, place: int = 0, **words: str) -> None:
        server = self.servers[place]
        status, said = self.proxy.call("server", serviceName="go", server=f"{server.host}:{server.port}", **words)
        self.assertEqual(status, 200, said)

    def bodies(self, count: int = 20) -> set[bytes]:
        """
        Who answers, asked on connections of their own, so in every worker.
        """
        return {self.proxy.get("/go").body for _ in range(count)}

    def state(self, place: int = 0) -> str:
        state: str = self.look(place)["Check"]["State"]
        return state

    def is_down(self, place: int = 0) -> bool:
        return self.state(place) == "down"


class CheckTests(HealthCase):
    """
    Servers that fail their checks although they answer requests.
    """

    def test_wrong_answers(self) -> None:
        """
        A wrong status, a missing text, silence, garbage and a closed connection each take a server out, with the
        reason; a right answer brings it back.
        """
        bad, _ = self.two(checkBody="ok")
        right = bad.health
        for answer, reason in (
            (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nok", "answered 503"),
            (ANSWER % (4, b"well"), "checkBody"),
            (b"", "no answer within 0.3 s"),
            (b"SSH-2.0-x\r\n\r\n", "no valid answer"),
        ):
            bad.health = answer
            until(self.is_down, 10, lambda: str(self.look()))
            self.assertIn(reason, self.look()["Why"])
            until(lambda: self.bodies(8) == {b"good"}, 5)
            self.assertEqual(self.bodies(), {b"good"})
            bad.health = right
            until(lambda: self.state() == "up", 10)
            until(lambda: self.bodies(8) == {b"bad", b"good"}, 5)

    def test_named_status(self) -> None:
        """
        With `checkStatus=404` that is what is right.
        """
        bad, good = self.two(checkStatus="404")
        bad.health = good.health = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
        until(lambda: bad.checks > 5)
        self.assertEqual(self.state(), "up")

    def test_only_the_leader(self) -> None:
        """
        Two workers do not mean twice as many checks.
        """
        bad, _ = self.two(checkInterval="0.2")
        began, before = time.monotonic(), bad.checks
        time.sleep(2)
        self.assertTrue(bad.checks - before <= (time.monotonic() - began) / 0.2 * 1.1 + 1, bad.checks - before)

    def test_raw_text(self) -> None:
        """
        `option httpchk` in raw text: a server whose path answers 500 gets no requests.
        """
        bad, good = Checked(b"bad"), Checked(b"good")
        bad.health = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
        self.servers = self.backend(bad), self.backend(good)
        fast = {name: value for name, value in FAST.items() if name != "checkTimeout"}
        raw = "option httpchk HEAD /health\ntimeout check 300ms"
        self.proxy.publish("go", *self.servers, path="/go", backendExtra=raw, **fast)
        until(lambda: self.look()["Check"]["State"] == "down")
        until(lambda: self.bodies() == {b"good"})
        self.assertTrue(good.checks)

    def test_paused_process(self) -> None:
        """
        A process that is stopped is taken out before a second has passed, and no request fails meanwhile; it comes
        back when it goes on.
        """
        port = free_port()
        child = subprocess.Popen([sys.executable, "-c", SERVER, str(port)])
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        good = Checked(b"good")
        self.servers = self.backend(good), self.backend(good)
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        where = ("127.0.0.1", port)
        policy = {"checkPath": "/health", "timeoutServer": "1.5", "retryOn": "response-timeout", **FAST}
        self.proxy.publish("go", where, self.servers[1], path="/go", **policy)
        paused = f"127.0.0.1:{port}"

        def state() -> str:
            rows = self.proxy.call("server", serviceName="go", server=paused)[1]["Servers"]
            found: str = rows[0]["Check"]["State"]
            return found

        with Load(self.proxy, "/go", clients=4, pause_s=0.02) as load:
            until(lambda: load.answers > 20)
            child.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            until(lambda: state() == "down", 5)
            self.assertTrue(time.monotonic() - began < 3)
            until(lambda: self.bodies(8) == {b"good"}, 5)
            child.send_signal(signal.SIGCONT)
            until(lambda: state() == "up", 10)
            until(lambda: b"process" in self.bodies(8), 5)
        self.assertEqual(load.faults[:3], [])

    def test_new_worker(self) -> None:
        """
        A worker that is started later knows who is down.
        """
        bad, _ = self.two()
        bad.health = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
        until(self.is_down)
        until(lambda: self.bodies(8) == {b"good"}, 5)
        before = self.proxy.worker_pids()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(set(self.proxy.worker_pids()) - set(before)) == 2, 10)
        until(lambda: not self.proxy.call("ready")[1]["Status"] == "NOK", 10)
        self.assertEqual(self.bodies(40), {b"good"})

    alarms = ("has ended",)

    def test_all_down(self) -> None:
        """
        When all are down they are used all the same, and that is counted and said.
        """
        bad, good = self.two()
        bad.health = good.health = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
        until(lambda: self.is_down(0) and self.is_down(1))
        until(lambda: self.proxy.metrics()["dfproxy_panic_backends"] == 1)
        self.assertEqual(self.bodies(), {b"bad", b"good"})
        self.assertIn("used all the same", self.look()["Why"])

    def test_statistics(self) -> None:
        """
        Metrics and CSV say who is down, in HAProxy's words.
        """
        bad, _ = self.two()
        bad.health = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
        until(self.is_down)
        row = self.look()
        metrics = self.proxy.metrics()
        self.assertEqual(metrics[f'haproxy_server_up{{backend="{row["Backend"]}",server="{row["Server"]}"}}'], 0)
        labels = f'{{backend="{row["Backend"]}",server="{row["Server"]}"}}'
        self.assertTrue(metrics[f"haproxy_server_check_failures_total{labels}"] >= 2)
        self.order(1, state="drain")
        lines = self.proxy.ask(f"{API}/metrics")[1].decode().splitlines()
        words = {line.split(",")[1]: line.split(",")[17] for line in lines if line.startswith(row["Backend"])}
        self.assertEqual({words["go_0"], words["go_1"]}, {"DOWN", "DRAIN"})
        (line,) = [line for line in lines if line.startswith(f"{row['Backend']},{row['Server']},")]
        self.assertIn(",L7STS,500,", line)

    def test_slow_start(self) -> None:
        """
        A server that comes back gets few requests at first, and its share in the end.
        """
        bad, _ = self.two(slowStart="4")
        right = bad.health
        bad.health = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
        until(self.is_down)
        until(lambda: self.bodies(8) == {b"good"}, 5)
        bad.health = right
        until(lambda: self.state() == "up")
        first = [self.proxy.get("/go").body for _ in range(34)].count(b"bad")
        self.assertTrue(first <= 10, first)
        time.sleep(4.5)
        last = [self.proxy.get("/go").body for _ in range(40)].count(b"bad")
        self.assertTrue(15 <= last <= 25, last)


class OneProcessTests(HealthCase):
    """
    The same in one process.
    """

    workers = 0

    def test_down_and_drained(self) -> None:
        """
        Checks and orders work without workers too.
        """
        bad, _ = self.two()
        right = bad.health
        bad.health = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
        until(self.is_down)
        until(lambda: self.bodies(8) == {b"good"}, 5)
        bad.health = right
        until(lambda: self.bodies(8) == {b"bad", b"good"}, 10)
        self.order(1, state="maint")
        self.assertEqual(self.bodies(), {b"bad"})
        self.assertIn("maint", self.look(1)["Why"])


class OrderTests(HealthCase):
    """
    `server` while requests come in.
    """

    def test_drained_under_load(self) -> None:
        """
        A server is drained, stopped, started and taken back again and again: no request fails, and after each 200 not
        one more goes to it.
        """
        bad, _ = self.two()
        with Load(self.proxy, "/go", clients=6, pause_s=0.005) as load:
            for _ in range(5):
                before = load.answers
                until(lambda: load.answers > before + 50)  # noqa: B023  asked at once
                self.order(0, state="drain")
                self.assertEqual(self.bodies(), {b"good"})
                self.order(0, state="maint")
                self.order(0, state="ready")
                self.assertEqual(self.bodies(), {b"bad", b"good"})
        self.assertEqual(load.faults[:3], [])

    def test_weight(self) -> None:
        """
        A weight is a share at once, in every worker; 0 is none.
        """
        self.two()
        self.order(0, weight="0")
        self.assertEqual(self.bodies(), {b"good"})
        self.order(0, weight="4")
        count = [self.proxy.get("/go").body for _ in range(100)].count(b"bad")
        self.assertTrue(70 <= count <= 90, count)
        self.assertIn("weight 4", self.proxy.config())
        self.order(0, weight="default")
        self.assertNotIn("weight", self.proxy.config())

    def test_bound_clients(self) -> None:
        """
        A client with a cookie keeps its drained server; others do not get it; in maintenance nobody does.
        """
        self.two(sessionType="sticky-server")
        first = self.proxy.get("/go")
        cookie = str(first.get("set-cookie")).partition(";")[0]
        mine = 0 if first.body == b"bad" else 1
        self.order(mine, state="drain")
        held = {self.proxy.get("/go", head=f"Cookie: {cookie}\r\n").body for _ in range(10)}
        self.assertEqual(held, {first.body})
        self.assertNotIn(first.body, self.bodies())
        self.order(mine, state="maint")
        self.assertNotEqual(self.proxy.get("/go", head=f"Cookie: {cookie}\r\n").body, first.body)

    def test_replaced(self) -> None:
        """
        A new definition of the service does not bring a drained server back.
        """
        self.two()
        self.order(0, state="drain")
        self.proxy.publish("go", *self.servers, path="/go", checkPath="/health", timeoutServer="7", **FAST)
        self.assertEqual(self.bodies(), {b"good"})
        self.proxy.remove("go")
        self.proxy.publish("go", *self.servers, path="/go")
        self.assertEqual(self.bodies(), {b"bad", b"good"})


class ConnectionTests(HealthCase):
    """
    Servers of a TCP port, in a group of two services.
    """

    def test_group(self) -> None:
        """
        They are checked without any traffic as the first service says, and orders hold for them too.
        """
        port = free_port()
        one, other = self.backend(_says(b"one")), self.backend(_says(b"other"))
        for name, server, words in (("db-a", one, {"checkTcp": "true", **FAST}), ("db-b", other, {})):
            status, said = self.proxy.call(
                "reconfigure",
                serviceName=name,
                reqMode="tcp",
                srcPort=str(port),
                port=str(server.port),
                endpoints=f"{server.host}:{server.port}",
                serviceGroup="db",
                **words,
            )
            self.assertEqual(status, 200, said)
            self.addCleanup(self.proxy.remove, name)

        def rows() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            for name in ("db-a", "db-b"):
                found += self.proxy.call("server", serviceName=name)[1]["Servers"]
            return found

        def asked() -> set[bytes]:
            answers = set()
            for _ in range(12):
                with socket.create_connection(("127.0.0.1", port), 5) as client:
                    answers.add(client.recv(100))
            return answers

        until(lambda: all(row["Check"] and row["Check"]["Last"] == "succeeded" for row in rows()), 5)
        self.assertEqual(asked(), {b"one", b"other"})
        status, said = self.proxy.call("server", serviceName="db-a", server="db-a", state="maint")
        self.assertEqual(status, 200, said)
        self.assertEqual(asked(), {b"other"})
        self.proxy.call("server", serviceName="db-a", server="db-a", state="ready")
        other.close()
        until(lambda: rows()[1]["Check"]["State"] == "down", 5)
        self.assertEqual(asked(), {b"one"})


class DurableTests(SynchronousTestCase):
    """
    Orders and the end of the leader.
    """

    def test_killed(self) -> None:
        """
        What was acknowledged about a server holds after `kill -9` of the leader and a new start, from the first
        request on.
        """
        one, other = Backend(answering(b"one")), Backend(answering(b"other"))
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        proxy = Proxy()
        self.addCleanup(lambda: proxy.kill() if proxy.alive else proxy._clear())
        proxy.publish("go", one, other, path="/go")
        server = {"serviceName": "go", "server": f"{one.host}:{one.port}"}
        self.assertEqual(proxy.call("server", state="maint", weight="3", **server)[0], 200)
        proxy.kill_leader()
        until(lambda: socket.socket().connect_ex(("127.0.0.1", proxy.port)) != 0, what="the old workers end")
        later = Proxy(former=proxy)
        self.addCleanup(later.kill)
        self.assertEqual({later.get("/go").body for _ in range(20)}, {b"other"})
        (row,) = later.call("server", **server)[1]["Servers"]
        self.assertEqual((row["State"], row["Weight"]), ("maint", 3))
        self.assertEqual(later.call("server", state="ready", **server)[0], 200)
        self.assertEqual({later.get("/go").body for _ in range(20)}, {b"one", b"other"})


class ManyTests(SynchronousTestCase):
    """
    Ten thousand servers.
    """

    SERVICES, EACH, SECONDS = 100, 100, 6.0

    def test_budget(self) -> None:
        """
        All checks together keep to the budget, and the leader goes on answering.
        """
        listening = socket.create_server(("0.0.0.0", 0), backlog=4096)
        port = listening.getsockname()[1]
        accepted: list[float] = []

        def accept() -> None:
            while True:
                try:
                    listening.accept()[0].close()
                except OSError:
                    return
                accepted.append(time.monotonic())

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        self.addCleanup(listening.close)
        self.addCleanup(listening.shutdown, socket.SHUT_RDWR)
        proxy = Proxy("--check-budget", "500", workers=1)
        self.addCleanup(proxy.end)
        for number in range(self.SERVICES):
            servers = [(f"127.1.{number}.{each}", port) for each in range(1, self.EACH + 1)]
            proxy.publish(f"s{number}", *servers, path=f"/s{number}", checkTcp="true")
        until(lambda: proxy.metrics()["dfproxy_check_servers"] == self.SERVICES * self.EACH)
        began = time.monotonic()
        longest = 0.0
        api = HTTPConnection("127.0.0.1", proxy.api, timeout=10)
        self.addCleanup(api.close)
        while time.monotonic() < began + self.SECONDS:
            asked = time.perf_counter()
            api.request("GET", f"{API}/ping")
            api.getresponse().read()
            longest = max(longest, time.perf_counter() - asked)
            time.sleep(0.002)
        counted = sum(began <= at < began + self.SECONDS for at in accepted) / self.SECONDS
        metrics = proxy.metrics()
        print(f"checks a second: {counted:.0f} of 500; longest stall of the leader: {longest * 1000:.0f} ms")  # noqa: T201  the figures are read
        self.assertTrue(300 < counted <= 520, counted)
        self.assertEqual((metrics["dfproxy_check_stretch"], metrics["dfproxy_check_servers_down"]), (10.0, 0.0))
        self.assertTrue(metrics["dfproxy_check_overdue_seconds"] > 0)
        proxy.wait_for_log("--check-budget allows 500")
        self.assertTrue(longest < STALL_S, longest)
