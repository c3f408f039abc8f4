"""
What counts as the server's answer.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import answers
from bench.answers import check_answer
from bench.load import LoadFailed
from bench.machine import free_port
from bench.proxies import Proxy
from bench.servers import BIG, SMALL


class Answering(BaseHTTPRequestHandler):
    """
    Answers as its server is told.
    """

    server: Any

    def do_GET(self) -> None:
        status, body = self.server.answers[self.path]
        self.server.hosts.append(self.headers["Host"])
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """
        Nothing is to be read of it.
        """


class AnswerTests(SynchronousTestCase):
    """
    One look at a proxy.
    """

    def setUp(self) -> None:
        self.server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.hosts = []
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.server.shutdown)
        nothing: Any = None
        self.proxy = Proxy("someone", self.server.server_address[1], nothing)

    def test_right(self) -> None:
        """
        The bodies of the server behind, asked for by the name that certificates have.
        """
        self.server.answers = {"/demo/hello": (200, SMALL), "/big": (200, BIG)}
        check_answer(self.proxy, "/demo/hello")
        check_answer(self.proxy, "/big")
        self.assertEqual(set(self.server.hosts), {f"bench.test:{self.proxy.port}"})

    def test_wrong(self) -> None:
        """
        An empty 200, which Caddy gives for a host that it does not know, another body, and another status.
        """
        for answer in ((200, b""), (200, SMALL + b"!"), (503, SMALL), (200, BIG)):
            self.server.answers = {"/": answer}
            error = self.assertRaises(LoadFailed, check_answer, self.proxy, "/")
            self.assertIn(f"someone /: {answer[0]} with {len(answer[1])} bytes", str(error))

    def test_none(self) -> None:
        """
        A proxy that is not there.
        """
        self.patch(answers, "LIMIT_S", 1)
        nothing: Any = None
        proxy = Proxy("nobody", free_port(), nothing, scheme="https")
        self.assertIn("ConnectionRefused", str(self.assertRaises(LoadFailed, check_answer, proxy, "/")))
