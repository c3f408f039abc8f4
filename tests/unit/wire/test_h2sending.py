"""
What we send on an HTTP/2 connection: answers in one step, blocks that are known, lists in several frames.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire import h2frames as h2
from dfproxy.wire.h2sending import KNOWN_BLOCKS, REMEMBERED_RESETS, Sending, StreamState
from dfproxy.wire.hpack import Decoder, Field, is_indexed
from tests.http2 import Hearing


def stream(number: int, window: int = 65535, ended: bool = True) -> StreamState:
    made = StreamState()
    made.number, made.send_window, made.remote_ended = number, window, ended
    return made


class SendingCase(SynchronousTestCase):
    """
    One connection, and what its client reads.
    """

    def setUp(self) -> None:
        self.sending: Sending[StreamState] = Sending()
        self.hearing = Hearing()
        self.written = 0

    def fields(self, head: str) -> Sequence[Field]:
        """
        Make the fields of a "head"; counted.
        """
        self.written += 1
        return [(b":status", b"200", False), (b"x-a", head.encode(), head.startswith("secret"))]

    def answer(self, number: int, head: str, piece: bytes | None = b"", window: int = 65535) -> bool:
        made = stream(number, window)
        self.sending.streams[number] = made
        return self.sending.answer(made, head, self.fields, head, piece)

    def lines(self) -> list[str]:
        out = b"".join(self.sending.out)
        self.sending.out.clear()
        return self.hearing.read(out)


class AnswerTests(SendingCase):
    """
    Head and body of an answer.
    """

    def test_small(self) -> None:
        """
        A small body goes out with its head, takes from both windows, and ends the stream.
        """
        self.assertTrue(self.answer(1, "a", b"hello"))
        self.assertEqual(self.lines(), ["1 :status=200 x-a=a", "1 'hello' END"])
        self.assertEqual((self.sending.send_window, self.sending.streams), (65530, {}))

    def test_none(self) -> None:
        """
        Without a body the head is the end.
        """
        self.assertTrue(self.answer(1, "a", b""))
        self.assertEqual(self.lines(), ["1 :status=200 x-a=a END"])

    def test_later(self) -> None:
        """
        A body that comes later, is large, or does not fit into a window is left to the caller.
        """
        self.assertFalse(self.answer(1, "a", None))
        self.assertFalse(self.answer(3, "a", b"x" * 16385))
        self.assertFalse(self.answer(5, "a", b"hello", window=4))
        self.sending.send_window = 4
        self.assertFalse(self.answer(7, "a", b"hello"))
        self.assertEqual(self.lines(), [f"{number} :status=200 x-a=a" for number in (1, 3, 5, 7)])
        self.assertEqual(len(self.sending.streams), 4)

    def test_long_list(self) -> None:
        """
        A list that no frame holds comes in several, with the end of the stream in the first.
        """
        self.assertTrue(self.answer(1, "secret" * 5000))
        out = b"".join(self.sending.out)
        block, kinds = b"", []
        while out:
            word, flags, _ = h2.read_head(out)
            kinds.append((word & 0xFF, flags))
            block += out[9 : 9 + (word >> 8)]
            out = out[9 + (word >> 8) :]
        self.assertEqual(kinds, [(h2.HEADERS, h2.END_STREAM), (h2.CONTINUATION, h2.END_HEADERS)])
        self.assertEqual(Decoder(1 << 20).decode(block)[1][1], b"secret" * 5000)


class KnownTests(SendingCase):
    """
    Blocks that are known by what they depend on.
    """

    def test_known(self) -> None:
        """
        From the third time on the fields of the same head are not looked at: the second has put all into the table.
        """
        for number in range(1, 20, 2):
            self.answer(number, "a")
        self.assertEqual(self.lines(), [f"{number} :status=200 x-a=a END" for number in range(1, 20, 2)])
        self.assertEqual(self.written, 2)

    def test_forgotten(self) -> None:
        """
        When anything else changes the table, none is known any more, and all are read as they were meant.
        """
        wanted = []
        for number, head in enumerate("aaabaacabbbaaa" * 3, 1):
            self.answer(2 * number - 1, head)
            wanted.append(f"{2 * number - 1} :status=200 x-a={head} END")
            if number % 10 == 0:
                self.sending.headers(stream(2 * number - 1), [(b"x-b", b"%d" % number, False)], False)
                wanted.append(f"{2 * number - 1} x-b={number}")
        self.assertEqual(self.lines(), wanted)

    def test_secrets_are_not_known(self) -> None:
        """
        A head with a secret is written each time.
        """
        for number in (1, 3, 5):
            self.answer(number, "secret")
        self.assertEqual(self.written, 3)

    def test_bounded(self) -> None:
        """
        What is known has a limit, and so has what we have reset.
        """
        for number in range(KNOWN_BLOCKS + 10):
            self.sending._blocks[number] = b"\x88"
        self.answer(1, "a")
        self.assertLessEqual(len(self.sending._blocks), KNOWN_BLOCKS)
        for number in range(1, 2 * REMEMBERED_RESETS + 99, 2):
            self.sending.streams[number] = stream(number)
            self.sending.reset(self.sending.streams[number], h2.CANCEL)
        self.assertEqual(len(self.sending._resets), REMEMBERED_RESETS)

    def test_what_is_indexed(self) -> None:
        """
        Only blocks of whole indexed fields are taken for such.
        """
        self.assertTrue(is_indexed(b"\x88\xbe"))
        for block in (b"\x88\xff\x00", b"\x40\x01a\x01b", b"\x80", b"\x20\x88", b""):
            self.assertFalse(is_indexed(block), block.hex())
