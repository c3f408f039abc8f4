"""
The converters that expressions know.

Each makes of its arguments a function from what was found to something else; None stays None and is never passed in.

Source: HAProxy manual 7.3.1; those that DFP's manual, tests and users name.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from dfproxy.expressions.fetches import Found, Kind, base64_of, http_date
from dfproxy.expressions.regex import Bounded, bounded
from dfproxy.expressions.words import InvalidExpression

Converting = Callable[[bytes], Found]

_REFERENCE = re.compile(rb"\\(?:([0-9])|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Converter:
    """
    A row.

    Attributes:
        kind: of what it gives.
        make: arguments -> the converting function; raises `InvalidExpression`.
        least: fewest arguments.
        most: most arguments.
    """

    kind: Kind
    make: Callable[[tuple[str, ...]], Converting]
    least: int = 0
    most: int = 0


class TooLong(Exception):
    """
    The text is longer than this regular expression may be used on (`dfproxy.expressions.regex`).
    """


def substitution(search: str, replacement: str, flags: str = "") -> Callable[[bytes], bytes]:
    """
    HAProxy's `regsub`: replace what a regular expression finds, once, or every time with the flag `g`.

    Args:
        search: regular expression.
        replacement: `\\0` to `\\9` are what was found and its groups; `\\` before anything else is that.
        flags: of `i` and `g`.

    Returns:
        A function of the text; raises `TooLong`.

    Raises:
        InvalidExpression: the expression, a reference, or a flag is not acceptable.
    """
    if set(flags) - set("ig"):
        raise InvalidExpression(f"flags are i and g, not {flags[:10]!r}")
    found = bounded(search, "i" in flags)
    make = template(replacement.encode(), found)
    pattern, longest, count = found.pattern, found.longest_bytes, 0 if "g" in flags else 1

    def substitute(text: bytes) -> bytes:
        if len(text) > longest:
            raise TooLong
        return pattern.sub(make, text, count)

    return substitute


def template(replacement: bytes, found: Bounded) -> Callable[[re.Match[bytes]], bytes]:
    """
    What a match is replaced with.

    Args:
        replacement: `\\0` to `\\9` are what was found and its groups; `\\` before anything else is that.
        found: what is searched for.

    Raises:
        InvalidExpression: a reference to a group that there is not.
    """
    pieces: list[bytes | int] = []
    place = 0
    for match in _REFERENCE.finditer(replacement):
        pieces.append(replacement[place : match.start()])
        place = match.end()
        if match[1]:
            group = int(match[1])
            if group > found.pattern.groups:
                raise InvalidExpression(f"\\{group} refers to a group that the regular expression does not have")
            pieces.append(group)
        else:
            pieces.append(bytes([int(match[2], 16)]) if match[2] else match[3])
    pieces.append(replacement[place:])
    if not any(isinstance(piece, int) for piece in pieces):
        constant = b"".join(piece for piece in pieces if isinstance(piece, bytes))
        return lambda match: constant
    return lambda match: b"".join(piece if isinstance(piece, bytes) else match[piece] or b"" for piece in pieces)


def _regsub(arguments: tuple[str, ...]) -> Converting:
    return substitution(*arguments)


def _word(arguments: tuple[str, ...]) -> Converting:
    """
    The word of a number, counted from the end if negative; delimiters in a row are one.
    """
    return _piece(arguments, skip_empty=True)


def _field(arguments: tuple[str, ...]) -> Converting:
    """
    The field of a number; fields may be empty.
    """
    return _piece(arguments, skip_empty=False)


def _piece(arguments: tuple[str, ...], skip_empty: bool) -> Converting:
    try:
        number, count = int(arguments[0]), int(arguments[2]) if len(arguments) > 2 and arguments[2] else 1
    except ValueError:
        raise InvalidExpression("word and field take a number first, such as word(2,.)") from None
    if number == 0 or count < 0 or not arguments[1]:
        raise InvalidExpression("word and field count from 1 and need a delimiter, such as word(2,.)")
    cut = re.compile(b"[" + re.escape(arguments[1].encode()) + b"]")

    def convert(text: bytes) -> Found:
        spans = []
        start = 0
        for match in cut.finditer(text):
            spans.append((start, match.start()))
            start = match.end()
        spans.append((start, len(text)))
        if skip_empty:
            spans = [span for span in spans if span[0] < span[1]]
        place = number - 1 if number > 0 else len(spans) + number
        if not 0 <= place < len(spans):
            return b""
        last = len(spans) - 1 if count == 0 else min(place + count - 1, len(spans) - 1)
        if number < 0 and count != 1:  # counted from the end, several reach to the left
            first = 0 if count == 0 else max(place - count + 1, 0)
            return text[spans[first][0] : spans[place][1]]
        return text[spans[place][0] : spans[last][1]]

    return convert


def _unbase64(text: bytes) -> Found:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _date(text: bytes) -> Found:
    try:
        return http_date(int(text))
    except (ValueError, OverflowError, OSError):
        return None


def _plain(converting: Converting) -> Callable[[tuple[str, ...]], Converting]:
    return lambda arguments: converting


CONVERTERS: dict[str, Converter] = {
    "lower": Converter("text", _plain(bytes.lower)),
    "upper": Converter("text", _plain(bytes.upper)),
    "base64": Converter("text", _plain(base64_of)),
    "b64dec": Converter("text", _plain(_unbase64)),
    "hex": Converter("text", _plain(lambda text: text.hex().upper().encode())),
    "length": Converter("number", _plain(len)),
    "url_dec": Converter("text", _plain(lambda text: unquote_to_bytes(text))),
    "regsub": Converter("text", _regsub, 2, 3),
    "word": Converter("text", _word, 2, 3),
    "field": Converter("text", _field, 2, 3),
    "http_date": Converter("text", _plain(_date)),
}
"""
Name to row.
"""
