"""
dfproxy and HAProxy beside it, and what each makes of a request.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.certificates import known
from tests.e2e.backends import Backend, Script
from tests.e2e.proxy import API, Proxy, free_port, until
from tests.e2e.tls import believing
from tests.e2e.wire import LIMIT_S, Message, Wire, connect
from tests.oracle import words
from tests.oracle.asked import Asked
from tests.oracle.drawing import SERVICES, Definition, Place

HOST = "127.0.0.5"
"""Where HAProxy listens, on the ports of dfproxy: a condition may name the port."""

PAGE = "HTTP/1.0 {} Oh\r\nContent-Type: text/plain\r\nX-Page: {}\r\nCache-Control: no-cache\r\n\r\nsorry: {}\n"
PAGES = (401, 403, 503)
"""Those that the operator has made."""

HOUSES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "strict": (
        *("--trusted-proxies", "127.0.0.1,10.0.0.0/8", "--users", "bob:Builder9", "--compression-algo", "gzip"),
        *("--connection-mode", "http-server-close", "--stats-user", "stat", "--stats-pass", "tistics"),
        *("--extra-frontend", words.FRONT_EXTRAS),
    ),
    "closing": (
        "--connection-mode",
        "httpclose",
        "--https-only",
        "yes",
        "--stats-user",
        "none",
        "--stats-pass",
        "none",
    ),
}
"""What holds for all services, and that the text must show as well."""


@dataclass(frozen=True)
class Made:
    """
    What one side has made of a request.

    Attributes:
        status: of its answer.
        seen: what the server that answered saw: its name, request line, fields, body; empty: none did.
        fields: of the answer, sorted.
        body: of the answer, if it is not the server's.
        server: which of several servers it was.
    """

    status: int
    seen: tuple[Any, ...]
    fields: tuple[tuple[str, str], ...]
    body: bytes
    server: int


def script_of(name: str, number: int) -> Script:
    """
    A server that tells its name and the request that it got.
    """

    def script(wire: Wire, backend: Backend) -> None:
        while True:
            request = wire.request()
            wanted = [value for key, value in request.fields if key == "x-want"]
            status, fields = words.WANTED.get(wanted[0] if len(wanted) == 1 else "", words.WANTED[""])
            told = json.dumps([name, number, request.line, request.fields, request.body.decode("latin-1")])
            # Told in a field where an answer has no body, in the body too where it has one, which is compressed.
            head = [f"HTTP/1.1 {status} Said", f"X-Told: {quote(told)}", *fields]
            if status != 204:
                head.append(f"Content-Length: {len(told)}")
            wire.send("\r\n".join([*head, "", ""]), told if status != 204 and request.method != "HEAD" else b"")

    return script


class Sides:
    """
    Both, with the same servers.

    Args:
        haproxy: path of the program.
        house: one of `HOUSES`.
    """

    def __init__(self, haproxy: str, house: str) -> None:
        self._haproxy = haproxy
        self._folder = tempfile.TemporaryDirectory(prefix="dfproxy-oracle-")
        folder = Path(self._folder.name)
        (folder / "certs").mkdir()
        (folder / "certs" / "a.pem").write_bytes(known("a.test").bundle)
        (folder / "pages").mkdir()
        if house == "strict":
            for status in PAGES:
                (folder / "pages" / f"{status}.http").write_text(PAGE.format(status, status, status), newline="")
        ports = tuple(free_port() for _ in range(3))
        self._backends: list[Backend] = []
        self._client = believing()
        servers = {
            (service, index): self._three(f"s{service}#{index}") for service in range(SERVICES[1]) for index in (0, 1)
        }
        self.place = Place(ports, servers, house == "strict")
        self.proxy = Proxy(
            *("--default-ports", f"{ports[0]},{ports[1]},{ports[2]}:ssl", "--certs-dir", str(folder / "certs")),
            *("--errorfiles", str(folder / "pages"), "--config-text", str(folder / "haproxy.cfg")),
            *HOUSES[house],
        )
        self._child: subprocess.Popen[bytes] | None = None

    def _three(self, name: str) -> tuple[int, int, int]:
        found = [Backend(script_of(f"{name}{'s' if number == 2 else ''}", number)) for number in range(3)]
        self._backends += found
        return found[0].port, found[1].port, found[2].port

    # --- tables ------------------------------------------------------------------------------------------------

    def publish(self, definitions: Sequence[Definition]) -> str:
        """
        Make this the table of both.

        Returns:
            The text that HAProxy runs.

        Raises:
            AssertionError: one of them does not take it.
        """
        status, answer = self.proxy.ask(f"{API}/services?replace=all", "POST", json.dumps(definitions).encode())
        if status != 200 or json.loads(answer)["Skipped"]:
            raise AssertionError(f"{status} {answer.decode()}: {definitions}")
        text = self.proxy.config()
        self._start(text)
        return text

    def _start(self, text: str) -> None:
        self.stop()
        text = re.sub(r"bind 127\.0\.0\.1:", f"bind {HOST}:", text)
        text = re.sub(r" +pidfile .*\n", "", text)
        file = Path(self._folder.name, "shown.cfg")
        file.write_text(with_passwords(text))
        command = (self._haproxy, "-db", "-f", str(file))
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._child = child

        def listens() -> bool:
            if child.poll() is not None:
                assert child.stderr is not None
                raise AssertionError(f"HAProxy refuses the text: {child.stderr.read().decode()}\n{text}")
            try:
                connect(HOST, self.place.ports[-1]).close()
            except ConnectionRefusedError:
                return False
            return True

        until(listens)

    def stop(self) -> None:
        """
        End HAProxy.
        """
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait(10)
            if child.stderr is not None:
                child.stderr.close()

    def end(self) -> None:
        """
        End everything.
        """
        self.stop()
        self.proxy.end()
        for backend in self._backends:
            backend.close()
        self._folder.cleanup()

    # --- requests ----------------------------------------------------------------------------------------------

    def ask(self, request: Asked) -> tuple[Made, Made]:
        """
        What dfproxy, and what HAProxy makes of it.
        """
        return self._ask("127.0.0.1", request), self._ask(HOST, request)

    def _ask(self, host: str, request: Asked) -> Made:
        sock = socket.create_connection((host, request.port), LIMIT_S, (request.client, 0))
        if request.port == self.place.ports[-1]:
            sock = self._client.wrap_socket(sock)
        with Wire(sock) as wire:
            wire.send(request.raw)
            made = made_of(wire.final(request.method == "HEAD"))
        if request.target.startswith("/admin?stats") and not made.seen:  # `words.INTENDED`: statistics
            return replace(made, fields=tuple(each for each in made.fields if each[0] == "www-authenticate"))
        return made


def with_passwords(text: str) -> str:
    """
    The text with what it does not show: who may come in, and for whom the statistics are.
    """
    text = text.replace(
        "user hidden password $5$hidden$hidden", f"user stat insecure-password {words.PASSWORDS['stat']}"
    )

    def told(match: re.Match[str]) -> str:
        return f"user {match[1]} insecure-password {words.PASSWORDS[match[1]]}"

    return re.sub(r"user (alice|bob) password \$5\$hidden\$hidden", told, text)


_HOP = ("content-length", "transfer-encoding", "date")


def made_of(answer: Message) -> Made:
    """
    What is compared of an answer; see `words.INTENDED`.
    """
    told = answer.get("x-told")
    fields = [(name, value) for name, value in answer.fields if name not in (*_HOP, "x-told")]
    body = plain(answer)
    if told is not None:
        name, number, line, lines, sent = json.loads(unquote(told))
        # The order of fields means something only where they have one name (RFC 9110 5.3).
        method, target, _ = line.split(" ")
        seen = (name, method, target, tuple(sorted(map(tuple, lines), key=itemgetter(0))), sent)
        if body and body.decode("latin-1") != unquote(told):
            fields.append(("body", "is another than what was told"))
        return Made(answer.status, seen, tuple(sorted(fields)), b"", number)
    fields = [field for field in fields if field[0] not in ("connection", "keep-alive")]
    # Built-in pages are our own.
    page = b"" if b"<h1>" in body.lower() or b"#" in body[:1] else body
    return Made(answer.status, (), tuple(sorted(fields)), page, 0)


def plain(answer: Message) -> bytes:
    """
    The body, uncompressed.
    """
    encoding = answer.get("content-encoding")
    if encoding is None or not answer.body:
        return answer.body
    if encoding == "gzip":
        return gzip.decompress(answer.body)
    try:
        return zlib.decompress(answer.body)
    except zlib.error:
        return zlib.decompress(answer.body, -15)
