"""
The sending half of the server's side of an HTTP/2 connection (`dfproxy.wire.h2`): frames out, as far as the client's
windows go; what is remembered of streams that we have reset; what the client owes us.

Source: RFC 9113.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from dfproxy.wire import h2frames as frames
from dfproxy.wire.h2frames import (
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    LARGEST_STREAM,
    LEAST_FRAME,
    NO_ERROR,
    frame_head,
)
from dfproxy.wire.hpack import Encoder, Field, is_indexed

STREAM_WINDOW = 262144
"""
Bytes of a request's body that may be under way or wait for its server. At 50 ms it allows 5 MB/s; nginx has 64 KiB,
HAProxy 64 KiB, Envoy 16 MiB. As large as the relay buffer of an HTTP/1 client.
"""

KNOWN_BLOCKS = 256
"""
Blocks of one connection that are known, each way; all are forgotten whenever the table changes.
"""

REMEMBERED_RESETS = 1000
"""
Streams that we have reset and whose client may not know yet: what comes for them is dropped, not held against it.
"""

DEBT = 1000
"""
Most debt. It allows 250 resets of unanswered streams, 500 pings or 100 changes of settings at once.
"""

FORGIVEN_PER_S = 50
"""
Debt that a second pays off: some 12 resets or 25 pings. An answered stream pays for one that is reset, so half of all
may be.
"""

_ANSWER_PAYS = 4
_WHOLE_PAYS = 2  # a piece of an answer that no window cut: two updates of windows may come for it
_BYTES_PAY = 4096  # bytes of body, either way, that pay for one more


class ConnectionFault(Exception):
    """
    The connection ends.

    Attributes:
        code: for GOAWAY.
        reason: for people.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class StreamState:
    """
    One stream as the protocol sees it.

    Attributes:
        number: its number.
        send_window: bytes that we may send.
        receive_window: bytes that the client may send.
        owed: bytes taken and not yet given back to the client's window.
        expected: bytes of the request's body that are still to come; -1: nobody said.
        remote_ended: the request is complete.
        local_ended: the answer is. If the request is not, the stream stays, and what comes is read and dropped, until
            the client ends it or somebody resets it.
    """

    # Attributes with a default in the class are only set when they differ: a stream is made for each request.
    number: int
    send_window: int
    receive_window = STREAM_WINDOW
    owed = 0
    expected = -1
    remote_ended = False
    local_ended = False


R = TypeVar("R")
S = TypeVar("S", bound=StreamState)


class Sending(Generic[S]):
    """
    What can be sent on one connection.

    Attributes:
        out: what is to be sent, in order; whoever sends it empties the list.
        streams: those that are open, by number.
        send_window: bytes of bodies that we may send on all streams together.
        last: the highest number of a request that was looked at.
        refusing: no further request is taken.
    """

    __slots__ = (
        "_blocks",
        "_debt",
        "_encoder",
        "_paying_bytes",
        "_resets",
        "last",
        "out",
        "refusing",
        "send_window",
        "streams",
    )

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.streams: dict[int, S] = {}
        self.send_window = DEFAULT_WINDOW
        self.last = 0
        self.refusing = False
        self._encoder = Encoder()
        self._blocks: dict[object, bytes] = {}
        self._resets: dict[int, None] = {}
        self._debt = 0.0
        self._paying_bytes = 0

    def answer(
        self, stream: S, key: object, write: Callable[[R], Sequence[Field]], head: R, piece: bytes | None
    ) -> bool:
        """
        Send the head of an answer, and its body if that is small and the windows allow it; or if it has none, the end.

        Most answers of a server say the same as others, and their block is known.

        Args:
            key: what their fields depend on.
            write: makes the fields of a head.
            piece: the whole body, not empty; b"": there is none; None: it comes later.

        Returns:
            Whether the answer is complete; if not, the body is still to be sent.
        """
        block = self._blocks.get(key)
        if block is None:
            block = self._encoded(write(head))
            if is_indexed(block) and len(self._blocks) < KNOWN_BLOCKS:
                self._blocks[key] = block
        number = stream.number
        size = len(block)
        if size > LEAST_FRAME:
            self._split(number, block, END_STREAM if piece == b"" else 0)
        elif piece:
            count = len(piece)
            if count <= LEAST_FRAME and count <= stream.send_window and count <= self.send_window:
                self.out += (
                    frame_head(size << 8 | HEADERS, END_HEADERS, number),
                    block,
                    frame_head(count << 8 | DATA, END_STREAM, number),
                    piece,
                )
                stream.send_window -= count
                self.send_window -= count
                self._paid(count, 1)
                self._sent_all(stream)
                return True
            self.out += (frame_head(size << 8 | HEADERS, END_HEADERS, number), block)
        else:
            flags = END_HEADERS if piece is None else END_HEADERS | END_STREAM
            self.out += (frame_head(size << 8 | HEADERS, flags, number), block)
        if piece == b"":
            self._sent_all(stream)
            return True
        return False

    def headers(self, stream: S, fields: Sequence[Field], ended: bool) -> None:
        """
        Send a list of fields: an interim answer, an answer's head, or (`ended`) trailers or an answer without a body.
        """
        block = self._encoded(fields)
        flags = END_STREAM if ended else 0
        if len(block) <= LEAST_FRAME:
            self.out += (frame_head(len(block) << 8 | HEADERS, flags | END_HEADERS, stream.number), block)
        else:
            self._split(stream.number, block, flags)
        if ended:
            self._sent_all(stream)

    def _encoded(self, fields: Sequence[Field]) -> bytes:
        block: bytes = self._encoder.encode(fields)
        if self._blocks and not is_indexed(block):
            self._blocks.clear()  # the table is another one now
        return block

    def _split(self, number: int, block: bytes, flags: int) -> None:
        """
        A block in several frames (6.10).
        """
        kind = HEADERS
        for start in range(0, len(block), LEAST_FRAME):
            piece = block[start : start + LEAST_FRAME]
            if start + LEAST_FRAME >= len(block):
                flags |= END_HEADERS
            self.out += (frame_head(len(piece) << 8 | kind, flags, number), piece)
            kind, flags = CONTINUATION, 0

    def data(self, stream: S, pieces: Sequence[bytes], ended: bool) -> list[bytes] | None:
        """
        Send of a body what the windows allow.

        Args:
            pieces: none of them empty; may be none only with `ended`.
            ended: that is all.

        Returns:
            What is still to be sent; None if all is.
        """
        allowed = window = min(stream.send_window, self.send_window)
        out = self.out
        number = stream.number
        last = len(pieces) - 1
        rest: list[bytes] | None = None
        whole = 0
        if last < 0:
            out.append(frame_head(DATA, END_STREAM, number))
        for index, piece in enumerate(pieces):
            length = len(piece)
            if length <= LEAST_FRAME and length <= allowed:
                out.append(frame_head(length << 8 | DATA, END_STREAM if ended and index == last else 0, number))
                out.append(piece)
                allowed -= length
                whole += 1
                continue
            start = 0
            while start < length and allowed > 0:
                part = piece[start : start + min(LEAST_FRAME, allowed)]
                start += len(part)
                allowed -= len(part)
                flags = END_STREAM if ended and index == last and start == length else 0
                out.append(frame_head(len(part) << 8 | DATA, flags, number))
                out.append(part)
            if start < length:
                rest = [piece[start:] if start else piece, *pieces[index + 1 :]]
                break
        sent = window - allowed
        if sent:
            stream.send_window -= sent
            self.send_window -= sent
            self._paid(sent, whole)
        if ended and rest is None:
            self._sent_all(stream)
        return rest

    def _sent_all(self, stream: S) -> None:
        stream.local_ended = True
        if stream.remote_ended:
            self.streams.pop(stream.number, None)
        if self._debt:
            self._debt = max(0.0, self._debt - _ANSWER_PAYS)

    def reset(self, stream: S, code: int) -> None:
        """
        End a stream.
        """
        if self.streams.pop(stream.number, None) is not None:
            self._remember(stream.number)
            self.out.append(frames.reset(stream.number, code))

    def _remember(self, number: int) -> None:
        self._resets[number] = None
        if len(self._resets) > REMEMBERED_RESETS:
            del self._resets[next(iter(self._resets))]

    def going(self) -> None:
        """
        Say that the connection will end, and ask for a ping back: what the client has sent until it knows is still
        taken (6.8).
        """
        self.out.append(frames.goaway(LARGEST_STREAM, NO_ERROR))
        self.out.append(frames.ping(b"\0" * 8, False))

    def goaway(self, code: int) -> None:
        """
        Take no further request.
        """
        self.refusing = True
        self.out.append(frames.goaway(self.last, code))

    def _owe(self, cost: int) -> None:
        """
        The client made us work for nothing.
        """
        self._debt += cost
        if self._debt > DEBT:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too much work for nothing")

    def _paid(self, count: int, whole: int) -> None:
        """
        So many bytes of a body went either way, and so many pieces that no window cut.
        """
        if self._debt:
            count += self._paying_bytes
            self._paying_bytes = count % _BYTES_PAY
            self._debt = max(0.0, self._debt - count // _BYTES_PAY - whole * _WHOLE_PAYS)
