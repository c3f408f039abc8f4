"""
Load: wrk for throughput, and a steady client that counts every failure and every wait.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.machine import OTHER_CPU, ROOT, Bench, find_program
from bench.proxies import Proxy

CLIENT_EXTRA_S = 30
"""Seconds beyond the length of a run after which a load generator counts as stuck."""
LATE_S = 2.0
"""Seconds after which a request of the steady client that still has no answer at the end counts as failed."""


class LoadFailed(Exception):
    """
    Requests of a throughput run failed: the figure would mean nothing.
    """


@dataclass(frozen=True, slots=True)
class Run:
    """
    One run against one proxy.

    Attributes:
        requests: answered.
        cpu_s: CPU seconds of the proxy's processes during the run.
        wall_s: length.
    """

    requests: int
    cpu_s: float
    wall_s: float

    @property
    def per_cpu_s(self) -> float:
        """
        Requests per CPU second of the proxy.
        """
        return self.requests / max(self.cpu_s, 0.001)

    @property
    def cpu_us(self) -> float:
        """
        CPU microseconds of the proxy per request.
        """
        return self.cpu_s / max(self.requests, 1) * 1e6


def wrk_command(
    proxy: Proxy, target: str, connections: int, seconds: int, host: str = "bench", fields: Sequence[str] = ()
) -> list[str]:
    """
    The wrk command of a run; it takes whole seconds only.

    Args:
        fields: further ones of each request, such as `Accept: */*`.
    """
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-H", f"Host: {host}"]
    for field in fields:
        options += ["-H", field]
    return [find_program("wrk"), *options, f"{proxy.scheme}://127.0.0.1:{proxy.port}{target}"]


def run_client(proxy: Proxy, command: list[str], seconds: int) -> tuple[str, float]:
    """
    Let a load generator run on the processor that the proxy is not on.

    Args:
        seconds: how long it is told to run.

    Returns:
        What it said, and the CPU seconds that the proxy used meanwhile.

    Raises:
        LoadFailed: it failed, or did not end.
    """
    command = ["taskset", "-c", str(OTHER_CPU), *command]
    limit_s = seconds + CLIENT_EXTRA_S
    before = proxy.running.cpu_s()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"{proxy.name}: {command[3]} has not ended after {limit_s} s") from error
    used = proxy.running.cpu_s() - before
    if done.returncode != 0:
        raise LoadFailed(f"{proxy.name}: {command[3]}: {done.stdout}{done.stderr}")
    return done.stdout, used


def run_wrk(
    proxy: Proxy,
    target: str,
    connections: int,
    seconds: int,
    host: str = "bench",
    status: int = 200,
    fields: Sequence[str] = (),
) -> Run:
    """
    Load a proxy and take its CPU time.

    Args:
        status: what every answer must be (200, or 503 for a request that no route matches).
        fields: further ones of each request.

    Raises:
        LoadFailed: some answers had another status class, or connections failed.
    """
    said, used = run_client(proxy, wrk_command(proxy, target, connections, seconds, host, fields), seconds)
    counted = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", said)
    if counted is None:
        raise LoadFailed(f"{proxy.name}: wrk: {said}")
    requests = int(counted[1])
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    wrong = int(other[1]) if other else 0
    if status != 200:
        wrong = requests - wrong
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    # A proxy may close after its own 503: wrk then counts read errors, which are none.
    broken = sum(int(n) for n in errors.groups()) if errors and status == 200 else 0
    if wrong or broken or not requests:
        raise LoadFailed(f"{proxy.name} {host}{target}: {requests} answers, {wrong} of a wrong status, {broken} failed")
    return Run(requests, used, seconds)


@dataclass(frozen=True, slots=True)
class Steady:
    """
    What a steady client saw.

    Attributes:
        answered: right answers.
        failed: refused, cut, wrong or late, in words, with when they began (seconds of CLOCK_MONOTONIC).
        waits: seconds of each answered request, with when it began.
    """

    answered: int
    failed: list[tuple[float, str]]
    waits: list[tuple[float, float]]


class SteadyClient:
    """
    A process of its own that asks at a steady pace until it is stopped; each answer is looked at.
    """

    def __init__(self, bench: Bench, port: int, target: str, per_s: int, connections: int, keep: bool) -> None:
        """
        Start it.

        Args:
            target: path to ask for; the answer has to be 200 and the backend's body.
            per_s: requests a second, all connections together.
            connections: at once.
            keep: whether connections are kept; else each request has its own.
        """
        self._out = bench.folder / f"steady-{time.monotonic_ns()}.json"
        arguments = [str(port), target, str(per_s), str(connections), str(int(keep)), str(self._out)]
        command = [sys.executable, "-m", "bench.load", *arguments]
        self._process = subprocess.Popen(
            ["taskset", "-c", str(OTHER_CPU), *command], cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
        )
        bench.stack.callback(self._process.kill)

    def stop(self) -> Steady:
        """
        Stop it and take what it saw.
        """
        self._process.communicate(b"", timeout=30)
        seen = json.loads(self._out.read_text())
        return Steady(seen["answered"], [(t, w) for t, w in seen["failed"]], [(t, w) for t, w in seen["waits"]])


async def _ask_steadily(
    port: int, target: str, pause_s: float, delay_s: float, keep: bool, seen: dict[str, list[tuple[float, object]]]
) -> None:
    await asyncio.sleep(delay_s)
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    close = "" if keep else "Connection: close\r\n"
    request = f"GET {target} HTTP/1.1\r\nHost: bench\r\n{close}\r\n".encode()
    next_at = time.monotonic()
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(20):
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert reader is not None
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                found = re.search(rb"content-length: *(\d+)", head, re.I)
                body = await reader.readexactly(int(found[1]) if found else 0)
            if head.startswith(b"HTTP/1.1 200 ") and body == b"hello, world!\n":
                seen["waits"].append((began, time.monotonic() - began))
            else:
                seen["failed"].append((began, f"answer {head[:20]!r}"))
        except asyncio.CancelledError:
            if time.monotonic() - began > LATE_S:
                seen["failed"].append((began, "no answer when stopped"))
            raise
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            seen["failed"].append((began, type(error).__name__))
            if writer is not None:
                writer.close()
            writer = None
        if writer is not None and not keep:
            writer.close()
            writer = None
        next_at = max(next_at + pause_s, time.monotonic() - 1)
        await asyncio.sleep(max(0.0, next_at - time.monotonic()))


async def _steady(port: int, target: str, per_s: int, connections: int, keep: bool) -> dict[str, object]:
    seen: dict[str, list[tuple[float, object]]] = {"failed": [], "waits": []}
    pause_s = connections / per_s
    tasks = [
        asyncio.create_task(_ask_steadily(port, target, pause_s, pause_s * i / connections, keep, seen))
        for i in range(connections)
    ]
    # The parent closes our standard input to stop us; if it dies, that happens as well.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"answered": len(seen["waits"]), **seen}


def main(port: str, target: str, per_s: str, connections: str, keep: str, out: str) -> None:
    """
    Be the steady client.
    """
    result = asyncio.run(_steady(int(port), target, int(per_s), int(connections), keep == "1"))
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
