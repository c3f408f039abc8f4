"""
What we say ourselves: refusals, as complete bytes made once.

Source: DFP's error files (contract: `Cache-Control: no-cache`, `Connection: close`, HTML); RFC 9110 15.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Pages = Mapping[int, tuple[bytes, bytes]]
"""
Status to head and body of the operator's own answers (`dfproxy.frontend.errorpages`).
"""

NO_PAGES: Pages = MappingProxyType({})

REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

_SENTENCES = {
    400: "Your request is not well-formed HTTP.",
    401: "This needs a user name and a password.",
    403: "This is not for you.",
    405: "This cannot be asked with that method.",
    408: "Your request did not arrive in time.",
    413: "Your request is too large.",
    414: "The address you asked for is too long.",
    429: "You ask too often.",
    431: "The fields of your request are too long or too many.",
    500: "Something went wrong here.",
    502: "The server gave no usable answer.",
    503: "No server is available for this request.",
    504: "The server did not answer in time.",
}


def _body(status: int) -> bytes:
    reason = REASONS[status]
    page = (
        f"<!DOCTYPE html>\n<html><head><title>dfproxy: {status} {reason}</title></head>\n"
        f"<body><h1>{status} {reason}</h1>\n<p>{_SENTENCES[status]}</p>\n</body></html>\n"
    )
    return page.encode("ascii")


def _head(status: int) -> bytes:
    return (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: {len(_body(status))}\r\n"
        "Cache-Control: no-cache\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n"
    ).encode("ascii")


_HEADS = {status: _head(status) for status in REASONS}
_BODIES = {status: _body(status) for status in REASONS}


def answer(status: int, bodiless: bool = False, pages: Pages = NO_PAGES, retry_after_s: int = 0) -> bytes:
    """
    A complete refusal for an HTTP/1 client; the connection is to be closed after it.

    Args:
        status: one of `REASONS`.
        bodiless: the request was HEAD.
        pages: the operator's own.
        retry_after_s: when the client may come again, in seconds; 0: nothing is said.
    """
    head, body = pages.get(status) or (_HEADS[status], _BODIES[status])
    if retry_after_s:
        head = b"%bRetry-After: %d\r\n\r\n" % (head[:-2], retry_after_s)
    return head if bodiless else head + body


def page(status: int, pages: Pages = NO_PAGES) -> bytes:
    """
    Only the HTML page of a refusal.
    """
    return pages[status][1] if status in pages else _BODIES[status]
