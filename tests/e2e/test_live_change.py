"""
Changes while requests flow: none fails, none is cut, and who is told "done" finds it done everywhere.
"""

from __future__ import annotations

import random
import subprocess
import threading
import time

from tests.e2e.backends import ANSWER, Backend, answering
from tests.e2e.dialogues import frame, read_frame, websocket
from tests.e2e.load import Load
from tests.e2e.proxy import ProxyCase
from tests.e2e.wire import Wire
from tests.requirements import require

STRATEGIES = ("roundrobin", "leastconn", "random", "first", "source", "uri", "ewma", "hdr(user-agent)")


class ChangeTests(ProxyCase):
    """
    Two workers under load.
    """

    def naming(self, name: str) -> Backend:
        """
        A server that answers its name.
        """
        return self.backend(answering(name.encode()))

    def open_websockets(self, count: int) -> list[Wire]:
        """
        WebSockets through the proxy.
        """
        wires = []
        for _ in range(count):
            client = self.client()
            client.send(
                "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Key: x\r\n\r\n"
            )
            self.assertEqual(client.head().status, 101)
            wires.append(client)
        return wires

    def check_websockets(self, wires: list[Wire]) -> None:
        """
        They still echo.
        """
        for number, wire in enumerate(wires):
            wire.send(frame(b"%d" % number, masked=True))
            self.assertEqual(read_frame(wire), b"%d" % number)

    def test_two_hundred_changes(self) -> None:
        """
        Two hundred changes, of other services and of the loaded one itself: no request fails or is cut, and WebSockets
        opened before go on, also when their service is taken away.
        """
        one, two, three = (self.naming(name) for name in ("one", "two", "three"))
        ws = self.backend(websocket)
        self.proxy.publish("ws", ws, path="/ws")
        self.proxy.publish("loaded", one, two, path="/loaded")
        wires = self.open_websockets(20)
        chance = random.Random(3)
        others: list[str] = []
        with Load(
            self.proxy,
            "/loaded",
            clients=8,
            wanted=lambda response: response.status == 200 and response.body in (b"one", b"two", b"three"),
        ) as load:
            for number in range(200):
                kind = number % 5
                if kind == 0:
                    others.append(f"other-{number}")
                    self.proxy.publish(others[-1], three, path=f"/other-{number}")
                elif kind == 1:
                    name = chance.choice(others)
                    self.proxy.publish(name, two, path=f"/changed-{number}", serviceDomain="other.test")
                elif kind == 2 and len(others) > 4:
                    self.proxy.remove(others.pop(0))
                elif kind == 3:
                    self.proxy.publish("loaded", one, two, path="/loaded", balance=chance.choice(STRATEGIES))
                else:
                    servers = chance.sample((one, two, three), chance.randint(1, 3))
                    self.proxy.publish("loaded", *servers, path="/loaded", aclName=chance.choice("abc"))
                if number % 40 == 20:
                    self.check_websockets(wires)
        self.assertEqual(load.faults[:3], [], f"{len(load.faults)} of {load.answers}")
        self.assertGreater(load.answers, 200)
        self.check_websockets(wires)
        self.proxy.remove("ws")
        self.check_websockets(wires)
        self.assertEqual(self.proxy.get("/ws").status, 503)

    def test_wrk(self) -> None:
        """
        The same with wrk at full speed: no error of any kind.
        """
        (wrk,) = require("wrk")
        self.proxy.publish("loaded", self.naming("one"), path="/loaded")
        child = subprocess.Popen(
            (wrk, "-t1", "-c16", "-d3s", f"http://127.0.0.1:{self.proxy.port}/loaded"),
            stdout=subprocess.PIPE,
            text=True,
        )
        changes = 0
        while child.poll() is None:
            self.proxy.publish(f"other-{changes % 7}", ("127.0.0.1", 9), path=f"/other-{changes}")
            changes += 1
        said = child.communicate()[0]
        self.assertGreater(changes, 20)
        self.assertIn("requests in", said)
        self.assertNotIn("Socket errors", said)
        self.assertNotIn("Non-2xx", said)

    def test_told_means_done(self) -> None:
        """
        The first request after each answer takes the new route, on every connection, whichever worker has it.
        """
        servers = [self.naming(name) for name in ("one", "two")]
        connections = [self.client() for _ in range(16)]
        for number in range(60):
            self.proxy.publish("moving", servers[number % 2], path="/moving")
            for client in connections:
                client.send("GET /moving HTTP/1.1\r\nHost: test\r\n\r\n")
            got = {client.response().body for client in connections}
            self.assertEqual(got, {(b"one", b"two")[number % 2]}, number)
        self.proxy.publish("moving", servers[0], path="/elsewhere")
        for client in connections:
            client.send("GET /elsewhere HTTP/1.1\r\nHost: test\r\n\r\n")
            self.assertEqual(client.response().body, b"one")
            client.send("GET /moving HTTP/1.1\r\nHost: test\r\n\r\n")
            self.assertEqual(client.response().status, 503)

    def test_told_means_done_under_load(self) -> None:
        """
        Likewise for twenty callers at once, each with a service of its own, while others ask.
        """
        servers = [self.naming(name) for name in ("one", "two")]
        self.proxy.publish("loaded", servers[0], path="/loaded")
        faults: list[object] = []

        def call(caller: int) -> None:
            clients = [self.proxy.connect() for _ in range(3)]
            for number in range(8):
                self.proxy.publish(f"own-{caller}", servers[number % 2], path=f"/own-{caller}/")
                for client in clients:
                    client.send(f"GET /own-{caller}/x HTTP/1.1\r\nHost: test\r\n\r\n")
                    response = client.response()
                    if response.body != (b"one", b"two")[number % 2]:
                        faults.append((caller, number, response.raw))
                        return
            for client in clients:
                client.close()

        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(20)]
        with Load(self.proxy, "/loaded", clients=2, pause_s=0.005) as load:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(40)
        self.assertEqual((faults, load.faults), ([], []))

    def test_revision_is_the_same_everywhere(self) -> None:
        """
        Each answer carries the revision, which `ping` then shows, and which only real changes move.
        """
        server = self.naming("one")
        first = self.proxy.publish("one", server, path="/one")["Revision"]
        second = self.proxy.publish("two", server, path="/two")["Revision"]
        self.assertEqual(second["Number"], first["Number"] + 1)
        again = self.proxy.publish("two", server, path="/two")["Revision"]
        self.assertEqual(again, second)
        self.assertEqual(self.proxy.call("ping")[1]["Revision"], second)
        self.proxy.remove("two")
        third = self.proxy.call("ping")[1]["Revision"]
        self.assertEqual((third["Number"], third["Hash"]), (second["Number"] + 1, first["Hash"]))

    def test_request_under_way(self) -> None:
        """
        A request keeps the service and the server with which it began, also when both are taken away.
        """
        go_on = threading.Event()

        def script(wire: Wire, backend: Backend) -> None:
            wire.request()
            backend.note("asked")
            go_on.wait(10)
            wire.send(ANSWER % (3, b"old"))

        old = self.backend(script)
        self.proxy.publish("moving", old, path="/moving")
        replaced, removed = self.client(), self.client()
        for client in (replaced, removed):
            client.send("GET /moving HTTP/1.1\r\nHost: test\r\n\r\n")
        old.until(lambda: len(old.requests) == 2)
        self.proxy.publish("moving", self.naming("new"), path="/moving")
        self.assertEqual(self.proxy.get("/moving").body, b"new")
        self.proxy.remove("moving")
        self.assertEqual(self.proxy.get("/moving").status, 503)
        go_on.set()
        for client in (replaced, removed):
            self.assertEqual(client.response().body, b"old")

    def test_memory_of_changes(self) -> None:
        """
        Sixty changes with sixty WebSockets open make the workers grow by less than a twentieth.
        """
        ws = self.backend(websocket)
        self.proxy.publish("ws", ws, path="/ws")
        for number in range(3):
            self.proxy.publish("other", ws, path=f"/other-{number}")
        wires = self.open_websockets(60)
        before = self.proxy.rss_bytes()
        pids = self.proxy.worker_pids()
        for number in range(60):
            self.proxy.publish(f"other-{number}", ws, path=f"/other-{number}")
        self.assertLess(self.proxy.rss_bytes() / before, 1.05)
        self.assertEqual(self.proxy.worker_pids(), pids)
        self.check_websockets(wires)

    def test_answers_in_time(self) -> None:
        """
        A change is answered within milliseconds, also with a thousand services there.
        """
        server = self.naming("one")
        for number in range(1000):
            self.proxy.publish(f"s-{number}", server, path=f"/s-{number}/")
        times = []
        for number in range(50):
            began = time.perf_counter()
            self.proxy.publish("last", server, path=f"/last-{number}/")
            times.append(time.perf_counter() - began)
        self.assertEqual(self.proxy.get("/last-49/x").body, b"one")
        self.assertLess(sorted(times)[25], 0.05)
