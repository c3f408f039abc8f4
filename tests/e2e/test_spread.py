"""
How evenly connections are spread over workers, counted at real workers.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.backends import answering
from tests.e2e.proxy import ProxyCase, until
from tests.requirements import require_root

ESTABLISHED = "01"
"""`/proc/net/tcp`: state of a connection that is up."""


def connections_at(ip: str, port: int) -> set[str]:
    """
    Inodes of connections that were accepted at an address.
    """
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = f"{socket.inet_aton(ip)[::-1].hex().upper()}:{port:04X}"
    return {row[9] for row in rows if row[1] == here and row[3] == ESTABLISHED and row[9] != "0"}


def held_by(pid: int) -> set[str]:
    """
    Inodes of the sockets that a process has.
    """
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(link))
        except OSError:
            continue  # closed meanwhile
    return {link[8:-1] for link in links if link.startswith("socket:[")}


FOLDER = Path(tempfile.mkdtemp(prefix="dfproxy-plugins-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
(FOLDER / "spinning.py").write_text(
    """
from dfproxy.balancing.base import Balancer, Strategy


class Spinning(Balancer):
    def pick(self, request):
        while b"spin" in request.target:
            pass
        return self.servers[0]


spinning = Strategy("spinning", "some requests take for ever", Spinning)
"""
)


class _Spread:
    """
    The same for any number of workers.
    """

    def counts(self, case: ProxyCase, wanted: int) -> list[int]:
        proxy = case.proxy
        wires = [proxy.connect() for _ in range(wanted)]
        try:
            until(lambda: sum(self.now(case)) == wanted, 10)
            return sorted(self.now(case))
        finally:
            for wire in wires:
                wire.close()
            until(lambda: not connections_at(proxy.ip, proxy.port), 10)

    def now(self, case: ProxyCase) -> list[int]:
        found = connections_at(case.proxy.ip, case.proxy.port)
        return [len(found & held_by(pid)) for pid in case.proxy.worker_pids()]

    def look(self, case: ProxyCase) -> None:
        require_root()
        case.proxy.publish("go", case.backend(answering(b"good")), path="/go")
        for wanted in (8, 32, 256):
            counts = self.counts(case, wanted)
            sys.stdout.write(f"\n{wanted} connections over {case.workers} workers: {counts}")
            case.assertEqual(counts, [wanted // case.workers] * case.workers)
        case.assertIn(f"connections are dealt out to {case.workers} workers in turn", case.proxy.log())

    def stick(self, case: ProxyCase) -> None:
        """
        A client with a cookie stays at its server, whichever worker it meets.
        """
        servers = [case.backend(answering(b"%d" % number)) for number in range(3)]
        case.proxy.publish("go", *servers, path="/go", sessionType="sticky-server")
        for _ in range(3):
            first = case.proxy.get("/go")
            cookie = (first.get("set-cookie") or "").partition(";")[0]
            answers = {case.proxy.get("/go", head=f"Cookie: {cookie}\r\n").body for _ in range(4 * case.workers)}
            case.assertEqual(answers, {first.body}, cookie)


class TwoWorkersTests(ProxyCase):
    """
    Two.
    """

    workers = 2

    def test_even(self) -> None:
        """
        8, 32 and 256 connections are shared equally, where we may load a program into the kernel.
        """
        _Spread().look(self)


class FourWorkersTests(ProxyCase):
    """
    Four.
    """

    workers = 4

    def test_sticky(self) -> None:
        """
        Stickiness holds over all workers.
        """
        _Spread().stick(self)

    def test_even(self) -> None:
        """
        8, 32 and 256 connections are shared equally, where we may load a program into the kernel.
        """
        _Spread().look(self)


class StuckTests(ProxyCase):
    """
    A worker that does nothing else any more.
    """

    workers = 2
    options = ("--plugins", str(FOLDER))

    def test_busy_loop(self) -> None:
        """
        A worker whose code loops for ever is noticed and replaced; new connections are answered by others meanwhile.
        """
        self.proxy.publish("go", self.backend(answering(b"good")), path="/go", balance="spinning")
        before = set(self.proxy.worker_pids())
        self.client().send("GET /go/spin HTTP/1.1\r\nHost: a.test\r\n\r\n")
        began = time.monotonic()
        self.proxy.wait_for_log("replaced", 10, self._logged)
        noticed_s = time.monotonic() - began
        for _ in range(20):
            self.assertEqual(self.proxy.get("/go").body, b"good")
        until(lambda: len(before & set(self.proxy.worker_pids())) == 1, 20)
        killed_s = time.monotonic() - began
        sys.stdout.write(f"\nnoticed after {noticed_s:.1f} s, ended after {killed_s:.1f} s")
        self.assertLess(noticed_s, 5)
        until(lambda: len(self.proxy.worker_pids()) == 2, 10)
