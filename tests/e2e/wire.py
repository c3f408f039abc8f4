"""
One HTTP/1 connection, byte by byte, for clients and servers of tests: what is sent is written out, what comes is read
by the rules of RFC 9112 section 6 and shown as it came.
"""

from __future__ import annotations

import random
import select
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

LIMIT_S = 15.0
"""Longest wait for the other side: several times what anything here takes on a busy machine."""


class Ended(AssertionError):
    """
    The other side ended the connection before what was awaited had come.
    """


@dataclass
class Message:
    """
    A request or a response.

    Attributes:
        line: its first line.
        fields: names in lower case and values, in their order.
        raw: the head as it came.
        body: without framing.
        trailers: as fields.
        chunks: sizes of the chunks in their order, if it came in chunks.
    """

    line: str
    fields: list[tuple[str, str]]
    raw: bytes
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def get(self, name: str) -> str | None:
        """
        The only value of a field; None if there is none.
        """
        values = [value for key, value in self.fields if key == name]
        if len(values) > 1:
            raise AssertionError(f"{name} stands {len(values)} times in {self.raw!r}")
        return values[0] if values else None


class Wire:
    """
    A connection.

    Args:
        sock: connected.
    """

    def __init__(self, sock: socket.socket | ssl.SSLSocket) -> None:
        self.sock = sock
        sock.settimeout(LIMIT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def send(self, *parts: bytes | str) -> None:
        """
        Send all of it.
        """
        self.sock.sendall(b"".join(part.encode("latin-1") if isinstance(part, str) else part for part in parts))

    # --- reading -----------------------------------------------------------------------------------------------

    def _more(self) -> None:
        data = self.sock.recv(262144)
        if not data:
            raise Ended(f"ended; unread: {self._buffer[:200]!r}")
        self._buffer += data

    def read_until(self, mark: bytes) -> bytes:
        """
        Everything up to the mark, and it.
        """
        while mark not in self._buffer:
            self._more()
        before, _, self._buffer = self._buffer.partition(mark)
        return before + mark

    def read(self, count: int) -> bytes:
        """
        So many bytes.
        """
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def pieces(self, count: int) -> Iterator[bytes]:
        """
        So many bytes as they come; for long bodies.
        """
        while count:
            if not self._buffer:
                self._more()
            data, self._buffer = self._buffer[:count], self._buffer[count:]
            count -= len(data)
            yield data

    def head(self) -> Message:
        """
        The next head; for a body see `body`.
        """
        raw = self.read_until(b"\r\n\r\n")
        line, *lines = raw[:-4].decode("latin-1").split("\r\n")
        return Message(line, _fields(lines), raw)

    def body(self, head: Message, request: bool, bodiless: bool = False) -> Message:
        """
        Read what belongs to this head, too.
        """
        length = head.get("content-length")
        if bodiless or (not request and (head.status < 200 or head.status in (204, 304))):
            return head
        if head.get("transfer-encoding") is not None:
            assert head.get("transfer-encoding") == "chunked" and length is None, head.raw
            parts = []
            while size := int(self.read_until(b"\r\n").split(b";")[0], 16):
                head.chunks.append(size)
                parts.append(self.read(size))
                assert self.read(2) == b"\r\n"
            head.body = b"".join(parts)
            lines = []
            while (line := self.read_until(b"\r\n")[:-2]) != b"":
                lines.append(line.decode("latin-1"))
            head.trailers = _fields(lines)
        elif length is not None:
            head.body = self.read(int(length))
        elif not request:
            head.body = self.rest()
        return head

    def request(self) -> Message:
        """
        The next request; for servers.
        """
        return self.body(self.head(), request=True)

    def response(self, bodiless: bool = False) -> Message:
        """
        The next response; for clients.

        Args:
            bodiless: to HEAD.
        """
        return self.body(self.head(), request=False, bodiless=bodiless)

    def final(self, bodiless: bool = False) -> Message:
        """
        The next response that is no 1xx.
        """
        while (response := self.response(bodiless)).status < 200:
            continue
        return response

    def rest(self) -> bytes:
        """
        Everything up to the orderly end of the connection; `ConnectionResetError` if it is cut.
        """
        while data := self.sock.recv(262144):
            self._buffer += data
        data, self._buffer = self._buffer, b""
        return data

    def ends(self, within_s: float) -> bool:
        """
        Whether the other side ends the connection in that time, orderly or not, without sending anything more.
        """
        if self._buffer or not readable(self.sock, within_s):
            return False
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def ends_at_last(self, within_s: float) -> bool:
        """
        Whether the other side ends the connection in that time, whatever it still sends.
        """
        self._buffer = b""
        self.sock.settimeout(within_s)
        try:
            while self.sock.recv(262144):
                continue
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True

    def is_quiet(self, for_s: float) -> bool:
        """
        Whether nothing comes in that time, not even an end.
        """
        return not self._buffer and not readable(self.sock, for_s)

    # --- ending ------------------------------------------------------------------------------------------------

    def half_close(self) -> None:
        """
        Send nothing more.
        """
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """
        Cut it: the other side gets RST.
        """
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def close(self) -> None:
        """
        Close it.
        """
        self.sock.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def readable(sock: socket.socket, within_s: float) -> bool:
    """
    Whether something comes in that time, be it an end. `select` knows no descriptors above 1023.
    """
    waiting = select.poll()
    waiting.register(sock.fileno(), select.POLLIN)
    return bool(waiting.poll(within_s * 1000))


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    split = [line.partition(":") for line in lines]
    return [(name.lower(), value.strip(" \t")) for name, _, value in split]


def connect(host: str, port: int) -> Wire:
    """
    A connection to this address.
    """
    return Wire(socket.create_connection((host, port), timeout=LIMIT_S))


# --- long bodies -------------------------------------------------------------------------------------------------

_BLOCK = random.Random(42).randbytes(65521)  # a prime, so that no place repeats at a power of two


def long_body(size: int, first: int = 0) -> Iterator[bytes]:
    """
    A body of this size whose every part is recognised.

    Args:
        first: where in the block it begins: different bodies for different numbers.
    """
    block = _BLOCK[first % len(_BLOCK) :] + _BLOCK[: first % len(_BLOCK)]
    while size > 0:
        yield block[:size]
        size -= len(block)


def digest(pieces: Iterator[bytes]) -> str:
    """
    Tells one body from another.
    """
    hashed = blake2b(digest_size=16)
    for piece in pieces:
        hashed.update(piece)
    return hashed.hexdigest()
