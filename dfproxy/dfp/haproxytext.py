"""
Words and lines of HAProxy's configuration language, made of values that may hold anything.

Source: HAProxy manual, sections 2.2 (quoting and escaping), 2.5 (time), 7.1 (ACL basics), 4.2 `balance`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dfproxy.model.match import HostPattern, PathPattern
from dfproxy.model.service import Balance

Pattern = PathPattern | HostPattern | tuple[bytes, bytes] | bytes
"""
What an ACL compares with: a path, a host, a `(header, value)`, or part of a user agent.
"""

LINE_WORDS = 30
"""
Patterns in one ACL line. HAProxy takes 64 words in a line, and the beginning of an ACL needs some.
"""

LINE_CHARS = 1500
"""
Characters of patterns in one ACL line, unless a single one is longer. HAProxy reads lines in pieces of 2048.
"""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!%&()*+,-./:;<=>?@[]^_`{|}~$")
_ESCAPED = frozenset(b" #\\\"'")
_NAME = re.compile(r"[^A-Za-z0-9_.:-]", re.ASCII)
_HEADER = re.compile(rb"[A-Za-z0-9_.-]+")

_SUFFIXES = {
    "exact": "",
    "prefix": "_beg",
    "suffix": "_end",
    "substring": "_sub",
    "regex": "_reg",
    "directory": "_dir",
    "domain": "_dom",
    "label": "_dom",
    "length": "_len",
}

_FOREIGN_REGEX = re.compile(
    rb"\(\?(?![:=!>#]|<[=!]|P[<=]|[imsx]+[:)])"  # conditionals, and flags that PCRE lacks
    rb"|\{,"  # a{,3}: nought to three for Python, these five characters for PCRE
)
"""
What Python and HAProxy's PCRE read differently, of what Python compiles at all.
"""


class Names:
    """
    Names that HAProxy takes, each given once.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, wanted: str) -> str:
        """
        The wanted name with other characters replaced; with a number behind it if it is taken already.

        Two ACLs of one name would be alternatives of each other: a route would take another's requests.
        """
        plain = name = _NAME.sub("_", wanted)
        number = 2
        while name in self._taken:
            name = f"{plain}:{number}"
            number += 1
        self._taken.add(name)
        return name


def word(value: str | bytes) -> str:
    """
    One word that means exactly this value, whatever it holds.
    """
    encoded = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if not encoded:
        return '""'
    return "".join(
        chr(byte) if byte in _PLAIN else "\\" + chr(byte) if byte in _ESCAPED else f"\\x{byte:02x}" for byte in encoded
    )


def comment(text: str) -> str:
    """
    Text that stays on its line.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


def milliseconds(seconds: float) -> str:
    """
    A time; at least a millisecond, since 0 means for ever.
    """
    return f"{max(round(seconds * 1000), 1)}ms"


def acl_lines(name: str, patterns: Iterable[Pattern]) -> list[str] | str:
    """
    The lines of an ACL that holds if any of the patterns does, or the reason why HAProxy cannot have it.
    """
    groups: dict[str, list[str]] = {}
    for pattern in patterns:
        reason = _inexpressible(pattern)
        if reason:
            return reason
        start, value = _criterion(pattern)
        if value:  # an empty one matches nothing here, and everything there
            groups.setdefault(start, []).append(word(value))
    if not groups:
        return [f"acl {name} always_false"]
    return [line for start, values in groups.items() for line in value_lines(f"acl {name} {start}", values)]


def _criterion(pattern: Pattern) -> tuple[str, bytes]:
    match pattern:
        case PathPattern(form, value, ignore_case, whole_target):
            return ("url" if whole_target else "path") + _SUFFIXES[form] + (" -i" if ignore_case else ""), value
        case HostPattern(form, value, True):
            method = _SUFFIXES[form].removeprefix("_") or "str"
            return f"req.hdr(host),host_only -m {method} -i", value
        case HostPattern(form, value):
            return f"hdr{_SUFFIXES[form]}(host) -i", value
        case (header, value):
            return f"hdr({header.decode()})", value
        case value:
            return "hdr_sub(User-Agent) -i", value


def _inexpressible(pattern: Pattern) -> str:
    """
    Why HAProxy cannot have this; empty if it can.
    """
    match pattern:
        case PathPattern("regex", value) | HostPattern("regex", value):
            return foreign_regex(value)
        case (header, _) if not _HEADER.fullmatch(header):
            return f"header name {header.decode('utf-8', 'replace')}"
    return ""


def foreign_regex(value: bytes) -> str:
    """
    Why HAProxy reads a regular expression differently; empty: it does not.
    """
    if _FOREIGN_REGEX.search(value):
        return f"its regular expressions are of another kind: {value.decode('utf-8', 'replace')}"
    return ""


def value_lines(start: str, values: list[str]) -> Iterator[str]:
    """
    As many lines as the values need; several of one name are alternatives.
    """
    taken: list[str] = []
    for value in values:
        if taken and (len(taken) == LINE_WORDS or sum(map(len, taken)) + len(value) > LINE_CHARS):
            yield _line(start, taken)
            taken = []
        taken.append(value)
    yield _line(start, taken)


def _line(start: str, values: list[str]) -> str:
    flags_end = " --" if values[0].startswith("-") else ""
    return f"{start}{flags_end} {' '.join(values)}"


def balance_lines(balance: Balance) -> list[str]:
    """
    The strategy in HAProxy's words, or the nearest that it has, with a comment.
    """
    text = _balance(balance)
    if text:
        return [f"balance {text}"] + (["hash-type consistent"] if balance.name in ("source", "uri", "hdr") else [])
    asked = comment(" ".join((balance.name, *balance.arguments)))
    nearest = "leastconn" if balance.name == "ewma" else "roundrobin"
    return [f"# the strategy is {asked}, which HAProxy lacks; this is the nearest", f"balance {nearest}"]


def _balance(balance: Balance) -> str:
    match balance.name, balance.arguments:
        case ("roundrobin" | "leastconn" | "first" | "source" | "static-rr" | "random" | "uri") as name, ():
            return name
        case "random", (draws,) if draws.isascii() and draws.isdecimal() and 0 < int(draws[:4]) == int(draws) <= 64:
            return f"random({int(draws)})"
        case "hdr", (header,) if _HEADER.fullmatch(header.encode()):
            return f"hdr({header})"
        case "url_param", (parameter,) if _HEADER.fullmatch(parameter.encode()):
            return f"url_param {parameter}"
        case "uri", arguments if _uri_arguments(arguments):
            return " ".join(("uri", *arguments))
    return ""


def _uri_arguments(arguments: tuple[str, ...]) -> bool:
    """
    Whether these are what may follow `balance uri`: `whole`, `path-only`, `len N`, `depth N`.
    """
    return (
        re.fullmatch(r"(whole |path-only |(len|depth) [0-9]{1,4} )+", "".join(f"{word} " for word in arguments))
        is not None
    )
