"""
Too much of everything: connections, slow clients, no descriptors, busy workers. Each figure that is bounded is printed.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import known
from tests.e2e.backends import Backend, answering
from tests.e2e.proxy import API, Proxy, until
from tests.e2e.tls import port_options
from tests.e2e.wire import Wire

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"

SLOW = 400
"""
Slow clients at once.
"""

SETTLE_S = 1.0
"""
While memory has not changed for so long everything that will be taken is taken.
"""

QUICK_S = 1.0
"""
What the API may take while clients take all they can.
"""

EXHAUSTED_S = 1.5
"""
How long a process without descriptors is watched.
"""


def processor_s(pid: int) -> float:
    """
    Processor time that a process has used.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def limit_descriptors(pid: int, limit: int) -> None:
    """
    Change how many descriptors a running process may have; the hard limit stays.
    """
    subprocess.run(("prlimit", "--pid", str(pid), f"--nofile={limit}:"), check=True, timeout=10)


def in_parts(wire: Wire, backend: Backend) -> None:
    """
    Answers each request with 8 MB in chunks: such bodies come up to the proxy, and kernel buffers do not swallow them.
    """
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    while True:
        wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(128):
            wire.send(chunk)
        wire.send(b"0\r\n\r\n")


class OverloadCase(SynchronousTestCase):
    """
    A proxy of its own for each test, and a crowd of clients that ends with it.
    """

    def setUp(self) -> None:
        self.crowd = ExitStack()

    def start(self, *options: str, workers: int = 1, wrapper: tuple[str, ...] = ()) -> Proxy:
        proxy = Proxy(*options, workers=workers, wrapper=wrapper)
        self.addCleanup(proxy.end)
        self.addCleanup(self.crowd.close)  # before it ends: a tunnel would keep it
        return proxy

    def backend(self, script: object = None) -> Backend:
        backend = Backend(script or answering(b"hello"))  # type: ignore[arg-type]  # a script
        self.addCleanup(backend.close)
        return backend

    def dial(self, port: int, count: int, sending: bytes = b"", window: int = 0) -> list[socket.socket]:
        """
        Connect many times.

        Args:
            sending: what each sends at once.
            window: bytes that it takes before it reads; 0: as usual.
        """
        found = []
        for _ in range(count):
            sock = self.crowd.enter_context(socket.socket())
            if window:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            sock.settimeout(10)
            sock.connect(("127.0.0.1", port))
            if sending:
                sock.sendall(sending)
            found.append(sock)
        return found

    def quick(self, proxy: Proxy) -> float:
        """
        The longest that a ping, a change and the metrics take, each tried three times; all succeed.
        """
        longest = 0.0
        query = urlencode({"serviceName": "other", "servicePath": "/other", "endpoints": "127.0.0.1:9"})
        for _ in range(3):
            for target in (f"{API}/ping", f"{API}/reconfigure?{query}", "/metrics"):
                begun = time.monotonic()
                self.assertEqual(proxy.ask(target)[0], 200, target)
                longest = max(longest, time.monotonic() - begun)
        return longest


class BoundTests(OverloadCase):
    def test_at_the_bound(self) -> None:
        """
        At the bound a new client is closed at once and counted, those that are there are served, and so is a new one
        when there is room again; the API does not mind.
        """
        proxy = self.start("--max-connections", "40", workers=2)
        proxy.publish("demo", self.backend())
        inside: list[socket.socket] = []
        refused = 0
        longest = 0.0
        while refused < 20:  # 20 to each worker: as long as one has room some are let in
            begun = time.monotonic()
            (client,) = self.dial(proxy.port, 1, GET)
            try:
                answered = client.recv(1024).startswith(b"HTTP/1.1 200")
            except ConnectionError:
                answered = False
            if answered:
                inside.append(client)
            else:
                refused += 1
                longest = max(longest, time.monotonic() - begun)
        self.assertLessEqual(len(inside), 40)
        self.assertGreaterEqual(len(inside), 20)
        self.assertLess(longest, QUICK_S)
        for client in inside:
            client.sendall(GET)
            self.assertTrue(client.recv(1024).startswith(b"HTTP/1.1 200"))
        slowest = self.quick(proxy)
        self.assertLess(slowest, QUICK_S)
        name = 'dfproxy_connections_refused_total{frontend="services"}'
        until(lambda: proxy.metrics()[name] >= refused)
        self.assertIn("as many as may be in this process", proxy.log())
        for client in inside:
            client.close()
        until(lambda: self.is_served(proxy))
        sys.stdout.write(f"\nrefused within {longest:.3f} s, API within {slowest:.3f} s at the bound\n")

    def is_served(self, proxy: Proxy) -> bool:
        try:
            return proxy.get("/").status == 200
        except (OSError, AssertionError, EOFError):
            return False


class BusyTests(OverloadCase):
    def test_busy_workers(self) -> None:
        """
        While clients ask for all that the workers can do, the API answers quickly.
        """
        proxy = self.start(workers=2)
        proxy.publish("demo", self.backend())
        over = threading.Event()
        done = [0]

        def ask(client: socket.socket) -> None:
            while not over.is_set():
                client.sendall(b"GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n" * 16)
                client.recv(65536)
                done[0] += 1

        clients = self.dial(proxy.port, 16)
        threads = [threading.Thread(target=ask, args=(client,), daemon=True) for client in clients]
        for thread in threads:
            thread.start()
        try:
            until(lambda: done[0] > 100)
            slowest = self.quick(proxy)
        finally:
            over.set()
            for thread in threads:
                thread.join(10)
        sys.stdout.write(f"\nAPI within {slowest:.3f} s while workers are busy\n")
        self.assertLess(slowest, QUICK_S)


class SlowTests(OverloadCase):
    """
    What slow clients cost; bounds are those of docs/overload.md.
    """

    def settled(self, proxy: Proxy) -> int:
        """
        Memory of the workers when it no longer grows.
        """
        largest, since = proxy.rss_bytes(), time.monotonic()
        deadline = since + 15
        while time.monotonic() - since < SETTLE_S and time.monotonic() < deadline:
            time.sleep(0.05)
            now = proxy.rss_bytes()
            if now > largest + 262144:
                largest, since = now, time.monotonic()
        return largest

    def cost(self, name: str, proxy: Proxy, sending: bytes, bound_kib: int, window: int = 0) -> None:
        """
        What each of many clients takes.
        """
        proxy.get("/")
        before = self.settled(proxy)
        crowd = self.dial(proxy.port, SLOW, sending, window)
        each_kib = (self.settled(proxy) - before) / SLOW / 1024
        slowest = self.quick(proxy)
        sys.stdout.write(f"\n{name}: {each_kib:.1f} KiB each of {SLOW}; API within {slowest:.3f} s\n")
        self.assertLess(each_kib, bound_kib, name)
        self.assertLess(slowest, QUICK_S)
        for client in crowd:
            client.close()

    def test_slow_heads(self) -> None:
        """
        A head that does not end costs no more than a head may have, and is ended by its time.
        """
        proxy = self.start("--timeout-http-request", "4")
        proxy.publish("demo", self.backend())
        sending = GET[:-2] + b"X: " + b"y" * 15000
        self.cost("slow heads", proxy, sending, 40)
        (client,) = self.dial(proxy.port, 1, sending)
        self.assertTrue(client.recv(1024).startswith(b"HTTP/1.1 408"))

    def test_slow_bodies(self) -> None:
        """
        A body that does not end costs no more than what is kept to send it again.
        """
        proxy = self.start("--timeout-client", "8")
        proxy.publish("demo", self.backend())
        sending = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\n" + b"y" * 60000
        self.cost("slow bodies", proxy, sending, 200)

    def test_slow_readers(self) -> None:
        """
        An answer that is not read costs no more than the relay buffer and one read, however long it is.
        """
        proxy = self.start()
        proxy.publish("demo", self.backend(in_parts))
        self.cost("slow readers", proxy, GET, 640, window=4096)


class HandshakeTests(OverloadCase):
    """
    Ports with TLS.
    """

    def test_silent(self) -> None:
        """
        Clients that connect and say nothing cost a bounded amount and keep nobody out; at the bound a client is
        closed after its handshake.
        """
        port, options = port_options()
        with tempfile.TemporaryDirectory(prefix="dfproxy-e2e-") as folder:
            Path(folder, "demo.pem").write_bytes(known("demo.test").bundle)
            proxy = self.start(*options, "--certs-dir", folder, "--max-connections", "30")
        proxy.publish("demo", self.backend())
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

        def ask() -> socket.socket | None:
            (plain,) = self.dial(port, 1)
            try:
                client = self.crowd.enter_context(context.wrap_socket(plain, server_hostname="demo.test"))
                client.sendall(GET)
                return client if client.recv(1024).startswith(b"HTTP/1.1 200") else None
            except OSError:
                return None

        self.assertIsNotNone(ask())
        before = proxy.rss_bytes()
        self.dial(port, SLOW)
        until(lambda: proxy.sockets() > SLOW)
        self.assertIsNotNone(ask())
        each_kib = (proxy.rss_bytes() - before) / SLOW / 1024
        sys.stdout.write(f"\nsilent handshakes: {each_kib:.1f} KiB each of {SLOW}\n")
        self.assertLess(each_kib, 120)
        inside = [client for client in (ask() for _ in range(40)) if client is not None]
        self.assertEqual(len(inside), 28)
        for client in inside:
            client.sendall(GET)
            self.assertTrue(client.recv(1024).startswith(b"HTTP/1.1 200"))


class DescriptorTests(OverloadCase):
    """
    A process that has no descriptors left.
    """

    def exhausted(self, proxy: Proxy, pid: int) -> float:
        """
        Take every descriptor of a process that carries traffic.

        Returns:
            The share of a processor that it uses meanwhile.
        """
        first = self.dial(proxy.port, 1, GET)[0]
        self.assertTrue(first.recv(1024).startswith(b"HTTP/1.1 200"))
        used = len(os.listdir(f"/proc/{pid}/fd"))
        limit_descriptors(pid, used + 20)
        crowd = self.dial(proxy.port, 80)
        until(lambda: len(os.listdir(f"/proc/{pid}/fd")) >= used + 19)
        begun = processor_s(pid)
        time.sleep(EXHAUSTED_S)
        share = (processor_s(pid) - begun) / EXHAUSTED_S
        # Who was let in before is served all the same.
        first.sendall(GET)
        self.assertTrue(first.recv(1024).startswith(b"HTTP/1.1 200"))
        turned_away = sum(bool(select.select([client], [], [], 0)[0]) for client in crowd)
        sys.stdout.write(f"\nwithout descriptors: {share:.3f} of a processor; {turned_away} of 80 turned away\n")
        for client in crowd:
            client.close()
        return share

    def recovers(self, proxy: Proxy) -> None:
        """
        New clients are served within moments of there being descriptors again.
        """

        def served() -> bool:
            try:
                return proxy.get("/").status == 200
            except (OSError, AssertionError, EOFError):
                return False

        until(served, 5.0)

    def test_worker(self) -> None:
        """
        A worker (uv reactor) does not spin, the API is as quick as ever, and all is well afterwards.
        """
        proxy = self.start()
        proxy.publish("demo", self.backend())
        busiest = max(proxy.worker_pids(), key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))
        self.assertLess(self.exhausted(proxy, busiest), 0.3)
        self.assertLess(self.quick(proxy), QUICK_S)
        self.recovers(proxy)
        self.assertNotIn("Traceback", proxy.log())

    def test_one_process(self) -> None:
        """
        Neither does the one process of `--workers 0` (Twisted's own reactor).
        """
        proxy = self.start(workers=0)
        proxy.publish("demo", self.backend())
        self.assertLess(self.exhausted(proxy, proxy.pid), 0.3)
        self.recovers(proxy)
        self.assertLess(self.quick(proxy), QUICK_S)

    def test_stream_port(self) -> None:
        """
        Neither does a port whose connections are not looked into; connections wait there until there is room.
        """
        proxy = self.start()
        backend = self.backend()
        proxy.publish("demo", backend)
        port = proxy.port + 1
        proxy.publish("tcp", backend, reqMode="tcp", srcPort=str(port), port=str(backend.port))
        pid = max(proxy.worker_pids(), key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))
        limit_descriptors(pid, len(os.listdir(f"/proc/{pid}/fd")) + 20)
        crowd = self.dial(port, 80)
        begun = processor_s(pid)
        time.sleep(EXHAUSTED_S)
        share = (processor_s(pid) - begun) / EXHAUSTED_S
        sys.stdout.write(f"\nTCP port without descriptors: {share:.3f} of a processor\n")
        self.assertLess(share, 0.3)
        self.assertLess(self.quick(proxy), QUICK_S)
        for client in crowd:
            client.close()
        (client,) = self.dial(port, 1, GET)
        self.assertTrue(client.recv(1024).startswith(b"HTTP/1.1 200"))

    def test_servers_are_not_blamed(self) -> None:
        """
        Clients of a process that cannot open a connection to any server get a quick 503; the server is not left out.
        """
        proxy = self.start("--max-idle-upstreams", "0", workers=0)
        proxy.publish("demo", self.backend())
        clients = self.dial(proxy.port, 2)
        until(lambda: proxy.metrics()['haproxy_frontend_current_sessions{frontend="services"}'] == 2)
        limit_descriptors(proxy.pid, 3)  # what is open stays, and nothing can be opened
        for client in clients:
            begun = time.monotonic()
            client.sendall(GET)
            answer = client.recv(1024)
            self.assertTrue(answer.startswith(b"HTTP/1.1 503"), answer)
            self.assertLess(time.monotonic() - begun, 5)
        limit_descriptors(proxy.pid, 1000)
        self.assertEqual(proxy.get("/").status, 200)
        self.assertNotIn("is left out", proxy.log())
        self.assertIn("no connection to a server can be opened", proxy.log())
