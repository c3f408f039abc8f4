"""
Sample expressions: `hdr(name),lower,word(2,.)` as text and as values.

Which fetches and converters there are is decided in `fetches` and `converters`.

Source: HAProxy manual 7.3 (fetching samples), 7.3.1 (converters), 2.2 (quoting of arguments).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dfproxy.expressions.words import InvalidExpression

_NAME = re.compile(r"[A-Za-z0-9_.-]+")

MOST_CONVERTERS = 16
"""
Most converters in a row. Nobody needs five; each is a call on the request path.
"""


@dataclass(frozen=True, slots=True)
class Call:
    """
    A fetch or a converter with its arguments.
    """

    name: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """
    A fetch and what is done to it.
    """

    fetch: Call
    converters: tuple[Call, ...] = ()


def parse_sample(text: str, start: int = 0, closing: str = "") -> tuple[Sample, int]:
    """
    Read an expression.

    Args:
        text: holds it.
        start: where it begins.
        closing: what it ends with, such as `]`; empty: with the text.

    Returns:
        The expression, and the place behind it (and behind `closing`).

    Raises:
        InvalidExpression: it is none.
    """
    calls: list[Call] = []
    place = start
    while True:
        while text[place : place + 1] == " ":
            place += 1
        call, place = _parse_call(text, place)
        calls.append(call)
        while text[place : place + 1] == " ":
            place += 1
        if text[place : place + 1] == ",":
            place += 1
            continue
        if closing and text.startswith(closing, place):
            place += len(closing)
            break
        if not closing and place == len(text):
            break
        raise InvalidExpression(f"cannot read {text[start : start + 40]!r} from {text[place : place + 20]!r} on")
    if len(calls) > MOST_CONVERTERS + 1:
        raise InvalidExpression(f"more than {MOST_CONVERTERS} converters in a row")
    return Sample(calls[0], tuple(calls[1:])), place


def _parse_call(text: str, place: int) -> tuple[Call, int]:
    match = _NAME.match(text, place)
    if match is None:
        raise InvalidExpression(f"expected the name of a fetch or converter at {text[place : place + 20]!r}")
    place = match.end()
    if text[place : place + 1] != "(":
        return Call(match[0]), place
    arguments, place = _parse_arguments(text, place + 1)
    return Call(match[0], tuple(arguments)), place


def _parse_arguments(text: str, place: int) -> tuple[list[str], int]:
    """
    What stands between parentheses; the place is behind the opening one.
    """
    begin = place
    arguments = [""]
    quote = ""
    quoted = False
    while place < len(text):
        character = text[place]
        place += 1
        if quote:
            if character == quote:
                quote = ""
            elif character == "\\" and quote == '"' and text[place : place + 1] in ('"', "\\"):
                arguments[-1] += text[place]
                place += 1
            else:
                arguments[-1] += character
        elif character in "'\"":
            quote, quoted = character, True
        elif character == "\\" and text[place : place + 1] in (",", ")", "\\", "'", '"', " "):
            arguments[-1] += text[place]
            place += 1
        elif character == ",":
            arguments.append("")
        elif character == ")":
            return ([] if arguments == [""] and not quoted else arguments), place
        else:
            arguments[-1] += character
    raise InvalidExpression(f"a parenthesis is not closed: ({text[begin : begin + 40]}")
