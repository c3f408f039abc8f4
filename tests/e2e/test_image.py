"""
What the image is made of, without Docker: its health check as a program, and files that have to agree with each other.

`make swarm-test` builds the image and runs it.
"""

from __future__ import annotations

import io
import re
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.options import OPTIONS
from tests.swarm.image import CONTEXT

ROOT = Path(__file__).resolve().parent.parent.parent


class Answering(HTTPServer):
    """
    An API that answers one question with a status, and remembers its path.
    """

    def __init__(self, status: int) -> None:
        asked: list[str] = []

        class Api(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"Status":"as it is"}')

            def log_message(self, format: str, *args: object) -> None:
                """
                Silence.
                """

        super().__init__(("127.0.0.1", 0), Api)
        self.asked = asked


class HealthCheckTests(SynchronousTestCase):
    """
    contrib/ready.py as the image runs it.
    """

    def check(self, **environment: str) -> tuple[int, str]:
        command = (sys.executable, "-IS", str(ROOT / "contrib" / "ready.py"))
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def asked(self, status: int, then: Callable[[Answering, int], None]) -> None:
        server = Answering(status)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        try:
            then(server, server.server_address[1])
        finally:
            thread.join(10)
            server.server_close()

    def test_ready(self) -> None:
        """
        A proxy that is ready is healthy.
        """

        def ready(server: Answering, port: int) -> None:
            status, output = self.check(PORT=str(port))
            self.assertEqual((status, output), (0, '200 {"Status":"as it is"}\n'))
            self.assertEqual(server.asked, ["/v1/docker-flow-proxy/ready"])

        self.asked(200, ready)

    def test_not_ready(self) -> None:
        """
        One that is not ready is not, and Docker is told what it said.
        """

        def not_ready(server: Answering, port: int) -> None:
            status, output = self.check(PORT=str(port), IP="0.0.0.0")
            self.assertEqual((status, output), (1, '503 {"Status":"as it is"}\n'))

        self.asked(503, not_ready)

    def test_nobody_there(self) -> None:
        """
        Nobody behind the port: not healthy, in one line.
        """
        server = Answering(200)
        port = server.server_address[1]
        server.server_close()
        status, output = self.check(PORT=str(port), IP="127.0.0.1")
        self.assertEqual(status, 1)
        self.assertEqual(output.count("\n"), 1)
        self.assertIn("no answer", output)

    def test_switched_off(self) -> None:
        """
        `HEALTHCHECK=false`, a word of Docker Flow Proxy, makes it always healthy.
        """
        self.assertEqual(self.check(HEALTHCHECK="false", PORT="1"), (0, ""))
        self.assertEqual(self.check(HEALTHCHECK="Off", PORT="1"), (0, ""))

    def test_port_on_the_command_line(self) -> None:
        """
        Options after the image's name go before all else; the words of another program are not for us.
        """
        ready = runpy.run_path(str(ROOT / "contrib" / "ready.py"))
        file = Path(self.mktemp())
        for words, wanted in (
            (
                ("twistd", "--pidfile=", "dfproxy", "--port", "9000", "--ip=10.0.0.1"),
                {"PORT": "9000", "IP": "10.0.0.1"},
            ),
            (("twistd", "dfproxy", "--port"), {"PORT": ""}),
            (("init", "--port", "9000"), {}),
        ):
            file.write_bytes(b"".join(word.encode() + b"\0" for word in words))
            self.assertEqual(ready["options"](str(file)), wanted)
        self.assertEqual(ready["options"](str(file / "none")), {})

        def asks(server: Answering, port: int) -> None:
            file.write_text(f"twistd\0dfproxy\0--port={port}\0")
            self.assertEqual(ready["main"](str(file)), 0)

        self.patch(sys, "stdout", io.StringIO())
        self.asked(200, asks)

    def test_port_in_a_secret(self) -> None:
        """
        The port is looked for where the proxy looks: a secret goes before a file, a file before the variable.
        """
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()

        def ready(name: str, server: Answering, port: int) -> None:
            (folder / name).write_text(f"{port}\n")
            environment = {"SECRETS_DIR": str(folder), "PORT": "1", "PORT_FILE": str(folder / "file")}
            self.assertEqual(self.check(**environment)[0], 0)

        for name in ("file", "dfp_port"):
            self.asked(200, partial(ready, name))


class FileTests(SynchronousTestCase):
    """
    Dockerfile, .dockerignore and stacks.
    """

    def test_context(self) -> None:
        """
        The build is given what it copies, and nothing else: .dockerignore lists the same as the test's own build.
        """
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        self.assertIn("*", lines)
        self.assertEqual({line[1:] for line in lines if line.startswith("!")}, {*CONTEXT, "wheels"})
        for name in CONTEXT:
            self.assertTrue((ROOT / name).exists(), name)

    def test_image(self) -> None:
        """
        Not root; the three ports; a health check; options may follow the image's name; any base.
        """
        text = (ROOT / "Dockerfile").read_text()
        last = text.split("\nFROM ")[-1]
        users = re.findall(r"^USER (\S+)", last, re.M)
        self.assertEqual(len(users), 1)
        self.assertNotIn(users[0], ("root", "0"))
        self.assertIn("\nEXPOSE 80 443 8080\n", last)
        self.assertIn("\nHEALTHCHECK ", last)
        self.assertIn('\nENTRYPOINT ["twistd", "--nodaemon", "--pidfile=", "dfproxy"]\n', last)
        self.assertRegex(text, r"(?m)^ARG BASE=")
        self.assertEqual(re.findall(r"^FROM (\S+)", text, re.M), ["${BASE}", "${BASE}"])

    def test_variables(self) -> None:
        """
        Every variable that Dockerfile and stacks give the proxy is one that it knows.
        """
        known = {option.variable for option in OPTIONS} | {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
        given = set(re.findall(r"^(?:ENV|   ) ?([A-Z_]+)=", (ROOT / "Dockerfile").read_text(), re.M))
        for name in ("stack.yml", "stack-dfp.yml"):
            # The first service of each is the proxy.
            proxy = (ROOT / name).read_text().split("\n  proxy:")[1].split("\n\n")[0]
            given |= set(re.findall(r"^      (?:- )?([A-Z_]+)(?:=|: )", proxy, re.M))
        self.assertIn("SERVICE_NAME", given)
        self.assertIn("STATE_DIR", given)
        self.assertIn("LISTENER_ADDRESS", given)
        self.assertEqual(given - known, set())

    def test_only_the_image_differs(self) -> None:
        """
        stack-dfp.yml needs nothing that Docker Flow Proxy's own stack does not have: no option of ours.
        """
        text = (ROOT / "stack-dfp.yml").read_text()
        for ours in ("DRAIN_WAIT", "WORKERS", "STATE_DIR", "CONFIG_TEXT", "read_only", "8080:8080"):
            self.assertNotIn(ours, text)
        self.assertIn("image: ${DFPROXY_IMAGE:-dfproxy:latest}\n", text)
