"""
One call of a control API: what is asked, how long it may take, how much it may answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

PREFIX = "/v1/docker-flow-proxy"

ANSWER_BYTES = 256 * 1024 * 1024
"""
Longest answer that is read: the config of 20,000 services is some 60 MB.
"""

READ_BYTES = 65536
"""
Read at once.
"""


class Unreachable(Exception):
    """
    No answer, or none that makes sense; the text says why, and what to look at.
    """


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What was answered.

    Attributes:
        status: HTTP status.
        body: all of it.
    """

    status: int
    body: bytes

    def json(self) -> Any:
        """
        The body as JSON.

        Raises:
            Unreachable: it is none.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            start = self.body[:80].decode("utf-8", "replace")
            raise Unreachable(f"the answer ({self.status}) is no JSON, so this is no control API: {start!r}") from error


def fetch(url: str, timeout_s: float, method: str = "GET", body: bytes = b"", headers: Iterable[str] = ()) -> Answer:
    """
    Ask, and read the whole answer.

    Args:
        url: of http or https.
        timeout_s: for all of it.

    Raises:
        Unreachable: no answer in time, or one that is too long.
    """
    until = time.monotonic() + timeout_s
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unreachable(f"{url} is no URL of http or https, such as http://127.0.0.1:8080")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    except ValueError as error:
        raise Unreachable(f"{url} is no URL: {error}") from error
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = dict(field.split(": ", 1) for field in headers)
        connection.request(method, target, body or None, fields)
        response = connection.getresponse()
        return Answer(response.status, _whole(response, connection, until))
    except TimeoutError as error:
        raise Unreachable(f"{parts.netloc} has not answered within {timeout_s:g} s") from error
    except (OSError, HTTPException) as error:
        raise Unreachable(f"{parts.netloc} cannot be asked: {error}; is the address right, is it running?") from error
    finally:
        connection.close()


def _whole(response: HTTPResponse, connection: HTTPConnection, until: float) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(left)
        piece = response.read1(READ_BYTES)
        if not piece:
            return b"".join(pieces)
        size += len(piece)
        if size > ANSWER_BYTES:
            raise Unreachable(f"the answer is longer than {ANSWER_BYTES} bytes")
        pieces.append(piece)


def address(api: str, verb: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
    """
    The URL of a verb.

    Args:
        api: of the control API: `http://host:8080`, or `host:8080`, or `host`.
    """
    base = api if "://" in api else f"http://{api}"
    parts = urlsplit(base)
    if parts.port is None and parts.scheme == "http" and not parts.path.strip("/"):
        base = f"http://{parts.netloc}:8080"
    query = urlencode(list(parameters))
    return f"{base.rstrip('/')}{PREFIX}/{verb}" + (f"?{query}" if query else "")
