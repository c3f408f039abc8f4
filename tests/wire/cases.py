"""
What a case is.
"""

from __future__ import annotations

from dataclasses import dataclass

PASSES = "passes"
"""
The message goes on, whole, as exactly one message.
"""

BODY_REFUSED = "body refused"
"""
The head was fine and may have gone on; the body is not, so the other side never sees a complete message.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """
    One message, and what has to become of it.

    Attributes:
        name: what it is, in words; unique.
        data: the bytes, complete.
        verdict: `PASSES`, `BODY_REFUSED`, or the status that the client is told.
        source: where that stands: a section of an RFC, or `ours` where an RFC leaves the choice.
        messages: how many messages the other side sees, where it passes; more than one only where several were sent.
        has: what must be in what goes on.
        lacks: what must not be in it, in lower case.
        method: of the request that a response answers.
    """

    name: str
    data: bytes
    verdict: str | int
    source: str
    messages: int = 1
    has: bytes = b""
    lacks: bytes = b""
    method: bytes = b"GET"


def request(
    name: str,
    verdict: str | int,
    source: str,
    *fields: str,
    line: str = "GET /x HTTP/1.1",
    host: str | None = "Host: a.test",
    body: bytes = b"",
    messages: int = 1,
    has: bytes = b"",
    lacks: bytes = b"",
) -> Case:
    """
    A request of lines; text stands for its bytes in Latin-1.
    """
    lines = [line, *([] if host is None else [host]), *fields, "", ""]
    return Case(name, "\r\n".join(lines).encode("latin-1") + body, verdict, source, messages, has, lacks)


def response(
    name: str,
    verdict: str | int,
    source: str,
    *fields: str,
    line: str = "HTTP/1.1 200 OK",
    body: bytes = b"",
    has: bytes = b"",
    lacks: bytes = b"",
    method: bytes = b"GET",
) -> Case:
    """
    A response of lines, likewise.
    """
    lines = [line, *fields, "", ""]
    return Case(name, "\r\n".join(lines).encode("latin-1") + body, verdict, source, 1, has, lacks, method)
