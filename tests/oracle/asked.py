"""
A request, and what it is changed into so that it just misses: a character, the case, a port or a slash away.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

FIXED = ("Accept-Encoding", "X-Forwarded-For")
"""Fields that near misses leave alone: see `words.INTENDED`."""

Change = Callable[[str], str]


@dataclass
class Asked:
    """
    A request.

    Attributes:
        port: that it goes to.
        client: address that it comes from.
        near: how it was changed from one that a service takes; empty: it was not.
    """

    method: str
    target: str
    host: str
    port: int
    client: str
    lines: list[str] = field(default_factory=list)
    body: bytes = b""
    near: str = ""

    @property
    def raw(self) -> bytes:
        """
        As it is sent.
        """
        fields = [f"Host: {self.host}", *self.lines, "Connection: close"]
        if self.body:
            fields.append(f"Content-Length: {len(self.body)}")
        head = "".join(f"{line}\r\n" for line in (f"{self.method} {self.target} HTTP/1.1", *fields, ""))
        return head.encode("latin-1") + self.body


class Misses:
    """
    Changes requests.

    Args:
        chance: decides how.
        ports: that they may go to.
    """

    def __init__(self, chance: random.Random, ports: Sequence[int]) -> None:
        self._chance = chance
        self._ports = ports

    def change(self, request: Asked) -> None:
        """
        Change it in one place.
        """
        kind = self._chance.choice(("character", "character", "case", "port", "slash"))
        request.near = kind
        if kind == "port":
            self._other_port(request)
        elif kind == "slash":
            self._other_slash(request)
        elif kind == "case":
            self._elsewhere(request, self._swapped)
        else:
            self._elsewhere(request, self._edited)

    def _other_port(self, request: Asked) -> None:
        if self._chance.randrange(2):
            request.port = self._chance.choice([port for port in self._ports if port != request.port])
            return
        host, colon, port = request.host.partition(":")
        request.host = host + (
            self._chance.choice(("", ":81", ":8")) if colon else self._chance.choice((":80", ":443"))
        )

    def _other_slash(self, request: Asked) -> None:
        path, mark, query = request.target.partition("?")
        at = self._chance.choice([place for place, letter in enumerate(path) if letter == "/"])
        if at and self._chance.randrange(5) < 2:
            path = path[:at] + path[at + 1 :]
        elif self._chance.randrange(2):
            path = path[:at] + "/" + path[at:]
        else:
            path = path[:-1] if len(path) > 1 and path.endswith("/") else f"{path}/"
        request.target = path + mark + query

    def _elsewhere(self, request: Asked, change: Change) -> None:
        where = self._chance.choice(("path", "path", "path", "host", "host", "line"))
        if where == "host":
            host, colon, port = request.host.partition(":")
            request.host = (change(host) or "a") + colon + port
        elif where == "line" and (lines := [line for line in request.lines if not line.startswith(FIXED)]):
            at = request.lines.index(self._chance.choice(lines))
            name, _, value = request.lines[at].partition(": ")
            request.lines[at] = f"{name}: {change(value)}"
        else:
            path, mark, query = request.target.partition("?")
            request.target = "/" + change(path[1:]) + mark + query

    def _swapped(self, text: str) -> str:
        places = [place for place, letter in enumerate(text) if letter.isalpha()]
        if not places:
            return f"{text}A"
        at = self._chance.choice(places)
        return text[:at] + text[at].swapcase() + text[at + 1 :]

    def _edited(self, text: str) -> str:
        at = self._chance.randint(0, len(text))
        letter = self._chance.choice("abAx1.-")
        how = self._chance.randint(0, 2)
        if how == 0 or at == len(text):
            return text[:at] + letter + text[at:]
        return text[:at] + (letter if how == 1 else "") + text[at + 1 :]
