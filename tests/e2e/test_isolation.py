"""
One bad service never delays, blocks or breaks another.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import Backend, answering, garbage, refused_port, silent
from tests.e2e.load import Load
from tests.e2e.proxy import Proxy, ProxyCase, until
from tests.e2e.wire import Ended, Wire
from tests.requirements import require_root

SO_RCVBUFFORCE = 33
"""asm-generic/socket.h: a buffer so large that no question is lost; Python has no name for it."""

BUSY_S = 0.5
"""How long one answer of a good service may take, at most, on a machine that does other things as well."""


def slow(wire: Wire, backend: Backend) -> None:
    """
    Takes ten seconds for an answer, byte by byte.
    """
    wire.request()
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        wire.send(b"x")
        time.sleep(0.1)


class BadNeighboursTests(ProxyCase):
    """
    A good service beside every kind of bad one.
    """

    def publish_bad_ones(self) -> dict[str, int | None]:
        """
        One service of each bad kind.

        Returns:
            Its path to what is answered there; None: nothing whole.
        """
        full = socket.socket()
        self.addCleanup(full.close)
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            # Its queue is full from here on: who connects now gets no answer at all.
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        publish = self.proxy.publish
        publish("refusing", ("127.0.0.1", refused_port()), path="/refusing")
        publish("hanging", full.getsockname(), path="/hanging")
        publish("silent", self.backend(silent), path="/silent", timeoutServer="1")
        publish("garbage", self.backend(garbage), path="/garbage")
        publish("slow", self.backend(slow), path="/slow", timeoutServer="1")
        publish("unknown", path="/unknown", port="80", outboundHostname="no-such-name.invalid")
        return {"/refusing": 503, "/hanging": 503, "/silent": 504, "/garbage": 502, "/slow": None, "/unknown": 503}

    options = ("--timeout-connect", "1", "--connect-attempts", "2")

    def test_good_service_under_load(self) -> None:
        """
        While clients ask bad services of every kind, a good one answers all its requests, as fast as ever.
        """
        good = self.backend(answering(b"good"))
        self.proxy.publish("good", good, path="/good", aclName="zzz")
        with Load(self.proxy, "/good", clients=4, pause_s=0.002) as alone:
            time.sleep(0.7)
        bad = self.publish_bad_ones()
        over = threading.Event()
        asked: dict[str, list[int | None]] = {path: [] for path in bad}

        def ask(path: str) -> None:
            while not over.is_set():
                try:
                    asked[path].append(self.proxy.get(path).status)
                except (Ended, ConnectionError, TimeoutError):
                    asked[path].append(None)

        threads = [threading.Thread(target=ask, args=(path,), daemon=True) for path in bad for _ in range(3)]
        with Load(self.proxy, "/good", clients=4, pause_s=0.002) as load:
            for thread in threads:
                thread.start()
            time.sleep(2.5)
        over.set()
        self.assertEqual((alone.faults, load.faults[:3]), ([], []))
        self.assertGreater(load.answers, alone.answers)
        self.assertLess(load.slowest(1.0), BUSY_S, f"alone: {alone.slowest(1.0):.3f} s")
        for thread in threads:
            # /slow takes its ten seconds.
            thread.join(0.1)

    def test_each_answers_for_itself(self) -> None:
        """
        Each bad service is answered on its own routes with its own status.
        """
        bad = self.publish_bad_ones()
        got: dict[str, int] = {}

        def ask(path: str) -> None:
            got[path] = self.proxy.get(path).status

        threads = [threading.Thread(target=ask, args=(path,)) for path, status in bad.items() if status]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15)
        self.assertEqual(got, {path: status for path, status in bad.items() if status})

    def test_dead_server_is_left_out(self) -> None:
        """
        A server that refuses connections is asked a few times, then left out until a trial finds it again.
        """
        good = self.backend(answering(b"good"))
        again = self.backend(answering(b"again"), "127.0.0.2")
        port = again.port
        again.close()
        self.proxy.publish("mixed", good, ("127.0.0.2", port), path="/mixed")
        for _ in range(200):
            self.assertEqual(self.proxy.get("/mixed").body, b"good")

        def failures() -> float:
            name = 'dfproxy_connect_errors_total{service="mixed"'
            return sum(value for key, value in self.proxy.metrics().items() if key.startswith(name))

        until(failures, 5)
        self.assertLess(failures(), 20)
        returned = self.backend(answering(b"again"), "127.0.0.2", port)
        until(lambda: self.proxy.get("/mixed").body == b"again", 10)
        self.assertTrue(returned.requests)

    def test_wrong_calls_change_nothing(self) -> None:
        """
        Calls that are refused leave everything as it was, and say which parameter is wrong.
        """
        good = self.backend(answering(b"good"))
        self.proxy.publish("good", good, path="/good")
        before = self.proxy.config()
        cases = (
            {"serviceName": "good", "servicePath": "/good", "port": "none"},
            {"serviceName": "good", "servicePath": "(", "pathType": "path_reg", "port": "80"},
            {"serviceName": "good", "servicePath": "/good", "endpoints": "127.0.0.1:99999"},
            {"serviceName": "good", "servicePath": "/good", "port": "80", "balance": "nothing"},
            {"serviceName": "new\nline", "servicePath": "/good", "port": "80"},
        )
        for case in cases:
            status, answer = self.proxy.call("reconfigure", **case)
            self.assertEqual((status, answer["Status"]), (400, "NOK"), case)
            self.assertTrue(answer["Message"], case)
        self.assertEqual(self.proxy.config(), before)
        self.assertEqual(self.proxy.get("/good").body, b"good")

    def test_many_clients_of_a_silent_one(self) -> None:
        """
        Hundreds of requests that wait at a silent server take nothing from a good one.
        """
        self.proxy.publish("silent", self.backend(silent), path="/silent")
        self.proxy.publish("good", self.backend(answering(b"good")), path="/good")
        waiting = [self.client() for _ in range(300)]
        for client in waiting:
            client.send("GET /silent HTTP/1.1\r\nHost: test\r\n\r\n")
        with Load(self.proxy, "/good", clients=4, pause_s=0.002) as load:
            time.sleep(0.7)
        self.assertEqual(load.faults[:3], [])
        self.assertLess(load.slowest(1.0), BUSY_S)
        for client in waiting:
            client.reset()


# --- names that are never answered ------------------------------------------------------------------------------------


class NameServer:
    """
    Answers for names that begin with `good` with 127.0.0.1, and never for others.
    """

    def __init__(self, host: str) -> None:
        self.asked: set[bytes] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        self._socket.bind((host, 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                question, client = self._socket.recvfrom(512)
            except OSError:
                return
            if len(question) < 12:
                return  # `close` sends this
            name = question[12 : question.index(b"\0", 12)]
            self.asked.add(name)
            end = 12 + len(name) + 5
            if name[1:].startswith(b"good") and question[end - 3] == 1:
                head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
                record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton("127.0.0.1")
                self._socket.sendto(head + question[12:end] + record, client)

    def close(self) -> None:
        """
        Stop.
        """
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()


class HangingNamesTests(SynchronousTestCase):
    """
    A name server that answers for some names only. Needs root: it is put in place of /etc/resolv.conf for the proxy.
    """

    def setUp(self) -> None:
        """
        Start a proxy that asks our name server.
        """
        require_root()
        host = "127.0.0.9"
        try:
            self.names = NameServer(host)
        except OSError as error:
            raise SkipTest(f"no name server on port 53 of {host}: {error}") from error
        self.addCleanup(self.names.close)
        resolv_conf = Path(self.mktemp()).absolute()
        resolv_conf.parent.mkdir(parents=True, exist_ok=True)
        resolv_conf.write_text(f"nameserver {host}\n")
        script = f'mount --bind "{resolv_conf}" /etc/resolv.conf && exec "$@"'
        self.proxy = Proxy(wrapper=("unshare", "--mount", "sh", "-c", script, "sh"))
        self.addCleanup(self.proxy.end)

    def test_publishing_while_names_hang(self) -> None:
        """
        Two hundred services whose names are never answered are published within the time that one is given; meanwhile
        others are published, with and without names, and served, without waiting for them.
        """
        good = Backend(answering(b"good"))
        self.addCleanup(good.close)
        self.proxy.publish("first", good, path="/first")
        faults: list[object] = []
        took: list[float] = []

        def publish(number: int) -> None:
            began = time.monotonic()
            status, answer = self.proxy.call(
                "reconfigure", serviceName=f"hanging-{number}", servicePath=f"/hanging-{number}", port="80"
            )
            took.append(time.monotonic() - began)
            if status != 200:
                faults.append((status, answer))

        threads = [threading.Thread(target=publish, args=(number,), daemon=True) for number in range(200)]
        with Load(self.proxy, "/first", clients=2, pause_s=0.005) as load:
            for thread in threads:
                thread.start()
            quick = []
            for number in range(10):
                began = time.monotonic()
                self.proxy.publish(f"good-{number}", path=f"/good-{number}", port=str(good.port))
                quick.append(time.monotonic() - began)
                self.assertEqual(self.proxy.get(f"/good-{number}").body, b"good")
                self.proxy.publish(f"address-{number}", good, path=f"/address-{number}")
                self.assertEqual(self.proxy.get(f"/address-{number}").body, b"good")
            for thread in threads:
                thread.join(20)
        self.assertEqual((faults, load.faults), ([], []))
        self.assertEqual(len(took), 200)
        self.assertLess(min(quick), 0.1)
        self.assertLess(max(quick), 1.0)
        self.assertLess(max(took), 3.0)
        self.assertLess(load.slowest(1.0), BUSY_S)
        self.assertEqual(self.proxy.get("/hanging-7").status, 503)
        self.assertIn(b"hanging-7", {name[1:] for name in self.names.asked})
