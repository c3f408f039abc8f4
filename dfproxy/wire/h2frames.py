"""
HTTP/2 frames: their numbers, and the bytes of those that we send.

Source: RFC 9113 sections 4, 6, 7 and 11.
"""

from __future__ import annotations

from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""
What a client sends first (RFC 9113 3.4).
"""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
WITH_PRIORITY = 32

NO_ERROR = 0
PROTOCOL_ERROR = 1
INTERNAL_ERROR = 2
FLOW_CONTROL_ERROR = 3
STREAM_CLOSED = 5
FRAME_SIZE_ERROR = 6
REFUSED_STREAM = 7
CANCEL = 8
COMPRESSION_ERROR = 9
ENHANCE_YOUR_CALM = 11

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)

HEAD_BYTES = 9
"""
Before the payload of each frame.
"""

DEFAULT_WINDOW = 65535
"""
A window before anybody said otherwise (RFC 9113 6.9.2).
"""

LARGEST_WINDOW = LARGEST_STREAM = (1 << 31) - 1

LEAST_FRAME = 16384
"""
Payload that everybody must take (RFC 9113 4.2), and the most that we take: HAProxy and nginx likewise. Larger ones gain
nothing here and would have to be kept until they are whole.
"""

frame_head = Struct(">IBI").pack
"""
Payload length shifted left by eight and the type; flags; stream.
"""

read_head = Struct(">IBI").unpack_from

read_number = Struct(">I").unpack_from

read_setting = Struct(">HI").iter_unpack

SETTINGS_ACK = frame_head(SETTINGS, ACK, 0)

_number = Struct(">I").pack
_setting = Struct(">HI").pack


def settings(*pairs: tuple[int, int]) -> bytes:
    """
    A SETTINGS frame of names and values.
    """
    return frame_head(6 * len(pairs) << 8 | SETTINGS, 0, 0) + b"".join(_setting(*pair) for pair in pairs)


def reset(stream: int, code: int) -> bytes:
    """
    Ends a stream.
    """
    return frame_head(4 << 8 | RST_STREAM, 0, stream) + _number(code)


def window_update(stream: int, count: int) -> bytes:
    """
    Lets the other side send so many bytes more; stream 0 is the connection.
    """
    return frame_head(4 << 8 | WINDOW_UPDATE, 0, stream) + _number(count)


def ping(payload: bytes, acknowledge: bool) -> bytes:
    """
    Asks for, or is, a sign of life; eight bytes.
    """
    return frame_head(8 << 8 | PING, ACK if acknowledge else 0, 0) + payload


def goaway(last: int, code: int) -> bytes:
    """
    Streams above `last` are not looked at.
    """
    return frame_head(8 << 8 | GOAWAY, 0, 0) + _number(last) + _number(code)
