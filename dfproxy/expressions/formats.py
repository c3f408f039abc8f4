"""
Log formats: a value made of text, `%[expression]` and `%variable`.

Source: HAProxy manual 8.2.4 (custom log format), as `http-request set-header` takes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dfproxy.expressions.converters import CONVERTERS, TooLong
from dfproxy.expressions.fetches import FETCHES, Fetching, Found, Kind, Phase, variable
from dfproxy.expressions.samples import Sample, parse_sample
from dfproxy.expressions.subject import Subject, Surroundings
from dfproxy.expressions.words import OPENING, InvalidExpression

Rendering = Callable[[Subject], bytes]

_VARIABLE = re.compile(r"[A-Za-z]+")
_TO_ESCAPE = re.compile(rb'["\\\]]')
_UNPRINTABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

LONGEST_VALUE_BYTES = 8192
"""
Longest value of a header that a rule makes: half of a whole head. What is longer is cut.
"""


def compile_format(text: str, phase: Phase, surroundings: Surroundings) -> Rendering | bytes:
    """
    A log format as a function, or as its bytes if it is always the same.

    Args:
        phase: `request` or `answer`: which fetches can be asked.

    Raises:
        InvalidExpression: it does not parse, or names what is not known.
    """
    pieces: list[bytes | Rendering] = []
    place = 0
    while place < len(text):
        mark = text.find("%", place)
        if mark != place:
            pieces.append(text[place : mark if mark >= 0 else len(text)].encode())
            place = mark if mark >= 0 else len(text)
        elif text.startswith("%%", place):
            pieces.append(b"%")
            place += 2
        elif (opening := OPENING.match(text, place)) is not None:
            sample, place = parse_sample(text, opening.end(), "]")
            render_one = _rendered(compile_sample(sample, phase, surroundings)[0])
            pieces.append(_escaped(render_one) if _escapes(opening[1] or "") else render_one)
        elif text.startswith("%{", place):
            raise InvalidExpression("flags such as %{+Q} are known before %[...] only")
        else:
            match = _VARIABLE.match(text, place + 1)
            found = variable(match[0], surroundings) if match else None
            if match is None or found is None:
                raise InvalidExpression(f"{text[place : place + 12]!r} is no variable; write %% for a per cent sign")
            pieces.append(found)
            place = match.end()
    if all(isinstance(piece, bytes) for piece in pieces):
        return b"".join(piece for piece in pieces if isinstance(piece, bytes))
    kept = tuple(pieces)

    def render(subject: Subject) -> bytes:
        value = b"".join([piece if isinstance(piece, bytes) else piece(subject) for piece in kept])
        return unprintable(value[:LONGEST_VALUE_BYTES]).strip(b" \t")

    return render


def _escapes(flags: str) -> bool:
    """
    What flags such as `{+Q,+E}` ask for: `E` escapes. `Q` and `X` change nothing of an expression, in HAProxy either.

    Raises:
        InvalidExpression: there are others.
    """
    escapes = False
    for flag in flags.split(",") if flags else ():
        sign, letter = flag.strip()[:1], flag.strip()[1:]
        if sign not in ("+", "-") or letter not in ("Q", "X", "E"):
            raise InvalidExpression(f"{flag.strip()[:10]!r} is no flag; +Q, +X and +E are")
        if letter == "E":
            escapes = sign == "+"
    return escapes


def _escaped(rendering: Rendering) -> Rendering:
    return lambda subject: _TO_ESCAPE.sub(rb"\\\g<0>", rendering(subject))


def unprintable(value: bytes) -> bytes:
    """
    A value without control characters, whatever was fetched: a line break must never become a header of its own.
    """
    return _UNPRINTABLE.sub(b"?", value)


def compile_sample(sample: Sample, phase: Phase, surroundings: Surroundings) -> tuple[Fetching, Kind]:
    """
    A sample expression as a function, and of which type its result is.

    Raises:
        InvalidExpression: an unknown name, wrong arguments, or the wrong phase.
    """
    call = sample.fetch
    row = FETCHES.get(call.name)
    if row is None:
        raise InvalidExpression(f"there is no fetch {call.name[:40]!r}; known are {', '.join(sorted(FETCHES))}")
    check_phase(call.name, row.phase, phase)
    check_count(call.name, call.arguments, row.least, row.most)
    fetching, kind = row.make(call.arguments, surroundings), row.kind
    steps = []
    for converter in sample.converters:
        known = CONVERTERS.get(converter.name)
        if known is None:
            names = ", ".join(sorted(CONVERTERS))
            raise InvalidExpression(f"there is no converter {converter.name[:40]!r}; known are {names}")
        check_count(converter.name, converter.arguments, known.least, known.most)
        steps.append(known.make(converter.arguments))
        kind = known.kind
    if not steps:
        return fetching, kind
    converting = tuple(steps)

    def convert(subject: Subject) -> Found:
        value = fetching(subject)
        for step in converting:
            if value is None:
                return None
            value = step(as_bytes(value))
        return value

    return convert, kind


def check_phase(name: str, where: Phase, phase: Phase) -> None:
    """
    Raises:
        InvalidExpression: the fetch cannot be asked here.
    """
    if where not in ("both", phase):
        wanted = "requests" if where == "request" else "answers"
        raise InvalidExpression(f"{name} is known in rules about {wanted} only")


def check_count(name: str, arguments: tuple[str, ...], least: int, most: int) -> None:
    """
    Raises:
        InvalidExpression: too few or too many arguments.
    """
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise InvalidExpression(f"{name} takes {wanted} arguments, not {len(arguments)}")


def as_bytes(value: bytes | int | bool) -> bytes:
    """
    How a value is written: a flag is 1 or 0.
    """
    return value if isinstance(value, bytes) else b"%d" % value


def _rendered(fetching: Fetching) -> Rendering:
    def render(subject: Subject) -> bytes:
        try:
            value = fetching(subject)
        except TooLong:
            return b""
        return b"" if value is None else as_bytes(value)

    return render
