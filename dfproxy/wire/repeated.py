"""
Request heads whose fields came before, byte by byte, on the same connection.

Most requests of a kept connection are such: programs always send the same fields, browsers do while they fetch what a
page consists of, and of a head of ten fields three quarters of the reading are spent on them. What was read of them is
remembered for the next request; its line is read as strictly as ever. With HTTP/2 a whole request may be the same list.

Source: RFC 9112 sections 3 and 5; RFC 9113 8.3.1.
"""

from __future__ import annotations

from typing import NamedTuple

from dfproxy.wire.framing import NO_BODY
from dfproxy.wire.h1 import ORIGIN_LINE, RequestHead
from dfproxy.wire.hpack import Field


class Repeated(NamedTuple):
    """
    What was read of the fields of a request without a body.

    Attributes:
        lines: the field lines and the empty line.
        section: as of `RequestHead`, and so the rest.
    """

    lines: bytes
    section: bytes
    host: bytes
    kept: bytes
    version: int
    keep_alive: bool


def repeated(head: RequestHead) -> Repeated | None:
    """
    What the next head on the connection may have in common with this one.

    Args:
        head: as it was read; nobody has changed it yet.

    Returns:
        None: its fields mean more than is remembered (a body, an upgrade, a missing Host), or its target is no path.
    """
    if head.body or head.added or head.expects_continue or head.target[:1] != b"/":
        return None
    section = head.section
    return Repeated(section + b"\r\n", section, head.host, head.kept, head.version, head.keep_alive)


def request_again(data: bytes, known: Repeated, limit_bytes: int) -> tuple[RequestHead, int] | None:
    """
    Read a request head with the same fields.

    Args:
        data: what has arrived; the head begins at its start.
        known: of the earlier one.
        limit_bytes: longest head, with its line.

    Returns:
        What `request_head` would return; None: ask that.
    """
    match = ORIGIN_LINE.match(data)
    if match is None:
        return None
    method, target, minor = match.groups()
    start = match.end()
    end = start + len(known.lines)
    # In the other version the same fields mean something else (Connection).
    if not data.startswith(known.lines, start) or (minor == b"1") != known.version or end > limit_bytes:
        return None
    head = RequestHead()
    head.method = method
    head.target = target
    head.path = target.partition(b"?")[0]
    _, head.section, head.host, head.kept, head.version, head.keep_alive = known
    head.body = NO_BODY
    head.upgrade = head.added = b""
    head.expects_continue = False
    return head, end


class RepeatedList(NamedTuple):
    """
    What was read of a list of fields of HTTP/2, a request without a body. Lists whose bytes are the same are one object
    (`dfproxy.wire.h2`).

    Attributes:
        fields: the list itself.
        method: as of `RequestHead`, and so the rest.
    """

    fields: list[Field]
    method: bytes
    target: bytes
    path: bytes
    section: bytes
    host: bytes
    kept: bytes

    def fill(self, head: RequestHead) -> None:
        """
        Make this the same request once more, but for the addresses.
        """
        _, head.method, head.target, head.path, head.section, head.host, head.kept = self
        head.version = 2
        head.keep_alive = True
        head.body = NO_BODY
        head.upgrade = head.added = b""
        head.expects_continue = False


def repeated_list(fields: list[Field], head: RequestHead) -> RepeatedList | None:
    """
    What another request of the same list has in common with this one.

    Args:
        head: as it was read from it; nobody has changed it yet.

    Returns:
        None: it means more than is remembered.
    """
    if head.body or head.added or head.expects_continue:
        return None
    return RepeatedList(fields, head.method, head.target, head.path, head.section, head.host, head.kept)
