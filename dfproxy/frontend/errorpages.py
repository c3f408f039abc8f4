"""
Error pages of the operator: whole raw answers in files, one for each status.

A file that cannot be used is left out and its status keeps the built-in page.

Source: HAProxy `errorfile`; DFP `/errorfiles/*.http`, which its users replace by a volume or an image of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from twisted.logger import Logger

from dfproxy.frontend.answers import REASONS

log = Logger()

Pages = dict[int, tuple[bytes, bytes]]
"""
Status to head and body of an answer.
"""

LARGEST_BYTES = 262144
"""
Largest file: a page with its pictures inside. HAProxy's buffer sets the limit there, 16 KiB.
"""

_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([\t -~\x80-\xff]*))?")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
_OURS = (b"connection", b"content-length", b"keep-alive", b"transfer-encoding", b"proxy-connection")


def read_pages(folder: str) -> Pages:
    """
    All pages of a folder; none if there is no such folder. What cannot be used is logged.
    """
    found, problems = examine(folder)
    for problem in problems:
        log.warn("{problem}", problem=problem)
    return found


def examine(folder: str) -> tuple[Pages, tuple[str, ...]]:
    """
    All pages of a folder, and what is wrong with files that cannot be used, a line for each. Blocks.
    """
    found: Pages = {}
    problems: list[str] = []
    for status in REASONS:
        file = Path(folder, f"{status}.http")
        try:
            if not file.is_file():
                continue
            with file.open("rb") as stream:
                data = stream.read(LARGEST_BYTES + 1)
            found[status] = parse_page(data, status)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append(f"the page {file} is not used: {reason}")
    return found, tuple(problems)


def parse_page(data: bytes, status: int) -> tuple[bytes, bytes]:
    """
    Head and body of an answer to HTTP/1.1, after which the connection is closed.

    Args:
        data: a raw answer; its lines end in LF or CRLF.
        status: what it must be for.

    Raises:
        ValueError: it is none; the text says why.
    """
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"it has more than {LARGEST_BYTES} bytes")
    lines: list[bytes] = []
    rest = data
    while True:
        line, end, rest = rest.partition(b"\n")
        if not end:
            raise ValueError("an empty line must end its head")
        line = line.removesuffix(b"\r")
        if not line:
            break
        lines.append(line)
    match = _LINE.fullmatch(lines[0]) if lines else None
    if match is None or int(match[1]) != status:
        raise ValueError(f"its first line must be HTTP/1.0 {status} and a reason")
    kept = []
    for line in lines[1:]:
        if not _FIELD.fullmatch(line):
            raise ValueError("its head has a line that is no header")
        if line.partition(b":")[0].lower() not in _OURS:
            kept.append(line)
    reason = match[2] or REASONS[status].encode()
    first = b"HTTP/1.1 %d %b" % (status, reason)
    head = [first, *kept, b"Content-Length: %d" % len(rest), b"Connection: close", b"", b""]
    return b"\r\n".join(head), rest


def media_type(pages: Mapping[int, tuple[bytes, bytes]], status: int) -> bytes:
    """
    The Content-Type that a page says, else that of the built-in ones.
    """
    for line in pages.get(status, (b"", b""))[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-type":
            return value.strip(b" \t")
    return b"text/html"
