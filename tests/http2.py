"""
An HTTP/2 client of memory for tests: frames as bytes, and what comes back as lines that people can read.

    talk = Talk(case)                       # preface and SETTINGS are sent and answered
    talk.request(1, ("x-test", "a"))
    talk.run(server.gets(...), server.sends(...))
    talk.hears("1 :status=200 content-length=2", "1 'hi' END")

It writes whatever it is told, also what no client may.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire import h2frames as h2
from dfproxy.wire.hpack import Decoder, Encoder
from tests.dialogue import Dialogue, Step

ERRORS = {getattr(h2, name): name for name in dir(h2) if name.endswith("_ERROR")}
ERRORS |= {
    h2.STREAM_CLOSED: "STREAM_CLOSED",
    h2.REFUSED_STREAM: "REFUSED_STREAM",
    h2.CANCEL: "CANCEL",
    h2.ENHANCE_YOUR_CALM: "ENHANCE_YOUR_CALM",
}

Pair = tuple[str | bytes, str | bytes]

GET: tuple[Pair, ...] = ((":method", "GET"), (":path", "/x"), (":scheme", "http"), (":authority", "a.test"))
POST: tuple[Pair, ...] = ((":method", "POST"), *GET[1:])


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """
    Any frame.
    """
    return h2.frame_head(len(payload) << 8 | kind, flags, stream) + payload


def number(value: int) -> bytes:
    """
    Four bytes.
    """
    return value.to_bytes(4, "big")


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


def literal(*pairs: Pair) -> bytes:
    """
    A block of these fields that uses and changes no table.
    """
    block = b""
    for name, value in pairs:
        block += b"\x00"
        for text in (_bytes(name), _bytes(value)):
            size = len(text)
            if size < 127:
                block += bytes([size])
            else:
                block += b"\x7f"
                size -= 127
                while size > 127:
                    block += bytes([size & 127 | 128])
                    size >>= 7
                block += bytes([size])
            block += text
    return block


def headers(stream: int, *pairs: Pair, end: bool = True, flags: int = h2.END_HEADERS) -> bytes:
    """
    A HEADERS frame.
    """
    return frame(h2.HEADERS, flags | (h2.END_STREAM if end else 0), stream, literal(*pairs))


def data(stream: int, payload: bytes, end: bool = False) -> bytes:
    """
    A DATA frame.
    """
    return frame(h2.DATA, h2.END_STREAM if end else 0, stream, payload)


class Hearing:
    """
    Reads what a server sends; has the state of a connection.
    """

    def __init__(self) -> None:
        self._decoder = Decoder(1 << 20)

    def read(self, heard: bytes) -> list[str]:
        """
        A line for each frame. Frames must be whole.
        """
        lines = []
        while heard:
            word, flags, stream = h2.read_head(heard)
            size, kind = word >> 8, word & 0xFF
            payload, heard = heard[9 : 9 + size], heard[9 + size :]
            assert len(payload) == size, "a frame is cut"
            lines.append(self._line(kind, flags, stream, payload))
        return lines

    def _line(self, kind: int, flags: int, stream: int, payload: bytes) -> str:
        end = " END" if flags & 1 else ""
        if kind == h2.DATA:
            shown = repr(payload)[1:] if len(payload) < 40 else f"{len(payload)} bytes"
            return f"{stream} {shown}{end}"
        if kind == h2.HEADERS:
            if not flags & h2.END_HEADERS:
                return f"{stream} begins a list"
            fields = self._decoder.decode(payload)
            return f"{stream} {' '.join(f'{n.decode()}={v.decode()}' for n, v, _ in fields)}{end}"
        if kind == h2.RST_STREAM:
            return f"{stream} reset {ERRORS[int.from_bytes(payload, 'big')]}"
        if kind == h2.GOAWAY:
            return f"goaway {int.from_bytes(payload[:4], 'big')} {ERRORS[int.from_bytes(payload[4:8], 'big')]}"
        if kind == h2.WINDOW_UPDATE:
            return f"{stream} window +{int.from_bytes(payload, 'big')}"
        if kind == h2.PING:
            return f"ping {payload.hex()}{' back' if flags & 1 else ''}"
        if kind == h2.SETTINGS:
            pairs = [f" {name}={value}" for name, value in h2.read_setting(payload)]
            return f"settings{' taken' if flags & 1 else ''}{''.join(pairs)}"
        return f"{stream} continues a list{' and ends it' if flags & h2.END_HEADERS else ''}"


class Talk:
    """
    A dialogue of memory whose client speaks HTTP/2.

    Args:
        case: the test.
        settings: what the client begins with.
        options: `Dialogue`'s.
    """

    def __init__(
        self, case: SynchronousTestCase, settings: Iterable[tuple[int, int]] = (), begun: bool = True, **options: Any
    ) -> None:
        self.case = case
        self.dialogue = Dialogue(**options)
        case.addCleanup(self._finish)
        self.hearing = Hearing()
        self.encoder = Encoder()
        if begun:
            self.sends(h2.PREFACE + h2.settings(*settings))
            self.case.assertEqual(self.lines()[-1], "settings taken")

    def _finish(self) -> None:
        self.dialogue.client.heard = b""
        self.dialogue.finish()
        self.case.assertEqual(self.case.flushLoggedErrors(), [])

    def sends(self, *frames: bytes, cuts: int = 0) -> None:
        """
        The client sends this, in one piece or in pieces of `cuts` bytes.
        """
        whole = b"".join(frames)
        for start in range(0, len(whole), cuts or len(whole) or 1):
            self.dialogue.client.send(whole[start : start + (cuts or len(whole))])
        self.dialogue.reactor.settle()

    def request(self, stream: int, *pairs: Pair, end: bool = True, start: tuple[Pair, ...] = GET) -> None:
        """
        The client asks for /x.
        """
        self.sends(headers(stream, *start, *pairs, end=end))

    def run(self, *steps: Step) -> None:
        """
        Steps of the dialogue, such as `server.sends(...)`.
        """
        self.dialogue.run(*steps)

    def lines(self) -> list[str]:
        """
        What the client has heard since it was last asked.
        """
        client = self.dialogue.client
        heard, client.heard = client.heard, b""
        return self.hearing.read(heard)

    def hears(self, *lines: str) -> None:
        """
        The client has heard exactly this since it was last asked.
        """
        self.case.assertEqual(self.lines(), list(lines), self.dialogue.transcript())
