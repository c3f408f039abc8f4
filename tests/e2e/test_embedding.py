"""
docs/embedding.md: each example is run as it stands there, on other ports, and does what the page says.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import Backend
from tests.e2e.proxy import free_port, until
from tests.e2e.wire import Message, Wire
from tests.requirements import ROOT

PAGE = ROOT / "docs" / "embedding.md"
END_S = 10
"""
Seconds for the end of an example after SIGTERM.
"""


def remembering(wire: Wire, backend: Backend) -> None:
    """
    Answer every request with its own target and body.
    """
    while True:
        request = wire.request()
        backend.note(request.target)
        said = f"{request.method} {request.target} ".encode() + request.body
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Own: yes\r\n\r\n%b" % (len(said), said))


class EmbeddingTests(SynchronousTestCase):
    """
    A Twisted program that proxies.
    """

    def start(self, position: int) -> None:
        """
        Run that example of the page before a server that answers.
        """
        self.server = Backend(remembering)
        self.addCleanup(self.server.close)
        self.port = free_port()
        example = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)[position]
        self.assertIn("8001", example)
        self.assertIn("tcp:8000:", example)
        file = Path(self.mktemp())
        file.write_text(example.replace("8001", str(self.server.port)).replace("tcp:8000:", f"tcp:{self.port}:"))
        said = tempfile.TemporaryFile()
        self.addCleanup(said.close)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, str(file)], env={**os.environ, "PYTHONPATH": path}, stdout=said, stderr=said
        )
        self.addCleanup(self.end, process, said)
        until(self.is_up, what="the example does not serve")

    def end(self, process: subprocess.Popen[bytes], said: tempfile._TemporaryFileWrapper[bytes]) -> None:
        """
        It ends when told to, without a word.
        """
        process.terminate()
        try:
            process.wait(END_S)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        self.assertEqual(said.read(), b"")

    def is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def ask(self, path: str, host: str = "demo", body: bytes = b"") -> Message:
        client = Wire(socket.create_connection(("127.0.0.1", self.port), 10))
        self.addCleanup(client.close)
        method = "POST" if body else "GET"
        client.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n", body)
        return client.final()

    def test_mounted(self) -> None:
        """
        In a tree of twisted.web: what is below the mount point goes to the server below its path, the rest does not.
        """
        self.start(0)
        answer = self.ask("/demo/hello?x=1")
        self.assertEqual((answer.status, answer.body, answer.get("x-own")), (200, b"GET /base/hello?x=1 ", "yes"))
        self.assertEqual(self.ask("/demo/a", body=b"abc").body, b"POST /base/a abc")
        self.assertEqual(self.ask("/").body, b"my own page\n")
        self.assertEqual(self.ask("/other").status, 404)
        self.assertEqual(self.server.requests, ["/base/hello?x=1", "/base/a"])

    def test_whole_port(self) -> None:
        """
        With the proxy's own Site everything goes to the server.
        """
        self.start(1)
        for path in ("/", "/demo/hello?x=1"):
            self.assertEqual(self.ask(path).body, f"GET {path} ".encode())

    def test_lookup(self) -> None:
        """
        A lookup of one's own decides; what it takes for nobody is a 503.
        """
        self.start(2)
        self.assertEqual(self.ask("/x").status, 200)
        self.assertEqual(self.ask("/x", host="other").status, 503)
