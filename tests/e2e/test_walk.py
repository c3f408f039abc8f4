"""
The walk of a newcomer, letter by letter, with curl: publish, ask, look at the table, take away.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from tests.e2e.backends import refused_port
from tests.e2e.proxy import ProxyCase
from tests.requirements import ROOT, require

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


def backend_port() -> int:
    """
    8080 on all three addresses, as in the demo; where that is taken, one that is free.
    """
    try:
        for host in HOSTS:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host, 8080))
    except OSError:
        return refused_port(HOSTS[0])
    return 8080


class WalkTests(ProxyCase):
    """
    What the README shows first.
    """

    options = ("--resolve", f"go-demo={','.join(HOSTS)}")

    def curl(self, *arguments: str) -> str:
        """
        What curl prints.
        """
        done = subprocess.run((self._curl, "-sS", "-m", "10", *arguments), capture_output=True, text=True, timeout=20)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def start_backends(self, port: int) -> None:
        """
        The three servers of the demo.
        """
        for host in HOSTS:
            child = subprocess.Popen(
                (sys.executable, "-m", "demo.backend", host, str(port)), cwd=ROOT, stdout=subprocess.PIPE
            )
            assert child.stdout is not None
            self.addCleanup(child.stdout.close)
            self.addCleanup(child.wait, 10)
            self.addCleanup(child.terminate)
            self.assertEqual(child.stdout.readline(), b"listening\n")

    def test_walk(self) -> None:
        """
        One call publishes three servers, requests go round all of them, the table shows them, and one call ends it.
        """
        (self._curl,) = require("curl")
        port = backend_port()
        self.start_backends(port)
        api, front = f"localhost:{self.proxy.api}/v1/docker-flow-proxy", f"localhost:{self.proxy.port}"
        before = self.curl(f"{api}/config")
        self.assertIn("frontend services", before)
        self.assertNotIn("go-demo", before)
        self.assertIn("503", self.curl("-i", f"{front}/demo/hello").splitlines()[0])

        answer = json.loads(
            self.curl(
                f"{api}/reconfigure?serviceName=go-demo&servicePath=/demo&port={port}", "-w", "\n%{http_code}"
            ).rpartition("\n")[0]
        )
        self.assertEqual((answer["Status"], answer["ServiceName"]), ("OK", "go-demo"))

        shown = self.curl("-i", f"{front}/demo/hello").replace("\r\n", "\n")
        head, _, body = shown.partition("\n\n")
        self.assertEqual((head.splitlines()[0], body), ("HTTP/1.1 200 OK", "hello, world!\n"))
        for line in ("Content-Type: text/plain; charset=utf-8", "Content-Length: 14", "Server: "):
            self.assertIn(line, head)

        # One connection goes round all three; so do connections of their own, each worker by itself.
        url = f"http://{front}/demo/hello"
        told = self.curl("-i", *[url] * 9)
        served = [line.split()[1] for line in told.splitlines() if line.lower().startswith("x-backend")]
        self.assertEqual(len(served), 9)
        self.assertEqual({served.count(f"{host}:{port}") for host in HOSTS}, {3})
        self.assertEqual(served[:3] * 3, served)

        after = self.curl(f"{api}/config")
        for line in (
            f"acl url_go-demo{port}_0 path_beg /demo",
            f"use_backend go-demo-be{port}_0 if url_go-demo{port}_0",
            f"backend go-demo-be{port}_0",
            *(f"server go-demo_{number} {host}:{port}" for number, host in enumerate(HOSTS)),
        ):
            self.assertIn(line, [shown.strip() for shown in after.splitlines()])

        answer = json.loads(self.curl(f"{api}/remove?serviceName=go-demo"))
        self.assertEqual(answer["Status"], "OK")
        self.assertIn("503", self.curl("-i", f"{front}/demo/hello").splitlines()[0])
        last = self.curl(f"{api}/config")
        self.assertEqual(*(text.split("\n", 1)[1] for text in (before, last)))
