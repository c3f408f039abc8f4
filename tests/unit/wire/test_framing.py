"""
Where a body ends.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire.framing import CHUNKS_AT_ONCE, ChunkedDecoder, ChunkError, chunk, content_length, joined


def decoded(data: bytes, cuts: list[int] | None = None) -> tuple[bytes, bytes, bytes, bool]:
    decoder = ChunkedDecoder(64, 64)
    body = b""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or ())})
    for start, end in zip(places, places[1:]):
        if decoder.finished:
            return body, decoder.trailers, decoder.rest + data[start:], True
        body += b"".join(decoder.feed(data[start:end]))
    return body, decoder.trailers, decoder.rest, decoder.finished


WELL = b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nX: y\r\n\r\nnext"


class Chunks(SynchronousTestCase):
    """
    `ChunkedDecoder`.
    """

    def test_body(self) -> None:
        """
        The body, the trailers and what follows are told apart.
        """
        self.assertEqual(decoded(WELL), (b"hello, world", b"X: y\r\n\r\n", b"next", True))
        self.assertEqual(decoded(b"0\r\n\r\n"), (b"", b"\r\n", b"", True))
        self.assertEqual(decoded(b"A\r\n0123456789\r\n00\r\n\r\n"), (b"0123456789", b"\r\n", b"", True))

    @given(st.lists(st.integers(0, 60), max_size=8))
    @settings(max_examples=200, deadline=None)
    def test_any_cut(self, cuts: list[int]) -> None:
        """
        However the bytes are cut, the same comes out.
        """
        self.assertEqual(decoded(WELL, cuts), decoded(WELL))

    def test_unfinished(self) -> None:
        """
        A body that stops early never looks finished.
        """
        for end in range(len(WELL) - len(b"next")):
            self.assertFalse(decoded(WELL[:end])[3], WELL[:end])

    def test_refused(self) -> None:
        """
        Sizes, line ends and sections that are not to the letter are errors.
        """
        cases = {
            "no size": b"\r\nhello\r\n",
            "sign": b"+5\r\nhello\r\n",
            "prefix": b"0x5\r\nhello\r\n",
            "blank before": b" 5\r\nhello\r\n",
            "blank after": b"5 \r\nhello\r\n",
            "not hexadecimal": b"g\r\n",
            "LF only": b"5\nhello\r\n",
            "no CRLF after": b"5\r\nhello0\r\n\r\n",
            "LF after": b"5\r\nhello\n0\r\n\r\n",
            "size too small": b"4\r\nhello\r\n0\r\n\r\n",
            "size too long": b"1" * 16 + b"\r\n",
            "long extension": b"5;" + b"a" * 100 + b"\r\n",
            "endless extension": b"5;" + b"a" * 100,
            "NUL in an extension": b"5;a\x00\r\nhello\r\n",
            "CR in an extension": b"5;a\rb\r\nhello\r\n",
            "long trailers": b"0\r\nA: " + b"b" * 100 + b"\r\n\r\n",
            "endless trailers": b"0\r\nA: " + b"b" * 100,
        }
        for name, data in cases.items():
            with self.subTest(name):
                self.assertRaises(ChunkError, decoded, data)
                if len(data) > 2:
                    self.assertRaises(ChunkError, decoded, data, list(range(len(data))))

    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.lists(st.integers(0, 500), max_size=8))
    @settings(max_examples=100, deadline=None)
    def test_write_then_read(self, pieces: list[bytes], cuts: list[int]) -> None:
        """
        What is written as chunks is read as what it was.
        """
        data = b"".join(b"".join(chunk([piece])) for piece in pieces) + b"0\r\n\r\n"
        self.assertEqual(decoded(data, cuts)[0], b"".join(pieces))

    @given(st.binary(max_size=60))
    @settings(max_examples=200, deadline=None)
    def test_anything(self, data: bytes) -> None:
        """
        Arbitrary bytes are a body or an error, never another exception.
        """
        try:
            decoded(data)
        except ChunkError:
            return

    def test_in_turns(self) -> None:
        """
        A read with very many chunks is taken apart in several goes, which make the same of it as one would.
        """
        count = 3 * CHUNKS_AT_ONCE + 7
        decoder = ChunkedDecoder(64, 64)
        body = b"".join(decoder.feed(b"1\r\na\r\n" * count + b"0\r\nX: y\r\n\r\nnext"))
        goes = 1
        while decoder.more:
            self.assertFalse(decoder.finished)
            body += b"".join(decoder.feed(b""))
            goes += 1
        self.assertEqual((body, goes), (b"a" * count, 4))
        self.assertEqual((decoder.finished, decoder.trailers, decoder.rest), (True, b"X: y\r\n\r\n", b"next"))

    def test_small_ones_are_joined(self) -> None:
        """
        Many small pieces become one; a few stay, and so do long ones.
        """
        self.assertEqual(joined([b"a"] * 100), [b"a" * 100])
        for pieces in ([], [b"a"] * 8, [b"a" * 4096] * 100):
            self.assertEqual(joined(list(pieces)), pieces)
        self.assertEqual(ChunkedDecoder(64, 64).feed(b"2\r\nab\r\n" * 100), [b"ab" * 100])


class Lengths(SynchronousTestCase):
    """
    `content_length`.
    """

    def test_digits_only(self) -> None:
        """
        Digits are a number, everything else is not.
        """
        for value, wanted in ((b" 12\t", 12), (b"0", 0), (b"007", 7), (b"", None), (b"1 2", None), (b"+1", None)):
            with self.subTest(value):
                self.assertEqual(content_length(value), wanted)
        self.assertIsNone(content_length(b"\xb2"))
        self.assertIsNone(content_length(b"1" * 19))
