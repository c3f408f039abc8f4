"""
TLS with real clients: which certificate they are shown, what they may speak, and those that do not behave.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

from tests.certificates import Pair, known, make
from tests.e2e.backends import echo
from tests.e2e.proxy import until
from tests.e2e.test_announced import rest
from tests.e2e.tls import API, TlsCase, believing
from tests.e2e.wire import Wire, digest, long_body
from tests.requirements import require

HANDSHAKE_S = 10.0
"""How long a handshake may take; `dfproxy.uv.tls`."""


class FirstTests(TlsCase):
    """
    A proxy without certificates.
    """

    def test_becomes_tls(self) -> None:
        """
        The port speaks plain HTTP until the first certificate is there, and TLS in every worker when the answer to it
        comes; a plain connection that was open goes on.
        """
        self.served()
        with self.proxy.connect(self.tls.port) as before:
            before.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(before.final().body, b"hello")
            self.put("demo.pem", known("demo.test"))
            for _ in range(30):
                self.assertEqual(self.tls.shown(), "demo.test")
            before.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(before.final().body, b"hello")
        self.assertEqual(self.tls.get().body, b"hello")
        self.assertEqual(self.proxy.get().body, b"hello")

    def test_no_connection_is_refused(self) -> None:
        """
        While the port becomes TLS no connection is refused or reset: each is served, plain or with TLS.
        """
        self.served()
        stop = threading.Event()
        wrong: list[str] = []
        plain: list[int] = []

        def ask() -> None:
            while not stop.is_set():
                try:
                    with self.proxy.connect(self.tls.port) as client:
                        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        answer = client.rest()
                except OSError as error:
                    wrong.append(repr(error))
                    return
                if answer.startswith(b"HTTP/1.1 200"):
                    plain.append(1)
                elif answer:
                    return  # an alert: it is TLS now

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(plain) > 20)
        self.put("demo.pem", known("demo.test"))
        self.tls.get()
        stop.set()
        for thread in threads:
            thread.join()
        # A reset is how the kernel says that a TLS port has thrown away what is no TLS.
        self.assertEqual([each for each in wrong if "Reset" not in each], [])

    def test_broken_first(self) -> None:
        """
        A bundle that cannot serve leaves the port plain; the reason is told.
        """
        self.served()
        status, body = self.proxy.ask(f"{API}/cert?certName=x.pem", "PUT", known("demo.test").certificate)
        self.assertEqual(status, 400)
        self.assertIn("private key", json.loads(body)["Message"])
        weak = make("weak.test", kind="rsa", bits=1024).bundle
        status, body = self.proxy.ask(f"{API}/cert?certName=x.pem", "PUT", weak)
        self.assertEqual(status, 400)
        self.assertIn("key too small", json.loads(body)["Message"])
        self.assertEqual(list(self.folder.iterdir()), [])
        with self.proxy.connect(self.tls.port) as client:
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(client.final().status, 200)


class ServingTests(TlsCase):
    """
    A proxy that has found certificates in its folder; these tests share it.
    """

    shared = True
    certificates = {
        "b.pem": known("demo.test", "*.wild.test").bundle,
        "c-rsa.pem": known("demo.test", kind="rsa").bundle,
        "d.pem": known("a.wild.test").bundle,
        "e.key": known("demo.test").key,
    }

    def test_names(self) -> None:
        """
        Exact name, wildcard, and the first file's certificate for all others and for none. The lone key is passed over.
        """
        require("openssl")
        for name, wanted in (
            ("demo.test", "demo.test"),
            ("DEMO.test", "demo.test"),
            ("x.wild.test", "demo.test"),
            ("a.wild.test", "a.wild.test"),
            ("b.a.wild.test", "demo.test"),
            ("other.test", "demo.test"),
        ):
            said = self.tls.openssl("-servername", name)
            self.assertEqual(re.findall(r"subject=CN = (\S+)", said), [wanted], name)
        self.assertIn("subject=CN = demo.test", self.tls.openssl("-noservername"))
        self.proxy.wait_for_log("e.key holds no certificate")

    def test_both_kinds(self) -> None:
        """
        A client that knows only RSA gets the RSA certificate, one that knows only ECDSA the other; in TLS 1.2 and 1.3.
        """
        require("openssl")
        for version in ("-tls1_2", "-tls1_3"):
            for algorithm, kind in (("ECDSA+SHA256", "ECDSA"), ("RSA-PSS+SHA256", "RSA-PSS")):
                said = self.tls.openssl(version, "-servername", "demo.test", "-sigalgs", algorithm)
                self.assertIn(f"Peer signature type: {kind}", said)

    def test_versions(self) -> None:
        """
        TLS 1.1 is refused, and the client told so; no protocol but HTTP/1.1 and what else is spoken here is agreed on.
        """
        require("openssl")
        said = self.tls.openssl("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        self.assertIn("Cipher is (NONE)", said)
        self.assertIn("alert protocol version", said)
        self.assertIn("ALPN protocol: http/1.1", self.tls.openssl("-alpn", "nonsense,http/1.1"))
        self.assertIn("No ALPN negotiated", self.tls.openssl("-alpn", "nonsense"))

    def test_resumption(self) -> None:
        """
        A client that comes back to the same worker resumes its session.
        """
        require("openssl")
        session = str(self.folder / ".session")
        self.tls.openssl("-tls1_2", "-servername", "demo.test", "-sess_out", session)
        said = [self.tls.openssl("-tls1_2", "-servername", "demo.test", "-sess_in", session) for _ in range(8)]
        self.assertTrue(any("Reused, TLSv1.2" in each for each in said))

    def test_headers(self) -> None:
        """
        The server hears of TLS in X-Forwarded-Proto, beside what the client says; over the plain port it does not.
        """
        backend = self.served()
        self.tls.get()
        with Wire(self.tls.open()) as client:
            client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\n\r\n")
            client.final()
        self.proxy.get()
        told = [
            [value for name, value in request.fields if name.lower() == "x-forwarded-proto"]
            for request in backend.requests
        ]
        self.assertEqual(told, [["https"], ["http", "https"], []])

    def test_curl(self) -> None:
        """
        curl verifies the certificate by its name, and is served.
        """
        require("curl")
        self.served()
        authority = self.folder / ".ca"
        authority.write_bytes(known("demo.test", "*.wild.test").certificate)
        resolve = f"demo.test:{self.tls.port}:127.0.0.1"
        command = (
            "curl",
            "-sS",
            "--cacert",
            str(authority),
            "--resolve",
            resolve,
            f"https://demo.test:{self.tls.port}/",
        )
        done = subprocess.run(command, capture_output=True, timeout=20)
        self.assertEqual((done.stdout, done.stderr), (b"hello", b""))

    def test_large_bodies(self) -> None:
        """
        Megabytes in both directions arrive as they were sent: nothing goes past the encryption.
        """
        size = 8 << 20
        backend = self.backend(echo)
        self.proxy.publish("s", backend)
        file = Path(self.mktemp())
        file.write_bytes(b"".join(long_body(size)))
        # Not a connection of Python's: two threads, one that sends and one that reads, break it now and then.
        (curl,) = require("curl")
        command = (curl, "-ksS", "--http1.1", "--data-binary", f"@{file}", f"https://127.0.0.1:{self.tls.port}/")
        done = subprocess.run(command, capture_output=True, timeout=30)
        self.assertEqual((len(done.stdout), done.stderr), (size, b""))
        self.assertEqual(digest(iter([done.stdout])), digest(long_body(size)))


class BadClientTests(TlsCase):
    """
    Clients that stall or speak something else.
    """

    certificates = {"demo.pem": known("demo.test").bundle}

    def said_since(self, start: int) -> list[str]:
        """
        Log lines but those about ports, which come and go with workers and questions to DNS.
        """
        usual = ("Port ", " starting on ", "ing protocol ")
        return [line for line in self.proxy.log(start).splitlines() if not any(word in line for word in usual)]

    def test_garbage(self) -> None:
        """
        Whatever comes instead of a handshake ends that connection only, without a word in the log.
        """
        self.served()
        start = self.proxy.logged
        hello = _client_hello()
        for content in (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x00" * 100,
            b"\xff" * 20000,
            b"\x16\x03\x01\xff\xff" + b"\x01" * 70000,
            hello[:-40] + os.urandom(40),
            hello[:3] + b"\x00\x00" + hello[5:],
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            *(os.urandom(300) for _ in range(20)),
        ):
            with self.proxy.connect(self.tls.port) as client, contextlib.suppress(ConnectionError):
                # Whoever still sends when the connection is ended may see a reset.
                client.send(content)
                client.half_close()
                client.rest()
        self.assertEqual(self.tls.get().body, b"hello")
        self.assertEqual(self.said_since(start), [])

    def test_many_names(self) -> None:
        """
        A greeting that asks for ten thousand names at once is refused, quickly and without a word in the log.
        """
        self.served()
        start, began = self.proxy.logged, time.monotonic()
        names = b"".join(b"\x00\x00\x01" + bytes((97 + number % 26,)) for number in range(10_000))
        asked = len(names).to_bytes(2, "big") + names
        extension = b"\x00\x00" + len(asked).to_bytes(2, "big") + asked
        body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\xc0\x2b" + b"\x01\x00"
        body += len(extension).to_bytes(2, "big") + extension
        message = b"\x01" + len(body).to_bytes(3, "big") + body
        for _ in range(20):
            with self.proxy.connect(self.tls.port) as client:
                for at in range(0, len(message), 16384):
                    piece = message[at : at + 16384]
                    client.send(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece)
                self.assertEqual(client.read(1), b"\x15")  # an alert
        self.assertLess(time.monotonic() - began, HANDSHAKE_S)
        self.assertEqual(self.tls.get().body, b"hello")
        self.assertEqual(self.said_since(start), [])

    def test_strange_names(self) -> None:
        """
        Names that are no ASCII, endless, or ten thousand different ones neither disturb nor are remembered.
        """
        start = self.proxy.logged
        hello = _client_hello("abcdefghij.test")
        for name in (b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6.test", b"..............\x00", b"*.cdefghij.test"):
            with self.proxy.connect(self.tls.port) as client:
                client.send(hello.replace(b"abcdefghij.test", name.ljust(15, b"x")[:15]))
                client.half_close()
                client.rest()
        before = 0
        for number in range(800):
            self.assertEqual(self.tls.shown(f"n{number}.{'x' * 60}.test"), "demo.test")
            before = before or (number > 200 and self.proxy.rss_bytes())
        # A connection has buffers of 256 KiB while it is open: were they kept, these would be 150 MB.
        self.assertLess(self.proxy.rss_bytes() - before, 40 << 20)
        self.assertEqual(self.said_since(start), [])

    def test_stalled(self) -> None:
        """
        A handshake that is not done within ten seconds is cut, whether nothing came or half of it; others are served
        meanwhile.
        """
        self.served()
        stalled = [self.client(self.tls.port) for _ in range(40)]
        began = time.monotonic()
        for number, client in enumerate(stalled):
            if number % 2:
                client.send(_client_hello()[:50])
        self.assertEqual(self.tls.get().body, b"hello")
        for client in stalled:
            self.assertTrue(client.ends(HANDSHAKE_S + 5 - (time.monotonic() - began)))
        self.assertGreater(time.monotonic() - began, HANDSHAKE_S - 2)


def _client_hello(name: str = "demo.test") -> bytes:
    """
    The first bytes of a good handshake.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = believing().wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without answer")


class ClientCertificateTests(TlsCase):
    """
    With `CA_FILE`.
    """

    certificates = {"a.pem": known("demo.test").bundle, "b.pem": known("other.test").bundle}

    def setUp(self) -> None:
        self.authority = make(common_name="CA", authority=True)
        file = Path(self.mktemp()).absolute()
        file.write_bytes(self.authority.certificate)
        self.further = ("--ca-file", str(file))
        super().setUp()
        self.served()

    def client_with(self, pair: Pair) -> ssl.SSLContext:
        file = Path(self.mktemp()).absolute()
        file.write_bytes(pair.bundle)
        context = believing()
        context.load_cert_chain(str(file))
        return context

    def test_optional(self) -> None:
        """
        A certificate of the authority is accepted, none as well; another one fails the handshake, whatever name the
        client asks for, and the client is told why.
        """
        good, bad = self.client_with(make("c", signer=self.authority)), self.client_with(known("stranger"))
        for name in ("demo.test", "other.test", "unknown.test"):
            self.assertEqual(self.tls.get(name=name).body, b"hello")
            self.assertEqual(self.tls.get(name=name, client=good).body, b"hello")
            with self.tls.open(name, bad) as connection:  # in TLS 1.3 it hears of it after its handshake
                refused = self.assertRaises(ssl.SSLError, connection.recv, 1)
                self.assertIn("ALERT_UNKNOWN_CA", str(refused.reason))

    def test_demanded(self) -> None:
        """
        A service with verifyClientSsl answers 403 to a client without certificate, and over plain HTTP.
        """
        self.served(path="/private", verifyClientSsl="true")
        good = self.client_with(make("c", signer=self.authority))
        self.assertEqual(self.tls.get("/private", client=good).status, 200)
        self.assertEqual(self.tls.get("/private").status, 403)
        self.assertEqual(self.proxy.get("/private").status, 403)


class CountedTests(TlsCase):
    """
    What `/metrics` says of handshakes and HTTP/2.
    """

    certificates = {"a.pem": known("demo.test").bundle}
    further = ("--ssl-bind-options", "strict-sni")

    def counted(self) -> dict[str, int]:
        text = self.proxy.ask("/metrics")[1].decode()
        found = re.findall(r"^dfproxy_(tls_handshakes|http2)_?(\S+) (\d+)$", text, re.MULTILINE)
        return {f"{room} {name}": int(value) for room, name, value in found if value != "0"}

    def test_counted(self) -> None:
        """
        Handshakes by version and resumption, failures by reason, HTTP/2 connections and requests; nothing else moves.
        """
        self.served()
        older = believing(maximum_version=ssl.TLSVersion.TLSv1_2)
        with self.tls.open("demo.test", older) as first:
            session = first.session
        resumed = 0
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", self.tls.port), 10) as sock:
                with older.wrap_socket(sock, server_hostname="demo.test", session=session) as again:
                    resumed += bool(again.session_reused)
        self.tls.shown()
        self.assertRaises(OSError, self.tls.shown, "unknown.test")
        with socket.create_connection(("127.0.0.1", self.tls.port), 10) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            rest(sock)
        for sent in (b"", b"\x16\x03\x01"):
            with socket.create_connection(("127.0.0.1", self.tls.port), 10) as sock:
                sock.sendall(sent)
        (curl,) = require("curl")
        url = f"https://demo.test:{self.tls.port}/"
        where = ("--resolve", f"demo.test:{self.tls.port}:127.0.0.1")
        subprocess.run([curl, "-ks", "--http2", *where, url, url], check=True, capture_output=True, timeout=20)
        wanted = {
            'tls_handshakes total{version="1.2",resumed="no"}': 4 - resumed,
            'tls_handshakes total{version="1.3",resumed="no"}': 2,
            'tls_handshakes failed_total{reason="refused"}': 2,
            'tls_handshakes failed_total{reason="left"}': 2,
            "http2 connections_total": 1,
            "http2 streams_total": 2,
        }
        if resumed:
            wanted['tls_handshakes total{version="1.2",resumed="yes"}'] = resumed
        until(lambda: self.counted() == wanted, what=lambda: str(self.counted()))
