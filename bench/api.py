"""
Talks to the control API and to the front, many calls at once, with the time each took.

asyncio and plain sockets: the measuring side should cost little and share nothing with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode

BASE = "/v1/docker-flow-proxy"
CALL_LIMIT_S = 60
"""Seconds after which a call counts as not answered."""


class Refused(RuntimeError):
    """
    A call that had to succeed did not; the text says which, and what was answered.

    Attributes:
        reason: what was answered.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


def reason_of(body: bytes) -> str:
    """
    Why a call was refused: the message of its answer, or the beginning of an answer that has none.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    message = answer.get("Message") if isinstance(answer, dict) else None
    return message if isinstance(message, str) else repr(body[:300])


@dataclass(frozen=True, slots=True)
class Published:
    """
    A service as the bench publishes it: one destination, one fixed server.

    Attributes:
        name: of the service.
        query: further parameters of the reconfigure call.
        target: path of a request that takes its route.
        host: Host field of such a request.
    """

    name: str
    query: tuple[tuple[str, str], ...]
    target: str
    host: str = "bench"

    def path(self, backend: int) -> str:
        """
        The call that publishes it.

        Args:
            backend: port of its server.
        """
        fixed = {"serviceName": self.name, "port": str(backend), "endpoints": f"127.0.0.1:{backend}"}
        return f"{BASE}/reconfigure?{urlencode([*fixed.items(), *self.query])}"


async def ask(port: int, target: str, host: str = "bench") -> tuple[int, bytes]:
    """
    One GET on a connection of its own.

    Returns:
        Status and body.

    Raises:
        OSError: refused or reset.
        TimeoutError: no whole answer in time.
    """
    async with asyncio.timeout(CALL_LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read(-1)
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = head.split(b" ", 2)
    if len(fields) < 2 or not fields[1].isdigit():
        raise ConnectionError(f"no answer: {answer[:80]!r}")
    return int(fields[1]), body


class Api:
    """
    The control API of one proxy.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def is_up(self) -> bool:
        """
        Whether it answers a ping.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", f"{BASE}/ping")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    async def call(self, path: str) -> float:
        """
        Make one call that has to succeed.

        Returns:
            Seconds until its answer was complete.

        Raises:
            Refused: another status than 200.
        """
        began = time.perf_counter()
        status, body = await ask(self.port, path)
        if status != 200:
            raise Refused(path, f"{status} {reason_of(body)}")
        return time.perf_counter() - began

    async def publish(self, service: Published, backend: int) -> float:
        """
        Publish one service and wait for the answer.
        """
        return await self.call(service.path(backend))

    async def withdraw(self, name: str) -> float:
        """
        Remove one service and wait for the answer.
        """
        return await self.call(f"{BASE}/remove?serviceName={name}")

    async def publish_all(self, services: Sequence[Published], backend: int, at_once: int = 100) -> float:
        """
        Publish many, some of them at once.

        Returns:
            Seconds for all.
        """
        began = time.perf_counter()
        waiting = iter(services)

        async def one_after_another() -> None:
            for service in waiting:
                await self.publish(service, backend)

        await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        return time.perf_counter() - began

    async def withdraw_all(self, services: Sequence[Published], at_once: int = 100) -> None:
        """
        Remove many, some of them at once.
        """
        waiting = iter(services)

        async def one_after_another() -> None:
            for service in waiting:
                await self.withdraw(service.name)

        await asyncio.gather(*(one_after_another() for _ in range(at_once)))
