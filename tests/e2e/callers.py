"""
Callers of the API and clients of the front, which go on while the proxy is killed, and remember what they were told.
"""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode

from tests.e2e.proxy import API, Proxy
from tests.e2e.wire import LIMIT_S

Definitions = dict[str, str | None]
"""A name to its path; None: it is withdrawn."""


@dataclass
class Caller:
    """
    Somebody who publishes and withdraws services of his own, one call after the other, until the proxy is gone.

    Attributes:
        acknowledged: what he was told is in force.
        asked: what he asked for and was not answered.
        revisions: number to digest, as he was told.
        strange: answers that are neither 200 nor none.
        times: seconds that each answer took.
    """

    number: int
    acknowledged: Definitions = field(default_factory=dict)
    asked: Definitions = field(default_factory=dict)
    revisions: dict[int, str] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def run(self, proxy: Proxy, servers: str, chance: random.Random, first: int) -> None:
        """
        Call until there is no answer.
        """
        connection = HTTPConnection("127.0.0.1", proxy.api, timeout=LIMIT_S)
        for count in range(first, 1_000_000):
            name = f"c{self.number}n{chance.randrange(6)}"
            path = None if chance.random() < 0.2 else f"/{name}/{count}"
            began = time.perf_counter()
            self.asked[name] = path
            try:
                if path is None:
                    connection.request("GET", f"{API}/remove?serviceName={name}")
                else:
                    given = {"serviceName": name, "servicePath": path, "endpoints": servers}
                    connection.request("GET", f"{API}/reconfigure?{urlencode(given)}")
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, HTTPException):
                connection.close()
                return
            self.times.append(time.perf_counter() - began)
            if response.status != 200:
                self.strange.append(f"{response.status} {answer}")
                continue
            del self.asked[name]
            self.acknowledged[name] = path
            self.revisions[answer["Revision"]["Number"]] = answer["Revision"]["Hash"]


@dataclass
class Client:
    """
    Somebody who asks for one thing again and again, on a connection that he keeps.

    Attributes:
        right: when each right answer was there.
        wrong: what came that is not what he asked for.
        cut: answers that ended too early, and connections that ended in place of one.
        refused: attempts to connect while nobody listened.
    """

    path: str
    body: bytes
    right: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    cut: int = 0
    refused: int = 0

    def answered_since(self, moment: float) -> bool:
        """
        Whether there was a right answer since that moment.
        """
        return bool(self.right) and self.right[-1] > moment

    def run(self, port: int, over: threading.Event) -> None:
        """
        Ask until it is over.
        """
        connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        while not over.is_set():
            try:
                connection.request("GET", self.path, headers={"Host": "test"})
                response = connection.getresponse()
                body = response.read()
            except ConnectionRefusedError:
                self.refused += 1
                connection.close()
                time.sleep(0.01)
            except (OSError, HTTPException):
                self.cut += 1
                connection.close()
            else:
                if (response.status, body) == (200, self.body):
                    self.right.append(time.perf_counter())
                else:
                    self.wrong.append(f"{self.path}: {response.status}, {len(body)} bytes")
                time.sleep(0.002)
        connection.close()
