"""
Clients that know what they have to get, and say exactly what they got instead.
"""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Self

from tests.faults.server import body_of
from tests.requirements import ROOT

SIZES = (1, 100, 1500, 8000, 12_000)
"""Bytes of bodies: such as breaks off is repeated without the client seeing it."""

LONG = (40_000, 300_000)
"""Bytes of long bodies, which go past the proxy in the kernel."""


class Server:
    """
    A server process.

    Args:
        host: its address; the port is any.
        mode: see `tests.faults.server`.
    """

    def __init__(self, host: str = "127.0.0.1", mode: str = "good") -> None:
        self.host, self.mode = host, mode
        self.port = 0
        self.start()

    def start(self) -> None:
        """
        Start it, on the port that it had before.
        """
        command = (sys.executable, "-m", "tests.faults.server", f"{self.host}:{self.port}", self.mode)
        self.child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert self.child.stdout is not None
        self.port = int(self.child.stdout.readline())

    def kill(self) -> None:
        """
        End it at once.
        """
        self.child.kill()
        self.child.wait()
        if self.child.stdout is not None:
            self.child.stdout.close()


class Clients:
    """
    Threads that ask GETs, from `with` on to its end; each keeps its connection.

    Args:
        ip: the proxy's address.
        port: its port.
        name: first part of the path, which the service takes.
        count: how many.
        sizes: of the bodies.
        pause_s: between two requests of a client.

    Attributes:
        good: right answers.
        refused: connections that were not had: nobody listened.
        cut: connections that ended within an answer, or before it.
        wrong: statuses that are not 200, with their number.
        corrupted: answers with another body than was asked for.
        longest_s: the longest that a right answer took, in seconds.
    """

    def __init__(
        self,
        ip: str,
        port: int,
        name: str,
        count: int = 6,
        sizes: tuple[int, ...] = SIZES,
        pause_s: float = 0.005,
    ) -> None:
        self._place = (ip, port)
        self._name, self._sizes, self._pause_s = name, sizes, pause_s
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        self.good = self.refused = self.cut = self.corrupted = 0
        self.wrong: Counter[int] = Counter()
        self.longest_s = 0.0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def __str__(self) -> str:
        return (
            f"{self.good} right, {self.wrong.total()} wrong {dict(self.wrong) or ''}, {self.corrupted} corrupted, "
            f"{self.cut} cut, {self.refused} refused; the longest took {self.longest_s:.2f} s"
        )

    def _run(self) -> None:
        connection: socket.socket | None = None
        while not self._over.is_set():
            if connection is None:
                try:
                    connection = socket.create_connection(self._place, 5)
                    connection.settimeout(30)
                except OSError:
                    self.refused += 1
                    self._over.wait(0.01)
                    continue
            if not self._ask(connection):
                connection.close()
                connection = None
            self._over.wait(self._pause_s)
        if connection is not None:
            connection.close()

    def _ask(self, connection: socket.socket) -> bool:
        """
        One request.

        Returns:
            Whether the connection can go on.
        """
        number = next(self._numbers)
        target = f"/{self._name}/{number}/{self._sizes[number % len(self._sizes)]}"
        began = time.perf_counter()
        data = b""
        try:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: faults.test\r\n\r\n".encode())
            while b"\r\n\r\n" not in data:
                more = connection.recv(262_144)
                if not more:
                    return self._cut(data)
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields[b"content-length"])
            while len(body) < length:
                more = connection.recv(262_144)
                if not more:
                    return self._cut(data)
                body += more
        except OSError:
            return self._cut(data)
        status = int(head.split(b" ", 2)[1])
        with self._lock:
            if status != 200:
                self.wrong[status] += 1
            elif body != body_of(target):
                self.corrupted += 1
            else:
                self.good += 1
                self.longest_s = max(self.longest_s, time.perf_counter() - began)
        return fields.get(b"connection") != b"close"

    def _cut(self, data: bytes) -> bool:
        # A kept connection that was closed between two requests is no fault: a client asks again on a new one. Here it
        # counts all the same, since it cannot be told from an answer that never came.
        with self._lock:
            self.cut += 1
        return False
