"""
Load on a proxy while something else happens: clients that keep their connections, judge each answer, and measure it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.e2e.proxy import Proxy
from tests.e2e.wire import Ended, Message


class Load:
    """
    Clients in threads, from `with` on to its end.

    Args:
        proxy: whom they ask.
        path: what for.
        clients: how many, each with one connection.
        wanted: whether an answer is right; None: 200.
        pause_s: between two requests of a client, so that it does not take the processor from what is tested.

    Attributes:
        answers: right ones so far.
        faults: what went wrong: an answer's head, or an error.
        reconnects: connections that the proxy ended in order, between requests.
        times: seconds that each answer took.
    """

    def __init__(
        self,
        proxy: Proxy,
        path: str,
        clients: int = 4,
        wanted: Callable[[Message], bool] | None = None,
        pause_s: float = 0.0,
    ) -> None:
        self._proxy = proxy
        self._request = f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"
        self._wanted = wanted or (lambda response: response.status == 200)
        self._pause_s = pause_s
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        self.answers = 0
        self.faults: list[str] = []
        self.times: list[float] = []

    def _ask(self) -> None:
        client = self._proxy.connect()
        while not self._over.is_set():
            began = time.perf_counter()
            try:
                client.send(self._request)
                response = client.response()
            except (Ended, OSError) as error:
                self.faults.append(repr(error))
                client.close()
                client = self._proxy.connect()
                continue
            if self._wanted(response):
                self.answers += 1
                self.times.append(time.perf_counter() - began)
            else:
                self.faults.append(f"{response.raw!r} {response.body[:100]!r}")
            if response.get("connection") == "close":
                client.close()
                client = self._proxy.connect()
            if self._pause_s:
                self._over.wait(self._pause_s)
        client.close()

    def slowest(self, share: float = 0.99) -> float:
        """
        Seconds within which this share of the answers came.
        """
        times = sorted(self.times)
        return times[min(len(times) - 1, int(len(times) * share))]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
