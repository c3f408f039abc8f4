"""
TLS with real servers: who is believed, what they are shown, and what the log says of those who are not.
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.certificates import Pair, known, make
from tests.e2e.backends import ANSWER, Backend, answering, echo
from tests.e2e.proxy import free_port, until
from tests.e2e.tls import TlsCase, common_name
from tests.e2e.wire import Wire, digest, long_body
from tests.requirements import require

AUTHORITY = make("authority", authority=True)
CLIENT = make("dfproxy.test", signer=AUTHORITY)


class SecureBackend(Backend):
    """
    A server with TLS; each request is noted with what its connection was.

    Args:
        pair: its certificate.
        script: what it does then.
        attributes: of its context.

    Attributes:
        seen: (name asked for, protocol, common name of the client's certificate, resumed) of each connection.
    """

    def __init__(self, pair: Pair, script: Any, asks: Pair | None = None, **attributes: object) -> None:
        self.seen: list[tuple[str | None, str | None, str, bool]] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(pair.bundle)
            file.flush()
            self._context.load_cert_chain(file.name)
        for name, value in attributes.items():
            setattr(self._context, name, value)
        if asks is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(cadata=asks.certificate.decode())
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._context.sni_callback = self._asked
        self._plain_script = script
        self._names = threading.local()
        super().__init__(self._secure)

    def _asked(self, session: object, name: str | None, context: ssl.SSLContext) -> None:
        self._names.name = name

    def _secure(self, wire: Wire, backend: Backend) -> None:
        self._names.name = None
        with wrapped(self._context, wire) as secured:
            peer = secured.getpeercert(True)
            shown = common_name(peer) if peer else ""
            self.seen.append((self._names.name, secured.selected_alpn_protocol(), shown, bool(secured.session_reused)))
            inner = Wire(secured)
            self._plain_script(inner, backend)


@contextmanager
def wrapped(context: ssl.SSLContext, wire: Wire) -> Iterator[ssl.SSLSocket]:
    """
    The connection after its handshake; the `Wire` keeps the descriptor, so that its end is seen as always.
    """
    with context.wrap_socket(wire.sock.dup(), server_side=True) as secured:
        yield secured


class ServersTests(TlsCase):
    """
    A proxy in front of servers with TLS.
    """

    shared = True
    certificates = {".ca.pem": AUTHORITY.certificate, ".client.pem": CLIENT.bundle}

    def secure(self, *names: str, pair: Pair | None = None, **about: Any) -> SecureBackend:
        """
        A server that our authority has signed.
        """
        script = about.pop("script", answering(b"hello"))
        backend = SecureBackend(pair or make(*names, signer=AUTHORITY), script, **about)
        self.addCleanup(backend.close)
        return backend

    def test_unverified(self) -> None:
        """
        With `sslVerifyNone` any certificate will do; neither a name nor a protocol is asked for, and the connection
        is kept.
        """
        backend = self.secure(pair=known("other.test"))
        self.proxy.publish("s", backend, sslVerifyNone="true")
        for _ in range(5):
            self.assertEqual(self.proxy.get().body, b"hello")
        self.assertEqual({each[:3] for each in backend.seen}, {(None, None, "")})
        self.assertLessEqual(len(backend.seen), self.workers)

    def test_verified(self) -> None:
        """
        A server that proves the name asked for is used, and is shown our certificate.
        """
        backend = self.secure("api.test", "*.api.test", asks=AUTHORITY)
        for name in ("api.test", "a.api.test"):
            backend.seen.clear()
            self.proxy.publish(
                "s",
                backend,
                backendTls="true",
                backendCa=".ca.pem",
                backendServerName=name,
                backendCertificate=".client.pem",
            )
            self.assertEqual(self.proxy.get().body, b"hello")
            self.assertEqual([each[:3] for each in backend.seen], [(name, None, "dfproxy.test")])

    def test_wrong_name(self) -> None:
        """
        A server that proves another name gets no request; the client gets 503, and the log says which name and whose
        certificate, once.
        """
        backend = self.secure("other.test", "third.test")
        self.proxy.publish("s", backend, backendTls="true", backendCa=".ca.pem", backendServerName="api.test")
        start = self.proxy.logged
        self.assertEqual(self.proxy.get().status, 503)
        wanted = "the certificate of other.test, third.test does not prove the name api.test"
        self.proxy.wait_for_log(wanted, start=start)
        self.assertEqual(self.proxy.get().status, 503)
        self.assertLessEqual(self.proxy.log(start).count(wanted), self.workers)
        self.assertEqual(backend.requests, [])

    def test_wrong_authority(self) -> None:
        """
        A server whose certificate another authority has signed, or nobody, gets no request.
        """
        backend = self.secure(pair=known("api.test"))
        for ca in ({"backendCa": ".ca.pem"}, {}):
            start = self.proxy.logged
            self.proxy.publish("s", backend, backendTls="true", backendServerName="api.test", **ca)
            self.assertEqual(self.proxy.get().status, 503)
            self.proxy.wait_for_log("its certificate is not believed: self", start=start)
        self.assertEqual(backend.requests, [])

    def test_plain_server(self) -> None:
        """
        A server that speaks no TLS is a failure to connect.
        """
        backend = self.backend(garbage)
        self.proxy.publish("s", backend, sslVerifyNone="true")
        start = self.proxy.logged
        self.assertEqual(self.proxy.get().status, 503)
        self.proxy.wait_for_log("TLS with server", start=start)

    def test_becomes_tls(self) -> None:
        """
        A destination that speaks TLS from now on uses no connection that was kept before.
        """
        backend = self.secure("s")
        self.proxy.publish("s", backend, sslVerifyNone="true")
        self.assertEqual(self.proxy.get().body, b"hello")
        self.proxy.publish("s", backend, backendTls="true", backendCa=".ca.pem", backendServerName="t")
        self.assertEqual(self.proxy.get().status, 503)
        self.proxy.publish("s", backend, backendTls="true", backendCa=".ca.pem", backendServerName="s")
        self.assertEqual(self.proxy.get().body, b"hello")

    def test_resumed(self) -> None:
        """
        A connection to a server that has been spoken to resumes the session, in TLS 1.2 and 1.3.
        """
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            backend = self.secure("api.test", maximum_version=version, script=once)
            self.proxy.publish("s", backend, backendTls="true", backendCa=".ca.pem", backendServerName="api.test")
            for _ in range(8):
                self.assertEqual(self.proxy.get().body, b"hello")
            self.assertGreaterEqual([each[3] for each in backend.seen].count(True), 8 - self.workers)

    def test_closed_meanwhile(self) -> None:
        """
        A kept connection whose end has come, and that nobody has looked at yet, is not used for a POST: the request
        goes to the server by a new one.
        """
        closing = threading.Event()

        def closes(wire: Wire, backend: Backend) -> None:
            for _ in range(20):
                backend.note(wire.request().method)
                wire.send(ANSWER % (2, b"ok"))
                if len(backend.requests) == 12:
                    closing.wait(10)
                    return

        backend = self.secure("a", script=closes)
        self.proxy.publish("s", backend, sslVerifyNone="true")
        with self.proxy.connect() as client:
            for _ in range(12):
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(client.final().status, 200)
            pids = self.proxy.worker_pids()
            try:
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP)
                client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
                closing.set()
                backend.until(lambda: not backend.open)
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
            self.assertEqual(client.final().status, 200)
        self.assertEqual(backend.requests.count("POST"), 1)
        self.assertEqual(backend.accepted, 2)

    def test_large_bodies(self) -> None:
        """
        Megabytes in both directions arrive as they were sent: nothing goes past the encryption.
        """
        size = 8 << 20
        self.proxy.publish("s", self.secure("a", script=echo), sslVerifyNone="true")
        wanted = digest(long_body(size))
        with self.proxy.connect() as client:
            client.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
            sending = threading.Thread(target=lambda: [client.send(piece) for piece in long_body(size)])
            sending.start()
            answer = client.head()
            received = digest(client.pieces(int(answer.get("content-length") or 0)))
            sending.join()
        self.assertEqual(received, wanted)

    def test_openssl(self) -> None:
        """
        OpenSSL's own server is spoken to, verified, and shown our certificate, which it asks for.
        """
        (openssl,) = require("openssl")
        pair = make("api.test", signer=AUTHORITY)
        bundle, port = self.folder / ".server.pem", free_port()
        bundle.write_bytes(pair.bundle)
        authority = str(self.folder / ".ca.pem")
        command = [openssl, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(bundle), "-www", "-quiet"]
        child = subprocess.Popen(
            [*command, "-CAfile", authority, "-Verify", "1", "-verify_return_error"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.proxy.publish(
                "s",
                ("127.0.0.1", port),
                backendTls="true",
                backendCa=".ca.pem",
                backendServerName="api.test",
                backendCertificate=".client.pem",
            )
            answer = until(lambda: (got := self.proxy.get()).status == 200 and got)
            self.assertIn(b"dfproxy.test", answer.body)
        finally:
            child.kill()
            child.wait(10)

    def test_files_that_cannot_be_used(self) -> None:
        """
        A file that is not there, is none, or holds something else refuses the service; the former one stays.
        """
        backend = self.served()
        (self.folder / ".empty").write_bytes(b"")
        for name, file in (
            ("backendCa", ".missing"),
            ("backendCa", "/dev/zero"),
            ("backendCa", ".empty"),
            ("backendCertificate", ".ca.pem"),
        ):
            status, answer = self.proxy.call(
                "reconfigure",
                serviceName="s",
                servicePath="/",
                port=str(backend.port),
                outboundHostname="127.0.0.1",
                backendTls="true",
                **{name: file},
            )
            self.assertNotEqual(status, 200, file)
            self.assertIn(file, answer["Message"])
            self.assertIn(name, answer["Message"])
        self.assertEqual(self.proxy.get().body, b"hello")


def once(wire: Wire, backend: Backend) -> None:
    """
    Answers one request and closes in an orderly way.
    """
    wire.head()
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    wire.rest()


def garbage(wire: Wire, backend: Backend) -> None:
    """
    Speaks HTTP and no TLS.
    """
    wire.send("HTTP/1.1 400 Bad Request\r\n\r\n")
