"""
A command asks an API once, in bounded time, and says what is wrong in one line.
"""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.console import calling
from dfproxy.console.calling import Answer, Unreachable, address, fetch
from tests.e2e.backends import Backend
from tests.e2e.wire import Wire


def answering(*pieces: bytes, closes: bool = True) -> object:
    """
    A script that answers with these bytes.
    """

    def script(wire: Wire, backend: Backend) -> None:
        backend.note(wire.request())
        wire.send(*pieces)
        if not closes:
            wire.rest()

    return script


class FetchTests(SynchronousTestCase):
    """
    One call.
    """

    def server(self, *pieces: bytes, closes: bool = True) -> Backend:
        """
        A server that ends with the test.
        """
        backend = Backend(answering(*pieces, closes=closes))  # type: ignore[arg-type]  # a script
        self.addCleanup(backend.close)
        return backend

    def test_answer(self) -> None:
        """
        Status and body, whatever the status.
        """
        backend = self.server(b'HTTP/1.1 400 Bad Request\r\nContent-Length: 8\r\n\r\n{"a": 1}')
        answer = fetch(f"http://127.0.0.1:{backend.port}/x?y=z", 5.0)
        self.assertEqual((400, {"a": 1}), (answer.status, answer.json()))
        self.assertEqual("/x?y=z", backend.requests[0].target)  # type: ignore[attr-defined]  # a Message

    def test_silence(self) -> None:
        """
        Whoever does not answer, or not to the end, is waited for as long as was said.
        """
        for pieces in ((b"",), (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nab",)):
            backend = self.server(*pieces, closes=False)
            with self.assertRaises(Unreachable) as caught:
                fetch(f"http://127.0.0.1:{backend.port}/", 0.2)
            self.assertIn("within 0.2 s", str(caught.exception))

    def test_drip(self) -> None:
        """
        A body that comes byte by byte does not prolong the time.
        """

        def drips(wire: Wire, backend: Backend) -> None:
            wire.request()
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n")
            while True:
                wire.send(b"x")
                if wire.ends(0.02):
                    return

        backend = Backend(drips)
        self.addCleanup(backend.close)
        self.assertRaises(Unreachable, fetch, f"http://127.0.0.1:{backend.port}/", 0.3)

    def test_nobody(self) -> None:
        """
        A port where nobody listens, and what is no URL.
        """
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            for url in (f"http://127.0.0.1:{port}/", "ftp://x/", "http://", "http://x:y/", "http://127.0.0.1:1:2/"):
                self.assertRaises(Unreachable, fetch, url, 2.0)

    def test_garbage(self) -> None:
        """
        Something else than HTTP, or than JSON.
        """
        backend = self.server(b"220 mail ready\r\n")
        self.assertRaises(Unreachable, fetch, f"http://127.0.0.1:{backend.port}/", 2.0)
        with self.assertRaises(Unreachable) as caught:
            Answer(200, b"<html>").json()
        self.assertIn("no control API", str(caught.exception))

    def test_too_long(self) -> None:
        """
        An answer without end is not read to its end.
        """
        self.patch(calling, "ANSWER_BYTES", 100)
        backend = self.server(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
        with self.assertRaises(Unreachable) as caught:
            fetch(f"http://127.0.0.1:{backend.port}/", 2.0)
        self.assertIn("longer than", str(caught.exception))


class AddressTests(SynchronousTestCase):
    """
    Where the API is.
    """

    def test_short_forms(self) -> None:
        """
        A name alone is one with the usual port.
        """
        for given, wanted in (
            ("proxy", "http://proxy:8080"),
            ("proxy:81", "http://proxy:81"),
            ("http://proxy", "http://proxy:8080"),
            ("http://proxy:81/", "http://proxy:81"),
            ("https://proxy", "https://proxy"),
        ):
            self.assertEqual(f"{wanted}/v1/docker-flow-proxy/ping", address(given, "ping"))
        self.assertEqual("http://p:8080/v1/docker-flow-proxy/x?a=b+c%26", address("p", "x", [("a", "b c&")]))
