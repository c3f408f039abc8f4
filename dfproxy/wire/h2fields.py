"""
What HTTP/2 fields mean: lists of fields <-> the heads that all else works with, which are in HTTP/1 form.

A request that could become anything else on an HTTP/1 connection than what it is here is malformed: a name that is no
lower-case token, a value with CR, LF or NUL or blanks around it, a target with a blank, pseudo-fields that are missing,
twice, unknown or late, fields that concern a connection. What was seen once is known again by one look in a dictionary.

Source: RFC 9113 section 8; RFC 9110 section 5.
"""

from __future__ import annotations

import re

from dfproxy.wire.framing import CHUNKED, NO_BODY, content_length
from dfproxy.wire.h1 import RequestHead, ResponseHead, trailer_fields
from dfproxy.wire.hpack import Field

KNOWN_LINES = 4096
"""
Field lines that are remembered, each way; when there are more, all are forgotten. A site of many programs and pages has
some hundreds that repeat.
"""

KNOWN_BYTES = 256
"""
Longest of them: at most a megabyte in all. Longer ones are looked at each time.
"""

_NAME = re.compile(rb"[!#-'*+\-.0-9^-z|~]++").fullmatch  # RFC 9113 8.2.1: a token without capitals
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?").fullmatch  # RFC 9113 8.2.1
_METHOD = re.compile(rb"[!#-'*+\-.0-9A-Z^-z|~]++").fullmatch
_PATH = re.compile(rb"/[!-\x22\x24-~]*+").fullmatch  # as a target in HTTP/1 (`dfproxy.wire.h1`)
_AUTHORITY = re.compile(rb"[!-\x22\x24-.0-;=A-\[\]-~]++").fullmatch  # visible, none of `#/<>?@\`

_OF_CONNECTION = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""
RFC 9113 8.2.2: never in HTTP/2.
"""

_LOOKED_AT = frozenset({b"host", b"cookie", b"content-length", b"te", b"expect", b"http2-settings"})
"""
Fields of a request that are not just handed on.
"""

_SECRET = frozenset({b"authorization", b"proxy-authorization", b"set-cookie", b"cookie"})
"""
Not remembered here, and in answers never put into the client's table (RFC 7541 7.1.3).
"""


class Malformed(Exception):
    """
    Not a request (RFC 9113 8.1.1): the stream is reset.
    """


class FieldReader:
    """
    Reads lists of fields.

    Args:
        limit_bytes: longest list, as the head that it becomes.
        limit_fields: most fields.
    """

    __slots__ = ("_hosts", "_known", "_limit_bytes", "_limit_fields")

    def __init__(self, limit_bytes: int, limit_fields: int) -> None:
        self._limit_bytes = limit_bytes
        self._limit_fields = limit_fields
        self._known: dict[Field, bytes] = {}
        self._hosts: dict[bytes, tuple[bytes, bytes]] = {}

    def request(self, fields: list[Field], ended: bool, head: RequestHead) -> int:
        """
        Read the head of a request.

        Args:
            ended: there is no body.
            head: filled, but for the addresses.

        Returns:
            The status to answer with at once (400, 414, 431), or 0.

        Raises:
            Malformed: it is no request.
        """
        method = path = authority = scheme = None
        pseudo = 0
        for name, value, _ in fields:
            if name == b":method" and method is None:
                method = value
            elif name == b":path" and path is None:
                path = value
            elif name == b":authority" and authority is None:
                authority = value
            elif name == b":scheme" and scheme is None:
                scheme = value
            else:
                break
            pseudo += 1
        if method is None:
            raise Malformed("no :method")
        known = self._known
        lines = [b""]  # a place for Host
        special: list[Field] | None = None
        for field in fields[pseudo:]:
            line = known.get(field)
            if line is not None:
                lines.append(line)
            elif field[0] in _LOOKED_AT:
                if special is None:
                    special = []
                special.append(field)
            else:
                lines.append(self._line(field))
        head.method = method
        head.version = 2
        head.keep_alive = True
        head.upgrade = b""
        head.added = b""
        head.expects_continue = False
        head.body = NO_BODY if ended else CHUNKED
        host = dropped = None
        if special is not None:
            host, dropped = _special(head, special, lines, ended)
        if path is None or scheme is None:
            if method != b"CONNECT" or path is not None or scheme is not None:
                raise Malformed("no :path or no :scheme")
            head.target = head.host = authority or b""  # 8.5: refused
            head.path = head.section = head.kept = b""
            return 400
        if authority is None:
            if not host:
                raise Malformed("neither :authority nor Host")  # 8.3.1
            authority = host
        elif host is not None and host.lower() != authority.lower():
            raise Malformed("Host differs from :authority")
        found = self._hosts.get(authority)
        if found is None:
            found = self._host(authority)
        lines[0], head.host = found
        if _PATH(path):
            head.path = path.partition(b"?")[0] if b"?" in path else path
        elif path == b"*" and method == b"OPTIONS":
            head.path = b""
        else:
            raise Malformed("not a path")
        head.target = path
        if not _METHOD(method):
            raise Malformed("not a method")
        if head.body == CHUNKED:
            head.added = b"Transfer-Encoding: chunked\r\n"
        head.kept = head.section = kept = b"".join(lines)
        if dropped is not None:
            head.section = kept + dropped
        if len(path) > self._limit_bytes:
            return 414
        if len(kept) + len(path) > self._limit_bytes or len(fields) > self._limit_fields + pseudo:
            return 431
        if method == b"CONNECT" or scheme not in (b"http", b"https"):
            return 400
        return 0

    def trailers(self, fields: list[Field]) -> bytes:
        """
        Read the fields after a body.

        Returns:
            Field lines that may go on, each ending in CRLF.

        Raises:
            Malformed: they are none.
        """
        kept = trailer_fields(b"".join(map(_checked, fields)) + b"\r\n")
        if kept is None:
            raise Malformed("not trailers")
        return kept

    def _line(self, field: Field) -> bytes:
        line = _checked(field)
        if len(line) <= KNOWN_BYTES and field[0] not in _SECRET and not field[2]:
            if len(self._known) >= KNOWN_LINES:
                self._known.clear()
            self._known[field] = line
        return line

    def _host(self, authority: bytes) -> tuple[bytes, bytes]:
        if not _AUTHORITY(authority):
            raise Malformed("not an authority")
        found = b"Host: %b\r\n" % authority, authority.lower()
        if len(authority) <= KNOWN_BYTES:
            if len(self._hosts) >= KNOWN_LINES:
                self._hosts.clear()
            self._hosts[authority] = found
        return found


def _checked(field: Field) -> bytes:
    """
    The line of a field in an HTTP/1 head.
    """
    name, value, _ = field
    if not _NAME(name) or not _VALUE(value):
        raise Malformed("not a field")  # a pseudo-field that is unknown or late as well: 8.3
    if name in _OF_CONNECTION:
        raise Malformed("a field of HTTP/1 connections")
    return b"%b: %b\r\n" % (name, value)


def _special(
    head: RequestHead, special: list[Field], lines: list[bytes], ended: bool
) -> tuple[bytes | None, bytes | None]:
    """
    Read the fields that are not just handed on.

    Args:
        lines: those that are handed on are added.

    Returns:
        The value of Host, and lines that are not handed on; None if there are none.
    """
    host: bytes | None = None
    dropped = b""
    crumbs: list[bytes] = []
    length = -1
    for field in special:
        line = _checked(field)
        name, value, _ = field
        if name == b"cookie":
            crumbs.append(value)
        elif name == b"content-length":
            count = content_length(value)
            if count is None or length not in (-1, count):
                raise Malformed("Content-Length is no number, or differs from another")
            if length < 0:
                lines.append(line)
            length = count
        elif name == b"host":
            if host is not None:
                raise Malformed("more than one Host")
            host = value
        elif name == b"expect":
            head.expects_continue = value.lower() == b"100-continue"
            lines.append(line)
        else:
            if name == b"te" and value.lower() != b"trailers":
                raise Malformed("TE other than trailers")  # 8.2.2
            dropped += line
    if crumbs:
        lines.append(b"cookie: %b\r\n" % b"; ".join(crumbs))  # 8.2.3
    if length > 0 and ended:
        raise Malformed("no body, and a Content-Length")  # 8.1.1
    if length >= 0:
        head.body = length
    return host, dropped or None


class FieldWriter:
    """
    Turns heads of servers into lists of fields.
    """

    __slots__ = ("_known", "_statuses")

    def __init__(self) -> None:
        self._known: dict[bytes, Field | None] = {}
        self._statuses: dict[int, Field] = {}

    def response(self, head: ResponseHead) -> list[Field]:
        """
        The fields of an answer, interim or final.
        """
        status = self._statuses.get(head.status)
        if status is None:
            status = self._statuses[head.status] = (b":status", b"%d" % head.status, False)
        fields = [status]
        self._add(head.kept, fields)
        return fields

    def trailers(self, section: bytes) -> list[Field]:
        """
        The fields of checked trailer lines.
        """
        fields: list[Field] = []
        self._add(section, fields)
        return fields

    def _add(self, section: bytes, fields: list[Field]) -> None:
        known = self._known
        for line in section.split(b"\r\n")[:-1]:
            try:
                field = known[line]
            except KeyError:
                field = self._field(line)
            if field is not None:
                fields.append(field)

    def _field(self, line: bytes) -> Field | None:
        name, _, value = line.partition(b":")
        name = name.lower()
        secret = name in _SECRET
        field = None if name in _OF_CONNECTION else (name, value.strip(b" \t"), secret)
        if not secret and len(line) <= KNOWN_BYTES:
            if len(self._known) >= KNOWN_LINES:
                self._known.clear()
            self._known[line] = field
        return field
