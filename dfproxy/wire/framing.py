"""
Where a body ends.

Content-Length is digits and nothing else; chunks are RFC 9112 7.1 to the letter, with limits. A body whose end is not
certain is an error, never a guess.
"""

from __future__ import annotations

NO_BODY = 0
"""
There is no body.
"""

CHUNKED = -1
"""
The body comes in chunks.
"""

UNTIL_CLOSE = -2
"""
The body ends when the connection does; only a server may do so.
"""

LENGTH_DIGITS = 18
"""
Most digits of a Content-Length: nearly an exabyte; HAProxy's limit is 2**62.
"""

SIZE_DIGITS = 15
"""
Most hexadecimal digits of a chunk size.
"""

CHUNKS_AT_ONCE = 512
"""
Most chunks that are taken apart in one go, then others get their turn: less than a millisecond. A read of 256 KiB may
hold 40,000 of them, and many reads follow each other.
"""

_FEW = 16
_SMALL_BYTES = 1024


def content_length(value: bytes) -> int | None:
    """
    Read a Content-Length value.

    Returns:
        The number of bytes; None if it is not just digits (RFC 9110 8.6).
    """
    value = value.strip(b" \t")
    if value.isdigit() and len(value) <= LENGTH_DIGITS:
        return int(value)
    return None


class ChunkError(Exception):
    """
    Chunks that are not well formed, or above a limit.
    """


class ChunkedDecoder:
    """
    Takes a chunked body apart, however it is cut.

    Args:
        extension_bytes: longest chunk-size line.
        trailer_bytes: longest trailer section.

    Attributes:
        finished: the last chunk and the trailer section have been read.
        more: there was too much for one go: feed it nothing, a turn later, and it goes on.
        trailers: the trailer section as it came, with its empty line.
        rest: what came after the end.
    """

    __slots__ = (
        "_buffer",
        "_extension_bytes",
        "_left",
        "_state",
        "_trailer_bytes",
        "finished",
        "more",
        "rest",
        "trailers",
    )

    # What is awaited next: a size line, chunk data, the CRLF after data, the trailer section.
    _SIZE, _DATA, _CRLF, _TRAILERS = range(4)

    def __init__(self, extension_bytes: int, trailer_bytes: int) -> None:
        self._extension_bytes = extension_bytes
        self._trailer_bytes = trailer_bytes
        self._state = self._SIZE
        self._left = 0
        self._buffer = b""
        self.finished = False
        self.more = False
        self.trailers = b""
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """
        Take the next bytes.

        Returns:
            Pieces of the body, none of them empty.

        Raises:
            ChunkError: it is not well formed (RFC 9112 7.1), or a limit is passed.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self.more = False
        return joined(self._take(data))

    def _take(self, data: bytes) -> list[bytes]:
        pieces: list[bytes] = []
        position, size = 0, len(data)
        while position < size:
            if self._state == self._DATA:
                piece = data[position : position + self._left] if position or size > self._left else data
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = self._CRLF
            elif self._state == self._SIZE:
                if len(pieces) >= CHUNKS_AT_ONCE:
                    self._buffer = data[position:]
                    self.more = True
                    return pieces
                end = data.find(b"\n", position)
                if end < 0:
                    self._keep(data[position:], self._extension_bytes)
                    return pieces
                self._left = self._size(data[position : end + 1])
                position = end + 1
                self._state = self._DATA if self._left else self._TRAILERS
            elif self._state == self._CRLF:
                if data.startswith(b"\r\n", position):
                    position += 2
                    self._state = self._SIZE
                elif size - position == 1 and data[position] == 13:
                    self._buffer = b"\r"
                    return pieces
                else:
                    raise ChunkError("no CRLF after a chunk")
            else:
                position = self._read_trailers(data, position)
                if self.finished:
                    self.rest = data[position:]
                return pieces
        return pieces

    def _size(self, line: bytes) -> int:
        if len(line) > self._extension_bytes:
            raise ChunkError("chunk-size line too long")
        digits, _, extension = line.partition(b";") if b";" in line else (line[:-2], b"", b"\r\n")
        if line[-2:] != b"\r\n" or not digits or len(digits) > SIZE_DIGITS or digits.translate(None, _HEX):
            raise ChunkError("chunk size is no number")
        if extension[:-2].translate(None, _EXTENSION):
            raise ChunkError("control character in a chunk extension")
        return int(digits, 16)

    def _keep(self, rest: bytes, limit: int) -> None:
        if len(rest) > limit:
            raise ChunkError("chunk-size line too long")
        if rest.translate(None, _EXTENSION) not in (b"", b"\r"):
            raise ChunkError("chunk size is no number")
        self._buffer = rest

    def _read_trailers(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            end = position + 2
        else:
            found = data.find(b"\r\n\r\n", position)
            if found < 0:
                if len(data) - position > self._trailer_bytes:
                    raise ChunkError("trailer section too long")
                self._buffer = data[position:]
                return len(data)
            end = found + 4
        if end - position > self._trailer_bytes:
            raise ChunkError("trailer section too long")
        self.trailers = data[position:end]
        self.finished = True
        return end


_HEX = b"0123456789abcdefABCDEF"
_EXTENSION = bytes([9, *range(32, 127), *range(128, 256)])


def joined(pieces: list[bytes]) -> list[bytes]:
    """
    Pieces of a body, in one if they are many and small: each would cost more than its bytes, wherever it waits.
    """
    count = len(pieces)
    if count > _FEW and sum(map(len, pieces)) < count * _SMALL_BYTES:
        return [b"".join(pieces)]
    return pieces


def chunk(pieces: list[bytes]) -> list[bytes]:
    """
    Frame pieces of a body as one chunk.

    Args:
        pieces: not empty, none of them empty.
    """
    return [b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"]
