"""
What a client says first when it speaks TLS: for whom it is meant, read without taking part in the handshake.

Pure: bytes in, what they ask for out. Arbitrary bytes give one of the two exceptions, or wait for more, nothing else.
Signatures, keys and versions are the business of whoever ends the handshake.

Source: RFC 8446 4.1.2 and 5.1 (records may cut the message anywhere), RFC 6066 3 (server_name), RFC 7301 3.1 (ALPN).
"""

from __future__ import annotations

from dataclasses import dataclass

HELLO_BYTES = 16384
"""
Longest ClientHello with its record headers. Browsers send 500 to 2,000 bytes; HAProxy looks into its buffer of 16 KiB.
"""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_ALPN = 16
_RECORD_HEADER = 5
_MESSAGE_HEADER = 4
_LONGEST_RECORD = 1 << 14
_NAME_BYTES = 255
_PRINTABLE = frozenset(range(0x21, 0x7F))


class NotTls(Exception):
    """
    The client speaks something else.
    """


class InvalidHello(Exception):
    """
    It began like TLS, but is no ClientHello, or one that nobody should answer.
    """


@dataclass(frozen=True, slots=True)
class Hello:
    """
    What a client asks for.

    Attributes:
        name: whose certificate it wants to see, in lower case; b"": it does not say.
        protocols: what it offers by ALPN, in its order.
    """

    name: bytes = b""
    protocols: tuple[bytes, ...] = ()


def read_hello(data: bytes) -> Hello | int:
    """
    Read what a connection begins with.

    Args:
        data: all that has come so far, at least one byte; may go on behind the message.

    Returns:
        What the client asks for, or how many bytes have to be there before asking again makes sense.

    Raises:
        NotTls: it is not TLS.
        InvalidHello: it is no proper ClientHello, or longer than `HELLO_BYTES`.
    """
    message = bytearray()
    wanted = _MESSAGE_HEADER
    at = 0
    while True:
        header = data[at : at + _RECORD_HEADER]
        if header and header[0] != _HANDSHAKE:
            raise InvalidHello("a record of another type within the message") if at else NotTls
        if len(header) > 1 and header[1] != 3:
            raise InvalidHello("a record of another version within the message") if at else NotTls
        if len(header) < _RECORD_HEADER:
            return _more(data, at + _RECORD_HEADER)
        length = int.from_bytes(header[3:], "big")
        if not 0 < length <= _LONGEST_RECORD:
            raise InvalidHello("the length of a record")  # RFC 8446 5.1: no empty fragments of handshake messages
        start, at = at + _RECORD_HEADER, at + _RECORD_HEADER + length
        message += data[start:at]
        if message and message[0] != _CLIENT_HELLO:
            raise InvalidHello("another message")
        if len(message) >= _MESSAGE_HEADER:
            wanted = _MESSAGE_HEADER + int.from_bytes(message[1:4], "big")
            if wanted > HELLO_BYTES:
                raise InvalidHello("too long")
            if len(message) >= wanted:
                return _hello(bytes(message[_MESSAGE_HEADER:wanted]))
        if at > len(data):
            return _more(data, min(at, len(data) + wanted - len(message)))


def _more(data: bytes, needed: int) -> int:
    if needed > HELLO_BYTES:
        raise InvalidHello("too long")
    return max(needed, len(data) + 1)


class _Cursor:
    """
    Takes a structure apart, from the front; what is not there is an `InvalidHello`.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise InvalidHello("cut short")
        return self._data[start : self._at]

    def vector(self, length_bytes: int) -> bytes:
        """
        What follows a length of so many bytes (RFC 8446 3.4).
        """
        return self.take(int.from_bytes(self.take(length_bytes), "big"))


def _hello(body: bytes) -> Hello:
    cursor = _Cursor(body)
    cursor.take(2 + 32)  # legacy_version, random
    if len(cursor.vector(1)) > 32:  # legacy_session_id
        raise InvalidHello("the session id")
    suites = cursor.vector(2)
    if not suites or len(suites) % 2:
        raise InvalidHello("the cipher suites")
    if not cursor.vector(1):  # legacy_compression_methods
        raise InvalidHello("the compression methods")
    if cursor.is_at_end():
        return Hello()  # before TLS 1.3 extensions may be missing
    extensions = _Cursor(cursor.vector(2))
    if not cursor.is_at_end():
        raise InvalidHello("more behind the extensions")
    seen: set[int] = set()
    name = b""
    protocols: tuple[bytes, ...] = ()
    while not extensions.is_at_end():
        kind = int.from_bytes(extensions.take(2), "big")
        content = extensions.vector(2)
        if kind in seen:
            raise InvalidHello("an extension twice")  # RFC 8446 4.2
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _server_name(content)
        elif kind == _ALPN:
            protocols = _protocols(content)
    return Hello(name, protocols)


def _server_name(content: bytes) -> bytes:
    """
    The one name. RFC 6066 allows one of each type and knows a single type; who asks for several asks for nobody.
    """
    outer = _Cursor(content)
    names = _Cursor(outer.vector(2))
    kind, name = names.take(1), names.vector(2)
    if not outer.is_at_end() or not names.is_at_end() or kind != b"\0":
        raise InvalidHello("more than one name")
    name = name.removesuffix(b".").lower()
    if not 0 < len(name) <= _NAME_BYTES or not _PRINTABLE.issuperset(name):
        raise InvalidHello("the name")
    return name


def _protocols(content: bytes) -> tuple[bytes, ...]:
    outer = _Cursor(content)
    listed = _Cursor(outer.vector(2))
    found = []
    while not listed.is_at_end():
        found.append(listed.vector(1))
    if not outer.is_at_end() or not found or not all(found):
        raise InvalidHello("the protocols")
    return tuple(found)
