"""
Servers that are told whose connections they get: real HAProxy behind us, and one in front of us as well.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dfproxy.wire.proxyprotocol import read_header
from tests.certificates import known
from tests.e2e.backends import ANSWER, Backend
from tests.e2e.proxy import free_port, until
from tests.e2e.test_announced import reachable
from tests.e2e.tls import TlsCase, believing
from tests.e2e.wire import LIMIT_S, Wire
from tests.requirements import require

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"


def told(wire: Wire, backend: Backend) -> None:
    """
    Reads the header and answers each request with the client's address in it.
    """
    start = wire.read_until(b"\n")
    found = read_header(start)
    backend.note(start)
    assert found is not None
    while True:
        wire.request()
        text = f"{found[0].host}:{found[0].port}".encode()
        wire.send(ANSWER % (len(text), text))


class SendProxyTests(TlsCase):
    """
    One proxy, on IPv4 and IPv6.
    """

    shared = True
    certificates = {"a.pem": known("demo.test").bundle}
    plain = 0
    announced = 0

    def _make(self, folder: Path) -> tuple[Path, int, tuple[str, ...]]:
        for name, content in self.certificates.items():
            (folder / name).write_bytes(content)
        case = type(self)
        case.plain, case.announced = free_port(), free_port()
        port = free_port()
        bound = f"{case.plain},{case.announced} accept-proxy,{port}:ssl"
        options = ("--bind-ports", bound, "--bind-address", "127.0.0.1,::1", "--certs-dir", str(folder))
        return folder, port, options

    @contextmanager
    def haproxy(self, *lines: str) -> Iterator[None]:
        """
        HAProxy with these lines, whose first is `bind` on an address to wait for.
        """
        (haproxy,) = require("haproxy")
        head = ("defaults", " mode http", " timeout connect 5s", " timeout client 9s", " timeout server 9s")
        file = Path(self.mktemp())
        file.write_text("\n".join((*head, *lines)) + "\n")
        child = subprocess.Popen([haproxy, "-db", "-f", str(file)], stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            child.terminate()
            child.wait(10)

    @contextmanager
    def behind(self, words: str = "") -> Iterator[tuple[str, int]]:
        """
        HAProxy that must be told whose connection it is, and answers with that; yields its place as a backend.
        """
        port = free_port()
        text = "%[src] %[src_port] %[dst] %[dst_port]"
        lines = ("frontend f", f" bind 127.0.0.1:{port} accept-proxy {words}")
        lines += (f' http-request return status 200 content-type text/plain lf-string "{text}"',)
        with self.haproxy(*lines):
            until(lambda: reachable(port))
            yield "127.0.0.1", port

    def ask(self, client: socket.socket, what: bytes = GET) -> str:
        with Wire(client) as wire:
            wire.send(what)
            return wire.final().body.decode()

    def dial(self, host: str = "127.0.0.1", port: int = 0, source: str = "") -> socket.socket:
        return socket.create_connection((host, port or self.plain), LIMIT_S, (source, 0) if source else None)

    def check(self) -> None:
        """
        Clients of either family, with and without TLS, by HTTP/1 and HTTP/2: HAProxy hears of each as it is.
        """
        (curl,) = require("curl")
        for host, source in (("127.0.0.1", "127.0.0.9"), ("::1", "::1")):
            client = self.dial(host, source=source)
            ends = f"{source} {client.getsockname()[1]} {host} {self.plain}"
            self.assertEqual(self.ask(client), ends)
            with self.dial(host, self.tls.port, source) as client:
                ends = f"{source} {client.getsockname()[1]} {host} {self.tls.port}"
                self.assertEqual(self.ask(believing().wrap_socket(client, server_hostname="demo.test")), ends)
            url = f"https://{host if host != '::1' else '[::1]'}:{self.tls.port}/"
            command = (curl, "-ksS", "--http2", "--interface", source, "-w", " %{local_port} %{http_version}", url)
            done = subprocess.run(command, capture_output=True, timeout=20, text=True)
            words = done.stdout.split()
            self.assertEqual(words[:4], [source, words[4], host, str(self.tls.port)], done)
            self.assertEqual(words[5], "2")

    def test_haproxy(self) -> None:
        """
        Either version, to a plain server.
        """
        for version in ("v1", "v2"):
            with self.behind() as place:
                self.proxy.publish("s", place, sendProxy=version)
                self.check()

    def test_haproxy_tls(self) -> None:
        """
        Either version, before TLS with the server.
        """
        file = Path(self.mktemp()).absolute()
        file.write_bytes(known("server.test").bundle)
        for version in ("v1", "v2"):
            with self.behind(f"ssl crt {file}") as place:
                self.proxy.publish("s", place, sendProxy=version, sslVerifyNone="true")
                self.check()

    def test_chain(self) -> None:
        """
        HAProxy in front announces the client, and the one behind hears of that client.
        """
        for first, second in (("send-proxy", "v1"), ("send-proxy-v2", "v2"), ("send-proxy-v2", "v1")):
            front = free_port()
            lines = ("listen l", " mode tcp", f" bind 127.0.0.1:{front}")
            with self.haproxy(*lines, f" server s 127.0.0.1:{self.announced} {first}"), self.behind() as place:
                until(lambda front=front: reachable(front))  # type: ignore[misc]  # bound at once
                self.proxy.publish("s", place, sendProxy=second)
                client = self.dial(port=front, source="127.0.0.9")
                ends = f"127.0.0.9 {client.getsockname()[1]} 127.0.0.1 {front}"
                self.assertEqual(self.ask(client), ends)

    def test_own_connections(self) -> None:
        """
        Many clients at once, each with several requests on one connection, GET and POST: every answer is for the
        address of who asked, and a client's requests share one connection to the server.
        """
        backend = self.backend(told)
        self.proxy.publish("s", backend, sendProxy="v1")
        wrong: list[object] = []
        requests = 12

        def client(number: int) -> None:
            with Wire(self.dial(source=f"127.0.1.{number}")) as wire:
                own = f"127.0.1.{number}:{wire.sock.getsockname()[1]}".encode()
                for turn in range(requests):
                    wire.send(GET if turn % 3 else POST)
                    found = wire.final().body
                    if found != own:
                        wrong.append((own, found))

        threads = [threading.Thread(target=client, args=(number,)) for number in range(1, 21)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.assertEqual(wrong, [])
        self.assertEqual(len({*backend.requests}), 20)
        self.assertLess(backend.accepted, 20 * requests / 2)

    def test_changed(self) -> None:
        """
        From the change on connections begin otherwise: with the header, with another, with none.
        """
        seen: list[bytes] = []

        def begins(wire: Wire, backend: Backend) -> None:
            seen.append(wire.read(5))
            wire.read_until(b"\r\n\r\n" if seen[-1] == b"GET /" else b"a\r\n")
            while True:
                wire.send(ANSWER % (2, b"ok"))
                wire.request()

        backend = self.backend(begins)
        with Wire(self.dial()) as client:
            for parameters, wanted in (({}, b"GET /"), ({"sendProxy": "v1"}, b"PROXY"), ({}, b"GET /")):
                self.proxy.publish("s", backend, **parameters)
                seen.clear()
                client.send(GET)
                client.final()
                self.assertEqual(seen, [wanted])
