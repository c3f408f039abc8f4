"""
Servers that fail or have too much to do, with real workers and real sockets.
"""

from __future__ import annotations

import threading
import time

from tests.e2e.backends import Backend, answering, garbage, silent
from tests.e2e.load import Load
from tests.e2e.proxy import ProxyCase, until
from tests.e2e.wire import Wire

ASKED = "GET /go HTTP/1.1\r\nHost: a.test\r\n\r\n"


class Busy:
    """
    A script that counts how many requests it has at once.

    Attributes:
        now: under way.
        most: the most so far.
    """

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, wire: Wire, backend: Backend) -> None:
        while True:
            wire.request()
            with self._lock:
                self.now += 1
                self.most = max(self.most, self.now)
            time.sleep(self.takes_s)  # the work, not a way to wait for something
            with self._lock:
                self.now -= 1
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")


def failing(wire: Wire, backend: Backend) -> None:
    """
    Answers everything with 500.
    """
    while True:
        wire.request()
        backend.requests.append(1)
        wire.send("HTTP/1.1 500 Broken\r\nContent-Length: 6\r\n\r\nbroken")


class ResilienceTests(ProxyCase):
    """
    Two workers.
    """

    workers = 2

    def test_silent_server(self) -> None:
        """
        A server that takes requests and never answers: no GET fails, and it is soon asked no more.
        """
        bad, good = self.backend(silent), self.backend(answering(b"good"))
        self.proxy.publish("go", bad, good, path="/go", timeoutServer="0.3")
        with Load(self.proxy, "/go", clients=8, pause_s=0.01) as load:
            until(lambda: self.proxy.log(self._logged).count("is left out") == 2, 10)
            time.sleep(0.5)
        self.assertEqual(load.faults[:3], [])
        self.assertGreater(load.answers, 50)

    def test_told_to_the_other(self) -> None:
        """
        What one worker leaves out for its answers the other leaves out too, though it had no bad answer itself.
        """
        bad, good = self.backend(failing), self.backend(answering(b"good"))
        self.proxy.publish("go", bad, good, path="/go", ejectErrors="3")
        client = self.client()
        for _ in range(6):
            client.send(ASKED)
            client.response()
        start = "is left out for 5"
        until(lambda: self.proxy.log(self._logged).count(start) == 2, 5)
        asked = len(bad.requests)
        self.assertEqual(asked, 3)
        for _ in range(60):  # new connections go to either worker
            self.assertEqual(self.proxy.get("/go").body, b"good")
        self.assertEqual(len(bad.requests), asked)

    def test_limit_over_all_workers(self) -> None:
        """
        No server ever gets more requests at once than its limit, whichever workers they come through; none is lost.
        """
        one, other = Busy(0.02), Busy(0.02)
        self.proxy.publish("go", self.backend(one), self.backend(other), path="/go", maxConnections="3")
        with Load(self.proxy, "/go", clients=30, pause_s=0.0) as load:
            until(lambda: load.answers > 300, 20)
        self.assertEqual(load.faults[:3], [])
        self.assertEqual((one.most, other.most), (3, 3))

    def test_queue(self) -> None:
        """
        Who waits for too long is told 503, and when to come again.
        """
        server = self.backend(Busy(1.0))
        self.proxy.publish("go", server, path="/go", maxConnections="1", queueTimeout="0.2")
        first, second = self.client(), self.client()
        first.send(ASKED)
        until(lambda: server.accepted)
        second.send(ASKED)
        answer = second.response()
        self.assertEqual((answer.status, answer.get("retry-after")), (503, "2"))
        self.assertEqual(first.response().status, 200)

    def test_garbage_goes_elsewhere(self) -> None:
        """
        `retryOn=junk-response,500`: neither garbage nor a 500 reaches the client while another server is well.
        """
        good = self.backend(answering(b"good"))
        self.proxy.publish(
            "go",
            self.backend(garbage),
            self.backend(failing),
            good,
            path="/go",
            retryOn="junk-response,500",
            retryBudget="100",
        )
        for _ in range(30):
            self.assertEqual(self.proxy.get("/go").body, b"good")
