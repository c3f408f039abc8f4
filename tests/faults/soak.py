"""
A long quiet day in short: load, changes, tunnels and connections that come and go, and whether anything grows.

    python -m tests.faults.soak [SECONDS]       600 unless said; CI takes 60

Memory and descriptors of the leader and its workers are looked at each second; the last quarter must not be above the
first quarter after the warm-up.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.proxy import Proxy
from tests.e2e.wire import Wire
from tests.faults.clients import LONG, SIZES, Clients, Server
from tests.run import write_result

WARM_S = 15.0
"""Longest warm-up, in seconds: a third of a short run."""

GROWTH = 0.05
"""Share that memory may be above what it was: what the allocator keeps differs by about as much."""

SLACK_BYTES = 2 << 20
SLACK_DESCRIPTORS = 10


@dataclass
class Watched:
    """
    One process.

    Attributes:
        rss: bytes, a look each.
        descriptors: open ones, likewise.
    """

    rss: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self, pid: int) -> None:
        """
        Look at it once.
        """
        status = Path(f"/proc/{pid}/status").read_text()
        self.rss.append(int(status.partition("VmRSS:")[2].split()[0]) * 1024)
        self.descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))

    def growth(self) -> list[str]:
        """
        What has grown; empty: nothing.
        """
        quarter = max(len(self.rss) // 4, 1)
        grown = []
        first, last = statistics.median(self.rss[:quarter]), statistics.median(self.rss[-quarter:])
        if last > first * (1 + GROWTH) + SLACK_BYTES:
            grown.append(f"memory from {first / 1e6:.1f} to {last / 1e6:.1f} MB")
        before, after = max(self.descriptors[:quarter]), max(self.descriptors[-quarter:])
        if after > before + SLACK_DESCRIPTORS:
            grown.append(f"descriptors from {before} to {after}")
        return grown

    def __str__(self) -> str:
        first, last = (f"{self.rss[at] / 1e6:.1f} MB and {self.descriptors[at]} open" for at in (0, -1))
        return f"{first} at first, {last} at last"


def churn(proxy: Proxy, places: str, over: threading.Event, done: list[int]) -> None:
    """
    Publish, change and remove services, and open connections that ask nothing, until it is over.

    Args:
        done: gets the number of each turn.
    """
    turn = 0
    while not over.wait(0.05):
        name = f"churn{turn % 50}"
        proxy.call("reconfigure", serviceName=name, servicePath=f"/{name}/{turn}", port="1", endpoints=places)
        if turn % 3 == 0:
            proxy.call("remove", serviceName=f"churn{(turn + 25) % 50}")
        idle: list[Wire] = [proxy.connect() for _ in range(3)]
        for wire in idle:
            wire.close()
        proxy.config()
        done.append(turn)
        turn += 1


def soak(seconds: float) -> list[str]:
    """
    Run for so long.

    Returns:
        What is wrong; empty: nothing.
    """
    servers = [Server(f"127.0.0.{number + 2}") for number in range(3)]
    proxy = Proxy("--timeout-drain", "5", workers=2)
    over = threading.Event()
    try:
        places = ",".join(f"{server.host}:{server.port}" for server in servers)
        proxy.call("reconfigure", serviceName="go", servicePath="/go/", port="1", endpoints=places)
        done: list[int] = []
        changes = threading.Thread(target=churn, args=(proxy, places, over, done), daemon=True)
        with Clients(proxy.ip, proxy.port, "go", 6, SIZES + LONG, 0.002) as clients:
            changes.start()
            began, warm_s = time.monotonic(), min(WARM_S, seconds / 3)
            watched: dict[int, Watched] = {}
            while (passed_s := time.monotonic() - began) < seconds:
                time.sleep(1.0)  # the pace of the looks
                if passed_s >= warm_s:
                    for pid in (proxy.pid, *proxy.worker_pids()):
                        watched.setdefault(pid, Watched()).look(pid)
                if int(passed_s) % 60 == 59:
                    sys.stdout.write(f"{passed_s:.0f} s: {clients}\n")
            over.set()
            changes.join(10)
        wrong = [f"process {pid}: {grown}" for pid, process in watched.items() for grown in process.growth()]
        for pid, process in watched.items():
            sys.stdout.write(f"{'leader' if pid == proxy.pid else 'worker'} {pid}: {process}\n")
        sys.stdout.write(f"{clients}; {len(done)} rounds of changes\n")
        if len(done) < seconds:
            wrong.append(f"only {len(done)} rounds of changes were made")
        if clients.wrong or clients.corrupted or clients.cut or clients.refused:
            wrong.append(f"clients saw faults: {clients}")
        if "Traceback" in proxy.log():
            wrong.append(f"the log has a traceback: {proxy.log()}")
        return wrong
    finally:
        over.set()
        proxy.kill()
        for server in servers:
            server.kill()


def main(seconds: str = "600") -> int:
    """
    Soak, and record how it went.

    Returns:
        Exit status.
    """
    wrong = soak(float(seconds))
    write_result("soak", f"soak: {seconds} s", "failed" if wrong else "passed", "; ".join(wrong))
    for line in wrong:
        sys.stdout.write(f"wrong: {line}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
