"""
Raw HAProxy text -> lines that run, values that stand for parameters, and notes of what has nothing to do; or what is
wrong with it, line by line.

Which directives there are says `rawtable`; what rules about requests and answers mean,
`dfproxy.expressions.directives`.
No reason repeats a value: raw text may hold passwords.

Source: DFP `backendExtra`, `EXTRA_FRONTEND`; HAProxy manual 2.2 (words), 2.5 (times), 4.2.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from dfproxy.dfp.rawtable import GIVEN_AS, Place, Row, row_of
from dfproxy.errors import InvalidBalance
from dfproxy.expressions.converters import CONVERTERS
from dfproxy.expressions.directives import DirectiveReader, quiet
from dfproxy.expressions.subject import Surroundings
from dfproxy.expressions.words import InvalidExpression, split_words
from dfproxy.model.service import Balance

MOST_LINES = 128
"""
Most lines of one text: those that run are work for each request. In DFP nothing but the length of a variable was a
limit.
"""

LONGEST_S = 2_147_483.0
"""
Longest time, in seconds; HAProxy counts milliseconds in 31 bits.
"""

MOST_CONNECTIONS = 1_000_000

_UNITS = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(r"([0-9]{1,10})(us|ms|s|m|h|d)?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,7}", re.ASCII)
_NAME = re.compile(r"[a-z_-]{1,32}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}", re.ASCII)
_VERSION = re.compile(r"HTTP/1\.[01](?:(?:\\r\\n|\r\n)Host: ?([A-Za-z0-9._:\[\]-]{1,255}))?", re.ASCII)
_CONVERTER = re.compile(r"\s*([a-z0-9_]+)(?=[\s,(]|$)")


@dataclass
class RawText:
    """
    What a text says.

    Attributes:
        lines: all that are accepted, as they came; those that run are among them.
        notes: what has nothing to do, and why.
        problems: what is refused, and why.
        times_s: by directive, such as `timeout server`, in seconds.
        balance: the strategy; None: none is named.
        closes_server: the server's connection is closed after each answer.
        connections: most client connections; None: not said.
        parameters: those that lines stand for, by name; one that is given wins.
        check_method: of checks by `checkPath`.
        check_host: their Host field; empty: not said.
    """

    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    times_s: dict[str, float] = field(default_factory=dict)
    balance: Balance | None = None
    closes_server: bool = False
    connections: int | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    check_method: str = "GET"
    check_host: str = ""


def read_raw(
    text: str,
    place: Place,
    surroundings: Surroundings,
    parse_balance: Callable[[str], Balance],
    errorfiles_dir: str,
) -> RawText:
    """
    Read a text. Total: what is wrong stands in `problems`.

    Args:
        text: as it was given.
        place: where it stands.
        surroundings: for the expressions in it.
        parse_balance: reads a strategy; raises `InvalidBalance`.
        errorfiles_dir: folder of the pages in use.
    """
    found = RawText()
    reader = DirectiveReader(surroundings)
    lines = [line for line in split_lines(text, place == "frontend") if line and not line.startswith("#")]
    if len(lines) > MOST_LINES:
        found.problems.append(f"may have {MOST_LINES} lines, this has {len(lines)}")
        return found
    for number, line in enumerate(lines, 1):
        name = ""
        try:
            words = split_words(line, surroundings.environment)
            if not words:
                continue
            name, row = _row(words, place)
            if row.fate == "refused":
                raise InvalidExpression(row.text)
            if row.name == "errorfile" and not _is_page(words[1:], errorfiles_dir):
                raise InvalidExpression(
                    f"pages are read from {errorfiles_dir}, one <status>.http for each; put it there"
                )
            if not reader.read(line) and row.fate == "works":
                _setting(row, words, found, parse_balance)
        except InvalidExpression as error:
            start = f"line {number}, {name}" if name else f"line {number}"
            found.problems.append(f"{start}: {quiet(str(error))}")
            continue
        found.lines.append(line)
        if row.fate == "noted":
            found.notes.append(f"line {number}, {name}, has no effect: {row.text}")
    return found


def _row(words: list[str], place: Place) -> tuple[str, Row]:
    """
    What is known of a line, and what the line is called.
    """
    negated = words[0] == "no"
    wanted = words[1:] if negated else words
    row = row_of(wanted, place) if wanted else None
    if row is None:
        raise InvalidExpression(f"{_shown(wanted)} is not known in {GIVEN_AS[place]}; docs/rawtext.md lists what is")
    if negated and row.fate == "works":
        raise InvalidExpression(f"no {row.name} is not known: leave the line out")
    return f"no {row.name}" if negated else row.name, row


def _shown(words: list[str]) -> str:
    """
    How a directive that nobody knows is called. What does not look like one may be a part of somebody's password.
    """
    if not words or not _NAME.fullmatch(words[0]):
        return "what it begins with"
    name = words[0]
    if name in ("http-request", "http-response", "option", "timeout") and len(words) > 1:
        second = words[1].partition("(")[0].partition(".")[0]
        name += f" {second}" if re.fullmatch(r"[a-z0-9_-]{1,32}", second) else ""
    return f"directive {name}"


def _setting(row: Row, words: list[str], found: RawText, parse_balance: Callable[[str], Balance]) -> None:
    """
    A line that says what a parameter could say too. The last of several counts, as in HAProxy.
    """
    rest = words[2:] if " " in row.name else words[1:]
    if row.name in ("option httpchk", "http-check", "option tcp-check"):
        _checking(row.name, rest, found)
    elif row.name in ("timeout check", "timeout queue"):
        name = "checkTimeout" if row.name == "timeout check" else "queueTimeout"
        found.parameters[name] = f"{seconds_of(rest):.3f}"
    elif row.name in ("retries", "retry-on"):
        found.parameters["retries" if row.name == "retries" else "retryOn"] = " ".join(rest)
    elif row.name.startswith("timeout "):
        found.times_s[row.name] = seconds_of(rest)
    elif row.name == "balance":
        try:
            found.balance = parse_balance(" ".join(rest))
        except InvalidBalance as error:
            raise InvalidExpression(str(error)) from error
    elif row.name == "maxconn":
        if len(rest) != 1 or not _COUNT.fullmatch(rest[0]) or not 0 < int(rest[0]) <= MOST_CONNECTIONS:
            raise InvalidExpression(f"write a number, 1 to {MOST_CONNECTIONS}")
        found.connections = int(rest[0])
    elif row.name == "mode":
        if rest != ["http"]:
            raise InvalidExpression("the mode is http here; other services are made by reqMode=tcp")
    elif row.name == "option forwardfor":
        if rest:
            raise InvalidExpression("X-Forwarded-For is always added, under this name and to all; nothing may follow")
    elif row.name in ("option http-server-close", "option httpclose", "option forceclose"):
        if rest:
            raise InvalidExpression("nothing may follow")
        found.closes_server = True


def _checking(name: str, rest: list[str], found: RawText) -> None:
    """
    A line that says how servers are checked.
    """
    said = found.parameters
    if name == "option tcp-check":
        said["checkTcp"] = "true"
    elif name == "option httpchk":
        method, path, *version = rest if len(rest) > 1 else ["OPTIONS", *(rest or ["/"])]
        _asking(method, path, found)
        match = _VERSION.fullmatch(version[0]) if len(version) == 1 else None
        if version and match is None:
            raise InvalidExpression("write HTTP/1.0 or HTTP/1.1 behind the path, and a Host field at most")
        found.check_host = (match[1] if match else "") or found.check_host
    elif len(rest) == 3 and rest[:2] == ["expect", "status"]:
        said["checkStatus"] = rest[2]
    elif len(rest) == 3 and rest[:2] == ["expect", "string"]:
        said["checkBody"] = rest[2]
    elif rest[:1] == ["send"]:
        _sending(rest[1:], found)
    else:
        raise InvalidExpression("only expect status, expect string and send are known; write checkStatus or checkBody")


def _asking(method: str, path: str, found: RawText) -> None:
    if method not in ("GET", "HEAD", "OPTIONS"):
        raise InvalidExpression("the method of checks is GET, HEAD or OPTIONS; write checkPath, which asks by GET")
    found.check_method = method
    found.parameters["checkPath"] = path


def _sending(rest: list[str], found: RawText) -> None:
    method, path = found.check_method, found.parameters.get("checkPath", "/")
    while rest:
        word, *rest = rest
        if word in ("meth", "uri", "ver") and rest:
            method, path = (rest[0] if word == "meth" else method), (rest[0] if word == "uri" else path)
            rest = rest[1:]
        elif word == "hdr" and len(rest) > 1 and rest[0].lower() == "host" and _HOST.fullmatch(rest[1]):
            found.check_host, rest = rest[1], rest[2:]
        elif word == "hdr" and len(rest) > 1 and rest[0].lower() in ("connection", "user-agent"):
            rest = rest[2:]
        else:
            raise InvalidExpression("send knows meth, uri, ver and hdr Host; write checkPath for the rest")
    _asking(method, path, found)


def _is_page(words: list[str], folder: str) -> bool:
    """
    Whether this is the file that is read for its status anyway.
    """
    return len(words) == 2 and words[1] == os.path.join(folder, f"{words[0]}.http") and words[0].isdecimal()


def seconds_of(words: list[str]) -> float:
    """
    The time that these words are.

    Raises:
        InvalidExpression: they are none.
    """
    match = _TIME.fullmatch(words[0]) if len(words) == 1 else None
    if match is None:
        raise InvalidExpression("write a time, such as 30s, 5m or 500ms; a number alone is milliseconds")
    seconds = int(match[1]) * _UNITS[match[2] or ""]
    if not 0.001 <= seconds <= LONGEST_S:
        raise InvalidExpression(f"the time must be at least 1ms and at most {LONGEST_S:.0f}s")
    return seconds


# --- lines -----------------------------------------------------------------------------------------------------


def split_lines(text: str, at_commas: bool) -> list[str]:
    """
    The lines of a text, without blanks around them; empty ones included.

    Args:
        at_commas: a comma begins a new one too, but not within quotes, `%[...]`, parentheses or a test, nor before a
            converter.
    """
    found: list[str] = []
    for line in re.split(r"\r\n|\n|\r", text):
        found += _at_commas(line) if at_commas else [line]
    return [line.strip(" \t") for line in found]


def _at_commas(line: str) -> list[str]:
    found: list[str] = []
    quote, depth, in_test, start, place = "", 0, False, 0, 0
    while place < len(line):
        character = line[place]
        if character == "\\" and quote != "'":
            place += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth = max(depth - 1, 0)
        elif (
            character in "{}"
            and line[place - 1 : place] in ("", " ", "!")
            and line[place + 1 : place + 2] in ("", " ", ",")
        ):
            in_test = character == "{"
        elif character == "," and not depth and not in_test and not _is_converter(line[place + 1 :]):
            found.append(line[start:place])
            start = place + 1
        place += 1
    return [*found, line[start:]]


def _is_converter(text: str) -> bool:
    match = _CONVERTER.match(text)
    return match is not None and match[1] in CONVERTERS
