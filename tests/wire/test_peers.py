"""
The same requests through dfproxy's real daemon, HAProxy and nginx: where these two differ from the verdict is written
down in `peers.json`, and docs/wire.md shows it. A difference that comes or goes fails the test, so the page stays true.

    python -m tests.wire.test_peers      asks again and writes both
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.backends import Backend
from tests.e2e.proxy import Proxy, ProxyCase, free_port, until
from tests.e2e.wire import Wire
from tests.requirements import ROOT, require
from tests.wire.cases import BODY_REFUSED, PASSES, Case
from tests.wire.requests import REQUESTS

NOTES = Path(__file__).with_name("peers.json")
PAGE = ROOT / "docs" / "wire.md"
BEGIN, END = "<!-- peers: written by `python -m tests.wire.test_peers` -->", "<!-- peers end -->"

HAPROXY = """
global
    nbthread 1
defaults
    mode http
    option http-keep-alive
    option forwardfor
    timeout connect 2s
    timeout client 2s
    timeout server 2s
    timeout http-request 2s
listen f
    bind 127.0.0.1:{port}
    server s 127.0.0.1:{backend}
"""

NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    client_header_timeout 2s;
    client_body_timeout 2s;
    client_max_body_size 1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_request_buffering off;
            proxy_read_timeout 2s;
        }}
    }}
}}
"""


QUIET_S = 0.5
"""How long nothing may come before that was all."""

PATIENT_S = 3.0
"""The same for what is asked again alone: on a busy machine an answer may take its time."""

UNSETTLED = {"haproxy": {"trailer with a blank before the colon": f"400 or {PASSES}"}}
"""
Where one process of a peer does this and the next one that, under the same configuration: name of the peer to name of
the case to what is written down. HAProxy 2.6 keeps to its choice while it runs.
"""


def heads(wire: Wire, backend: Backend) -> None:
    """
    A server that answers each head at once.
    """
    wire.sock.settimeout(2.0)
    try:
        while data := wire.sock.recv(65536):
            if b"chunked" in data.lower():
                time.sleep(0.15)  # whoever is before us has seen the chunks by then, so that it is no race
            for _ in range(data.count(b"\r\n\r\n")):
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    except TimeoutError:
        return


def ask_all(port: int, ip: str = "127.0.0.1") -> dict[str, str]:
    """
    Ask everything, many at once: most of it is waiting for what does not come.

    Returns:
        Name of the case to what became of it.
    """
    with ThreadPoolExecutor(16) as pool:
        return dict(zip([case.name for case in REQUESTS], pool.map(lambda case: ask(port, case, ip), REQUESTS)))


def ask(port: int, case: Case, ip: str = "127.0.0.1", quiet_s: float = QUIET_S) -> str:
    """
    What became of a request: `passes` with the number of messages, or the status.
    """
    with socket.create_connection((ip, port), 2) as client:
        client.settimeout(quiet_s)
        told = b""
        try:
            client.sendall(case.data)
            while len(told) < 100_000:
                data = client.recv(65536)
                if not data:
                    break
                told += data
        except (TimeoutError, ConnectionError):
            told += b""  # that was all
    statuses = [part[:3].decode("latin-1") for part in told.split(b"HTTP/1.1 ")[1:]]
    good = sum(status == "200" for status in statuses)
    bad = [status for status in statuses if status not in ("200", "100", "102")]
    if bad and not good:
        return bad[0]
    if not statuses:
        return "no answer"
    return f"{PASSES}, {good} messages" if good > 1 else PASSES


def expected(case: Case) -> tuple[str, ...]:
    """
    What the verdict looks like from outside. A server that has answered the head already may hide a refused body.
    """
    if isinstance(case.verdict, int):
        return (str(case.verdict),)
    if case.verdict == BODY_REFUSED:
        return ("400", "413")
    return (f"{PASSES}, {case.messages} messages" if case.messages > 1 else PASSES,)


def instead(case: Case, answer: str, unsettled: Mapping[str, str]) -> str:
    """
    What a peer did instead of keeping to the verdict; empty: it did.

    Args:
        unsettled: as of `UNSETTLED`, its own.
    """
    either = unsettled.get(case.name, "")
    if answer in either.split(" or "):
        return either
    return "" if answer in expected(case) else answer


def listens(port: int) -> bool:
    """
    Whether somebody accepts there.
    """
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return False
    return True


def peers(folder: Path, backend: Backend) -> dict[str, tuple[subprocess.Popen[bytes], int]]:
    """
    HAProxy and nginx before this server.
    """
    haproxy, nginx = require("haproxy", "nginx")
    started = {}
    for name, program, text in (("haproxy", haproxy, HAPROXY), ("nginx", nginx, NGINX)):
        port, file = free_port(), folder / f"{name}.conf"
        file.write_text(text.format(port=port, backend=backend.port, folder=folder))
        arguments = (program, "-db", "-f", str(file)) if name == "haproxy" else (program, "-c", str(file))
        child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda port=port: listens(port), 5)
        started[name] = (child, port)
    return started


def compare(noted: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """
    Ask both everything.

    Args:
        noted: what they did before. Whatever is another than that is asked again alone.

    Returns:
        Name of the peer to name of the case to what it did instead.
    """
    backend = Backend(heads)
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        running = peers(Path(folder), backend)
        try:
            for name, (_, port) in running.items():
                answers = ask_all(port)
                unsettled, before = UNSETTLED.get(name, {}), noted.get(name, {})
                found[name] = {}
                for case in REQUESTS:
                    did = instead(case, answers[case.name], unsettled)
                    if did != before.get(case.name, ""):
                        did = instead(case, ask(port, case, quiet_s=PATIENT_S), unsettled)
                    if did:
                        found[name][case.name] = did
        finally:
            for child, _ in running.values():
                child.terminate()
                child.wait(5)
            backend.close()
    return found


def page_of(found: dict[str, dict[str, str]]) -> list[str]:
    """
    The table for the page.
    """
    rows = ["| request | verdict | source | HAProxy | nginx |", "|---|---|---|---|---|"]
    for case in REQUESTS:
        others = [found[name].get(case.name, "") for name in ("haproxy", "nginx")]
        if any(others):
            verdict = PASSES if case.verdict == PASSES else f"{case.verdict}"
            rows.append(
                f"| {case.name} | {verdict} | {case.source} | {others[0] or 'the same'} | {others[1] or 'the same'} |"
            )
    return rows


class PeersTests(ProxyCase):
    """
    Needs haproxy and nginx.
    """

    workers = 1
    options = ("--timeout-http-request", "2", "--timeout-client", "2")

    def test_ours(self) -> None:
        """
        The daemon keeps every verdict on real sockets.
        """
        proxy: Proxy = self.proxy
        proxy.publish("all", self.backend(heads), path="/", isDefaultBackend="true")
        answers = ask_all(proxy.port, proxy.ip)
        for case in REQUESTS:
            if answers[case.name] == "no answer":  # perhaps not yet
                answers[case.name] = ask(proxy.port, case, proxy.ip, PATIENT_S)
        wrong = {case.name: answers[case.name] for case in REQUESTS if answers[case.name] not in expected(case)}
        self.assertEqual(wrong, {})

    def test_theirs(self) -> None:
        """
        HAProxy and nginx differ where docs/wire.md says so, and nowhere else.
        """
        require("haproxy", "nginx")
        noted = json.loads(NOTES.read_text())
        found = compare(noted)
        for name, answers in found.items():
            self.assertEqual(sorted(answers.items() - noted[name].items()), [], f"{name} does otherwise now")
            self.assertEqual(sorted(noted[name].keys() - answers.keys()), [], f"{name} keeps to the verdict now")
        self.assertEqual(found.keys(), noted.keys())
        text = PAGE.read_text()
        listed = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip().splitlines()
        self.assertEqual(listed, page_of(found))


if __name__ == "__main__":
    result = compare(json.loads(NOTES.read_text()))
    NOTES.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    before = PAGE.read_text()
    PAGE.write_text(
        before[: before.index(BEGIN) + len(BEGIN)]
        + "\n"
        + "\n".join(page_of(result))
        + "\n"
        + before[before.index(END) :]
    )
    sys.stdout.write(f"{', '.join(f'{name}: {len(each)}' for name, each in result.items())} differ\n")
