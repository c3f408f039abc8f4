"""
HPACK: what RFC 7541 allows is read, and nothing else; nothing makes the Rust code panic.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from jh2.hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire import hpack
from dfproxy.wire.hpack import Decoder, Encoder, HpackError, ListTooLarge

SETTINGS = settings(max_examples=300, deadline=None, derandomize=True)


def huffman(text: bytes, padding: str = "1") -> bytes:
    """
    A Huffman-coded string with its length; padded with this bit.
    """
    bits = "".join(format(REQUEST_CODES[byte], f"0{REQUEST_CODES_LENGTH[byte]}b") for byte in text)
    bits += padding * (-len(bits) % 8)
    return bytes([0x80 | len(bits) // 8]) + bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


class DecoderTests(SynchronousTestCase):
    """
    Blocks that are read.
    """

    def fields(self, *blocks: bytes) -> list[tuple[bytes, bytes, bool]]:
        decoder = Decoder(16384)
        for block in blocks[:-1]:
            decoder.decode(block)
        return decoder.decode(blocks[-1])

    def test_examples(self) -> None:
        """
        Requests of RFC 7541 C.4, Huffman-coded, on one connection.
        """
        decoder = Decoder(16384)
        first = decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"))
        start = [(b":method", b"GET", False), (b":scheme", b"http", False), (b":path", b"/", False)]
        self.assertEqual(first, [*start, (b":authority", b"www.example.com", False)])
        second = decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf"))
        self.assertEqual(second[3:], [first[3], (b"cache-control", b"no-cache", False)])
        third = decoder.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
        self.assertEqual(third[1], (b":scheme", b"https", False))
        self.assertEqual(third[4], (b"custom-key", b"custom-value", False))

    def test_never_indexed(self) -> None:
        """
        A field that must never be indexed is known as such, and is in no table.
        """
        self.assertEqual(self.fields(b"\x10\x01a\x01b"), [(b"a", b"b", True)])
        with self.assertRaises(HpackError):
            self.fields(b"\x10\x01a\x01b", b"\xbe")

    def test_size_updates(self) -> None:
        """
        The table may shrink and grow again, at the beginning of a block.
        """
        self.assertEqual(self.fields(b"\x40\x01a\x01b", b"\x20\x3f\xe1\x1f\x82"), [(b":method", b"GET", False)])
        with self.assertRaises(HpackError):
            self.fields(b"\x40\x01a\x01b", b"\x20\xbe")  # emptied

    @given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=300), st.booleans()), max_size=20))
    @SETTINGS
    def test_written_is_read(self, fields: list[tuple[bytes, bytes, bool]]) -> None:
        """
        What our encoder writes our decoder reads, again and again on one connection.
        """
        encoder, decoder = Encoder(), Decoder(65536)
        for _ in range(2):
            read = decoder.decode(encoder.encode(fields))
            self.assertEqual([field[:2] for field in read], [field[:2] for field in fields])

    def test_bits(self) -> None:
        """
        Our lengths of Huffman codes are those of the RFC.
        """
        self.assertEqual(list(hpack._BITS), list(REQUEST_CODES_LENGTH[:256]))


class RefusalTests(SynchronousTestCase):
    """
    Blocks that are not well formed.
    """

    def refused(self, *blocks: bytes) -> None:
        for block in blocks:
            with self.assertRaises(HpackError, msg=block.hex()):
                Decoder(16384).decode(block)

    def test_indexes(self) -> None:
        """
        Index 0, and one beyond both tables.
        """
        self.refused(b"\x80", b"\xbe", b"\xff\x80\x01", b"\x7f\x20\x01a")

    def test_cut_short(self) -> None:
        """
        Every beginning of a block that ends within a field.
        """
        block = b"\x40" + huffman(b"custom-key") + b"\x0ccustom-value"
        self.refused(*(block[:size] for size in range(1, len(block))))
        self.refused(b"\xff", b"\xff\x80", b"\x3f", b"\x00\x7f")

    def test_integers(self) -> None:
        """
        Integers that do not end, or stand for more than any block has.
        """
        self.refused(b"\xff" + b"\x80" * 9 + b"\x00", b"\x3f" + b"\xff" * 9 + b"\x01", b"\x00\x7f\xff\xff\xff\xff\x7f")

    def test_size_updates(self) -> None:
        """
        Above what was agreed; not at the beginning; more than two.
        """
        self.refused(b"\x3f\xe2\x1f\x82", b"\x82\x20", b"\x82\x20\x82", b"\x20\x20\x20\x82")

    def test_padding(self) -> None:
        """
        Padding of a Huffman-coded string that is not ones, or a byte and more, and EOS within.
        """
        self.refused(b"\x00\x01a" + huffman(b"test", "0"), b"\x00" + huffman(b"test", "0") + b"\x01a")
        whole = huffman(b"test")
        self.refused(b"\x00\x01a" + bytes([whole[0] + 1]) + whole[1:] + b"\xff")
        self.refused(b"\x00\x01a\x84\xff\xff\xff\xff")

    def test_too_large(self) -> None:
        """
        A short block that would become a long list is not.
        """
        decoder = Decoder(16384)
        decoder.decode(b"\x40\x01a\x7f\x81\x1e" + b"x" * (127 + 1 + 30 * 128 - 0))
        with self.assertRaises(ListTooLarge):
            decoder.decode(b"\xbe" * 100)

    @given(st.lists(st.binary(max_size=60), max_size=4))
    @SETTINGS
    def test_arbitrary_bytes(self, blocks: list[bytes]) -> None:
        """
        Whatever the bytes: fields, or one of our two exceptions.
        """
        decoder = Decoder(16384)
        for block in blocks:
            try:
                decoder.decode(block)
            except (HpackError, ListTooLarge):
                return

    @given(st.binary(min_size=1, max_size=30), st.binary(max_size=30), st.data())
    @SETTINGS
    def test_changed_bytes(self, name: bytes, value: bytes, chance: st.DataObject) -> None:
        """
        The same of a block with one byte changed, and its decoder can go on or says that it cannot.
        """
        block = bytearray(Encoder().encode([(b":path", b"/x", False), (name, value, False)]))
        block[chance.draw(st.integers(0, len(block) - 1))] = chance.draw(st.integers(0, 255))
        decoder = Decoder(16384)
        try:
            decoder.decode(bytes(block))
            decoder.decode(b"\x82\xbe")
        except (HpackError, ListTooLarge):
            return


class EncoderTests(SynchronousTestCase):
    """
    What we write.
    """

    def test_table_limit(self) -> None:
        """
        A client without a table gets none, and is told at the beginning of the next block.
        """
        encoder = Encoder()
        encoder.encode([(b"a", b"b", False)])
        encoder.limit_table(0)
        self.assertEqual(encoder.encode([(b"a", b"b", False)])[0], 0x20)
        first = encoder.encode([(b"a", b"b", False)])
        self.assertEqual(encoder.encode([(b"a", b"b", False)]), first)
        encoder.limit_table(1 << 30)  # never more than the default
        self.assertEqual(encoder.encode([(b":method", b"GET", False)]), b"\x3f\xe1\x1f\x82")

    def test_secrets(self) -> None:
        """
        A secret is written so that nobody indexes it.
        """
        encoder = Encoder()
        block = encoder.encode([(b"set-cookie", b"a=b", True)])
        self.assertEqual(block[0] & 0xF0, 0x10)
        self.assertEqual(encoder.encode([(b"set-cookie", b"a=b", True)]), block)
