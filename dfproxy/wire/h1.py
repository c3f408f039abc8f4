"""
HTTP/1 heads: strict parsing and the bytes that go on.

A head is accepted by one regular expression that is the grammar of RFC 9112 sections 3 to 5, made stricter: CRLF only,
no obs-fold, no blank before a colon, no control character anywhere. What does not match is refused, never guessed.
Field lines go on as they came, in order and case; those that concern one hop only are left out.

Why not llhttp (httptools): it refuses methods that it does not know and lower-case ones, which HAProxy and so DFP pass
on, and costs as much once the head is put together again. Tests use it as a second opinion.

Longer than other modules, but one thing: the two heads share grammar, limits and what is left out.

Which request may go where, and where a body ends, is decided in `dfproxy.wire.framing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zope.interface import implementer

from dfproxy.errors import ClientProtocolError, ServerProtocolError
from dfproxy.interfaces import IRequest
from dfproxy.model.connection import TlsFacts
from dfproxy.wire.framing import CHUNKED, NO_BODY, UNTIL_CLOSE, content_length

# Ranges where they can be: they are matched a third faster than sets of single characters or what is not in a set.
_TOKEN = rb"[!#-'*+\-.0-9A-Z^-z|~]++"  # RFC 9110 5.6.2
_TEXT = rb"[\t -~\x80-\xff]*+"  # RFC 9110 5.5: no control character but TAB, so neither CR, LF nor NUL
_FIELDS = rb"((?:" + _TOKEN + rb":" + _TEXT + rb"\r\n)*+)\r\n"

# RFC 9112 3: the target is visible ASCII; `#` cannot be in one (RFC 9110 7.1).
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([!-\x22\x24-~]++) HTTP/1\.([01])\r\n" + _FIELDS)
ORIGIN_LINE = re.compile(rb"(" + _TOKEN + rb") (/[!-\x22\x24-~]*+) HTTP/1\.([01])\r\n")
_RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: (" + _TEXT + rb"))?\r\n" + _FIELDS)
_SECTION = re.compile(_FIELDS)

# What can be no beginning of a head: a control character, a lone LF, a lone CR.
_HOPELESS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r[^\n]")

# Fields that need a second look are found by one search over the lower-case section, which begins with the LF of the
# line before it: 0.8 us for an answer of eight fields, where a look at each line takes 2.
_REQUEST_FIELDS = (
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"http2-settings",
    b"upgrade",
    b"expect",
)
_RESPONSE_FIELDS = (
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"upgrade",
)
_IN_REQUEST = re.compile(b"\n(" + b"|".join(_REQUEST_FIELDS) + b"):([^\r]*)")
_IN_RESPONSE = re.compile(b"\n(" + b"|".join(_RESPONSE_FIELDS) + b"):([^\r]*)")
_NEVER_NAMED = frozenset({b"host", b"content-length", b"transfer-encoding", b"close", b"keep-alive", b"upgrade"})
"""
Words in Connection that name no field to leave out: options of their own, and fields a peer may not take away.
"""


@implementer(IRequest)
class RequestHead:
    """
    The head of a request; provides `IRequest`.

    Attributes:
        method: as it came.
        target: as it came.
        path: the target without scheme, authority and query; b"" for `*`.
        host: value of Host with its port, or of the target's authority, in lower case; b"" if there is none.
        version: 0 or 1, the minor version of HTTP/1; 2: the request came by HTTP/2.
        section: all field lines as they came, each ending in CRLF.
        kept: the field lines that go on, each ending in CRLF.
        added: field lines that the server gets besides: framing, a missing Host, the change of protocol.
        body: bytes of the body, or `NO_BODY`, or `CHUNKED`.
        keep_alive: the client wants to go on after the answer (RFC 9112 9.3).
        upgrade: protocol that the client offers to change to, in its own spelling; b"" if none.
        expects_continue: the client waits for 100 before it sends the body.
        captured: fields that the access log shows; not set at all where it shows none.
        client_host: IP address of the client.
        client_port: its port.
        local_port: port that it connected to.
        sticky: the server that its cookie names; not set at all where no route asks for it.
        tls: what is known of the TLS connection it came on; not set at all where there is none, so ask `tls_of`.
        relayed_https: True: a trusted proxy says that the client speaks TLS with it; else not set at all.
    """

    __slots__ = (
        "added",
        "body",
        "captured",
        "client_host",
        "client_port",
        "expects_continue",
        "host",
        "keep_alive",
        "kept",
        "local_port",
        "method",
        "path",
        "relayed_https",
        "section",
        "sticky",
        "target",
        "tls",
        "upgrade",
        "version",
    )

    method: bytes
    target: bytes
    path: bytes
    host: bytes
    version: int
    section: bytes
    kept: bytes
    added: bytes
    body: int
    keep_alive: bool
    upgrade: bytes
    expects_continue: bool
    client_host: str
    client_port: int
    local_port: int
    tls: TlsFacts
    sticky: object
    captured: tuple[bytes, ...]
    relayed_https: bool

    def values(self, name: bytes) -> list[bytes]:
        """
        All values of one field in their order, without surrounding blanks.

        Args:
            name: in lower case.
        """
        return _values(self.section, name)


def _values(section: bytes, name: bytes) -> list[bytes]:
    length = len(name)
    return [
        line[length + 1 :].strip(b" \t")
        for line in section.split(b"\r\n")
        if line[length : length + 1] == b":" and line[:length].lower() == name
    ]


def tls_of(request: object) -> TlsFacts | None:
    """
    What is known of the TLS connection that a request came on; None: it came without. Plain requests do not even have
    the attribute, so that they need not set it.
    """
    return getattr(request, "tls", None)


def is_https(request: object) -> bool:
    """
    Whether the client speaks TLS: with us, or with a proxy that we trust and that says so.
    """
    return getattr(request, "tls", None) is not None or getattr(request, "relayed_https", False)


class ResponseHead:
    """
    The head of a server's answer.

    Attributes:
        status: 100 to 999.
        line: status line towards the client, ending in CRLF; the version is ours.
        kept: the field lines that go on, each ending in CRLF; without framing other than Content-Length.
        body: bytes of the body, or `NO_BODY`, `CHUNKED` or `UNTIL_CLOSE`.
        keep_alive: the server's connection may be used again.
        upgrade: protocol named in Upgrade, in lower case; b"" if none.
        old: True: the server speaks HTTP/1.0; else perhaps not set at all.
    """

    __slots__ = ("body", "keep_alive", "kept", "line", "old", "status", "upgrade")

    status: int
    line: bytes
    kept: bytes
    body: int
    keep_alive: bool
    upgrade: bytes
    old: bool


def request_head(data: bytes, start: int, limit_bytes: int, limit_fields: int) -> tuple[RequestHead, int] | None:
    """
    Read one request head.

    Args:
        data: what has arrived.
        start: where the head begins in it.
        limit_bytes: longest head, with its line.
        limit_fields: most field lines.

    Returns:
        The head and the position after it; None if it is not complete yet.

    Raises:
        ClientProtocolError: with the status to answer (400, 414, 431).
    """
    match = _REQUEST.match(data, start)
    if match is None:
        return _no_request(data, start, limit_bytes, limit_fields)
    end = match.end()
    if end - start > limit_bytes:
        raise _too_long(data, start, limit_bytes)
    head = RequestHead()
    head.method, target, minor, section = match.groups()
    head.target = target
    head.section = section
    head.version = version = 1 if minor == b"1" else 0
    head.body = NO_BODY
    head.upgrade = head.added = b""
    head.expects_continue = False
    head.keep_alive = version == 1
    if len(section) > limit_fields * _LEAST_FIELD_BYTES and section.count(b"\n") > limit_fields:
        raise ClientProtocolError(431, "too many fields")
    lowered = b"\n" + section.lower()
    found = _IN_REQUEST.findall(lowered)
    if len(found) == 1 and found[0][0] == b"host":  # nothing else to look at: most requests of programs
        host: bytes | None = found[0][1].strip(b" \t")
        head.kept = section
    else:
        host = _special_fields(head, found, lowered)
    if target[:1] == b"/":
        head.path = target.partition(b"?")[0]
        if host is None:
            if version == 1:
                raise ClientProtocolError(400, "no Host")  # RFC 9112 3.2
            head.host = b""
        elif host.translate(None, _HOST_CHARS):
            raise ClientProtocolError(400, "Host is no host")
        else:
            head.host = host
    else:
        _other_form(head, host)
    if host is None:  # from HTTP/1.0; the server gets HTTP/1.1, which needs one (RFC 9112 3.2)
        head.added += b"Host: %b\r\n" % head.host
    return head, end


# RFC 9110 7.2, RFC 3986 3.2.2: what a host may be made of. Anything else is read differently by different servers.
_HOST_CHARS = b"abcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=:[]"
_LEAST_FIELD_BYTES = 4  # `a:` and CRLF: fewer bytes cannot hold too many fields


def _special_fields(head: RequestHead, found: list[tuple[bytes, bytes]], lowered: bytes) -> bytes | None:
    """
    Framing, connection, and what else decides where a request may go and how.

    Args:
        found: the names and values of such fields, in lower case.
        lowered: LF and the whole section in lower case.

    Returns:
        The value of Host; None if there is none.
    """
    version = head.version
    host: bytes | None = None
    coded = False
    lengths = 0
    connection: list[bytes] | None = None
    offered = False
    dropped: set[bytes] = set()
    for name, value in found:
        value = value.strip(b" \t")
        if name == b"host":
            if host is not None:
                raise ClientProtocolError(400, "more than one Host")  # RFC 9112 3.2
            host = value
        elif name == b"connection":
            words = [word.strip(b" \t") for word in value.split(b",")]
            connection = words if connection is None else connection + words
            dropped.add(name)
        elif name == b"content-length":
            length = content_length(value)
            if length is None or (lengths and length != head.body):
                raise ClientProtocolError(400, "Content-Length is no number, or differs from another")
            head.body = length
            lengths += 1
        elif name == b"transfer-encoding":
            # RFC 9112 6.1, 6.3: exactly one coding that we know, and not from HTTP/1.0.
            if coded or version == 0 or value != b"chunked":
                raise ClientProtocolError(400, "Transfer-Encoding is not exactly chunked")
            coded = True
            dropped.add(name)
        elif name == b"expect":
            head.expects_continue = value == b"100-continue" and version == 1
        else:
            offered = offered or name == b"upgrade"
            dropped.add(name)
    if coded:
        if lengths:
            raise ClientProtocolError(400, "both Content-Length and Transfer-Encoding")  # RFC 9112 6.3 item 3
        head.body = CHUNKED
        head.added = b"Transfer-Encoding: chunked\r\n"
    if connection is not None:
        if b"close" in connection:
            head.keep_alive = False
        elif version == 0:
            head.keep_alive = b"keep-alive" in connection
        if offered and version == 1 and b"upgrade" in connection:
            upgrade = b", ".join(_values(head.section, b"upgrade"))
            if b"h2c" not in upgrade.lower():
                head.upgrade = upgrade
                head.added += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % upgrade
        dropped.update(word for word in connection if word and word not in _NEVER_NAMED)
    head.kept = _without(head.section, lowered, dropped)
    if lengths > 1:  # equal ones: one goes on
        head.kept = _without(head.kept, b"\n" + head.kept.lower(), {b"content-length"})
        head.kept += b"Content-Length: %d\r\n" % head.body
    return host


def _other_form(head: RequestHead, host: bytes | None) -> None:
    """
    Targets that are no path (RFC 9112 3.2.2 to 3.2.4): absolute, `*`, and the authority of CONNECT, which we refuse.
    """
    target = head.target
    if target == b"*" and head.method == b"OPTIONS":
        if host is None and head.version == 1:
            raise ClientProtocolError(400, "no Host")
        head.path, head.host = b"", host or b""
        return
    scheme, colon, rest = target.partition(b"://")
    if not colon or scheme.lower() not in (b"http", b"https") or head.method == b"CONNECT":
        raise ClientProtocolError(400, "target is neither a path nor a URL")
    cut = min((rest.find(mark) % (len(rest) + 1) for mark in (b"/", b"?")), default=len(rest))
    authority = rest[:cut]
    if not authority or authority.lower().translate(None, _HOST_CHARS):
        raise ClientProtocolError(400, "target has no usable host")
    if host is None and head.version == 1:
        raise ClientProtocolError(400, "no Host")
    if host is not None and host.lower() != authority.lower():
        raise ClientProtocolError(400, "host of the target differs from Host")  # as HAProxy; RFC 9112 3.2.2
    head.host = authority
    path = rest[cut:].partition(b"?")[0]
    head.path = path or b"/"


def _without(section: bytes, lowered: bytes, names: Iterable[bytes]) -> bytes:
    """
    The section without the fields of these names.

    Args:
        lowered: LF and the section in lower case.
        names: in lower case.
    """
    for name in names:
        mark = b"\n%b:" % name
        start = lowered.find(mark)
        while start >= 0:
            end = lowered.find(b"\n", start + 1)
            section = section[:start] + section[end:]
            lowered = lowered[:start] + lowered[end:]
            start = lowered.find(mark, start)
    return section


def _no_request(data: bytes, start: int, limit_bytes: int, limit_fields: int) -> tuple[RequestHead, int] | None:
    """
    No complete head here: not yet, or never.
    """
    if data.startswith(b"\r\n", start):  # RFC 9112 2.2: one empty line before a request is skipped
        if data.startswith(b"\r\n", start + 2):
            raise ClientProtocolError(400, "empty lines instead of a request")
        if len(data) == start + 2:
            return None
        return request_head(data, start + 2, limit_bytes, limit_fields)
    end = data.find(b"\r\n\r\n", start)
    if (len(data) if end < 0 else end) - start > limit_bytes:
        raise _too_long(data, start, limit_bytes)
    if end >= 0 or _HOPELESS.search(data, start):
        raise ClientProtocolError(400, "not a request head")
    return None


def _too_long(data: bytes, start: int, limit_bytes: int) -> ClientProtocolError:
    line_end = data.find(b"\r\n", start)
    if line_end < 0 or line_end - start > limit_bytes:
        return ClientProtocolError(414, "target too long")
    return ClientProtocolError(431, "head too long")


def response_head(data: bytes, bodiless: bool, limit_bytes: int, limit_fields: int) -> tuple[ResponseHead, int] | None:
    """
    Read one head of a server.

    Args:
        data: what has arrived; the head begins at its start.
        bodiless: the request was HEAD.
        limit_bytes: longest head.
        limit_fields: most field lines.

    Returns:
        The head and the position after it; None if it is not complete yet.

    Raises:
        ServerProtocolError: it is no acceptable answer (502).
    """
    match = _RESPONSE.match(data)
    if match is None:
        end = data.find(b"\r\n\r\n")
        if end >= 0 or len(data) > limit_bytes or _HOPELESS.search(data) or not _may_begin(data):
            raise ServerProtocolError("not a response head, or too long")
        return None
    end_of_head = match.end()
    if end_of_head > limit_bytes:
        raise ServerProtocolError("head too long")
    minor, code, reason, section = match.groups()
    head = ResponseHead()
    head.status = status = int(code)
    version = 1 if minor == b"1" else 0
    if version and reason:
        head.line = data[: match.end(3) + 2]
    else:
        head.line = b"HTTP/1.1 %b %b\r\n" % (code, reason or b"")
        head.old = not version
    keep_alive = version == 1
    head.upgrade = b""
    if len(section) > limit_fields * _LEAST_FIELD_BYTES and section.count(b"\n") > limit_fields:
        raise ServerProtocolError("too many fields")
    body = UNTIL_CLOSE
    connection = b""
    others: list[bytes] | None = None
    lowered = b"\n" + section.lower()
    for name, value in _IN_RESPONSE.findall(lowered):
        if name == b"content-length":
            length = content_length(value)
            if length is None or (body != UNTIL_CLOSE and length != body):
                raise ServerProtocolError("Content-Length is no number, or differs from another")
            if body != UNTIL_CLOSE:
                others = [*(others or ()), name]
            body = length
        elif name == b"connection" and not connection:
            connection = value.strip(b" \t")
        elif others is None:
            others = [name]
        else:
            others.append(name)
    if connection:
        if connection == b"close":
            keep_alive = False
        elif connection == b"keep-alive":
            keep_alive = True
        else:
            others = others or [b"connection"]
        start = lowered.find(b"\nconnection:")
        end = lowered.find(b"\n", start + 1)
        head.kept = section[:start] + section[end:]
    else:
        head.kept = section
    if others is not None or status < 200 or status == 204:
        head.keep_alive = keep_alive
        body = _special_answer(head, others or [], section, lowered, version, body)
        keep_alive = head.keep_alive
    if bodiless or status < 200 or status == 204 or status == 304:  # RFC 9112 6.3 item 1
        body = NO_BODY
    elif body == UNTIL_CLOSE:
        keep_alive = False
    head.keep_alive = keep_alive
    head.body = body
    return head, end_of_head


def _special_answer(
    head: ResponseHead, others: list[bytes], section: bytes, lowered: bytes, version: int, body: int
) -> int:
    """
    What most answers do not have: chunks, several options in Connection, repeated fields, a change of protocol.

    Returns:
        Where the body ends.
    """
    status = head.status
    dropped = {b"connection", *others}
    words = [word.strip(b" \t") for value in _values(lowered[1:], b"connection") for word in value.split(b",")]
    if b"close" in words:
        head.keep_alive = False
    elif not version:
        head.keep_alive = b"keep-alive" in words
    dropped.update(word for word in words if word and word not in _NEVER_NAMED)
    codings = [value.lower() for value in _values(section, b"transfer-encoding")]
    if codings:
        if body != UNTIL_CLOSE:
            raise ServerProtocolError("both Content-Length and Transfer-Encoding")
        if not version or codings != [b"chunked"]:
            raise ServerProtocolError("Transfer-Encoding is not exactly chunked")
        body = CHUNKED
    if b"upgrade" in dropped:
        head.upgrade = b", ".join(_values(section, b"upgrade")).lower()
        if status == 426 or status == 101:
            dropped.discard(b"upgrade")  # says what to change to (RFC 9110 15.5.22); the client needs it
    if status < 200 or status == 204:
        dropped.add(b"content-length")  # RFC 9110 8.6: not in 1xx and 204
    head.kept = _without(section, lowered, dropped)
    if b"content-length" in others and status >= 200 and status != 204:
        head.kept += b"Content-Length: %d\r\n" % body  # equal ones: one goes on
    return body


def binds_connection(head: ResponseHead) -> bool:
    """
    Whether a 401 or 407 begins to authenticate the connection instead of the request (RFC 4559 section 6: NTLM and
    Negotiate do): from then on it belongs to this client.
    """
    challenges = _values(head.kept, b"www-authenticate") + _values(head.kept, b"proxy-authenticate")
    return any(challenge[:9].lower().startswith((b"ntlm", b"negotiate")) for challenge in challenges)


def _may_begin(data: bytes) -> bool:
    """
    Whether these first bytes can still become a status line.
    """
    return data.startswith(b"HTTP/1.") or b"HTTP/1.".startswith(data)


def trailer_fields(section: bytes) -> bytes | None:
    """
    Check a trailer section, and leave out what may not stand there (RFC 9110 6.5.1: framing, routing, connection).

    Args:
        section: field lines and the empty line, as they came.

    Returns:
        Field lines that go on, each ending in CRLF; None if the section is not well formed.
    """
    match = _SECTION.fullmatch(section)
    if match is None:
        return None
    kept = [line for line in match[1].split(b"\r\n") if line and line.partition(b":")[0].lower() not in _NO_TRAILER]
    return b"".join(line + b"\r\n" for line in kept)


_NO_TRAILER = frozenset(
    {
        *_REQUEST_FIELDS,
        *_RESPONSE_FIELDS,
        b"authorization",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"set-cookie",
        b"trailer",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    }
)
