"""
The server's side of an HTTP/2 connection, without a socket: bytes in, calls out, and the other way round.

It holds the client to RFC 9113: frames, stream states, windows both ways, lengths of bodies. What a list of fields
means is read in `dfproxy.wire.h2fields`, what becomes of a request is the receiver's affair. No object is made for a
frame.

Everything a client can make us do for nothing (settings, pings, resets, empty frames, ...) adds to a debt, which useful
work and time pay off; above a limit the connection ends with ENHANCE_YOUR_CALM.

Longer than other modules, but one thing: one connection's state, and every frame may touch all of it. What goes out is
the other half, `dfproxy.wire.h2sending`.

Source: RFC 9113.
"""

from __future__ import annotations

from typing import Protocol

from dfproxy.wire import h2frames as frames
from dfproxy.wire.h2fields import Malformed
from dfproxy.wire.h2frames import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    HEAD_BYTES,
    HEADERS,
    LARGEST_STREAM,
    LARGEST_WINDOW,
    LEAST_FRAME,
    NO_ERROR,
    PADDED,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    read_head,
    read_number,
    read_setting,
)
from dfproxy.wire.h2sending import FORGIVEN_PER_S, KNOWN_BLOCKS, STREAM_WINDOW, ConnectionFault, S, Sending
from dfproxy.wire.hpack import Decoder, Field, HpackError, ListTooLarge, is_indexed

CONNECTION_WINDOW = 1 << 20
"""
The same for all bodies of a connection together.
"""

LIST_FACTOR = 4
"""
A list of fields up to so many times the limit is still read, to keep both tables in step, and answered 431; above it
the connection ends.
"""

KNOWN_BYTES = 64
"""
Longest block that is known: as many indexed fields.
"""

LAST_BYTES = 512
"""
Longest block with a literal that is known.
"""

CONTINUATIONS = 16
"""
Most CONTINUATION frames of one list: with full frames that is 16 times the largest list. HAProxy stops at its buffer,
nghttp2 at 8.
"""

FRAMES_AT_ONCE = 512
"""
Most frames that are read in one go, then others get their turn: a millisecond or two. A read of 256 KiB may hold 20,000
of them, and many reads follow each other.
"""

SKIPS = 100
"""
How many times numbers left out are noted, to say the right thing should they come later.
"""

_SETTINGS_COST, _PING_COST, _RESET_COST, _IDLE_COST = 10, 2, 4, 1


class Receiver(Protocol[S]):
    """
    Who hears of what a client sends. Nothing may be raised but what is said.
    """

    def stream_begun(self, fields: list[Field], ended: bool) -> S:
        """
        A request, whose fields are not to be changed; `expected` of the stream is to be set, all else is done for you.

        Raises:
            Malformed: it is none.
        """

    def stream_data(self, stream: S, data: bytes) -> None:
        """
        More of its body, never empty; `stream.remote_ended` says whether it is the last. Somebody calls `taken` in
        time, or `give` and `give_stream`.
        """

    def stream_ended(self, stream: S, trailers: list[Field]) -> None:
        """
        Its body is complete, without a last piece.

        Raises:
            Malformed: the trailers are.
        """

    def stream_reset(self, stream: S) -> None:
        """
        It is gone, by the client's will or fault.
        """

    def window_opened(self, stream: S | None) -> None:
        """
        More can be sent: on this stream, or (None) on any.
        """

    def pinged_back(self) -> None:
        """
        The client has answered our ping.
        """

    def client_leaves(self) -> None:
        """
        There will be no further request.
        """

    def request_refused(self) -> None:
        """
        A request was malformed, or one too many.
        """


class ServerSide(Sending[S]):
    """
    One connection.

    Args:
        streams: most streams at once.
        list_bytes: longest list of fields.

    Attributes:
        more: there was too much for one go: feed it nothing, a turn later, and it goes on.
        partial: what the bytes that wait for more belong to: -1 nothing, 0 the connection or a list of fields, else the
            body of the stream of this number.
        since: since when they wait, in seconds of the clock given to `feed`.
    """

    __slots__ = (
        "_block",
        "_block_bytes",
        "_block_flags",
        "_block_frames",
        "_block_stream",
        "_debt_at",
        "_decoder",
        "_highest",
        "_initial_window",
        "_list_bytes",
        "_last",
        "_lists",
        "_owed",
        "_receive_window",
        "_rest",
        "_skipped",
        "_started",
        "_streams_limit",
        "more",
        "partial",
        "since",
    )

    def __init__(self, streams: int, list_bytes: int) -> None:
        super().__init__()
        self.out += [
            frames.settings(
                (frames.MAX_CONCURRENT_STREAMS, streams),
                (frames.INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                (frames.MAX_HEADER_LIST_SIZE, list_bytes),
            ),
            frames.window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW),
        ]
        self.more = False
        self.partial = -1
        self.since = 0.0
        self._streams_limit = streams
        self._list_bytes = list_bytes * LIST_FACTOR
        self._decoder = Decoder(self._list_bytes)
        self._lists: dict[bytes, list[Field]] = {}
        self._last = b""  # of the keys of that the one with a literal
        self._rest = b""
        self._started = 0  # 1: the preface is here; 2: the first SETTINGS as well
        self._initial_window = DEFAULT_WINDOW
        self._highest = -1
        self._skipped: list[range] = []
        self._receive_window = CONNECTION_WINDOW
        self._owed = 0
        self._block: list[bytes] | None = None
        self._block_stream = self._block_flags = self._block_bytes = self._block_frames = 0
        self._debt_at = 0.0

    # --- bytes in --------------------------------------------------------------------------------------------

    def feed(self, data: bytes, now: float, receiver: Receiver[S]) -> None:
        """
        Take the next bytes.

        Args:
            now: seconds of a clock that never goes back.

        Raises:
            ConnectionFault: the connection cannot go on.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if self._debt:
            self._debt = max(0.0, self._debt - (now - self._debt_at) * FORGIVEN_PER_S)
        self._debt_at = now
        begun = self._block
        position, size = 0, len(data)
        if not self._started:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise ConnectionFault(PROTOCOL_ERROR, "not the preface")  # 3.4
            if size < len(PREFACE):
                self._rest = data
                self._waits(0, now, self.partial < 0)
                return
            position = len(PREFACE)
            self._started = 1
        first = position
        partial = -1
        left = FRAMES_AT_ONCE
        while left and size - position >= HEAD_BYTES:
            left -= 1
            word, flags, number = read_head(data, position)
            kind = word & 0xFF
            if word >> 8 > LEAST_FRAME:
                raise ConnectionFault(FRAME_SIZE_ERROR, "frame too large")  # 4.2
            number &= LARGEST_STREAM  # the first bit means nothing (4.1)
            start = position + HEAD_BYTES
            end = start + (word >> 8)
            if self._block is not None:
                if kind != CONTINUATION or number != self._block_stream:
                    raise ConnectionFault(PROTOCOL_ERROR, "a list of fields was interrupted")  # 6.10
            elif self._started == 1 and (kind != SETTINGS or flags & ACK):
                raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS must come first")  # 3.4
            if end > size:
                partial = number if kind == DATA else 0
                break
            if kind == HEADERS:
                self._headers(number, flags, data[start:end], receiver)
            elif kind == DATA:
                self._data(number, flags, data, start, end, receiver)
            elif kind == WINDOW_UPDATE:
                self._window_update(number, data, start, end, receiver)
            elif kind < len(_OTHERS):
                _OTHERS[kind](self, number, flags, data[start:end], receiver)
            else:
                self._owe(_IDLE_COST)  # 5.5: a type that we do not know
            position = end
        self.more = not left
        if position < size:
            self._rest = data[position:]
            if partial < 0 and left:
                partial = 0
        elif self._block is not None:
            partial = 0
        if partial >= 0:
            self._waits(partial, now, position > first and (begun is None or begun is not self._block))
        else:
            self.partial = -1

    def _waits(self, partial: int, now: float, new: bool) -> None:
        """
        Something is not whole; `new`: something else than before.
        """
        if new or self.partial < 0:
            self.since = now
        self.partial = partial

    # --- lists of fields -------------------------------------------------------------------------------------

    def _headers(self, number: int, flags: int, payload: bytes, receiver: Receiver[S]) -> None:
        malformed = False
        if flags & (PADDED | WITH_PRIORITY):
            if flags & PADDED:
                payload = _unpadded(payload)
            if flags & WITH_PRIORITY:
                if len(payload) < 5:
                    raise ConnectionFault(FRAME_SIZE_ERROR, "priority cut short")
                malformed = read_number(payload)[0] & LARGEST_STREAM == number  # RFC 7540 5.3.1
                payload = payload[5:]
        if not number & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "not a number for a client's stream")  # 5.1.1
        if flags & END_HEADERS:
            self._list(number, flags & END_STREAM, payload, malformed, receiver)
        else:
            self._block = [payload]
            self._block_stream = number
            self._block_flags = flags & END_STREAM | (2 if malformed else 0)
            self._block_bytes = len(payload)
            self._block_frames = 0

    def _continuation(self, number: int, flags: int, payload: bytes, receiver: Receiver[S]) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION of nothing")  # 6.10
        if not payload:
            self._owe(_IDLE_COST)
        block.append(payload)
        self._block_bytes += len(payload)
        self._block_frames += 1
        if self._block_bytes > self._list_bytes or self._block_frames > CONTINUATIONS:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "list of fields too long")
        if flags & END_HEADERS:
            self._block = None
            self._list(number, self._block_flags & END_STREAM, b"".join(block), self._block_flags > 1, receiver)

    def _list(self, number: int, ended: int, block: bytes, malformed: bool, receiver: Receiver[S]) -> None:
        """
        A whole list has come: a request, or trailers. It is decoded whatever becomes of it (4.3).
        """
        fields = self._lists.get(block)
        if fields is None:
            try:
                fields = self._decoder.decode(block)
            except HpackError as error:
                raise ConnectionFault(COMPRESSION_ERROR, str(error)) from error
            except ListTooLarge as error:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "list of fields too long") from error
            if not self._decoder.steady:
                self._lists.clear()  # the table is another one now
            elif is_indexed(block):
                if len(self._lists) < KNOWN_BLOCKS and len(block) <= KNOWN_BYTES:
                    self._lists[block] = fields
            elif len(block) <= LAST_BYTES:
                # With a literal, mostly the path: the last one only, there are as many as pages.
                self._lists.pop(self._last, None)
                self._lists[block] = fields
                self._last = block
        stream = self.streams.get(number)
        if stream is not None:
            self._trailers(stream, ended, fields, malformed, receiver)
        elif number > self._highest:
            if number > self._highest + 2 and len(self._skipped) < SKIPS:
                self._skipped.append(range(self._highest + 2, number))
            self._highest = number
            if self.refusing:
                self._remember(number)  # 6.8: the client knows, or will know, that it was not looked at
                return
            self.last = number
            if len(self.streams) >= self._streams_limit:
                self._refuse(number, REFUSED_STREAM, receiver)  # 5.1.2
                return
            try:
                if malformed:
                    raise Malformed("depends on itself")
                stream = receiver.stream_begun(fields, ended != 0)
            except Malformed:
                self._refuse(number, PROTOCOL_ERROR, receiver)  # 8.1.1
                return
            stream.number = number
            stream.send_window = self._initial_window
            if ended:
                stream.remote_ended = True
            self.streams[number] = stream
        elif number not in self._resets:
            if any(number in skipped for skipped in self._skipped):
                raise ConnectionFault(PROTOCOL_ERROR, "numbers of streams only grow")  # 5.1.1
            raise ConnectionFault(STREAM_CLOSED, "HEADERS on a closed stream")  # 5.1

    def _refuse(self, number: int, code: int, receiver: Receiver[S]) -> None:
        self._owe(_RESET_COST)
        self._remember(number)
        self.out.append(frames.reset(number, code))
        receiver.request_refused()

    def _trailers(self, stream: S, ended: int, fields: list[Field], malformed: bool, receiver: Receiver[S]) -> None:
        if stream.remote_ended:
            self._fault(stream, STREAM_CLOSED, receiver)  # 5.1
        elif stream.local_ended and ended:
            self._client_ended(stream, receiver)
        elif not ended or malformed or stream.expected > 0:
            self._fault(stream, PROTOCOL_ERROR, receiver)  # 8.1
        else:
            stream.remote_ended = True
            try:
                receiver.stream_ended(stream, fields)
            except Malformed:
                self._fault(stream, PROTOCOL_ERROR, receiver)

    def _client_ended(self, stream: S, receiver: Receiver[S]) -> None:
        """
        The rest of a request that was answered already has been read.
        """
        stream.remote_ended = True
        self.streams.pop(stream.number, None)
        receiver.stream_reset(stream)

    # --- bodies ----------------------------------------------------------------------------------------------

    def _data(self, number: int, flags: int, data: bytes, start: int, end: int, receiver: Receiver[S]) -> None:
        stream = self.streams.get(number)
        if stream is None and number not in self._resets:
            if number > self._highest or not number & 1:
                raise ConnectionFault(PROTOCOL_ERROR, "DATA without a stream")  # 5.1, 6.1
            raise ConnectionFault(STREAM_CLOSED, "DATA on a closed stream")
        length = end - start  # with the padding (6.9.1)
        if length > self._receive_window:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "more than the connection's window")
        self._receive_window -= length
        if flags & PADDED:
            payload = _unpadded(data[start:end])
        else:
            payload = data[start:end] if length else b""
        if stream is None:
            self.give(length)
            return
        if stream.remote_ended:
            self.give(length)
            self._fault(stream, STREAM_CLOSED, receiver)  # 5.1
            return
        if length > stream.receive_window:
            self.give(length)
            self._fault(stream, FLOW_CONTROL_ERROR, receiver)  # 6.9.1
            return
        stream.receive_window -= length
        count = len(payload)
        ended = flags & END_STREAM
        if stream.local_ended:
            self.give(length)
            if ended:
                self._client_ended(stream, receiver)
            return
        if stream.expected >= 0:
            stream.expected -= count
            if stream.expected < 0 or (ended and stream.expected):
                self.give(length)
                self._fault(stream, PROTOCOL_ERROR, receiver)  # 8.1.1: not as long as Content-Length says
                return
        if ended:
            stream.remote_ended = True
        if length > count:
            self.taken(stream, length - count)
        if count:
            self._paid(count, 0)
            receiver.stream_data(stream, payload)
        elif ended:
            receiver.stream_ended(stream, [])
        else:
            self._owe(_IDLE_COST)

    def taken(self, stream: S, count: int) -> None:
        """
        So many bytes of a request's body have gone where they belong, or nowhere: the client may send as many more.
        """
        self.give(count)
        self.give_stream(stream, count)

    def give(self, count: int) -> None:
        """
        The same, for the connection's window alone.
        """
        self._owed += count
        if self._owed >= CONNECTION_WINDOW >> 1:
            self._receive_window += self._owed
            self.out.append(frames.window_update(0, self._owed))
            self._owed = 0

    def give_stream(self, stream: S, count: int) -> None:
        """
        The same, for a stream's window alone.
        """
        if not stream.remote_ended:
            stream.owed += count
            if stream.owed >= STREAM_WINDOW >> 1:
                stream.receive_window += stream.owed
                self.out.append(frames.window_update(stream.number, stream.owed))
                stream.owed = 0

    # --- the rest --------------------------------------------------------------------------------------------

    def _window_update(self, number: int, data: bytes, start: int, end: int, receiver: Receiver[S]) -> None:
        if end - start != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE of another size")
        self._owe(_IDLE_COST)
        count = read_number(data, start)[0] & LARGEST_WINDOW
        if not number:
            if not count:
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")  # 6.9
            self.send_window += count
            if self.send_window > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "window too large")  # 6.9.1
            receiver.window_opened(None)
            return
        stream = self.streams.get(number)
        if stream is None:
            if number > self._highest or not number & 1:
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE without a stream")
        elif not count:
            self._fault(stream, PROTOCOL_ERROR, receiver)
        else:
            stream.send_window += count
            if stream.send_window > LARGEST_WINDOW:
                self._fault(stream, FLOW_CONTROL_ERROR, receiver)
            else:
                receiver.window_opened(stream)

    def _settings(self, number: int, flags: int, payload: bytes, receiver: Receiver[S]) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS on a stream")  # 6.5
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of another size")
        self._owe(_SETTINGS_COST + len(payload) // 64)
        if flags & ACK:
            return
        self._started = 2
        opened = False
        for name, value in read_setting(payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                if value > LARGEST_WINDOW:
                    raise ConnectionFault(FLOW_CONTROL_ERROR, "window too large")  # 6.5.2
                opened = self._initial(value - self._initial_window) or opened
            elif name == frames.MAX_FRAME_SIZE:
                if not LEAST_FRAME <= value < 1 << 24:
                    raise ConnectionFault(PROTOCOL_ERROR, "frame size out of range")
            elif name == frames.HEADER_TABLE_SIZE:
                self._encoder.limit_table(value)
                self._blocks.clear()
            elif name == frames.ENABLE_PUSH and value > 1:
                raise ConnectionFault(PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        self.out.append(frames.SETTINGS_ACK)
        if opened:
            receiver.window_opened(None)

    def _initial(self, change: int) -> bool:
        """
        The client changes what all windows began with (6.9.2).

        Returns:
            Whether more can be sent.
        """
        self._initial_window += change
        for stream in self.streams.values():
            stream.send_window += change
            if stream.send_window > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "window too large")
        return change > 0

    def _ping(self, number: int, flags: int, payload: bytes, receiver: Receiver[S]) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "PING on a stream")  # 6.7
        if len(payload) != 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "PING of another size")
        self._owe(_PING_COST)
        if flags & ACK:
            receiver.pinged_back()
        else:
            self.out.append(frames.ping(payload, True))

    def _priority(self, number: int, flags: int, payload: bytes, receiver: Receiver[S]) -> None:
        if not number:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY without a stream")  # 6.3
        self._owe(_IDLE_COST)
        code = NO_ERROR
        if len(payload) != 5:
            code = FRAME_SIZE_ERROR
        elif read_number(payload)[0] & LARGEST_STREAM == number:
            code = PROTOCOL_ERROR  # RFC 7540 5.3.1
        if code:
            stream = self.streams.get(number)
            if stream is None:
                raise ConnectionFault(code, "PRIORITY is wrong")  # RST_STREAM cannot be sent for it
            self._fault(stream, code, receiver)

    def _rst_stream(self, number: int, flags: int, payload: bytes, receiver: Receiver[S]) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "RST_STREAM of another size")  # 6.4
        if number > self._highest or not number & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "RST_STREAM without a stream")
        stream = self.streams.pop(number, None)
        self._owe(_RESET_COST if stream is not None else _IDLE_COST)
        if stream is not None:
            receiver.stream_reset(stream)

    def _push_promise(self, number: int, flags: int, payload: bytes, receiver: Receiver[S]) -> None:
        raise ConnectionFault(PROTOCOL_ERROR, "clients do not push")  # 8.4

    def _goaway(self, number: int, flags: int, payload: bytes, receiver: Receiver[S]) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY on a stream")  # 6.8
        if len(payload) < 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY of another size")
        self._owe(_IDLE_COST)
        receiver.client_leaves()

    def _fault(self, stream: S, code: int, receiver: Receiver[S]) -> None:
        """
        The client broke a rule on a stream: it ends (5.4.2).
        """
        self._owe(_RESET_COST)
        self.reset(stream, code)
        receiver.stream_reset(stream)


def _unpadded(payload: bytes) -> bytes:
    """
    The payload without its padding (6.1).
    """
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


_OTHERS = (
    ServerSide._headers,  # DATA and HEADERS never get here
    ServerSide._headers,
    ServerSide._priority,
    ServerSide._rst_stream,
    ServerSide._settings,
    ServerSide._push_promise,
    ServerSide._ping,
    ServerSide._goaway,
    ServerSide._continuation,  # nor does WINDOW_UPDATE
    ServerSide._continuation,
)
"""
What reads a frame, by its type.
"""
