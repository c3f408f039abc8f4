"""
Replicas of the proxy that a test answers for.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from dfproxy.api.distribute import NoReplicas, Replicas
from dfproxy.control.asking import Said, Unanswered
from tests.unit.api.caller import Api

FINE = Said(200, b'{"Status": "OK", "Message": ""}')


class Others:
    """
    The network of replicas, as `Asking` and as the lookup of addresses.

    Attributes:
        addresses: of the other replicas; None: nobody knows.
        answers: of each address; an exception is raised, None waits for `held`.
        asked: `(address, method, target, body, headers)`.
        wanted: fields that replicas want of their callers.
        lookups: how often addresses were asked for.
        slow: lookups that wait, if it is a list.
    """

    def __init__(self, *addresses: str) -> None:
        self.addresses: tuple[str, ...] | None = addresses
        self.answers: dict[str, Said | Exception | None] = {}
        self.asked: list[tuple[str, str, str, bytes, dict[str, str]]] = []
        self.held: list[Deferred[Said]] = []
        self.lookups = 0
        self.wanted: dict[str, str] = {}
        self.slow: list[Deferred[tuple[str, ...]]] | None = None

    def lookup(self) -> Deferred[tuple[str, ...]]:
        self.lookups += 1
        if self.slow is not None:
            self.slow.append(Deferred())
            return self.slow[-1]
        if self.addresses is None:
            return fail(NoReplicas("tasks.proxy: there is no such name; set SERVICE_NAME"))
        return succeed(self.addresses)

    def ask(
        self, method: str, url: str, limit_s: float, limit_bytes: int, body: bytes, headers: dict[str, str]
    ) -> Deferred[Said]:
        parts = urlsplit(url)
        assert parts.port == 8080, url
        self.asked.append((parts.hostname or "", method, f"{parts.path}?{parts.query}", body, headers))
        answer = self.answers.get(parts.hostname or "", FINE)
        if answer is None:
            self.held.append(Deferred())
            return self.held[-1]
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    def close(self) -> Deferred[None]:
        return succeed(None)

    def query(self, number: int) -> list[tuple[str, str]]:
        """
        Parameters of a question.
        """
        return parse_qsl(urlsplit(self.asked[number][2]).query)


def api_with(others: Others, **more: Any) -> Api:
    """
    An API whose replicas are these.
    """
    clock = Clock()
    asking: Any = others
    replicas = Replicas(clock, others.lookup, asking, lambda: 8080, lambda: others.wanted)
    return Api(clock=clock, more={"replicas": replicas, **more})


REFUSED = Unanswered("connection refused")
