"""
A proxy in front of us that says whose connections they are: real HAProxy, and clients that say it wrongly or never.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.certificates import known
from tests.e2e.proxy import free_port, until
from tests.e2e.tls import TlsCase, believing
from tests.e2e.wire import LIMIT_S, Message, Wire
from tests.requirements import require

V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 8443\r\n"
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0f"
    + bytes((192, 0, 2, 7, 192, 0, 2, 1))
    + (4711).to_bytes(2, "big")
    + (8443).to_bytes(2, "big")
    + b"\x04\x00\x00"
)
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class AnnouncedTests(TlsCase):
    """
    A proxy with a plain port and one with TLS, both with `accept-proxy`.
    """

    shared = True
    certificates = {"a.pem": known("demo.test").bundle}

    def _make(self, folder: Path) -> tuple[Path, int, tuple[str, ...]]:
        for name, content in self.certificates.items():
            (folder / name).write_bytes(content)
        type(self).plain = free_port()
        port = free_port()
        bound = f"{type(self).plain} accept-proxy,{port} accept-proxy:ssl"
        return folder, port, ("--bind-ports", bound, "--certs-dir", str(folder))

    plain = 0

    def setUp(self) -> None:
        super().setUp()
        self.server = self.served()

    def forwarded(self) -> list[str | None]:
        return [each.get("x-forwarded-for") for each in self.server.requests if isinstance(each, Message)]

    @contextmanager
    def dialled(self, port: int) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
            yield client

    def test_plain(self) -> None:
        """
        The announced client is the one that the server hears of, and the announced port the one that routes see;
        whether the header comes with the request, before it or byte by byte.
        """
        self.proxy.publish("s", self.server, srcPort="8443")
        for header in (V1, V2):
            for pieces in ([header + GET], [header, GET], [bytes((byte,)) for byte in header] + [GET]):
                with self.dialled(self.plain) as client:
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for piece in pieces:
                        client.sendall(piece)
                    self.assertEqual(Wire(client).final().body, b"hello")
        self.assertEqual(set(self.forwarded()), {"192.0.2.7"})

    def test_tls(self) -> None:
        """
        Likewise where TLS begins right behind the header, in the same segment as well.
        """
        for header in (V1, V2):
            for together in (True, False):
                with self.dialled(self.tls.port) as client:
                    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                    session = believing().wrap_bio(incoming, outgoing, server_hostname="demo.test")
                    self.assertRaises(ssl.SSLWantReadError, session.do_handshake)
                    hello = outgoing.read()
                    for piece in [header + hello] if together else [header, hello]:
                        client.sendall(piece)
                    while True:
                        incoming.write(client.recv(65536))
                        try:
                            session.do_handshake()
                        except ssl.SSLWantReadError:
                            continue
                        break
                    session.write(GET)
                    client.sendall(outgoing.read())
                    answer = b""
                    while b"hello" not in answer:
                        incoming.write(client.recv(65536))
                        try:
                            answer += session.read()
                        except ssl.SSLWantReadError:
                            continue
        self.assertEqual(set(self.forwarded()), {"192.0.2.7"})

    def test_required(self) -> None:
        """
        A connection without header, or with a wrong one, or one that ends within it, is closed without an answer.
        """
        for sent in (GET, b"PROXY TCP4 nonsense\r\n" + GET, b"PROXY " + b"x" * 200, V2[:12] + b"\x31" + V2[13:]):
            for port in (self.plain, self.tls.port):
                with self.dialled(port) as client:
                    client.sendall(sent)
                    self.assertEqual(rest(client), b"")
        with self.dialled(self.plain) as client:
            client.sendall(V1[:20])
            client.shutdown(socket.SHUT_WR)
            begun = time.monotonic()
            self.assertEqual(rest(client), b"")
            self.assertLess(time.monotonic() - begun, 5)
        self.assertEqual(self.forwarded(), [])

    def test_nothing_said(self) -> None:
        """
        Where the header says nothing the connection's own address counts.
        """
        with self.dialled(self.plain) as client:
            client.sendall(b"PROXY UNKNOWN\r\n" + GET)
            self.assertEqual(Wire(client).final().body, b"hello")
        self.assertEqual(self.forwarded(), ["127.0.0.1"])

    def test_http2(self) -> None:
        """
        Likewise with HTTP/2, by prior knowledge.
        """
        require("curl")
        command = ["curl", "-sS", "--haproxy-protocol", "--http2-prior-knowledge", "--interface", "127.0.0.8"]
        done = subprocess.run([*command, f"http://127.0.0.1:{self.plain}/"], capture_output=True, timeout=20)
        self.assertEqual((done.stdout, done.stderr), (b"hello", b""))
        with self.dialled(self.plain) as client:
            client.sendall(V1 + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            # GET http://a/, the only request of stream 1.
            block = b"\x82\x86\x84\x41\x01a"
            client.sendall(bytes((0, 0, len(block), 1, 5, 0, 0, 0, 1)) + block)
            found = b""
            while b"hello" not in found:
                found += client.recv(65536)
        self.assertEqual(self.forwarded(), ["127.0.0.8", "192.0.2.7"])

    def test_haproxy(self) -> None:
        """
        HAProxy in front, with either version, towards the plain port and, TLS passing through, towards the other.
        """
        (haproxy,) = require("haproxy")
        for word in ("send-proxy", "send-proxy-v2"):
            fronts = {free_port(): port for port in (self.plain, self.tls.port)}
            lines = ["defaults", " mode tcp", " timeout connect 5s", " timeout client 9s", " timeout server 9s"]
            for front, port in fronts.items():
                lines += [f"listen l{front}", f" bind 127.0.0.1:{front}", f" server s 127.0.0.1:{port} {word}"]
            file = Path(self.mktemp())
            file.write_text("\n".join(lines) + "\n")
            child = subprocess.Popen([haproxy, "-db", "-f", str(file)], stderr=subprocess.DEVNULL)
            try:
                for front, port in fronts.items():
                    until(lambda front=front: reachable(front))  # type: ignore[misc]  # bound at once
                    with socket.create_connection(
                        ("127.0.0.1", front), LIMIT_S, source_address=("127.0.0.9", 0)
                    ) as client:
                        if port == self.tls.port:
                            client = believing().wrap_socket(client, server_hostname="demo.test")
                        client.sendall(GET)
                        self.assertEqual(Wire(client).final().body, b"hello")
                        client.close()
            finally:
                child.terminate()
                child.wait(10)
        self.assertEqual(self.forwarded(), ["127.0.0.9"] * 4)


def rest(client: socket.socket) -> bytes:
    """
    Everything until the end; a reset is one.
    """
    found = b""
    try:
        while piece := client.recv(65536):
            found += piece
    except ConnectionResetError:
        return found
    return found


def reachable(port: int) -> bool:
    """
    Whether somebody accepts there.
    """
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
