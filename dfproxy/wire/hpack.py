"""
HPACK: lists of fields <-> compressed blocks, with the state that each direction of a connection keeps.

The work is done by jh2's Rust code. Its names are private (`jh2._hazmat`), which is why setup.cfg pins jh2 and why
nobody else imports it; where they are gone the same package's Python code takes its place, some ten times slower. It is
also more lenient than RFC 7541 allows, and panics on some blocks that are cut short: so the form of a block that has
anything but indexed fields is checked here first. Most blocks of a client that repeats itself have nothing else.

Source: RFC 7541.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

try:
    from jh2 import _hazmat as _code
except ImportError:  # another jh2
    from jh2 import hpack as _code

Field = tuple[bytes, bytes, bool]
"""
Name, value, and whether it must never be indexed (RFC 7541 7.1.3).
"""

TABLE_BYTES = 4096
"""
Size of the dynamic table, either way: what RFC 9113 6.5.2 starts with, and no more than that is ever agreed to. HAProxy
and nginx have the same.
"""

_SIZE_UPDATES = 2  # at the beginning of a block: the least that was seen, and the last (RFC 7541 4.2)
_INTEGER_BYTES = 4  # after the prefix: 2**28, far above any block

is_indexed = re.compile(rb"[\x81-\xfe]++").fullmatch
"""
Whether a block is only indexed fields of the static table and the younger half of the dynamic one: its form cannot be
wrong, it changes no table, and it means the same until another block does.
"""

# RFC 7541 appendix B: how many bits each byte takes.
_BITS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606"
    "0505050606060606060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c14161414161616171617171717171817"
    "181816171817171717151617161717181615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a17"
    "1a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
)

_LATER_PANICS = (KeyboardInterrupt, SystemExit, GeneratorExit)


class HpackError(Exception):
    """
    A block that is not well formed: the state of the connection is lost with it (RFC 7541, RFC 9113 4.3).
    """


class ListTooLarge(Exception):
    """
    A block that would become too long a list. The state of the connection is lost here as well.
    """


class Decoder:
    """
    The receiving direction of a connection.

    Args:
        list_bytes: most bytes of names and values in one list.

    Attributes:
        steady: the last block changed no table: it means the same until another one does.
    """

    __slots__ = ("_decode", "steady")

    def __init__(self, list_bytes: int) -> None:
        decoder: Any = _code.Decoder(list_bytes)
        decoder.max_allowed_table_size = TABLE_BYTES
        self._decode = decoder.decode
        self.steady = False

    def decode(self, block: bytes) -> list[Field]:
        """
        Read a whole block.

        Raises:
            HpackError: it is not well formed.
            ListTooLarge: it is, and too long.
        """
        checks: Sequence[tuple[int, int, int, int]] = ()
        self.steady = True
        if not is_indexed(block):
            checks, self.steady = _form(block)
        try:
            fields: list[Field] = self._decode(block, True)
        except Exception as error:
            if type(error).__name__ == "OversizedHeaderListError":
                raise ListTooLarge(str(error)) from error
            raise HpackError(str(error)) from error
        except BaseException as error:  # a panic of Rust code is no Exception
            if isinstance(error, _LATER_PANICS):
                raise
            raise HpackError("the decoder gave up") from error
        for number, part, length, last in checks:
            # RFC 7541 5.2: padding is shorter than a byte and all ones.
            padding = 8 * length - sum((fields[number][1] if part else fields[number][0]).translate(_BITS))
            ones = (1 << padding) - 1 if 0 <= padding < 8 else 256
            if last & ones != ones:
                raise HpackError("Huffman padding")
        return fields


class Encoder:
    """
    The sending direction of a connection.
    """

    __slots__ = ("_encoder", "encode")

    def __init__(self) -> None:
        self._encoder: Any = _code.Encoder()
        self.encode: Any = self._encoder.encode  # Sequence[Field] -> bytes; bound once, called for each answer

    def limit_table(self, count: int) -> None:
        """
        The other side keeps so many bytes of table at most.
        """
        count = min(count, TABLE_BYTES)
        if count != self._encoder.header_table_size:
            self._encoder.header_table_size = count


def _form(block: bytes) -> tuple[Sequence[tuple[int, int, int, int]], bool]:
    """
    Check the form of a block.

    Returns:
        For each Huffman-coded string: the number of its field, 0 for its name or 1 for its value, its length, and its
        last byte; and whether it leaves the table as it is.

    Raises:
        HpackError: it is cut short, or has what RFC 7541 forbids.
    """
    checks = []
    number = updates = inserts = 0
    position, size = 0, len(block)
    try:
        while position < size:
            byte = block[position]
            if byte >= 0x80:  # 6.1
                if byte == 0x80:
                    raise HpackError("index 0")
                position = _integer(block, position)[1] if byte == 0xFF else position + 1
                number += 1
                continue
            if byte & 0xE0 == 0x20:  # 6.3, 4.2
                updates += 1
                if number or updates > _SIZE_UPDATES:
                    raise HpackError("table size updated in the wrong place")
                position = _integer(block, position, 0x1F)[1]
                continue
            if byte >= 0x40:  # 6.2.1
                inserts += 1
            prefix = 0x3F if byte >= 0x40 else 0x0F  # 6.2
            index = byte & prefix
            position = _integer(block, position, prefix)[1] if index == prefix else position + 1
            for part in (1,) if index else (0, 1):
                coded = block[position]
                length = coded & 0x7F
                if length == 0x7F:
                    length, position = _integer(block, position)
                else:
                    position += 1
                position += length
                if position > size:
                    raise HpackError("string cut short")
                if coded >= 0x80 and length:
                    checks.append((number, part, length, block[position - 1]))
            number += 1
    except IndexError:
        raise HpackError("block cut short") from None
    return checks, not inserts and not updates


def _integer(block: bytes, position: int, prefix: int = 0x7F) -> tuple[int, int]:
    """
    Read an integer (RFC 7541 5.1).

    Returns:
        The integer and the position after it.
    """
    value = block[position] & prefix
    position += 1
    if value < prefix:
        return value, position
    for shift in range(0, 7 * _INTEGER_BYTES, 7):
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise HpackError("integer too long")
