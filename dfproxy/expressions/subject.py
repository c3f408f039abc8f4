"""
What expressions are evaluated on, and the surroundings they may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from dfproxy.interfaces import IRequest


class Answer(Protocol):
    """
    A server's answer, as far as expressions look at it (`dfproxy.wire.h1.ResponseHead`).
    """

    status: int
    kept: bytes


class Server(Protocol):
    """
    The server that answers.
    """

    name: str
    host: str
    port: int


class Subject:
    """
    One request, and on the way back its answer.

    Attributes:
        request: the head; its header rules so far have been applied.
        backend: name of the backend.
        client: the client's side; its transport knows what the client connected to.
        answer: the head of the answer; None: there is none yet.
        server: who answers; None: not chosen yet.
        variables: what `set-var` has set, by name; None: nothing yet.
    """

    __slots__ = ("answer", "backend", "client", "request", "server", "variables")

    def __init__(self, request: IRequest, backend: str, client: object = None) -> None:
        self.request = request
        self.backend = backend
        self.client = client
        self.answer: Answer | None = None
        self.server: Server | None = None
        self.variables: dict[str, bytes | int | bool] | None = None

    @property
    def local_address(self) -> str:
        """
        What the client connected to; empty: not known.
        """
        transport: Any = getattr(self.client, "transport", None)
        return str(getattr(transport.getHost(), "host", "")) if transport is not None else ""


class Named(Protocol):
    """
    A test with a name (`dfproxy.expressions.conditions.NamedTest`).
    """

    def tests(self, phase: Any, /) -> list[Callable[[Subject], bool]]:
        """
        Its alternatives, of which any must hold; a later line of configuration may add some.
        """


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What expressions may ask besides.

    Attributes:
        environment: for `env(NAME)` and `"$NAME"`.
        hostname: for `%H`.
        process: number of this process, for `%pid`.
        now: seconds since 1970.
        random: for `uuid()` and `rand(N)`.
        acls: tests that have a name.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    process: int = 0
    now: Callable[[], float] = lambda: 0.0
    random: Random = field(default_factory=Random)
    acls: Mapping[str, Named] = field(default_factory=dict)
