"""
Clients: how requests are spread, and which fail while things happen.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

PATH = "/demo/hello"
READY = "/v1/docker-flow-proxy/ready"
READY_S = 0.5
"""
Between two questions of a balancer whether a node is ready.
"""
TIMEOUT_S = 10.0
"""
After which a request has failed.
"""


@dataclass
class Tally:
    """
    What became of requests.

    Attributes:
        done: how many were answered 200.
        failed: the others, with the moment, in seconds since the load began.
        servers: how many each server answered.
        slowest_s: the longest that one took.
    """

    done: int = 0
    failed: list[str] = field(default_factory=list)
    servers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    def add(self, other: Tally) -> None:
        """
        Together with another one.
        """
        self.done += other.done
        self.failed += other.failed
        self.servers += other.servers
        self.slowest_s = max(self.slowest_s, other.slowest_s)

    def __str__(self) -> str:
        text = f"{self.done + len(self.failed)} requests, {len(self.failed)} failed, {len(self.servers)} servers"
        text += f", slowest {self.slowest_s * 1000:.0f} ms"
        return text + "".join(f"\n    {line}" for line in self.failed[:5])


def ask_once(
    connection: http.client.HTTPConnection, tally: Tally, since: float, method: str = "GET", path: str = PATH
) -> None:
    """
    One request; a failure closes the connection, so that the next begins anew.
    """
    began = time.monotonic()
    try:
        connection.request(method, path, body=b"x" if method == "POST" else None)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        tally.failed.append(f"{time.monotonic() - since:.2f} s: {method}: {type(error).__name__}: {error}")
        return
    tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
    if answer.status == 200:
        tally.done += 1
        tally.servers[answer.headers.get("X-Backend", "?")] += 1
    else:
        connection.close()
        tally.failed.append(f"{time.monotonic() - since:.2f} s: {method}: status {answer.status}")


def spread(address: str, count: int, path: str = PATH) -> Tally:
    """
    Requests one after another, each on a connection of its own.
    """
    tally = Tally()
    for _ in range(count):
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        ask_once(connection, tally, time.monotonic(), path=path)
        connection.close()
    return tally


class Load:
    """
    Clients that ask without end, each on a connection that it keeps: two addresses in turns of threads.

    Args:
        addresses: whom to ask.
        clients: for each address and method.
        rate: requests a second of each client.
        methods: what they ask with.
    """

    def __init__(
        self,
        addresses: tuple[str, ...],
        clients: int = 3,
        rate: float = 20.0,
        methods: tuple[str, ...] = ("GET",),
        path: str = PATH,
    ) -> None:
        self._stop = threading.Event()
        self._path = path
        self._pause_s = 1 / rate
        self._began = time.monotonic()
        self._parts = [
            (address, method, Tally()) for address in addresses for method in methods for _ in range(clients)
        ]
        self._threads = [threading.Thread(target=self._run, args=part, daemon=True) for part in self._parts]

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S + 1)

    def _run(self, address: str, method: str, tally: Tally) -> None:
        """
        One client, until the end.
        """
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        while not self._stop.wait(self._pause_s):
            ask_once(connection, tally, self._began, method, self._path)
        connection.close()

    def of(self, address: str = "", method: str = "") -> Tally:
        """
        What became of the requests to an address, with a method; empty: of all.
        """
        whole = Tally()
        for where, how, tally in self._parts:
            if address in ("", where) and method in ("", how):
                whole.add(tally)
        return whole


class Balanced(Load):
    """
    Clients of a balancer in front of the nodes, which asks each whether it is ready, and uses those that are.

    It is the plainest one: a node that has once said no, or nothing, gets no further request until it says yes.
    """

    def __init__(self, addresses: tuple[str, ...], clients: int = 3, rate: float = 20.0) -> None:
        super().__init__(("",), clients, rate)
        self.ready = dict.fromkeys(addresses, True)
        self.turns = 0
        self._threads.append(threading.Thread(target=self._look, daemon=True))

    def _look(self) -> None:
        while not self._stop.wait(READY_S):
            for address in self.ready:
                connection = http.client.HTTPConnection(address, 8080, timeout=READY_S)
                try:
                    connection.request("GET", READY)
                    ready = connection.getresponse().status == 200
                except (OSError, http.client.HTTPException):
                    ready = False
                connection.close()
                self.turns += ready != self.ready[address]
                self.ready[address] = ready

    def _run(self, address: str, method: str, tally: Tally) -> None:
        """
        One client: its requests go to the ready nodes in turn, on a connection kept to each.
        """
        kept: dict[str, http.client.HTTPConnection] = {}
        turn = 0
        while not self._stop.wait(self._pause_s):
            usable = [name for name, ready in self.ready.items() if ready]
            for name in kept.keys() - set(usable):
                kept.pop(name).close()
            if not usable:
                tally.failed.append(f"{time.monotonic() - self._began:.2f} s: no node is ready")
                continue
            turn += 1
            name = usable[turn % len(usable)]
            connection = kept.setdefault(name, http.client.HTTPConnection(name, timeout=TIMEOUT_S))
            ask_once(connection, tally, self._began, method, self._path)
        for connection in kept.values():
            connection.close()
