"""
TLS with real clients: certificates that come and go while handshakes go on, and clients that do not behave.
"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from tests.certificates import Pair, known, make
from tests.e2e.backends import Backend, answering, echo
from tests.e2e.proxy import Proxy, ProxyCase, free_port, until
from tests.e2e.tls import TlsPort, believing, port_options
from tests.e2e.wire import Wire, digest, long_body
from tests.requirements import require

HANDSHAKE_S = 10.0
"""How long a handshake may take; `dfproxy.uv.tls`."""

API = "/v1/docker-flow-proxy"


class TlsCase(ProxyCase):
    """
    A proxy of its own for each test: certificates cannot be taken away by a call.

    Attributes:
        further: options.
        certificates: what its folder holds at the start, by file name.
    """

    further: tuple[str, ...] = ()
    certificates: dict[str, bytes] = {}
    environment: dict[str, str] = {}

    def setUp(self) -> None:
        port, options = port_options()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        for name, content in self.certificates.items():
            (self.folder / name).write_bytes(content)
        self.options = (*options, "--certs-dir", str(self.folder), *self.further)
        self.proxy = Proxy(*self.options, workers=self.workers, environment=self.environment)
        self.addCleanup(lambda: self.proxy.end())
        self._logged = 0
        self.addCleanup(self._look_at_log)
        self.tls = TlsPort(self.proxy, port)

    def put(self, file: str, pair: Pair) -> None:
        self.assertEqual(self.tls.put(file, pair.bundle), 200)

    def served(self, **parameters: str) -> Backend:
        backend = self.backend(answering(b"hello"))
        self.proxy.publish("s", backend, **parameters)
        return backend


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
    A proxy that has found certificates in its folder.
    """

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
        TLS 1.1 is refused, and no protocol but HTTP/1.1 and what else is spoken here is agreed on.
        """
        require("openssl")
        self.assertIn("Cipher is (NONE)", self.tls.openssl("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"))
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
        wanted = digest(long_body(size))
        with Wire(self.tls.open()) as client:
            client.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
            sending = threading.Thread(target=lambda: [client.send(piece) for piece in long_body(size)])
            sending.start()
            answer = client.head()
            received = digest(client.pieces(int(answer.get("content-length") or 0)))
            sending.join()
        self.assertEqual(received, wanted)

    def test_killed_worker(self) -> None:
        """
        A worker that replaces a killed one has all certificates from its first connection on.
        """
        self.put("z.pem", known("last.test"))
        os.kill(self.proxy.worker_pids()[0], signal.SIGKILL)
        for _ in range(200):
            try:
                self.assertEqual(self.tls.shown("last.test"), "last.test")
            except (ConnectionError, ssl.SSLEOFError):
                continue  # was in the hands of the one that died
        until(lambda: len(self.proxy.worker_pids()) == 2)

    def test_reload(self) -> None:
        """
        `reload` takes up files that have changed, come or gone; the last certificate never goes.
        """
        (self.folder / "b.pem").write_bytes(known("new.test").bundle)
        (self.folder / "d.pem").unlink()
        (self.folder / "f.pem").write_bytes(known("f.test").bundle)
        status, answer = self.proxy.call("reload")
        self.assertEqual(status, 200)
        self.assertIn("e.key", answer["Message"])
        names = ("new.test", "f.test", "a.wild.test", None)
        self.assertEqual([self.tls.shown(name) for name in names], ["new.test", "f.test", "new.test", "new.test"])
        for file in self.folder.glob("*.pem"):
            file.unlink()
        self.assertIn("last certificate", self.proxy.call("reload")[1]["Message"])
        self.tls.shown()

    def test_metrics(self) -> None:
        """
        When each certificate expires is a metric.
        """
        found = self.proxy.metrics()
        self.assertEqual(found["dfproxy_certificates"], 3)
        self.assertEqual(
            found['dfproxy_certificate_not_after_seconds{file="b.pem",source="folder"}'],
            1767225600 + 3650 * 86400,
        )


class SwapTests(TlsCase):
    """
    Certificates replaced while handshakes go on.
    """

    certificates = {"demo.pem": known("demo.test").bundle}

    def test_swaps_under_load(self) -> None:
        """
        Forty replacements during full handshakes and requests on connections that stay open: none fails.
        """
        self.served()
        pairs = [make("demo.test", common_name=f"number-{number}") for number in range(4)]
        stop = threading.Event()
        shown: list[str] = []
        wrong: list[str] = []
        answered: list[int] = []

        def shake() -> None:
            while not stop.is_set():
                try:
                    shown.append(self.tls.shown())
                except (OSError, AssertionError) as error:
                    wrong.append(repr(error))

        def ask() -> None:
            try:
                with Wire(self.tls.open()) as client:
                    while not stop.is_set():
                        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                        answered.append(client.final().status)
            except (OSError, AssertionError) as error:
                wrong.append(repr(error))

        threads = [threading.Thread(target=work) for work in (shake, shake, shake, ask)]
        for thread in threads:
            thread.start()
        for number in range(40):
            self.put("demo.pem", pairs[number % 4])
            self.assertEqual(self.tls.shown(), f"number-{number % 4}", "not in force when the answer came")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(set(answered), {200})
        self.assertGreater(len(shown), 40)

    def test_survives(self) -> None:
        """
        What was stored is served by the next start from its first connection on: no moment of plain HTTP.
        """
        self.put("demo.pem", known("later.test"))
        self.proxy.end()
        port, options = port_options()
        self.proxy = proxy = Proxy(*options, "--certs-dir", str(self.folder))
        self.assertEqual(TlsPort(proxy, port).shown(), "later.test")
        self.assertNotIn(f"ProxySite starting on {port}", proxy.log())

    def test_a_thousand(self) -> None:
        """
        A thousand certificates at once are served by name, and a change of one of them takes no longer than before.
        """
        pair = known("demo.test")
        for number in range(1000):
            # The same key: making a thousand takes longer than the test may.
            (self.folder / f"n{number}.pem").write_bytes(_renamed(pair, f"n{number}.test"))
        self.assertEqual(self.proxy.call("reload")[0], 200)
        self.assertEqual(self.proxy.metrics()["dfproxy_certificates"], 1001)
        for number in (0, 500, 999):
            self.assertEqual(self.tls.shown(f"n{number}.test"), f"n{number}.test")
        began = time.monotonic()
        self.put("n500.pem", known("n500.test"))
        self.assertLess(time.monotonic() - began, 1.0)


def _renamed(pair: Pair, name: str) -> bytes:
    """
    A certificate with another name, for the same key.
    """
    return make(name, key_of=pair).bundle


class BadClientTests(TlsCase):
    """
    Clients that stall or speak something else.
    """

    certificates = {"demo.pem": known("demo.test").bundle}

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
            with self.proxy.connect(self.tls.port) as client:
                client.send(content)
                client.half_close()
                client.rest()
        self.assertEqual(self.tls.get().body, b"hello")
        self.assertEqual(self.proxy.log(start), "")

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
        self.assertEqual(self.proxy.log(start), "")

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
        client asks for.
        """
        good, bad = self.client_with(make("c", signer=self.authority)), self.client_with(known("stranger"))
        for name in ("demo.test", "other.test", "unknown.test"):
            self.assertEqual(self.tls.get(name=name).body, b"hello")
            self.assertEqual(self.tls.get(name=name, client=good).body, b"hello")
            self.assertRaises((OSError, AssertionError), self.tls.get, name=name, client=bad)

    def test_demanded(self) -> None:
        """
        A service with verifyClientSsl answers 403 to a client without certificate, and over plain HTTP.
        """
        self.served(path="/private", verifyClientSsl="true")
        good = self.client_with(make("c", signer=self.authority))
        self.assertEqual(self.tls.get("/private", client=good).status, 200)
        self.assertEqual(self.tls.get("/private").status, 403)
        self.assertEqual(self.proxy.get("/private").status, 403)


class ServiceCertificateTests(TlsCase):
    """
    `serviceCert`.
    """

    environment = {
        "DFP_SERVICE_SERVICE_NAME": "env",
        "DFP_SERVICE_SERVICE_DOMAIN": "env.test",
        "DFP_SERVICE_PORT": "80",
        "DFP_SERVICE_SERVICE_PATH": "/",
        "DFP_SERVICE_OUTBOUND_HOSTNAME": "127.0.0.1",
        "DFP_SERVICE_SERVICE_CERT": known("env.test").bundle.decode().replace("\n", "\\n"),
    }

    def test_variable(self) -> None:
        """
        A service declared by variables brings its certificate.
        """
        self.assertEqual(self.tls.shown("env.test"), "env.test")
        self.assertIn("env.test", os.listdir(self.folder))

    def test_call(self) -> None:
        """
        A call brings its certificate, which is in force when the answer comes, and shows its key nowhere.
        """
        pem = known("label.test").bundle.decode()
        query = f"serviceName=l&serviceDomain=label.test&port=80&serviceCert={quote(pem)}"
        status, body = self.proxy.ask(f"{API}/reconfigure?{query}")
        self.assertEqual(status, 200)
        self.assertEqual(self.tls.shown("label.test"), "label.test")
        secret = known("label.test").key.splitlines()[1]
        for said in (body, self.proxy.ask(f"{API}/config?type=json")[1], self.proxy.ask(f"{API}/certs")[1]):
            self.assertNotIn(secret, said)
        self.assertNotIn(secret.decode(), self.proxy.log())
        journal = self.proxy.folder / "state"
        self.assertFalse([file for file in journal.rglob("*") if file.is_file() and secret in file.read_bytes()])

    def test_broken(self) -> None:
        """
        A broken one refuses the call with the reason; neither service nor certificate is there.
        """
        status, answer = self.proxy.call(
            "reconfigure", serviceName="x", serviceDomain="x.test", port="80", serviceCert="no"
        )
        self.assertEqual(status, 400)
        self.assertIn("holds no certificate", answer["Message"])
        self.assertNotIn("x", json.loads(self.proxy.ask(f"{API}/config?type=json")[1]))


class SiblingTests(ProxyCase):
    """
    A new replica and those that are there.
    """

    def test_fetched_from_a_sibling(self) -> None:
        """
        A replica that starts takes up what a sibling (here: in the words of Docker Flow Proxy) has, and shows keys to
        that sibling's address only.
        """
        pair = known("demo.test")
        listed = {
            "Status": "OK",
            "Message": "",
            "Certs": [
                {"ServicePort": "", "ProxyServiceName": name, "CertsDir": "/certs", "CertContent": content}
                for name, content in (("demo.pem", pair.bundle.decode()), ("../x", "rubbish"))
            ],
        }

        class Sibling(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(listed).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """
                Silence.
                """

        api = free_port("127.0.0.2")
        server = ThreadingHTTPServer(("127.0.0.2", api), Sibling)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        self.addCleanup(serving.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        port, options = port_options()
        folder = Path(self.mktemp()).absolute()
        self.proxy = proxy = Proxy(
            *options, "--certs-dir", str(folder), "--resolve", "tasks.proxy=127.0.0.2,127.0.0.1", api_port=api
        )
        self.addCleanup(proxy.end)
        proxy.wait_for_log("1 certificates were fetched")
        self.assertEqual(TlsPort(proxy, port).shown(), "demo.test")
        self.assertEqual(os.listdir(folder), ["demo.pem"])
        for source, has_key in (("127.0.0.2", True), ("127.0.0.1", False), ("127.0.0.3", False)):
            connection = HTTPConnection("127.0.0.1", proxy.api, timeout=10, source_address=(source, 0))
            connection.request("GET", f"{API}/certs")
            (entry,) = json.loads(connection.getresponse().read())["Certs"]
            connection.close()
            self.assertEqual("PRIVATE KEY" in entry["CertContent"], has_key, source)

    def setUp(self) -> None:
        self._logged = 0


class EpollTests(ProxyCase):
    """
    `--workers 0` on a reactor without TLS that chooses among certificates.
    """

    def setUp(self) -> None:
        self._logged = 0

    def test_said_clearly(self) -> None:
        """
        A certificate is refused with what to do about it; nothing pretends to be encrypted.
        """
        port, options = port_options()
        folder = Path(self.mktemp()).absolute()
        proxy = Proxy(*options, "--certs-dir", str(folder), workers=0)
        self.addCleanup(proxy.end)
        status, body = proxy.ask(f"{API}/cert?certName=x.pem", "PUT", known("demo.test").bundle)
        self.assertEqual(status, 400)
        self.assertIn("--reactor uv", json.loads(body)["Message"])
