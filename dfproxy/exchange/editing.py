"""
Changes to the head of a request under way: its field lines and its target.

Both what expressions see (`section`) and what the server gets (`kept`) change; where a message ends is not decided by
what can be changed here.

Source: RFC 9112 section 3; HAProxy `http-request set-header`, `set-path`, `set-query`, `set-uri`.
"""

from __future__ import annotations

from collections.abc import Callable

from dfproxy.wire.h1 import RequestHead
from dfproxy.wire.headers import first, without


def append(request: RequestHead, line: bytes) -> None:
    """
    A further field line, both for the server and for expressions.
    """
    section, kept = request.section, request.kept
    request.kept = kept + line
    request.section = request.kept if section is kept else section + line


def replace(request: RequestHead, name: bytes, line: bytes) -> None:
    """
    This line, or none, instead of all fields of a name.

    Args:
        name: in lower case.
    """
    section, kept = request.section, request.kept
    request.kept = without(kept, name) + line
    request.section = request.kept if section is kept else without(section, name) + line


def rewrite(request: RequestHead, change: Callable[[bytes], bytes]) -> None:
    """
    Change all field lines at once.

    Args:
        change: from lines, each ending in CRLF, to such lines.
    """
    section, kept = request.section, request.kept
    request.kept = change(kept)
    request.section = request.kept if section is kept else change(section)


def host_changed(request: RequestHead) -> None:
    """
    The Host field is another one: routes are chosen by it, and none is added that was missing.
    """
    request.added = without(request.added, b"host")
    request.host = (first(request.section, b"host") or b"").lower()


def set_path(request: RequestHead, path: bytes) -> None:
    """
    Another path, whatever it holds; the query stays.
    """
    start, mark, query = request.target.partition(b"?")
    old = request.path
    authority = start[: len(start) - len(old)] if start.endswith(old) else b""
    new = as_path(path)
    request.path = new.partition(b"?")[0]
    request.target = b"%b%b%b%b" % (authority, new, mark, query)


def set_query(request: RequestHead, query: bytes) -> None:
    """
    Another query. A question mark that is there stays, even if nothing follows it any more (as HAProxy has it).
    """
    start, mark, _ = request.target.partition(b"?")
    request.target = b"%b?%b" % (start, encoded(query)) if query or mark else start


def set_path_and_query(request: RequestHead, target: bytes) -> None:
    """
    Another path with its query.
    """
    start = request.target.partition(b"?")[0]
    old = request.path
    authority = start[: len(start) - len(old)] if start.endswith(old) else b""
    new = as_path(target)
    request.path = new.partition(b"?")[0]
    request.target = authority + new


def set_target(request: RequestHead, target: bytes) -> None:
    """
    Another target: a path with its query, or such with scheme and host before it.
    """
    scheme, mark, rest = target.partition(b"://")
    if not mark or b"/" in scheme or b"?" in scheme:
        new = as_path(target)
        request.target, request.path = new, new.partition(b"?")[0]
        return
    host, slash, path = rest.partition(b"/")
    new = as_path(slash + path)
    request.target, request.path = encoded(scheme + mark + host) + new, new.partition(b"?")[0]


def as_path(path: bytes) -> bytes:
    """
    What a rule made, fit for a request line: it begins with a slash, and what would end it is encoded.
    """
    path = encoded(path)
    return path if path[:1] == b"/" else b"/" + path


def encoded(text: bytes) -> bytes:
    """
    Blanks, control characters, `#` and all beyond ASCII as `%xx` (RFC 3986 section 2.1).
    """
    for character, instead in ((b" ", b"%20"), (b"#", b"%23")):
        text = text.replace(character, instead)
    if any(byte < 33 or byte > 126 for byte in text):
        text = b"".join(b"%%%02X" % byte if byte < 33 or byte > 126 else bytes([byte]) for byte in text)
    return text
