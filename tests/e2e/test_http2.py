"""
HTTP/2 with real clients: curl and h2load, with TLS and by prior knowledge, and one that does what clients should not.
"""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire import h2frames as h2
from tests.certificates import known
from tests.e2e.backends import ANSWER, Backend, Script, answering, echo, hashing, sending
from tests.e2e.proxy import Proxy, until
from tests.e2e.tls import TlsCase, believing
from tests.e2e.wire import LIMIT_S, Wire, digest, long_body
from tests.http2 import GET, Hearing, headers
from tests.requirements import require

SIZE = 3_000_000


class Http2Client:
    """
    A client by prior knowledge that reads frame by frame.

    Args:
        proxy: whom it asks.
        settings: what it begins with.
    """

    def __init__(self, proxy: Proxy, *settings: tuple[int, int]) -> None:
        self.wire: Wire = proxy.connect()
        self._hearing = Hearing()
        self.send(h2.PREFACE, h2.settings(*settings))

    def send(self, *frames: bytes) -> None:
        self.wire.send(b"".join(frames))

    def line(self) -> str:
        """
        The next frame; anything but SETTINGS, windows and pings, which are passed over.
        """
        while True:
            head = self.wire.read(h2.HEAD_BYTES)
            line = self._hearing.read(head + self.wire.read(h2.read_head(head)[0] >> 8))[0]
            if not re.match(r"settings|ping|\d+ window", line):
                return line


def slow(go: threading.Event) -> Script:
    """
    A script that answers when it is let go.
    """

    def script(wire: Wire, backend: Backend) -> None:
        while True:
            backend.note(wire.request())
            go.wait(LIMIT_S)
            wire.send(ANSWER % (4, b"done"))

    return script


class ClientTests(TlsCase):
    """
    Clients that behave.
    """

    shared = True
    certificates = {"a.pem": known("demo.test").bundle}

    def curl(self, *options: str, secure: bool = True, path: str = "/") -> tuple[str, bytes]:
        """
        One request.

        Returns:
            HTTP version and status as curl saw them, and the body.
        """
        (curl,) = require("curl")
        port = self.tls.port if secure else self.proxy.port
        url = f"{'https' if secure else 'http'}://127.0.0.1:{port}{path}"
        how = ("--http2",) if secure else ("--http2-prior-knowledge",)
        body = Path(self.mktemp())
        told = ("--output", str(body), "--write-out", "%{http_version} %{http_code}")
        command = (curl, "--silent", "--show-error", "--insecure", "--max-time", "30", *how, *told, *options, url)
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout.decode()
        return said, body.read_bytes() if body.exists() else b""

    def test_curl(self) -> None:
        """
        curl speaks HTTP/2 where it may choose, and where it knows.
        """
        self.served()
        for secure in (True, False):
            self.assertEqual(self.curl(secure=secure), ("2 200", b"hello"))

    def test_what_the_server_sees(self) -> None:
        """
        The request is an ordinary one of HTTP/1.1, and over TLS says so.
        """
        backend = self.served()
        self.curl("--header", "X-A: 1", "--cookie", "a=b", path="/p?q=1")
        request = backend.requests[-1]
        self.assertEqual(request.line, "GET /p?q=1 HTTP/1.1")  # type: ignore[attr-defined]  # a Message
        fields = dict(request.fields)  # type: ignore[attr-defined]  # likewise
        wanted = {"host": f"127.0.0.1:{self.tls.port}", "x-a": "1", "cookie": "a=b", "x-forwarded-for": "127.0.0.1"}
        self.assertEqual({name: fields.get(name) for name in wanted}, wanted)
        self.assertEqual(fields.get("x-forwarded-proto"), "https")

    def test_long_bodies(self) -> None:
        """
        Long bodies arrive as they were sent, both ways, whatever their framing at the server.
        """
        wanted = digest(long_body(SIZE, 1))
        for form in ("length", "chunks", "close"):
            self.proxy.publish(f"long-{form}", self.backend(sending(SIZE, 1, form)), path=f"/{form}")
        self.proxy.publish("hash", self.backend(hashing), path="/hash")
        sent = Path(self.mktemp())
        sent.write_bytes(b"".join(long_body(SIZE, 1)))
        for secure in (True, False):
            for form in ("length", "chunks", "close"):
                version, body = self.curl(secure=secure, path=f"/{form}")
                self.assertEqual((version, digest([body])), ("2 200", wanted), form)
            for options in (("--data-binary", f"@{sent}"), ("--upload-file", str(sent))):
                version, body = self.curl(*options, secure=secure, path="/hash")
                self.assertEqual((version, body.decode()), ("2 200", wanted), options)

    def test_head_and_refusals(self) -> None:
        """
        HEAD has no body; what no route takes is 503.
        """
        self.served(path="/there")
        self.assertEqual(self.curl("--head", path="/there")[0], "2 200")
        self.assertEqual(self.curl(path="/elsewhere")[0], "2 503")

    def test_many_at_once(self) -> None:
        """
        h2load with eight streams on each of eight connections: every answer is there, none is lost while routes change.
        """
        (h2load,) = require("h2load")
        self.served()
        for url in (f"https://127.0.0.1:{self.tls.port}/", f"http://127.0.0.1:{self.proxy.port}/"):
            command = (h2load, "-n", "4000", "-c", "8", "-m", "8", url)
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for number in range(5):
                self.proxy.publish(f"other{number}", ("127.0.0.1", 9), path=f"/other{number}")
            said, _ = child.communicate(timeout=60)
            self.assertIn("4000 succeeded, 0 failed, 0 errored, 0 timeout", said)

    def test_alpn(self) -> None:
        """
        A client that offers only HTTP/1.1, or nothing, gets that.
        """
        self.served()
        for offered in (["http/1.1"], None):
            client = believing()
            if offered:
                client.set_alpn_protocols(offered)
            self.assertEqual(self.tls.get(client=client).body, b"hello")
        client = believing()
        client.set_alpn_protocols(["h2", "http/1.1"])
        with self.tls.open(client=client) as connection:
            self.assertEqual(connection.selected_alpn_protocol(), "h2")


class HardClientTests(TlsCase):
    """
    A client that makes it hard, and a proxy that ends.
    """

    shared = True
    certificates = {"a.pem": known("demo.test").bundle}

    def test_a_stream_that_stands_still(self) -> None:
        """
        A stream without a window holds its own server only: others are served, and it goes on later.
        """
        self.proxy.publish("long", self.backend(sending(SIZE, 1, "length")), path="/x")
        self.proxy.publish("echo", self.backend(echo), path="/echo")
        client = Http2Client(self.proxy, (h2.INITIAL_WINDOW_SIZE, 10))
        self.addCleanup(client.wire.close)
        client.send(headers(1, *GET))
        self.assertEqual(client.line(), f"1 :status=200 content-length={SIZE}")
        start = b"".join(long_body(SIZE, 1))[:10]
        self.assertEqual(client.line(), f"1 {start!r}".replace("b", "", 1))
        for stream in range(3, 103, 2):
            client.send(headers(stream, GET[0], (":path", "/echo"), *GET[2:]))
            self.assertEqual(client.line(), f"{stream} :status=200 content-length=0 END")
        client.send(h2.window_update(0, SIZE), h2.window_update(1, SIZE))
        got = 10
        while not (line := client.line()).endswith("END"):
            got += int(line.split()[1])
        self.assertEqual(got + int(line.split()[1]), SIZE)

    def test_flood(self) -> None:
        """
        A client that resets all it asks for is sent away, and its servers are free.
        """
        backend = self.served()
        client = Http2Client(self.proxy)
        self.addCleanup(client.wire.close)
        client.send(*(headers(stream, *GET) + h2.reset(stream, h2.CANCEL) for stream in range(1, 2001, 2)))
        line = client.line()
        self.assertTrue(line.startswith("goaway") and line.endswith("ENHANCE_YOUR_CALM"), line)
        self.assertLess(len(backend.requests), 300)
        self.assertEqual(self.proxy.get().status, 200)


class DrainTests(SynchronousTestCase):
    """
    The end of the proxy.
    """

    def test_drain(self) -> None:
        """
        On SIGTERM the client is told, its request is answered, and then the connection and the proxy end.
        """
        go = threading.Event()
        backend = Backend(slow(go))
        self.addCleanup(backend.close)
        proxy = Proxy()
        self.addCleanup(proxy.end)
        proxy.publish("slow", backend)
        client = Http2Client(proxy)
        self.addCleanup(client.wire.close)
        client.send(headers(1, *GET))
        until(lambda: backend.requests)
        proxy.signal(signal.SIGTERM)
        self.assertEqual(client.line(), f"goaway {h2.LARGEST_STREAM} NO_ERROR")
        go.set()
        lines = [client.line() for _ in range(3)]
        self.assertEqual(sorted(lines), ["1 'done' END", "1 :status=200 content-length=4", "goaway 1 NO_ERROR"])
        self.assertEqual(client.wire.rest(), b"")
        proxy.wait()
        self.assertNotIn("Traceback", proxy.log())


class SwitchedOffTests(TlsCase):
    """
    A proxy that is not to speak it.
    """

    certificates = {"a.pem": known("demo.test").bundle}
    environment = {"ENABLE_H2": "false"}

    def test_http1_only(self) -> None:
        """
        It is not offered, and who knows better is refused.
        """
        self.proxy.publish("s", self.backend(answering(b"hello")))
        client = believing()
        client.set_alpn_protocols(["h2", "http/1.1"])
        with self.tls.open(client=client) as connection:
            self.assertEqual(connection.selected_alpn_protocol(), "http/1.1")
        with self.proxy.connect() as wire:
            wire.send(h2.PREFACE)
            self.assertEqual(wire.final().status, 400)
