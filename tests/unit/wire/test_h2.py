"""
The server's side of HTTP/2 without a session: what a client may do, what it may not, and what either costs it.

Which requirement of the RFCs each test shows stands in docs/http2.md. Long, but one thing: one state machine.
"""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire import h2frames as h2
from dfproxy.wire.h1 import RequestHead
from dfproxy.wire.h2 import CONNECTION_WINDOW, CONTINUATIONS, FRAMES_AT_ONCE, STREAM_WINDOW, ServerSide
from dfproxy.wire.h2fields import FieldReader, Malformed
from dfproxy.wire.h2sending import DEBT, FORGIVEN_PER_S, ConnectionFault, StreamState
from dfproxy.wire.hpack import Encoder, Field
from tests.http2 import ERRORS, GET, POST, Hearing, data, frame, headers, literal, number
from tests.requirements import ROOT
from tests.test_parts import exists

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True)

OPENING = h2.PREFACE + h2.settings()


class Peer:
    """
    One connection whose receiver writes down what it hears.

    Attributes:
        side: what is tested.
        events: what it said, in order.
        takes: bodies are taken at once.
    """

    def __init__(self, streams: int = 100, opening: bytes = OPENING) -> None:
        self.side: ServerSide[StreamState] = ServerSide(streams, 16384)
        self.hearing = Hearing()
        self.events: list[str] = []
        self.takes = True
        self.now = 0.0
        self._reader = FieldReader(16384, 100)
        if opening:
            self.feed(opening)
            self.lines()

    def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.side.feed(piece, self.now, self)
            while self.side.more:
                self.side.feed(b"", self.now, self)

    def lines(self) -> list[str]:
        out = b"".join(self.side.out)
        self.side.out.clear()
        return self.hearing.read(out)

    def fault(self, *pieces: bytes) -> str:
        """
        The name of the error that these end the connection with.
        """
        try:
            self.feed(*pieces)
        except ConnectionFault as fault:
            return ERRORS[fault.code]
        return f"nothing; {self.lines()}"

    # Receiver

    def stream_begun(self, fields: list[Field], ended: bool) -> StreamState:
        head = RequestHead()
        self._reader.request(fields, ended, head)
        stream = StreamState()
        stream.expected = head.body
        self.events.append(f"{head.method.decode()} {head.target.decode()}{' END' if ended else ''}")
        return stream

    def stream_data(self, stream: StreamState, data: bytes) -> None:
        self.events.append(f"{stream.number} {len(data)}{' END' if stream.remote_ended else ''}")
        if self.takes:
            self.side.taken(stream, len(data))

    def stream_ended(self, stream: StreamState, trailers: list[Field]) -> None:
        if any(name.startswith(b":") for name, _, _ in trailers):
            raise Malformed
        self.events.append(f"{stream.number} END {len(trailers)}")

    def stream_reset(self, stream: StreamState) -> None:
        self.events.append(f"{stream.number} gone")

    def window_opened(self, stream: StreamState | None) -> None:
        self.events.append(f"{stream.number if stream is not None else 'all'} opened")

    def pinged_back(self) -> None:
        self.events.append("pinged back")

    def client_leaves(self) -> None:
        self.events.append("leaves")

    def request_refused(self) -> None:
        self.events.append("refused")


class PeerCase(SynchronousTestCase):
    """
    Says what must come of which bytes.
    """

    def faults(self, code: str, *pieces: bytes, peer: Peer | None = None) -> None:
        """
        These bytes end the connection with this error.
        """
        self.assertEqual((peer or Peer()).fault(*pieces), code)

    def resets(self, line: str, *pieces: bytes, peer: Peer | None = None) -> Peer:
        """
        These bytes end a stream, and nothing else: another request works.
        """
        peer = peer or Peer()
        peer.feed(*pieces)
        self.assertIn(line, peer.lines())
        peer.feed(headers(99, *GET))
        self.assertEqual(peer.events[-1], "GET /x END")
        return peer


class OpeningTests(PeerCase):
    """
    The preface and the first frames (RFC 9113 3.4).
    """

    def test_ours_comes_first(self) -> None:
        """
        SETTINGS with what we allow is the first thing that we send, then the connection's window.
        """
        lines = Peer(opening=b"").lines()
        self.assertEqual(lines, [f"settings 3=100 4={STREAM_WINDOW} 6=16384", f"0 window +{CONNECTION_WINDOW - 65535}"])

    def test_theirs_is_acknowledged(self) -> None:
        """
        Each SETTINGS of the client is acknowledged, an acknowledgement is not.
        """
        peer = Peer()
        peer.feed(h2.settings((1, 0)), h2.SETTINGS_ACK)
        self.assertEqual(peer.lines(), ["settings taken"])

    def test_other_prefaces(self) -> None:
        """
        What is no preface ends the connection at its first wrong byte.
        """
        for wrong in (b"GET / HTTP/1.1\r\n\r\n", h2.PREFACE[:-1] + b"x", b"P\n"):
            self.assertEqual(Peer(opening=b"").fault(wrong), "PROTOCOL_ERROR")

    def test_settings_must_follow(self) -> None:
        """
        After the preface comes SETTINGS, and no acknowledgement of it.
        """
        for first in (h2.ping(b"12345678", False), headers(1, *GET), h2.SETTINGS_ACK):
            self.assertEqual(Peer(opening=b"").fault(h2.PREFACE, first), "PROTOCOL_ERROR")

    def test_byte_by_byte(self) -> None:
        """
        However the bytes are cut, the same comes of them.
        """
        whole = OPENING + headers(1, *POST, end=False) + data(1, b"abc", end=True) + h2.ping(b"12345678", False)
        peers = [Peer(opening=b"") for _ in range(3)]
        for peer, size in zip(peers, (len(whole), 1, 7)):
            peer.feed(*(whole[at : at + size] for at in range(0, len(whole), size)))
        self.assertEqual(peers[0].events, ["POST /x", "1 3 END"])
        self.assertEqual([peer.events for peer in peers[1:]], [peers[0].events] * 2)
        self.assertEqual(len({tuple(peer.lines()) for peer in peers}), 1)


class FrameTests(PeerCase):
    """
    Sizes, flags and places of frames (RFC 9113 4 and 6).
    """

    def test_too_large(self) -> None:
        """
        A frame above 16 KiB is refused by its head alone.
        """
        for kind in (h2.DATA, h2.HEADERS, h2.SETTINGS, 99):
            self.faults("FRAME_SIZE_ERROR", h2.frame_head(16385 << 8 | kind, 0, 1))

    def test_largest(self) -> None:
        """
        One of 16 KiB is taken.
        """
        peer = Peer()
        peer.feed(headers(1, *POST, end=False), data(1, b"x" * 16384, end=True))
        self.assertEqual(peer.events[-1], "1 16384 END")

    def test_unknown_types(self) -> None:
        """
        Frames of types that nobody knows are skipped, wherever they are but within a list of fields.
        """
        peer = Peer()
        peer.feed(frame(0x16, 0xFF, 0, b"x"), headers(1, *POST, end=False), frame(99, 0, 1), data(1, b"a", end=True))
        self.assertEqual(peer.events, ["POST /x", "1 1 END"])

    def test_undefined_flags_and_reserved_bit(self) -> None:
        """
        Flags without a meaning and the first bit of the stream's number are not looked at.
        """
        peer = Peer()
        peer.feed(frame(h2.PING, 0xFE, 0, b"12345678"), frame(h2.HEADERS, 0xC5 & ~8, 1 << 31 | 1, literal(*GET)))
        self.assertEqual(peer.lines(), ["ping 3132333435363738 back"])
        self.assertEqual(peer.events, ["GET /x END"])

    def test_wrong_sizes(self) -> None:
        """
        Frames whose size is fixed and is another.
        """
        opened = headers(1, *POST, end=False)
        for wrong in (
            frame(h2.SETTINGS, 0, 0, b"12345"),
            frame(h2.SETTINGS, h2.ACK, 0, b"123456"),
            frame(h2.PING, 0, 0, b"1234567"),
            frame(h2.WINDOW_UPDATE, 0, 0, b"123"),
            frame(h2.GOAWAY, 0, 0, b"1234567"),
            opened + frame(h2.RST_STREAM, 0, 1, b"123"),
            opened + frame(h2.WINDOW_UPDATE, 0, 1, b"12345"),
            frame(h2.HEADERS, h2.END_HEADERS | h2.WITH_PRIORITY, 1, b"1234"),
        ):
            self.faults("FRAME_SIZE_ERROR", wrong)
        self.resets("1 reset FRAME_SIZE_ERROR", opened + frame(h2.PRIORITY, 0, 1, b"1234"))

    def test_wrong_places(self) -> None:
        """
        Frames of the connection on a stream, and of streams on the connection.
        """
        for wrong in (
            frame(h2.SETTINGS, 0, 1),
            frame(h2.PING, 0, 1, b"12345678"),
            frame(h2.GOAWAY, 0, 1, b"12345678"),
            data(0, b"x"),
            headers(0, *GET),
            frame(h2.PRIORITY, 0, 0, b"12345"),
            frame(h2.RST_STREAM, 0, 0, number(8)),
            frame(h2.CONTINUATION, h2.END_HEADERS, 0),
            frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, number(2)),
        ):
            self.faults("PROTOCOL_ERROR", wrong)

    def test_padding(self) -> None:
        """
        Padding is cut off; as much as there is payload, or more, is an error.
        """
        peer = Peer()
        peer.feed(
            frame(h2.HEADERS, h2.END_HEADERS | h2.PADDED, 1, b"\x02" + literal(*POST) + b"\0\0"),
            frame(h2.DATA, h2.PADDED, 1, b"\x03abc\0\0\0"),
            frame(h2.DATA, h2.PADDED | h2.END_STREAM, 1, b"\x01\0"),
        )
        self.assertEqual(peer.events, ["POST /x", "1 3", "1 END 0"])
        opened = headers(1, *POST, end=False)
        for wrong in (b"\x01", b"\x05abc", b""):
            self.faults("PROTOCOL_ERROR", opened, frame(h2.DATA, h2.PADDED, 1, wrong))
        self.faults("PROTOCOL_ERROR", frame(h2.HEADERS, h2.END_HEADERS | h2.PADDED, 1, b"\xff" + literal(*GET)))

    def test_priority_is_read_over(self) -> None:
        """
        Priorities of RFC 7540 are skipped, also of streams that are none; one that depends on itself is an error.
        """
        peer = Peer()
        priority = number(0) + b"\x10"
        peer.feed(frame(h2.PRIORITY, 0, 77, priority))
        peer.feed(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM | h2.WITH_PRIORITY, 1, priority + literal(*GET)))
        self.assertEqual(peer.events, ["GET /x END"])
        itself = frame(h2.HEADERS, h2.END_HEADERS | h2.WITH_PRIORITY, 3, number(3) + b"\x10" + literal(*GET))
        self.resets("3 reset PROTOCOL_ERROR", itself)
        self.resets("1 reset PROTOCOL_ERROR", headers(1, *POST, end=False), frame(h2.PRIORITY, 0, 1, number(1) + b"\0"))
        self.faults("PROTOCOL_ERROR", frame(h2.PRIORITY, 0, 5, number(5) + b"\0"))


class SettingsTests(PeerCase):
    """
    What a client may set (RFC 9113 6.5.2).
    """

    def test_out_of_range(self) -> None:
        """
        Values that no setting may have.
        """
        self.faults("PROTOCOL_ERROR", h2.settings((h2.ENABLE_PUSH, 2)))
        self.faults("PROTOCOL_ERROR", h2.settings((h2.MAX_FRAME_SIZE, 16383)))
        self.faults("PROTOCOL_ERROR", h2.settings((h2.MAX_FRAME_SIZE, 1 << 24)))
        self.faults("FLOW_CONTROL_ERROR", h2.settings((h2.INITIAL_WINDOW_SIZE, 1 << 31)))

    def test_unknown(self) -> None:
        """
        Settings that nobody knows are skipped, and the frame is acknowledged.
        """
        peer = Peer()
        peer.feed(h2.settings((99, 1), (h2.ENABLE_PUSH, 0), (h2.MAX_FRAME_SIZE, 16777215)))
        self.assertEqual(peer.lines(), ["settings taken"])

    def test_initial_window_moves_open_streams(self) -> None:
        """
        A smaller first window takes away from those that are open, below nothing if need be; a larger one gives.
        """
        peer = Peer()
        peer.feed(headers(1, *GET))
        stream = peer.side.streams[1]
        self.assertEqual(peer.side.data(stream, [b"x" * 100], False), None)
        peer.feed(h2.settings((h2.INITIAL_WINDOW_SIZE, 50)))
        self.assertEqual(stream.send_window, -50)
        self.assertEqual(peer.side.data(stream, [b"y"], False), [b"y"])
        peer.feed(h2.settings((h2.INITIAL_WINDOW_SIZE, 101)))
        self.assertEqual(peer.events[-1], "all opened")
        self.assertIsNone(peer.side.data(stream, [b"y"], False))

    def test_initial_window_overflows(self) -> None:
        """
        It may not push the window of an open stream above the largest.
        """
        opened = headers(1, *GET) + h2.window_update(1, h2.LARGEST_WINDOW - 65535)
        self.faults("FLOW_CONTROL_ERROR", opened, h2.settings((h2.INITIAL_WINDOW_SIZE, 65536)))

    def test_table_size(self) -> None:
        """
        A client without a table gets blocks that need none.
        """
        peer = Peer()
        peer.feed(h2.settings((h2.HEADER_TABLE_SIZE, 0)), headers(1, *GET), headers(3, *GET))
        for number_ in (1, 3):
            peer.side.headers(peer.side.streams[number_], [(b"x-a", b"b", False)], True)
        self.assertEqual(peer.lines()[1:], ["1 x-a=b END", "3 x-a=b END"])
        self.assertNotIn(b"\xbe", b"".join(peer.side.out))


class StreamTests(PeerCase):
    """
    States of streams (RFC 9113 5.1) and their numbers (5.1.1).
    """

    def test_idle(self) -> None:
        """
        On a stream that nobody opened only HEADERS and PRIORITY may come.
        """
        for wrong in (
            data(1, b"x"),
            h2.window_update(1, 1),
            h2.reset(1, h2.CANCEL),
            data(2, b"x"),
            h2.window_update(2, 1),
        ):
            self.faults("PROTOCOL_ERROR", wrong)

    def test_numbers(self) -> None:
        """
        Clients' streams are odd, and their numbers only grow.
        """
        self.faults("PROTOCOL_ERROR", headers(2, *GET))
        self.faults("PROTOCOL_ERROR", headers(5, *GET), headers(3, *GET))
        peer = Peer()
        peer.feed(headers(h2.LARGEST_STREAM, *GET))
        self.assertEqual(peer.events, ["GET /x END"])

    def test_half_closed(self) -> None:
        """
        After the end of the request no more of it may come; windows, resets and priorities may.
        """
        ended = headers(1, *GET)
        self.resets("1 reset STREAM_CLOSED", ended, data(1, b"x"))
        self.resets("1 reset STREAM_CLOSED", ended, headers(1, *GET))
        peer = Peer()
        peer.feed(ended, h2.window_update(1, 1), frame(h2.PRIORITY, 0, 1, b"\0\0\0\0\0"), h2.reset(1, h2.CANCEL))
        self.assertEqual(peer.events, ["GET /x END", "1 opened", "1 gone"])

    def test_closed(self) -> None:
        """
        After both ends, or the client's reset, DATA and HEADERS end the connection; what may be under way does not.
        """
        for closing in (h2.reset(1, h2.CANCEL), b""):
            for wrong in (data(1, b"x"), headers(1, *GET)):
                peer = Peer()
                peer.feed(headers(1, *GET), closing)
                if not closing:
                    peer.side.headers(peer.side.streams[1], [(b":status", b"204", False)], True)
                peer.feed(h2.window_update(1, 1), h2.reset(1, h2.CANCEL), frame(h2.PRIORITY, 0, 1, b"\0\0\0\0\0"))
                self.faults("STREAM_CLOSED", wrong, peer=peer)

    def test_reset_by_us(self) -> None:
        """
        What a client sends before it knows that we have reset is dropped, and counts for the connection's window.
        """
        peer = Peer()
        peer.feed(headers(1, *POST, end=False))
        peer.side.reset(peer.side.streams[1], h2.CANCEL)
        peer.lines()
        peer.feed(*(data(1, b"x" * 16384) for _ in range(100)), headers(1, ("x-trailer", "a")), h2.window_update(1, 5))
        self.assertEqual(peer.events, ["POST /x"])
        self.assertEqual(peer.lines(), ["0 window +524288"] * 3)

    def test_too_many(self) -> None:
        """
        Above the limit a stream is refused so that it may be tried again; its fields are read for the tables' sake.
        """
        peer = Peer(streams=2)
        encoder = Encoder()
        for stream in (1, 3, 5):
            pairs = [(name.encode(), value.encode(), False) for name, value in (*GET, ("x-a", str(stream)))]  # type: ignore[union-attr]  # they are str
            peer.feed(frame(h2.HEADERS, 5, stream, encoder.encode(pairs)))
        self.assertEqual(peer.lines(), ["5 reset REFUSED_STREAM"])
        peer.feed(h2.reset(1, h2.CANCEL))
        peer.feed(frame(h2.HEADERS, 5, 7, encoder.encode([*pairs])))
        self.assertEqual(peer.events[-2:], ["1 gone", "GET /x END"])

    def test_early_answer(self) -> None:
        """
        A request that is answered before its end is read to its end, and dropped.
        """
        peer = Peer()
        peer.feed(headers(1, *POST, end=False))
        peer.side.headers(peer.side.streams[1], [(b":status", b"413", False)], True)
        peer.feed(data(1, b"x" * 100), data(1, b"y", end=True))
        self.assertEqual(peer.events, ["POST /x", "1 gone"])
        self.assertEqual(peer.lines(), ["1 :status=413 END"])


class ListTests(PeerCase):
    """
    Lists of fields and their frames (RFC 9113 4.3, 6.10, 8.1).
    """

    def test_same_block_again(self) -> None:
        """
        The same bytes are the same list, literals in them or not, until the table changes: then they are read anew.
        """
        peer, lists = Peer(), []
        begun = peer.stream_begun

        def watched(fields: list[Field], ended: bool) -> StreamState:
            lists.append(fields)
            return begun(fields, ended)

        peer.stream_begun = watched  # type: ignore[method-assign]  # looked at from outside
        youngest = literal(*GET) + b"\xbe"
        path = literal(*GET[:1], (":path", "/y"), *GET[2:]) + b"\xbe"
        blocks = (
            literal(*GET) + b"\x40\x03x-a\x011",  # goes into the table
            *(youngest, youngest, path, youngest),
            literal(*GET) + b"\x40\x03x-b\x012",
            *(youngest, youngest),
        )
        for at, block in enumerate(blocks):
            peer.feed(frame(h2.HEADERS, 5, 2 * at + 1, block))
        last = [(fields[1][1], fields[-1][0], fields[-1][1]) for fields in lists]
        one, two = (b"/x", b"x-a", b"1"), (b"/x", b"x-b", b"2")
        self.assertEqual(last, [one, one, one, (b"/y", b"x-a", b"1"), one, two, two, two])
        self.assertIs(lists[2], lists[1])
        self.assertIsNot(lists[4], lists[2])  # of those with a literal the last one is known
        self.assertIs(lists[7], lists[6])
        self.assertEqual(len(peer.side._lists), 1)
        again = Peer()
        for at, block in enumerate((blocks[0], blocks[0], literal(*GET) + b"\xbf")):
            again.feed(frame(h2.HEADERS, 5, 2 * at + 1, block))  # puts it in twice, so there is a second youngest
        self.assertEqual(again.events, ["GET /x END"] * 3)

    def test_continuation(self) -> None:
        """
        A list may come in several frames; nothing may come in between.
        """
        block = literal(*GET)
        first = frame(h2.HEADERS, h2.END_STREAM, 1, block[:5])
        last = frame(h2.CONTINUATION, h2.END_HEADERS, 1, block[9:])
        peer = Peer()
        peer.feed(first, frame(h2.CONTINUATION, 0, 1, block[5:9]), last)
        self.assertEqual(peer.events, ["GET /x END"])
        for between in (
            h2.ping(b"12345678", False),
            data(1, b"x"),
            headers(3, *GET),
            frame(h2.CONTINUATION, 0, 3),
            frame(99, 0, 1),
            h2.settings(),
        ):
            self.faults("PROTOCOL_ERROR", first, between)
        self.faults("PROTOCOL_ERROR", headers(1, *GET), last)

    def test_wrong_blocks(self) -> None:
        """
        A block that HPACK does not allow ends the connection: its state is lost.
        """
        for block in (b"\x80", b"\xff\xff\xff\xff\xff\x0f", b"\x40", b"\x82\x20", b"\x00\x01a\x84\xff\xff\xff\xff"):
            self.faults("COMPRESSION_ERROR", frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, block))

    def test_trailers(self) -> None:
        """
        Fields after the body end the request; without END_STREAM, with pseudo-fields, or too early they do not.
        """
        opened = headers(1, *POST, end=False)
        peer = Peer()
        peer.feed(opened, data(1, b"abc"), headers(1, ("x-sum", "1")))
        self.assertEqual(peer.events, ["POST /x", "1 3", "1 END 1"])
        self.resets("1 reset PROTOCOL_ERROR", opened, headers(1, ("x-sum", "1"), end=False))
        self.resets("1 reset PROTOCOL_ERROR", opened, headers(1, (":path", "/")))
        self.resets(
            "1 reset PROTOCOL_ERROR", headers(1, *POST, ("content-length", "4"), end=False), headers(1, ("a", "b"))
        )

    def test_malformed(self) -> None:
        """
        A request that is none is reset, and its stream is used up.
        """
        peer = self.resets("1 reset PROTOCOL_ERROR", headers(1, *GET[:3], ("Bad", "x")))
        self.assertIn("refused", peer.events)


class LengthTests(PeerCase):
    """
    Content-Length and what comes (RFC 9113 8.1.1).
    """

    def test_as_long_as_it_says(self) -> None:
        """
        A body of exactly that length, in any frames, is passed on.
        """
        peer = Peer()
        peer.feed(
            headers(1, *POST, ("content-length", "4"), end=False),
            data(1, b"ab"),
            data(1, b"cd"),
            data(1, b"", end=True),
        )
        self.assertEqual(peer.events, ["POST /x", "1 2", "1 2", "1 END 0"])

    def test_otherwise(self) -> None:
        """
        One that is longer, shorter, or missing is not.
        """
        said = headers(1, *POST, ("content-length", "4"), end=False)
        for wrong in (
            data(1, b"abcde"),
            data(1, b"abc", end=True),
            data(1, b"ab") + data(1, b"abc"),
            data(1, b"", end=True),
        ):
            peer = self.resets("1 reset PROTOCOL_ERROR", said, wrong)
            self.assertNotIn("1 5", peer.events)
        self.resets("1 reset PROTOCOL_ERROR", headers(1, *POST, ("content-length", "4")))


class WindowTests(PeerCase):
    """
    Flow control (RFC 9113 5.2, 6.9).
    """

    def test_theirs(self) -> None:
        """
        A client that sends more than a stream's window loses the stream; more than the connection's, the connection.
        """
        peer = Peer()
        peer.takes = False
        peer.feed(headers(1, *POST, end=False), *(data(1, b"x" * 16384) for _ in range(STREAM_WINDOW // 16384)))
        self.assertEqual(peer.lines(), [])
        peer.feed(data(1, b"x"))
        self.assertEqual(peer.lines(), ["1 reset FLOW_CONTROL_ERROR"])
        peer = Peer()
        peer.takes = False
        for stream in (1, 3, 5, 7):
            peer.feed(headers(stream, *POST, end=False), *(data(stream, b"x" * 16384) for _ in range(16)))
        self.faults("FLOW_CONTROL_ERROR", headers(9, *POST, end=False), data(9, b"x"), peer=peer)

    def test_given_back(self) -> None:
        """
        Windows are given back only for what was taken, in halves; padding at once.
        """
        peer = Peer()
        peer.takes = False
        peer.feed(headers(1, *POST, end=False), *(data(1, b"x" * 16384) for _ in range(8)))
        self.assertEqual(peer.lines(), [])
        peer.side.taken(peer.side.streams[1], 8 * 16384)
        self.assertEqual(peer.lines(), [f"1 window +{STREAM_WINDOW // 2}"])
        peer.feed(*(frame(h2.DATA, h2.PADDED, 1, b"\xff" + b"\0" * 255) for _ in range(STREAM_WINDOW // 512)))
        self.assertEqual(peer.lines(), [f"1 window +{STREAM_WINDOW // 2}"])

    def test_ours(self) -> None:
        """
        We never send more than both windows allow, in frames of at most 16 KiB, and go on where we stopped.
        """
        peer = Peer()
        peer.feed(h2.settings((h2.INITIAL_WINDOW_SIZE, 20000)), headers(1, *GET), headers(3, *GET))
        peer.lines()
        one, three = peer.side.streams[1], peer.side.streams[3]
        rest = peer.side.data(one, [b"x" * 30000, b"yy"], True)
        self.assertEqual(peer.lines(), ["1 16384 bytes", "1 3616 bytes"])
        self.assertEqual([len(piece) for piece in rest or ()], [10000, 2])
        self.assertIsNone(peer.side.data(three, [b"z" * 20000], False))
        peer.feed(h2.window_update(1, 100000))
        self.assertEqual(peer.events[-1], "1 opened")
        peer.lines()
        self.assertIsNone(peer.side.data(one, rest or [], True))
        self.assertEqual(peer.lines(), ["1 10000 bytes", "1 'yy' END"])
        self.assertEqual(peer.side.send_window, 65535 - 50002)

    def test_connection_window(self) -> None:
        """
        The connection's window holds all streams.
        """
        peer = Peer()
        peer.feed(h2.settings((h2.INITIAL_WINDOW_SIZE, 1 << 20)), headers(1, *GET), headers(3, *GET))
        self.assertEqual([len(x) for x in peer.side.data(peer.side.streams[1], [b"x" * 65536], False) or ()], [1])
        self.assertEqual(peer.side.data(peer.side.streams[3], [b"y"], False), [b"y"])
        peer.feed(h2.window_update(0, 1))
        self.assertEqual(peer.events[-1], "all opened")
        self.assertIsNone(peer.side.data(peer.side.streams[3], [b"y"], False))

    def test_empty_data_needs_none(self) -> None:
        """
        The end of a body can be sent with both windows empty.
        """
        peer = Peer()
        peer.feed(h2.settings((h2.INITIAL_WINDOW_SIZE, 0)), headers(1, *GET))
        peer.lines()
        self.assertIsNone(peer.side.data(peer.side.streams[1], [], True))
        self.assertEqual(peer.lines(), ["1 '' END"])

    def test_updates(self) -> None:
        """
        Updates of nothing, and above the largest window.
        """
        opened = headers(1, *GET)
        self.faults("PROTOCOL_ERROR", h2.window_update(0, 0))
        self.resets("1 reset PROTOCOL_ERROR", opened, h2.window_update(1, 0))
        self.faults("FLOW_CONTROL_ERROR", h2.window_update(0, h2.LARGEST_WINDOW))
        self.resets("1 reset FLOW_CONTROL_ERROR", opened, h2.window_update(1, h2.LARGEST_WINDOW))


class LeavingTests(PeerCase):
    """
    GOAWAY (RFC 9113 6.8).
    """

    def test_theirs(self) -> None:
        """
        A client that leaves still gets its answers.
        """
        peer = Peer()
        peer.feed(headers(1, *GET), h2.goaway(0, h2.NO_ERROR))
        self.assertEqual(peer.events, ["GET /x END", "leaves"])
        self.assertIn(1, peer.side.streams)

    def test_ours(self) -> None:
        """
        After ours nothing new is looked at, and what is under way goes on; the tables stay in step.
        """
        peer = Peer()
        encoder = Encoder()
        fields: list[Field] = [(b":method", b"GET", False), (b":path", b"/x", False), (b":scheme", b"http", False)]
        fields += [(b":authority", b"a.test", False)]
        peer.feed(headers(1, *POST, end=False))
        peer.side.goaway(h2.NO_ERROR)
        self.assertEqual(peer.lines(), ["goaway 1 NO_ERROR"])
        peer.feed(frame(h2.HEADERS, 4, 3, encoder.encode(fields)), data(3, b"x"), h2.window_update(3, 1))
        peer.feed(h2.reset(3, h2.CANCEL), data(1, b"y", end=True), frame(h2.HEADERS, 5, 1, encoder.encode(fields)))
        self.assertEqual(peer.events, ["POST /x", "1 1 END", "1 gone"])

    def test_announced(self) -> None:
        """
        Leaving is announced with the highest number and a ping; requests go on until it is back.
        """
        peer = Peer()
        peer.side.going()
        self.assertEqual(peer.lines(), [f"goaway {h2.LARGEST_STREAM} NO_ERROR", "ping 0000000000000000"])
        peer.feed(headers(1, *GET), h2.ping(b"\0" * 8, True))
        self.assertEqual(peer.events, ["GET /x END", "pinged back"])


class FloodTests(PeerCase):
    """
    What makes us work for nothing has an end (RFC 9113 10.5).
    """

    CALM = "ENHANCE_YOUR_CALM"

    def floods(self, one: bytes, cost: int, start: bytes = b"") -> None:
        """
        So many are fine, one more is not; with time in between there is no end.
        """
        allowed = DEBT // cost
        peer = Peer()
        peer.now = 1e6  # what the opening cost is forgotten
        peer.feed(start + one * allowed)
        self.faults(self.CALM, one, peer=peer)
        peer = Peer()
        if start:
            peer.feed(start)
        for _ in range(2 * allowed):
            peer.now += cost / FORGIVEN_PER_S
            peer.feed(one)

    def test_in_turns(self) -> None:
        """
        A read with very many frames is taken apart in several goes; what waits for the next is not waited for at the
        client.
        """
        peer = Peer()
        peer.side.feed(
            headers(1, *POST, end=False) + data(1, b"a") * 2 * FRAMES_AT_ONCE + data(1, b"abc")[:-1], 1.0, peer
        )
        self.assertTrue(peer.side.more)
        self.assertEqual((len(peer.events), peer.side.partial), (FRAMES_AT_ONCE, -1))
        peer.side.feed(b"", 1.0, peer)
        self.assertTrue(peer.side.more)
        peer.side.feed(b"", 1.0, peer)
        self.assertEqual((len(peer.events), peer.side.more, peer.side.partial), (2 * FRAMES_AT_ONCE + 1, False, 1))

    def test_small_frames(self) -> None:
        """
        SETTINGS, PING, PRIORITY, unknown types, resets of closed streams, windows by the byte, empty DATA.
        """
        self.floods(h2.settings(), 10)
        self.floods(h2.SETTINGS_ACK, 10)
        self.floods(h2.ping(b"12345678", False), 2)
        self.floods(frame(h2.PRIORITY, 0, 7, b"\0\0\0\0\0"), 1)
        self.floods(frame(99), 1)
        self.floods(h2.window_update(0, 1), 1)
        self.floods(data(1, b""), 1, headers(1, *POST, end=False))

    def test_rapid_reset(self) -> None:
        """
        Requests that are reset at once end the connection, unless as many are answered.
        """
        peer = Peer()
        flood = b"".join(headers(stream, *GET) + h2.reset(stream, h2.CANCEL) for stream in range(1, 1001, 2))
        self.faults(self.CALM, flood, peer=peer)
        self.assertLess(len(peer.events), 600)
        peer = Peer()
        for stream in range(1, 8001, 4):
            peer.feed(headers(stream, *GET), headers(stream + 2, *GET), h2.reset(stream, h2.CANCEL))
            peer.side.headers(peer.side.streams[stream + 2], [(b":status", b"204", False)], True)

    def test_refused_and_malformed(self) -> None:
        """
        So do requests above the limit of streams, and malformed ones.
        """
        self.faults(self.CALM, b"".join(headers(s, *GET) for s in range(1, 2001, 2)), peer=Peer(streams=1))
        self.faults(self.CALM, b"".join(headers(s, *GET[:2]) for s in range(1, 2001, 2)))

    def test_continuations(self) -> None:
        """
        A list in too many frames, with or without anything in them.
        """
        first = frame(h2.HEADERS, 0, 1, b"")
        self.faults(self.CALM, first, frame(h2.CONTINUATION, 0, 1, b"\x82") * (CONTINUATIONS + 1))
        self.faults(self.CALM, first, frame(h2.CONTINUATION, 0, 1) * (CONTINUATIONS + 1))
        self.faults(self.CALM, first, frame(h2.CONTINUATION, 0, 1, b"x" * 16384) * 5)

    def test_compressed_bombs(self) -> None:
        """
        A small block that would become a large list.
        """
        peer = Peer()
        big = b"\x40\x01a\x7f\x81\x1e" + b"x" * 3968
        peer.feed(frame(h2.HEADERS, 5, 1, literal(*GET) + big))
        self.faults(self.CALM, frame(h2.HEADERS, 5, 3, literal(*GET) + b"\xbe" * 1000), peer=peer)

    def test_window_updates_that_earn(self) -> None:
        """
        A client that reads a long answer in small steps may update both windows at each piece, for ever.
        """
        peer = Peer()
        peer.feed(headers(1, *GET))
        for _ in range(5000):
            self.assertIsNone(peer.side.data(peer.side.streams[1], [b"x" * 200], False))
            peer.feed(h2.window_update(0, 200), h2.window_update(1, 200))

    def test_window_by_the_byte(self) -> None:
        """
        A client that lets an answer out byte by byte may not.
        """
        peer = Peer()
        peer.feed(h2.settings((h2.INITIAL_WINDOW_SIZE, 0)), headers(1, *GET))
        rest: list[bytes] | None = [b"x" * 5000]
        try:
            while rest is not None:
                peer.feed(h2.window_update(1, 1))
                rest = peer.side.data(peer.side.streams[1], rest, False)
        except ConnectionFault as fault:
            self.assertEqual(ERRORS[fault.code], self.CALM)
        self.assertIsNotNone(rest)


class AnythingTests(SynchronousTestCase):
    """
    Whatever the bytes.
    """

    def check(self, *pieces: bytes) -> None:
        peer = Peer()
        try:
            peer.feed(*pieces)
        except ConnectionFault:
            return
        for stream in list(peer.side.streams.values()):
            peer.side.headers(stream, [(b":status", b"200", False)], False)
            peer.side.data(stream, [b"x"], True)
        Hearing().read(b"".join(peer.side.out))

    @given(st.lists(st.binary(max_size=100), max_size=5))
    @SETTINGS
    def test_arbitrary(self, pieces: list[bytes]) -> None:
        """
        Arbitrary bytes after the opening: events, or the one exception that ends the connection.
        """
        self.check(*pieces)

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 11),
                st.sampled_from([0, 1, 4, 5, 8, 13, 32, 37, 255]),
                st.sampled_from([0, 1, 2, 3, 5]),
                st.one_of(
                    st.binary(max_size=30),
                    st.sampled_from([literal(*GET), literal(*POST), b"\0" * 4, b"\0" * 5, b"\0" * 8, b"\xff" * 4]),
                ),
            ),
            max_size=12,
        )
    )
    @SETTINGS
    def test_frames(self, parts: list[tuple[int, int, int, bytes]]) -> None:
        """
        Whole frames in any order, with any flags.
        """
        self.check(*(frame(*part) for part in parts))

    @given(st.integers(0, 400), st.integers(0, 255), st.integers(1, 50))
    @SETTINGS
    def test_one_byte_changed(self, place: int, byte: int, size: int) -> None:
        """
        A good conversation with one byte changed, cut anyhow.
        """
        good = bytearray(
            headers(1, *POST, ("content-length", "6"), end=False)
            + data(1, b"abc")
            + h2.ping(b"12345678", False)
            + data(1, b"def", end=True)
            + h2.settings((4, 70000))
            + headers(3, *GET, ("cookie", "a=b"))
            + h2.window_update(3, 10)
            + h2.reset(3, h2.CANCEL)
        )
        good[place % len(good)] = byte
        whole = bytes(good)
        self.check(*(whole[at : at + size] for at in range(0, len(whole), size)))


class PageTests(SynchronousTestCase):
    """
    docs/http2.md, which says what shows what.
    """

    def test_tests_exist(self) -> None:
        """
        Each row of a requirement names tests, and all of them exist.
        """
        rows = [
            line for line in (ROOT / "docs" / "http2.md").read_text().splitlines() if "`tests." in line and "|" in line
        ]
        self.assertGreater(len(rows), 60)
        named = [name for row in rows for name in re.findall(r"`(tests\.[\w.]+)`", row)]
        self.assertEqual([name for name in named if not exists(name)], [])
