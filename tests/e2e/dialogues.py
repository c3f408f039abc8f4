"""
What a client and a server see of each other through the proxy, message by message.

A mixin: the same dialogues are held with workers on the uv reactor (`test_http.py`) and with everything in one process
on Twisted's own (`test_reactors.py`).

Long, and still one thing: a list of dialogues.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from hashlib import sha1
from typing import TYPE_CHECKING

from tests.e2e.backends import ANSWER, Backend, answering, echo, garbage, refused_port, replying, silent
from tests.e2e.proxy import until
from tests.e2e.wire import Ended, Message, Wire

if TYPE_CHECKING:
    from tests.e2e.proxy import ProxyCase as _Case
else:
    _Case = object

GET = "GET {} HTTP/1.1\r\nHost: test\r\n\r\n"


class Dialogues(_Case):
    """
    Mixed into a `ProxyCase`.
    """

    def served(self, script: object, *more: object) -> Backend:
        """
        A service on `/` with one server that follows this script.
        """
        backend = self.backend(script)  # type: ignore[arg-type]  # scripts
        self.proxy.publish("plain", backend)
        return backend

    def asked(self, text: str | bytes, bodiless: bool = False) -> Message:
        """
        What is answered to this on a connection of its own.
        """
        client = self.client()
        client.send(text)
        return client.final(bodiless)

    # --- connections -------------------------------------------------------------------------------------------

    def test_keep_alive_both_sides(self) -> None:
        """
        Fifty requests of one client go over one connection to the server.
        """
        backend = self.served(answering())
        client = self.client()
        for number in range(50):
            client.send(GET.format(f"/{number}"))
            response = client.response()
            self.assertEqual((response.status, response.body), (200, b"hello"))
            self.assertIsNone(response.get("connection"))
        self.assertEqual([request.target for request in backend.requests], [f"/{n}" for n in range(50)])
        self.assertEqual(backend.accepted, 1)

    def test_close_asked_for(self) -> None:
        """
        A client that says close gets its answer and the end; the server's connection is kept all the same.
        """
        backend = self.served(answering())
        for _ in range(3):
            client = self.client()
            client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            response = client.response()
            self.assertEqual((response.status, response.get("connection")), (200, "close"))
            self.assertTrue(client.ends(2))
        self.assertLessEqual(backend.accepted, max(1, self.workers))
        self.assertEqual({request.get("connection") for request in backend.requests}, {None})

    def test_server_closes_after_each(self) -> None:
        """
        A server that closes after each answer does not end the client's connection.
        """
        backend = self.served(
            replying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", close=True)
        )
        client = self.client()
        for _ in range(5):
            client.send(GET.format("/"))
            response = client.response()
            self.assertEqual((response.body, response.get("connection")), (b"ok", None))
        self.assertEqual(backend.accepted, 5)

    def test_http_1_0(self) -> None:
        """
        HTTP/1.0 clients: closed by default, kept when they ask for it; the server always sees HTTP/1.1.
        """
        backend = self.served(answering())
        client = self.client()
        client.send("GET /old HTTP/1.0\r\n\r\n")
        response = client.response()
        self.assertEqual((response.body, response.get("connection")), (b"hello", "close"))
        self.assertTrue(client.ends(2))
        client = self.client()
        for _ in range(2):
            client.send("GET /old HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n")
            response = client.response()
            self.assertEqual((response.body, response.get("connection")), (b"hello", "keep-alive"))
        self.assertEqual([request.line for request in backend.requests], ["GET /old HTTP/1.1"] * 3)
        self.assertEqual(backend.requests[0].get("host"), "")

    def test_http_1_0_server(self) -> None:
        """
        An answer that ends with the server's connection is chunked for an HTTP/1.1 client, which stays connected.
        """
        self.served(replying(b"HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nsome ", b"text", close=True))
        client = self.client()
        for _ in range(2):
            client.send(GET.format("/"))
            response = client.response()
            self.assertEqual((response.body, response.get("transfer-encoding")), (b"some text", "chunked"))
            self.assertEqual(response.line, "HTTP/1.1 200 OK")
        client = self.client()
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        response = client.response()
        self.assertEqual((response.body, response.get("transfer-encoding")), (b"some text", None))
        self.assertEqual(response.get("connection"), "close")

    def test_pipelining(self) -> None:
        """
        Requests sent all at once are answered in order, and reach the server one after the other.
        """

        def script(wire: Wire, backend: Backend) -> None:
            while True:
                request = wire.request()
                backend.note(request.target)
                # Nothing of the next one may be here before this is answered.
                if not wire.is_quiet(0.005):
                    backend.note("too early")
                wire.send(ANSWER % (len(request.target), request.target.encode()))

        backend = self.served(script)
        client = self.client()
        client.send(*(GET.format(f"/{n}") for n in range(30)))
        self.assertEqual([client.response().body for _ in range(30)], [b"/%d" % n for n in range(30)])
        client.send("POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc", GET.format("/b"))
        self.assertEqual([client.response().body for _ in range(2)], [b"/a", b"/b"])
        self.assertNotIn("too early", backend.requests)

    def test_client_half_closes(self) -> None:
        """
        A client that sends nothing more still gets its answer, also one that takes its time.
        """

        def script(wire: Wire, backend: Backend) -> None:
            wire.request()
            backend.note("asked")
            go_on.wait(10)
            wire.send(ANSWER % (5, b"hello"))
            wire.rest()

        go_on = threading.Event()
        backend = self.served(script)
        client = self.client()
        client.send(GET.format("/"))
        client.half_close()
        backend.until(lambda: backend.requests)
        go_on.set()
        self.assertEqual(client.final().body, b"hello")
        self.assertTrue(client.ends(2))

    def test_pipelined_and_half_closed(self) -> None:
        """
        Requests that are all sent before the client ends its side are all answered, as `nc` wants it.
        """
        self.served(echo)
        client = self.client()
        for number in range(5):
            client.send(f"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\n{number}")
        client.half_close()
        self.assertEqual([client.response().body for _ in range(5)], [b"%d" % number for number in range(5)])
        self.assertTrue(client.ends(2))
        client = self.client()
        client.send(GET.format("/"), "GET / HT")
        client.half_close()
        self.assertEqual(client.response().body, b"")
        self.assertTrue(client.ends(2))

    # --- heads -------------------------------------------------------------------------------------------------

    def test_fields_go_on(self) -> None:
        """
        Fields go on in order and spelling both ways; those of one hop, and those that Connection names, do not.
        """
        fields = b"X-B: 2\r\nServer: me\r\nx-a: 1\r\nDate: then\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        hop = b"Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\n"
        backend = self.served(replying(b"HTTP/1.1 200 Fine\r\n" + fields + hop + b"Content-Length: 0\r\n\r\n"))
        response = self.asked(
            "GET /a%2Fb/../c?x=/&y HTTP/1.1\r\nHOST: Test:80\r\nx-Two: 2\r\nX-One:1\r\nTE: trailers\r\n"
            "Connection: x-secret, host, Content-Length\r\nX-Secret: 1\r\nX-Forwarded-For: 192.0.2.9\r\n"
            "Keep-Alive: 3\r\nUpgrade: h2c\r\nX-One:1\r\n\r\n"
        )
        self.assertEqual(
            response.raw, b"HTTP/1.1 200 Fine\r\n" + fields + b"Content-Length: 0\r\n\r\n", "towards the client"
        )
        (request,) = backend.requests
        self.assertEqual(
            request.raw,
            b"GET /a%2Fb/../c?x=/&y HTTP/1.1\r\nHOST: Test:80\r\nx-Two: 2\r\nX-One:1\r\n"
            b"X-Forwarded-For: 192.0.2.9\r\nX-One:1\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
            "towards the server",
        )

    def test_head_byte_by_byte(self) -> None:
        """
        A head may come byte by byte, from either side.
        """

        def script(wire: Wire, backend: Backend) -> None:
            backend.note(wire.request())
            for byte in ANSWER % (3, b"abc"):
                wire.send(bytes((byte,)))
            wire.rest()

        backend = self.served(script)
        client = self.client()
        for byte in b"POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody":
            client.send(bytes((byte,)))
        self.assertEqual(client.response().body, b"abc")
        self.assertEqual(backend.requests[0].body, b"body")

    def test_ambiguous_is_refused(self) -> None:
        """
        What two servers might read differently is answered 400 and closed; nothing of it reaches a server.
        """
        backend = self.served(answering())
        host = "Host: test\r\n"
        coded = "Transfer-Encoding: chunked\r\n"
        cases = {
            "length and chunks": f"POST / HTTP/1.1\r\n{host}Content-Length: 3\r\n{coded}\r\n0\r\n\r\n",
            "two lengths": f"POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "coded twice": f"POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "other coding": f"POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n",
            "chunks in 1.0": f"POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bare LF": "GET / HTTP/1.1\nHost: test\n\n",
            "bare CR": f"GET / HTTP/1.1\r\n{host}X-A: a\rb\r\n\r\n",
            "folded": f"GET / HTTP/1.1\r\n{host}X-A: a\r\n b\r\n\r\n",
            "space before colon": f"GET / HTTP/1.1\r\n{host}X-A : a\r\n\r\n",
            "NUL": f"GET / HTTP/1.1\r\n{host}X-A: a\0b\r\n\r\n",
            "two hosts": f"GET / HTTP/1.1\r\n{host}{host}\r\n",
            "no host": "GET / HTTP/1.1\r\n\r\n",
            "HTTP/0.9": "GET /\r\n\r\n",
            "HTTP/2.0": f"GET / HTTP/2.0\r\n{host}\r\n",
            "CONNECT": "CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n",
            "wrong chunk": f"POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        }
        for name, text in cases.items():
            client = self.client()
            client.send(text)
            response = client.response()
            self.assertEqual(response.status, 400, name)
            self.assertEqual(response.get("connection"), "close", name)
            self.assertEqual(client.rest(), b"", name)
        self.assertEqual([request.line for request in backend.requests], [])

    # --- bodies ------------------------------------------------------------------------------------------------

    def test_bodiless(self) -> None:
        """
        HEAD, 204 and 304 have no body whatever they announce, and the connection goes on.
        """

        def script(wire: Wire, backend: Backend) -> None:
            while True:
                request = wire.request()
                status = request.target[1:]
                length = b"" if status == "204" else b"Content-Length: 1234\r\n"
                wire.send(f"HTTP/1.1 {status} Some\r\nETag: x\r\n", length, "\r\n")

        backend = self.served(script)
        client = self.client()
        for method, status, length in (
            ("HEAD", 200, "1234"),
            ("GET", 204, None),
            ("GET", 304, "1234"),
            ("HEAD", 404, "1234"),
        ):
            client.send(f"{method} /{status} HTTP/1.1\r\nHost: test\r\n\r\n")
            response = client.response(bodiless=True)
            self.assertEqual((response.status, response.get("content-length")), (status, length))
            self.assertEqual(response.get("transfer-encoding"), None)
        self.assertTrue(client.is_quiet(0.05))
        self.assertEqual(backend.accepted, 1)

    def test_head_to_the_proxy_itself(self) -> None:
        """
        Our own answer to HEAD has no body either.
        """
        self.proxy.publish("refusing", ("127.0.0.1", refused_port()), ("127.0.0.2", refused_port("127.0.0.2")))
        client = self.client()
        client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n")
        response = client.response(bodiless=True)
        self.assertEqual(response.status, 503)
        self.assertEqual(client.rest(), b"")

    def test_chunked_both_ways(self) -> None:
        """
        Chunks are framed anew both ways, extensions left out; trailers go on, but none that would change the message.
        """
        tail = b"6;a=b\r\n world\r\n0\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: evil\r\n\r\n"
        backend = self.served(
            replying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nhello\r\n", tail)
        )
        client = self.client()
        for _ in range(2):
            client.send('PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3;x="y"\r\nabc\r\n')
            client.send("0A\r\n0123456789\r\n0\r\nx-check: ok\r\nTransfer-Encoding: gzip\r\n\r\n")
            response = client.response()
            self.assertEqual((response.body, response.trailers), (b"hello world", [("x-sum", "1")]))
            self.assertEqual(response.get("trailer"), "x-sum")
        self.assertEqual(backend.accepted, 1)
        for request in backend.requests:
            self.assertEqual((request.body, request.trailers), (b"abc0123456789", [("x-check", "ok")]))
            self.assertEqual(request.get("transfer-encoding"), "chunked")

    def test_chunked_to_http_1_0(self) -> None:
        """
        A chunked answer goes to an HTTP/1.0 client without chunks, and ends with the connection.
        """
        self.served(replying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
        client = self.client()
        client.send("GET / HTTP/1.0\r\n\r\n")
        response = client.response()
        self.assertEqual((response.body, response.get("transfer-encoding")), (b"hello", None))

    def test_streams(self) -> None:
        """
        Each part of a body goes on at once, both ways, at the same time.
        """

        def script(wire: Wire, backend: Backend) -> None:
            wire.head()
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while size := int(wire.read_until(b"\r\n"), 16):
                data = wire.read(size + 2)
                wire.send(b"%x\r\n%b" % (size, data.upper()))
            wire.read(2)
            wire.send(b"0\r\n\r\n")
            wire.rest()

        self.served(script)
        client = self.client()
        client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        head = client.head()
        self.assertEqual(head.get("transfer-encoding"), "chunked")
        for word in (b"one", b"two", b"three"):
            client.send(b"%x\r\n%b\r\n" % (len(word), word))
            size = int(client.read_until(b"\r\n"), 16)
            self.assertEqual(client.read(size + 2), word.upper() + b"\r\n")
        client.send("0\r\n\r\n")
        self.assertEqual(client.read(5), b"0\r\n\r\n")

    def test_expect_continue(self) -> None:
        """
        A client that waits for 100 gets the server's own, and only then sends its body.
        """

        def script(wire: Wire, backend: Backend) -> None:
            while (head := wire.head()).target != "/no":
                backend.note(head.get("expect"))
                assert wire.is_quiet(0.05)
                wire.send("HTTP/1.1 100 Continue\r\n\r\n")
                body = wire.body(head, request=True).body
                wire.send(ANSWER % (len(body), body))
            backend.note(head.get("expect"))
            wire.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        backend = self.served(script)
        client = self.client()
        client.send("PUT /yes HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        self.assertEqual(client.head().line, "HTTP/1.1 100 Continue")
        client.send("body")
        self.assertEqual(client.response().body, b"body")
        client = self.client()
        client.send("PUT /no HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        self.assertEqual(client.response().status, 417)
        self.assertEqual(backend.requests, ["100-continue"] * 2)

    def test_interim_answers(self) -> None:
        """
        Interim answers go on to HTTP/1.1 clients, and not to older ones.
        """
        hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
        self.served(replying(b"HTTP/1.1 102 Processing\r\n\r\n" + hint, hint + ANSWER % (2, b"ok")))
        client = self.client()
        client.send(GET.format("/"))
        self.assertEqual([client.response().status for _ in range(4)], [102, 103, 103, 200])
        client.send(GET.format("/"))
        self.assertEqual([client.response().status for _ in range(4)], [102, 103, 103, 200])
        client = self.client()
        client.send("GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(client.response().status, 200)

    def test_early_answer(self) -> None:
        """
        A server may answer before it has read the body: the client gets all of it, then the end.
        """

        def script(wire: Wire, backend: Backend) -> None:
            wire.head()
            wire.send("HTTP/1.1 413 Too much\r\nContent-Length: 3\r\n\r\nbig")
            backend.note("answered")
            backend.note(wire.ends_at_last(5))

        backend = self.served(script)
        client = self.client()
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\n", b"x" * 1000)
        response = client.response()
        self.assertEqual((response.status, response.body, response.get("connection")), (413, b"big", "close"))
        backend.until(lambda: len(backend.requests) == 2)
        self.assertEqual(backend.requests, ["answered", True])
        # What was on its way when the answer came must not turn it into a reset.
        client.send(b"x" * 100_000)
        self.assertTrue(client.ends(5))

    def test_cut_is_seen_as_cut(self) -> None:
        """
        An answer that the server breaks off never looks complete to the client.
        """
        beginnings = {
            "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
            "wrong chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX5\r\nhello\r\n0\r\n\r\n",
        }
        for name, beginning in beginnings.items():
            self.served(replying(beginning, close=True))
            client = self.client()
            client.send(GET.format("/"))
            with self.assertRaises((Ended, ConnectionResetError), msg=name):
                client.response()

    def test_reset_is_seen_as_cut(self) -> None:
        """
        An answer without length whose connection is reset is no complete answer.
        """

        def script(wire: Wire, backend: Backend) -> None:
            wire.request()
            wire.send("HTTP/1.1 200 OK\r\n\r\nhello")
            go_on.wait(10)
            wire.reset()

        go_on = threading.Event()
        self.served(script)
        client = self.client()
        client.send(GET.format("/"))
        client.head()
        client.read_until(b"hello\r\n")
        go_on.set()
        with self.assertRaises((Ended, ConnectionResetError)):
            client.read_until(b"0\r\n\r\n")

    # --- tunnels -----------------------------------------------------------------------------------------------

    def upgraded(self, early: bytes = b"") -> Wire:
        """
        A WebSocket connection of which the handshake is done.
        """
        client = self.client()
        key = base64.b64encode(os.urandom(16)).decode()
        client.send(
            "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
            early,
        )
        response = client.head()
        self.assertEqual(response.status, 101, response.raw)
        self.assertEqual((response.get("upgrade") or "").lower(), "websocket")
        self.assertEqual((response.get("connection") or "").lower(), "upgrade")
        wanted = base64.b64encode(sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        self.assertEqual(response.get("sec-websocket-accept"), wanted)
        return client

    def test_websocket(self) -> None:
        """
        A WebSocket goes through, with what is sent right behind its handshake, in large messages and to its end.
        """
        backend = self.served(websocket)
        client = self.upgraded(early=frame(b"early", masked=True))
        self.assertEqual(read_frame(client), b"early")
        for size in (0, 1, 125, 126, 65536, 500_000):
            message = os.urandom(size)
            client.send(frame(message, masked=True))
            self.assertEqual(read_frame(client), message)
        client.send(frame(b"", masked=True, code=8))
        self.assertEqual(client.read(2)[0], 0x88)
        self.assertTrue(client.ends(2))
        backend.until(lambda: not backend.open)

    def test_websocket_client_goes(self) -> None:
        """
        When the client of a tunnel goes, the server is told.
        """
        backend = self.served(websocket)
        for leave in (Wire.close, Wire.reset):
            client = self.upgraded()
            leave(client)
            backend.until(lambda: not backend.open)

    def test_tunnel_half_closed(self) -> None:
        """
        Each side of a tunnel may end its own direction; the other goes on.
        """

        def script(wire: Wire, backend: Backend) -> None:
            wire.request()
            wire.send("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfirst")
            data = wire.rest()
            wire.send(b"last of ", data)

        self.served(script)
        client = self.client()
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        self.assertEqual(client.head().status, 101)
        client.send("abc")
        client.half_close()
        self.assertEqual(client.rest(), b"firstlast of abc")

    def test_upgrade_not_taken(self) -> None:
        """
        A server that does not change protocol just answers; one that changes unasked is no server.
        """
        self.served(answering())
        client = self.client()
        for _ in range(2):
            client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            self.assertEqual(client.response().body, b"hello")
        self.served(replying(b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"))
        self.assertEqual(self.asked(GET.format("/")).status, 502)

    # --- faults ------------------------------------------------------------------------------------------------

    def test_no_route(self) -> None:
        """
        A request that no route takes is answered 503 and closed.
        """
        client = self.client()
        client.send(GET.format("/nowhere"))
        response = client.response()
        self.assertEqual((response.status, response.get("connection")), (503, "close"))
        self.assertEqual(client.rest(), b"")

    def test_garbage_server(self) -> None:
        """
        A server that speaks no HTTP, or closes without a word, is answered 502 to each request that meets it.
        """
        for script in (garbage, lambda wire, backend: wire.head()):
            self.served(script)
            for _ in range(3):
                self.assertEqual(self.asked(GET.format("/")).status, 502)

    def test_bad_heads_of_servers(self) -> None:
        """
        Heads that no client could read for certain are answered 502.
        """
        for head in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000 + b"\r\n\r\n",
        ):
            self.served(replying(head))
            self.assertEqual(self.asked(GET.format("/")).status, 502, head[:60])

    def test_refused_server(self) -> None:
        """
        A server that refuses connections costs no request: another one gets it.
        """
        good = self.backend(answering())
        self.proxy.publish("plain", ("127.0.0.1", refused_port()), good, ("127.0.0.2", refused_port("127.0.0.2")))
        client = self.client()
        for _ in range(20):
            client.send(GET.format("/"))
            self.assertEqual(client.response().status, 200)
        self.assertEqual(len(good.requests), 20)

    def test_lone_server_restarts(self) -> None:
        """
        A request that meets the restart of the only server waits for it.
        """
        backend = self.backend(answering(b"old"))
        self.proxy.publish("plain", backend)
        client = self.client()
        client.send(GET.format("/"))
        self.assertEqual(client.response().body, b"old")
        backend.close()
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nok")
        self.assertTrue(client.is_quiet(0.3))
        began = time.monotonic()
        again = self.backend(answering(b"new"), port=backend.port)
        self.assertEqual(client.response().body, b"new")
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual([request.body for request in again.requests], [b"ok"])

    def test_client_aborts(self) -> None:
        """
        When a client goes, closed or reset, waiting or in its upload, the work for it ends at the server, long before
        the time-out of the server.
        """
        waiting = GET.format("/")
        uploading = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nabc"
        for text in (waiting, uploading):
            for leave in (Wire.close, Wire.reset):
                backend = self.served(silent)
                client = self.client()
                client.send(text)
                until(lambda backend=backend: backend.accepted, 5)
                leave(client)
                backend.until(lambda backend=backend: backend.requests == ["ended"])

    def test_client_aborts_in_the_answer(self) -> None:
        """
        The same while an endless answer is on its way.
        """

        def script(wire: Wire, backend: Backend) -> None:
            wire.request()
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                while True:
                    wire.send(b"5\r\nhello\r\n")
                    time.sleep(0.02)
            finally:
                backend.note("ended")

        for leave in (Wire.close, Wire.reset):
            backend = self.served(script)
            client = self.client()
            client.send(GET.format("/"))
            client.head()
            leave(client)
            backend.until(lambda backend=backend: backend.requests == ["ended"])

    def test_echo_sizes(self) -> None:
        """
        Bodies of all sizes around the limits of buffers come back as they went.
        """
        self.served(echo)
        client = self.client()
        for size in (0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 262143, 262144, 262145, 1_000_001):
            body = os.urandom(size)
            client.send(f"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n", body)
            self.assertEqual(client.response().body, body, size)


# --- WebSocket (RFC 6455) ------------------------------------------------------------------------------------------


def frame(payload: bytes, masked: bool, code: int = 2) -> bytes:
    """
    One frame, final.
    """
    size, mark = len(payload), 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | code, mark | size))
    elif size < 65536:
        head = bytes((0x80 | code, mark | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | code, mark | 127)) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    # A mask of zeros leaves the payload as it is.
    return head + bytes(4) + payload


def read_frame(wire: Wire) -> bytes:
    """
    The payload of the next frame; a closing one is `Ended`.
    """
    first, second = wire.read(2)
    if first & 15 == 8:
        raise Ended("closed")
    size = second & 127
    if size > 125:
        size = int.from_bytes(wire.read(2 if size == 126 else 8), "big")
    if second & 128:
        wire.read(4)
    return wire.read(size)


def websocket(wire: Wire, backend: Backend) -> None:
    """
    A server that echoes messages.
    """
    request = wire.request()
    assert (request.get("upgrade") or "").lower() == "websocket", request.raw
    key = request.get("sec-websocket-key")
    accept = base64.b64encode(sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    wire.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    wire.sock.settimeout(None)  # a client may be silent for as long as two upgrades take on a busy machine
    try:
        while True:
            wire.send(frame(read_frame(wire), masked=False))
    except Ended:
        wire.send(frame(b"", masked=False, code=8))
