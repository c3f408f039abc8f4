"""
Replicas of the proxy: real ones on addresses of loopback, which find each other by name.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import Backend, answering
from tests.e2e.proxy import API, Proxy, free_port, until

SERVICE = {"serviceName": "go-demo", "servicePath": "/demo", "port": "8080"}


class ReplicasCase(SynchronousTestCase):
    """
    Two replicas, known to each other as `tasks.proxy`.
    """

    def setUp(self) -> None:
        self.backend = Backend(answering(b"hello, world!"))
        self.addCleanup(self.backend.close)
        self.api_port = free_port("127.0.0.2")
        self.names = ("--resolve", "tasks.proxy=127.0.0.2,127.0.0.3")
        self.one = self.replica("127.0.0.2")
        self.two = self.replica("127.0.0.3")

    def replica(self, ip: str, *options: str, workers: int = 0) -> Proxy:
        proxy = Proxy(*self.names, *options, ip=ip, api_port=self.api_port, workers=workers)
        self.addCleanup(proxy.end)
        return proxy

    def call(self, proxy: Proxy, verb: str, **parameters: str) -> tuple[int, dict[str, object]]:
        endpoint = {"endpoints": f"127.0.0.1:{self.backend.port}"} if verb == "reconfigure" else {}
        return proxy.call(verb, **{**SERVICE, **endpoint, "distribute": "true", **parameters})


class DistributeTests(ReplicasCase):
    def test_everywhere(self) -> None:
        """
        One call to any replica, and each has the service; removed likewise.
        """
        for first, second in ((self.one, self.two), (self.two, self.one)):
            status, said = self.call(first, "reconfigure")
            self.assertEqual((status, said["Status"], said["Distribute"]), (200, "OK", True), said)
            self.assertIn("all 2 replicas", str(said["Message"]))
            for proxy in (first, second):
                self.assertEqual(proxy.get("/demo/x").body, b"hello, world!")
            status, said = self.call(second, "remove")
            self.assertEqual((status, said["Status"]), (200, "OK"), said)
            for proxy in (first, second):
                self.assertEqual(proxy.get("/demo/x").status, 503)
        revisions = [json.loads(proxy.ask(f"{API}/ping")[1])["Revision"]["Hash"] for proxy in (self.one, self.two)]
        self.assertEqual(revisions[0], revisions[1])

    def test_many_from_both_sides(self) -> None:
        """
        Hundreds of calls at once, half to each replica, are all carried out everywhere: nobody waits for the other.
        """

        def publish(number: int) -> int:
            proxy = (self.one, self.two)[number % 2]
            return self.call(proxy, "reconfigure", serviceName=f"s{number}", servicePath=f"/s{number}/")[0]

        with ThreadPoolExecutor(150) as pool:
            self.assertEqual(set(pool.map(publish, range(300))), {200})
        for proxy in (self.one, self.two):
            self.assertEqual(len(json.loads(proxy.ask(f"{API}/config?type=json")[1])), 300)
            self.assertEqual(proxy.get("/s299/x").status, 200)

    def test_one_is_dead(self) -> None:
        """
        A replica that does not answer makes it a 500 that names it; the listener will repeat it. The others have it.
        """
        self.two.kill()
        status, said = self.call(self.one, "reconfigure")
        self.assertEqual((status, said["Status"]), (500, "NOK"))
        self.assertIn("127.0.0.3: connection refused", str(said["Message"]))
        self.assertEqual(self.one.get("/demo/x").status, 200)

    def test_invalid_goes_nowhere(self) -> None:
        """
        What is wrong is a 400 or 409 at once, and no replica hears of it.
        """
        self.assertEqual(self.call(self.one, "reconfigure", port="http")[0], 400)
        self.assertEqual(self.call(self.one, "reconfigure", servicePath="")[0], 409)
        self.assertEqual(json.loads(self.two.ask(f"{API}/config?type=json")[1]), {})


class LonelyTests(SynchronousTestCase):
    def test_the_only_one(self) -> None:
        """
        A single replica, the only address of its name, carries out what is to be distributed.
        """
        proxy = Proxy("--resolve", "tasks.mine=127.0.0.1", workers=0, environment={"SERVICE_NAME": "mine"})
        self.addCleanup(proxy.end)
        status, said = proxy.call("reconfigure", **SERVICE, distribute="true")
        self.assertEqual((status, said["Status"]), (200, "OK"))
        self.assertIn("distributed", said["Message"])

    def test_no_name(self) -> None:
        """
        Where the name of the replicas does not resolve nothing is changed, and the operator is told what to set.
        """
        proxy = Proxy("--service-name", "no-such-name-here", workers=0)
        self.addCleanup(proxy.end)
        for verb in ("reconfigure", "remove"):
            status, said = proxy.call(verb, **SERVICE, distribute="true")
            self.assertEqual((status, said["Status"], said["Distribute"]), (500, "NOK", True))
            self.assertIn("SERVICE_NAME", said["Message"])
        self.assertEqual(json.loads(proxy.ask(f"{API}/config?type=json")[1]), {})


class ReadyTests(SynchronousTestCase):
    def test_ending(self) -> None:
        """
        Told to end, it is not ready from that moment on, and serves for --drain-wait seconds yet, new connections too;
        then it drains. Whoever stops sending clients in that time loses nothing.
        """
        backend = Backend(answering())
        self.addCleanup(backend.close)
        proxy = Proxy("--drain-wait", "1500ms", workers=1)
        self.addCleanup(proxy.end)
        proxy.publish("s", backend, port="80")
        self.assertEqual(proxy.ask(f"{API}/ready")[0], 200)
        over = threading.Event()
        served: list[int] = []

        def clients() -> None:
            # A balancer in front: it asks as often as it can, until it sees that this one is not ready.
            while not over.is_set():
                served.append(proxy.get("/x").status)

        threads = [threading.Thread(target=clients) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(served) > 20)
        began = time.monotonic()
        proxy.signal(signal.SIGTERM)
        until(lambda: proxy.ask(f"{API}/ready")[0] == 503, 1.0)
        self.assertIn("ending", json.loads(proxy.ask(f"{API}/ready")[1])["Problems"])
        before = len(served)
        until(lambda: len(served) > before + 20)
        over.set()
        for thread in threads:
            thread.join(10)
        self.assertEqual(set(served), {200})
        proxy.wait()
        self.assertGreater(time.monotonic() - began, 1.4)
