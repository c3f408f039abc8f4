"""
Changes under load: how long until they take effect, and what they cost those who are connected.
"""

from __future__ import annotations

import asyncio
import socket
import time

from bench.api import Published, ask
from bench.load import SteadyClient
from bench.machine import Bench, rss_mb
from bench.proxies import Proxy, start_dfproxy
from bench.report import Goal, Report, Result, percentile
from bench.servers import Backends

FAILED = Goal(0, 0, less_is_better=True)
GROWTH = Goal(5, 10, less_is_better=True)
AT_ONCE = Goal(1, 3, less_is_better=True)
EFFECT_MS = {1: None, 1_000: Goal(10, 50, less_is_better=True), 10_000: Goal(50, 200, less_is_better=True)}

LOAD_PER_S = 500
"""Requests a second while changes are made: a tenth or so of what a core carries, as in a Swarm by day."""

OPEN = 60
"""Changes, and connections that stay open during them."""


def service(name: str) -> Published:
    """
    A service that is found by its path.
    """
    return Published(name, (("servicePath", f"/{name}/"),), f"/{name}/")


async def change(proxy: Proxy, name: str, backend: int) -> tuple[float, float, int]:
    """
    Publish a service and ask its new route until it answers.

    Returns:
        Seconds until the call was answered, seconds until the route answered (both from the start of the call; the
        second is never before the first, because nobody asks earlier), and how many requests after the answer did not
        yet take the route.
    """
    assert proxy.api is not None
    new = service(name)
    began = time.perf_counter()
    await proxy.api.publish(new, backend)
    answered = time.perf_counter()
    late = 0
    while True:
        status, _ = await ask(proxy.port, new.target)
        if status == 200:
            break
        late += 1
    return answered - began, time.perf_counter() - began, late


async def change_many(proxy: Proxy, names: list[str], backend: int, callers: int) -> list[tuple[float, float, int]]:
    """
    Make changes, each caller one after the other.
    """
    waiting = iter(names)
    seen: list[tuple[float, float, int]] = []

    async def call() -> None:
        for name in waiting:
            seen.append(await change(proxy, name, backend))

    await asyncio.gather(*(call() for _ in range(callers)))
    return seen


def measure(bench: Bench, report: Report, backends: Backends) -> None:
    """
    Time to effect at each size of the table.
    """
    sizes = (1, 1_000) if bench.short else (1, 1_000, 10_000)
    for size in sizes:
        measure_size(bench, report, backends, size)


def measure_size(bench: Bench, report: Report, backends: Backends, size: int) -> None:
    """
    One caller, 20 callers, 500 at once, with a steady load beside.
    """
    proxy = start_dfproxy(bench, f"dfproxy-changes-{size}")
    assert proxy.api is not None
    asyncio.run(proxy.api.publish_all([service(f"s{i:05}") for i in range(size)], backends.http))
    goal = EFFECT_MS[size]
    each = 20 if bench.short else 200
    group = f"Reconfigure under load, {size:,} services" if size > 1 else "Reconfigure under load, 1 service"
    load = SteadyClient(bench, proxy.port, "/s00000/", LOAD_PER_S, 16, keep=True)
    rounds = [("one caller", "one", 1, each), ("20 callers", "twenty", 20, each), ("500 at once", "burst", 500, 500)]
    for what, name, callers, count in rounds:
        names = [f"{name}{i:04}" for i in range(count)]
        began = time.perf_counter()
        seen = asyncio.run(change_many(proxy, names, backends.http, callers))
        took = time.perf_counter() - began
        acknowledged = [a * 1000 for a, _, _ in seen]
        effective = [e * 1000 for _, e, _ in seen]
        late = sum(n for _, _, n in seen)
        command = f"GET /v1/docker-flow-proxy/reconfigure?serviceName={name}0000&servicePath=..., then GET /{name}0000/"
        more = (
            f"{count} changes in {took:.2f} s; answered p50 {percentile(acknowledged, 0.5):.1f} p99 "
            f"{percentile(acknowledged, 0.99):.1f} ms; effective p50 {percentile(effective, 0.5):.1f} ms; "
            f"requests after an answer that did not find the route: {late}"
        )
        if callers == 500:
            reach = AT_ONCE if size == 1_000 else None
            report.add(Result(group, f"{what}: all answered and effective", took, "s", command, reach, more))
        else:
            worst = percentile(effective, 0.99)
            report.add(Result(group, f"{what}: effective, p99", worst, "ms", command, goal, more))
        asyncio.run(proxy.api.withdraw_all([service(n) for n in names]))
    steady = load.stop()
    waits = [w * 1000 for _, w in steady.waits]
    more = f"{steady.answered} answered; p50 {percentile(waits, 0.5):.1f}, p99 {percentile(waits, 0.99):.1f} ms"
    if steady.failed:
        more += f"; first failure: {steady.failed[0][1]}"
    command = f"{LOAD_PER_S} requests a second on 16 kept connections during all of these changes and removals"
    report.add(Result(group, "requests of the load that failed", len(steady.failed), "", command, FAILED, more))
    proxy.running.end()


def open_upgraded(port: int) -> socket.socket:
    """
    Open a connection that stays: an upgrade, as a WebSocket begins.
    """
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.sendall(
        b"GET /socket/ HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        if not part:
            raise ConnectionError(f"no upgrade: {head!r}")
        head += part
    if not head.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"no upgrade: {head!r}")
    return connection


def is_alive(connection: socket.socket, word: bytes) -> bool:
    """
    Whether what is sent comes back.
    """
    try:
        connection.sendall(word)
        back = b""
        while len(back) < len(word) and (part := connection.recv(len(word) - len(back))):
            back += part
    except OSError:
        return False
    return back == word


def measure_open(bench: Bench, report: Report, backends: Backends) -> None:
    """
    60 changes with a WebSocket opened before each: growth of memory, processes, and whether all are still alive.
    """
    proxy = start_dfproxy(bench, "dfproxy-open")
    assert proxy.api is not None
    asyncio.run(proxy.api.publish(service("socket"), backends.upgrade))
    # Warm: what the first changes and connections allocate once is no growth.
    asyncio.run(change_many(proxy, [f"warm{i}" for i in range(20)], backends.http, 1))
    connections = [open_upgraded(proxy.port) for _ in range(5)]
    before = {pid: rss_mb(pid) for pid in proxy.running.pids()}
    for i in range(OPEN):
        connections.append(open_upgraded(proxy.port))
        asyncio.run(change_many(proxy, [f"change{i:02}"], backends.http, 1))
    after = {pid: rss_mb(pid) for pid in proxy.running.pids()}
    dead = sum(not is_alive(connection, b"still here") for connection in connections)
    for connection in connections:
        connection.close()
    group = f"{OPEN} changes with a WebSocket opened before each"
    command = "RSS of leader and worker before and after"
    growth = (sum(after.values()) / sum(before.values()) - 1) * 100
    more = f"{sum(before.values()):.1f} -> {sum(after.values()):.1f} MB; processes {len(before)} -> {len(after)}"
    report.add(Result(group, "growth of RSS", growth, "%", command, GROWTH, more))
    report.add(Result(group, "connections that were cut", dead, "", command, FAILED))
    proxy.running.end()
