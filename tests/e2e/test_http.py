"""
HTTP/1.1 between real clients and real servers, with workers: the dialogues, long bodies, slow and broken sides, limits.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.backends import ANSWER, MB, Backend, answering, echo, replying, sending, silent
from tests.e2e.dialogues import GET, Dialogues, websocket
from tests.e2e.proxy import ProxyCase, until
from tests.e2e.wire import Ended, Wire, long_body
from tests.requirements import ROOT, require


class DialogueTests(Dialogues, ProxyCase):
    """
    The dialogues, carried by workers on the uv reactor.
    """

    def test_curl_expects_continue(self) -> None:
        """
        Curl, which waits for 100 before it sends a large body, gets its body through at once.
        """
        (curl,) = require("curl")

        def script(wire: Wire, backend: Backend) -> None:
            while True:
                head = wire.head()
                if head.get("expect"):
                    wire.send("HTTP/1.1 100 Continue\r\n\r\n")
                body = wire.body(head, request=True).body
                backend.note(body)
                wire.send(ANSWER % (2, b"ok"))

        backend = self.served(script)
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        body = b"".join(long_body(3 * MB))
        file.write_bytes(body)
        command = (curl, "--silent", "--show-error", "--max-time", "10", "--expect100-timeout", "9", "--include")
        done = subprocess.run(
            (*command, "--header", "Expect: 100-continue", "--upload-file", str(file), f"127.0.0.1:{self.proxy.port}/"),
            capture_output=True,
            timeout=20,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"HTTP/1.1 100 Continue", done.stdout)
        self.assertTrue(done.stdout.endswith(b"ok"))
        self.assertEqual(backend.requests, [body])

    def test_nginx_behind(self) -> None:
        """
        A real server behind: nginx with files of several sizes, ranges and conditions, over kept connections.
        """
        (nginx,) = require("nginx")
        server = Nginx(nginx, Path(self.mktemp()).absolute())
        self.addCleanup(server.end)
        self.proxy.publish("plain", ("127.0.0.1", server.port))
        client = self.client()
        for size, body in server.files.items():
            client.send(GET.format(f"/{size}"))
            response = client.response()
            self.assertEqual((response.status, response.body), (200, body))
            etag = response.get("etag")
            client.send(f"GET /{size} HTTP/1.1\r\nHost: test\r\nIf-None-Match: {etag}\r\n\r\n")
            self.assertEqual(client.response().status, 304)
            client.send(f"GET /{size} HTTP/1.1\r\nHost: test\r\nRange: bytes=1-3\r\n\r\n")
            response = client.response()
            self.assertEqual((response.status, response.body), (206, body[1:4]))
            client.send(f"HEAD /{size} HTTP/1.1\r\nHost: test\r\n\r\n")
            self.assertEqual(client.response(bodiless=True).get("content-length"), str(size))
        client.send(GET.format("/none"))
        self.assertEqual(client.response().status, 404)


class Nginx:
    """
    An nginx that serves files named by their size.
    """

    def __init__(self, program: str, folder: Path) -> None:
        from tests.e2e.proxy import free_port

        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.port = free_port()
        self.files = {size: b"".join(long_body(size, size)) for size in (10, 4096, 100_000, 2 * MB)}
        for size, body in self.files.items():
            (folder / str(size)).write_bytes(body)
        (folder / "nginx.conf").write_text(
            f"user root; daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
            "events { worker_connections 64; }\n"
            f"http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
            f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
            f"server {{ listen 127.0.0.1:{self.port}; root {folder}; }} }}\n"
        )
        self._child = subprocess.Popen((program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")))

        def listens() -> bool:
            if self._child.poll() is not None:
                raise AssertionError((folder / "error.log").read_text())
            try:
                from tests.e2e.wire import connect

                connect("127.0.0.1", self.port).close()
            except ConnectionRefusedError:
                return False
            return True

        until(listens)

    def end(self) -> None:
        """
        End it.
        """
        self._child.terminate()
        self._child.wait(10)


class ClosingServerTests(ProxyCase):
    """
    Servers that close kept connections.
    """

    def test_closes_after_each_second_answer(self) -> None:
        """
        A server that closes after each second answer, without having said so: of 10,000 POSTs none fails.
        """
        server = subprocess.Popen(
            (sys.executable, "-m", "tests.e2e.closing_server"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert server.stdin is not None and server.stdout is not None
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait, 10)
        self.addCleanup(server.stdin.close)
        self.proxy.publish("plain", ("127.0.0.1", int(server.stdout.readline())))
        each, clients = 1250, 8
        faults: list[object] = []
        answered = [0] * clients

        def post(number: int) -> None:
            client = self.proxy.connect()
            for count in range(each):
                body = b"%d-%d" % (number, count)
                client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                try:
                    response = client.response()
                except (Ended, OSError) as error:
                    faults.append((number, count, error))
                    client = self.proxy.connect()
                    continue
                if response.status != 200 or response.body != body:
                    faults.append((number, count, response.raw))
                    if response.get("connection") == "close":
                        client = self.proxy.connect()
                    continue
                answered[number] += 1
            client.close()

        threads = [threading.Thread(target=post, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(faults[:5], [], f"{len(faults)} in all")
        self.assertEqual(sum(answered), each * clients)

    def test_closes_idle(self) -> None:
        """
        A server that closes connections while they are idle costs no request, of whatever method.
        """

        def script(wire: Wire, backend: Backend) -> None:
            backend.note(wire.request().method)
            wire.send(ANSWER % (2, b"ok"))

        backend = self.backend(script)
        self.proxy.publish("plain", backend)
        client = self.client()
        for number in range(60):
            method = ("GET", "POST", "DELETE")[number % 3]
            client.send(f"{method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
            self.assertEqual(client.response().body, b"ok")
            backend.until(lambda: not backend.open)
        self.assertEqual(len(backend.requests), 60)


# --- limits ----------------------------------------------------------------------------------------------------------


class SizeLimitTests(ProxyCase):
    """
    Heads that are too large.
    """

    def answer(self, text: str) -> int:
        """
        The status, after which the connection ends.
        """
        client = self.client()
        client.send(text)
        response = client.response()
        self.assertTrue(client.ends(3))
        return response.status

    def test_heads(self) -> None:
        """
        Above 16 KiB or 100 fields a head is answered 431, a target alone 414; up to there it is passed on.
        """
        self.proxy.publish("plain", self.backend(answering()))
        fields = "".join(f"X-{n}: {n}\r\n" for n in range(98))
        self.assertEqual(self.proxy.get("/", head=fields).status, 200)
        self.assertEqual(self.proxy.get("/" + "a" * 16000).status, 200)
        self.assertEqual(self.answer(f"GET / HTTP/1.1\r\nHost: t\r\nX-A: b\r\nX-A: b\r\n{fields}\r\n"), 431)
        self.assertEqual(self.answer(f"GET / HTTP/1.1\r\nHost: t\r\nX-A: {'b' * 17000}\r\n\r\n"), 431)
        self.assertEqual(self.answer(f"GET /{'a' * 17000} HTTP/1.1\r\nHost: t\r\n\r\n"), 414)
        # Also when the end never comes.
        self.assertEqual(self.answer(f"GET /{'a' * 17000}"), 414)
        self.assertEqual(self.answer(f"GET / HTTP/1.1\r\nHost: t\r\nX-A: {'b' * 17000}"), 431)

    def test_chunks(self) -> None:
        """
        A chunk extension or a trailer section without end is not taken in.
        """
        self.proxy.publish("plain", self.backend(echo))
        head = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        for text in (f"1;{'a' * 5000}\r\nx\r\n0\r\n\r\n", f"1\r\nx\r\n0\r\nX-A: {'b' * 9000}\r\n\r\n"):
            self.assertEqual(self.answer(head + text), 400)


class TimeLimitTests(ProxyCase):
    """
    Sides that take their time; the limits are one second here.
    """

    options = (
        *("--timeout-http-request", "1", "--timeout-http-keep-alive", "1"),
        *("--timeout-client", "1", "--timeout-tunnel", "1", "--timeout-server", "3"),
    )

    def after(self, wait: Callable[[], object]) -> float:
        """
        Seconds that something takes.
        """
        began = time.monotonic()
        wait()
        return time.monotonic() - began

    def test_slow_clients(self) -> None:
        """
        A head that does not come, or not to its end, is answered 408; so is a body; an idle connection is just closed.
        """
        self.proxy.publish("plain", self.backend(answering()))
        starts = {
            "nothing": ("", 408),
            "half a head": ("GET / HTTP/1.1\r\nHos", 408),
            "half a body": ("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab", 408),
            "half a chunk": ("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 408),
            "idle": (GET.format("/"), 200),
            "half a second head": (GET.format("/") + "GET / HT", 200),
        }
        began = time.monotonic()
        clients = {}
        for name, (text, _) in starts.items():
            clients[name] = self.client()
            clients[name].send(text)
        for name, (_, status) in starts.items():
            response = clients[name].response()
            self.assertEqual(response.status, status, name)
            if status == 408:
                self.assertEqual(response.get("connection"), "close", name)
        self.assertTrue(0.8 < time.monotonic() - began < 3)
        self.assertEqual(clients["idle"].rest(), b"")
        self.assertEqual(clients["half a second head"].response().status, 408)
        for client in clients.values():
            self.assertTrue(client.ends(3))

    def test_slow_but_steady(self) -> None:
        """
        A body that comes slowly, but comes, is no fault; nor is a head in several parts within its time.
        """
        self.proxy.publish("plain", self.backend(echo))
        client = self.client()
        client.send("POST / HTTP/1.1\r\nHo")
        time.sleep(0.3)
        client.send("st: t\r\nContent-Length: 5\r\n\r\n")
        for byte in b"hello":
            time.sleep(0.4)
            client.send(bytes((byte,)))
        self.assertEqual(client.response().body, b"hello")

    def test_silent_server(self) -> None:
        """
        A server that does not answer within `timeoutServer` is answered 504, and left.
        """
        backend = self.backend(silent)
        self.proxy.publish("plain", backend, timeoutServer="1")
        client = self.client()
        client.send(GET.format("/"))
        took = self.after(lambda: self.assertEqual(client.response().status, 504))
        self.assertTrue(0.8 < took < 2.5, took)
        backend.until(lambda: backend.requests == ["ended"])

    def test_server_stalls_in_its_answer(self) -> None:
        """
        An answer that stands still is cut, and seen as cut.
        """
        self.proxy.publish(
            "plain",
            self.backend(replying(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello")),
            timeoutServer="1",
        )
        client = self.client()
        client.send(GET.format("/"))
        with self.assertRaises((Ended, ConnectionResetError)):
            client.response()

    def test_client_that_never_reads(self) -> None:
        """
        A client that does not read for `--timeout-client` is cut off, whatever the framing, and its server is let go.
        """
        for form in ("length", "chunks"):
            backend = self.backend(sending(50 * MB, 1, form))
            self.proxy.publish("plain", backend)
            client = self.client()
            client.send(GET.format("/"))
            backend.until(lambda backend=backend: backend.accepted and not backend.open, 6)

    def test_idle_tunnel(self) -> None:
        """
        A tunnel in which nothing moves for `timeoutTunnel` ends on both sides; one that moves goes on.
        """
        backend = self.backend(websocket)
        self.proxy.publish("plain", backend)
        client = self.client()
        client.send(
            "GET / HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
        )
        self.assertEqual(client.head().status, 101)
        for _ in range(4):
            time.sleep(0.5)
            client.send(b"\x82\x81\0\0\0\0a")
            self.assertEqual(client.read(3), b"\x82\x01a")
        took = self.after(lambda: self.assertTrue(client.ends_at_last(4)))
        self.assertGreater(took, 0.7)
        backend.until(lambda: not backend.open)
