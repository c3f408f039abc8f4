"""
Compressing answers on their way to clients that can read it.

Source: HAProxy `compression algo`, `compression type` and its conditions (`flt_http_comp.c`); RFC 9110 8.4.1, 8.8.3,
12.5.3; RFC 7932 (Brotli, which HAProxy does not have). Unlike HAProxy 1.8 a strong ETag is weakened and Vary is said.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Protocol

from dfproxy.errors import InvalidRoute
from dfproxy.model.steps import Compression
from dfproxy.wire.framing import UNTIL_CLOSE
from dfproxy.wire.h1 import RequestHead, ResponseHead
from dfproxy.wire.headers import first, without

LEVEL = 1
"""
As HAProxy's `tune.comp.maxlevel`: the processor is the scarce thing in a proxy.
"""

BROTLI_QUALITY = 3
"""
The most that takes no longer than gzip at `LEVEL`: three quarters of its time for a text of 40 KB, a tenth smaller.
"""


class Compressing(Protocol):
    """
    One body.
    """

    def feed(self, pieces: Sequence[bytes], /) -> list[bytes]:
        """
        Take these; nothing stays behind, so that what a server sends little by little arrives so.
        """

    def finish(self, pieces: Sequence[bytes], /) -> list[bytes]:
        """
        Take the last of it.
        """


class Deflating:
    """
    One body in one of zlib's formats.

    Args:
        bits: its window bits, which also say which format.
    """

    __slots__ = ("_stream",)

    def __init__(self, bits: int) -> None:
        self._stream = zlib.compressobj(LEVEL, zlib.DEFLATED, bits)

    def feed(self, pieces: Sequence[bytes]) -> list[bytes]:
        """
        See `Compressing`.
        """
        if not pieces:
            return []
        made = b"".join([self._stream.compress(piece) for piece in pieces]) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        return [made] if made else []

    def finish(self, pieces: Sequence[bytes]) -> list[bytes]:
        """
        See `Compressing`.
        """
        return [b"".join([self._stream.compress(piece) for piece in pieces]) + self._stream.flush()]


class Brotling:
    """
    One body in Brotli.
    """

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        from brotli import Compressor as Stream  # a megabyte of memory that few need

        self._stream = Stream(quality=BROTLI_QUALITY)

    def feed(self, pieces: Sequence[bytes]) -> list[bytes]:
        """
        See `Compressing`.
        """
        if not pieces:
            return []
        made = b"".join([self._stream.process(piece) for piece in pieces]) + self._stream.flush()
        return [made] if made else []

    def finish(self, pieces: Sequence[bytes]) -> list[bytes]:
        """
        See `Compressing`.
        """
        return [b"".join([self._stream.process(piece) for piece in pieces]) + self._stream.finish()]


BROTLI = b"br"
ALGORITHMS: dict[str, tuple[bytes, Callable[[], Compressing] | None]] = {
    "br": (BROTLI, Brotling),
    "gzip": (b"gzip", partial(Deflating, 31)),
    "deflate": (b"deflate", partial(Deflating, 15)),
    "raw-deflate": (b"deflate", partial(Deflating, -15)),
    "identity": (b"identity", None),
}
"""
Name to content coding and what begins a body; None: as it is. The names are HAProxy's, but `br`.
"""

_STATUSES = frozenset({200, 201, 202, 203})
_QUALITY = re.compile(rb"q=([01](?:\.[0-9]{0,3})?)")  # RFC 9110 12.4.2


class Compressor:
    """
    What a route compresses.

    Args:
        compression: algorithms and types.

    Raises:
        InvalidRoute: there is no such algorithm.
    """

    __slots__ = ("_codings", "_types")

    def __init__(self, compression: Compression) -> None:
        self._codings: dict[bytes, Callable[[], Compressing] | None] = {}
        for algorithm in compression.algorithms:
            if algorithm not in ALGORITHMS:
                raise InvalidRoute(f"there is no compression {algorithm!r}; known are {', '.join(ALGORITHMS)}")
            coding, begin = ALGORITHMS[algorithm]
            self._codings.setdefault(coding, begin)
        self._types = tuple(kind.lower().encode() for kind in compression.types)

    def chosen(self, request: RequestHead, head: ResponseHead, pieces: Sequence[bytes], ended: bool) -> bytes | None:
        """
        Decide on an answer as it came from the server: header rules come later (HAProxy `comp_http_post_analyze`).

        Args:
            pieces: what of the body is there.
            ended: that is all of it.

        Returns:
            The coding; None: it stays as it is.
        """
        if head.status not in _STATUSES or not head.body or request.method == b"HEAD" or not request.version:
            return None
        if (ended and not any(pieces)) or getattr(head, "old", False) or not self._wants(head.kept):
            return None
        coding = chosen(request, self._codings)
        return coding if coding is not None and self._codings[coding] else None

    def begin(self, head: ResponseHead, coding: bytes) -> Compressing:
        """
        The head says from now on that this is compressed.

        Args:
            coding: what `chosen` gave.
        """
        kept = without(head.kept, b"content-length")
        tag = first(kept, b"etag")
        if tag is not None and not tag.startswith(b"W/"):
            kept = without(kept, b"etag") + b"ETag: W/%b\r\n" % tag
        kept += b"Content-Encoding: %b\r\n" % coding
        if b"accept-encoding" not in (first(kept, b"vary") or b"").lower():
            kept += b"Vary: Accept-Encoding\r\n"
        head.kept = kept
        head.body = UNTIL_CLOSE  # of unknown length: in chunks towards a client of HTTP/1.1
        begin = self._codings[coding]
        assert begin is not None  # `chosen` gives no other
        return begin()

    def _wants(self, section: bytes) -> bool:
        if first(section, b"content-encoding") is not None:
            return False
        if b"no-transform" in (first(section, b"cache-control") or b"").lower():
            return False
        kind = (first(section, b"content-type") or b"").lower()
        if kind.startswith(b"multipart"):
            return False
        return not self._types or kind.startswith(self._types)


def chosen(request: RequestHead, codings: Collection[bytes]) -> bytes | None:
    """
    The one of these codings that the client likes best; None: none of them. Of several that it likes alike the first it
    names, but Brotli before all: browsers name it last.

    Old browsers that say wrongly what they can read can read none.
    """
    agents = request.values(b"user-agent")
    if agents and agents[0].startswith(b"Mozilla/4"):
        return None
    wished: dict[bytes, float] = {}
    for line in request.values(b"accept-encoding"):
        for part in line.lower().split(b","):
            name, _, parameters = part.partition(b";")
            match = _QUALITY.search(parameters)
            wished.setdefault(name.strip(b" \t"), 1.0 if match is None else float(match[1]))
    best, best_wish = None, 0.0
    for name, wish in wished.items():
        if name == b"*":
            name = next((coding for coding in codings if coding not in wished), name)
        if name in codings and (wish > best_wish or (wish == best_wish > 0 and name == BROTLI)):
            best, best_wish = name, wish
    return best
