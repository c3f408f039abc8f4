"""
Words of HAProxy's ACL language as far as parameters may hold them: criteria with flags, items, regular expressions.

Source: HAProxy manual, section 7.1 (flags, matching methods) and 2.2 (quoting and escaping).
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from dfproxy.dfp.given import items
from dfproxy.expressions.regex import bounded

Method = Literal["str", "beg", "end", "sub", "reg", "dir", "dom", "len"]

METHODS: dict[str, Method] = {
    "str": "str",
    "beg": "beg",
    "end": "end",
    "sub": "sub",
    "reg": "reg",
    "dir": "dir",
    "dom": "dom",
    "len": "len",
}

_ESCAPED = re.compile(r"\\([ #\\\"'])")
_BLANKS = re.compile(r"(?<!\\)((?:\\\\)*)[ \t]+")


class Criterion(NamedTuple):
    """
    What is compared, and how: `path_beg -i` is `("path", "beg", True)`.
    """

    fetch: str
    method: Method
    ignore_case: bool


def criterion(text: str, fetches: tuple[str, ...]) -> Criterion:
    """
    Read a criterion with its flags.

    Args:
        text: such as `path_beg -i`, `path -m reg`.
        fetches: what may be compared, such as `path`; with `(host)` behind it where that belongs to it.

    Raises:
        ValueError: something else; the text says what would be right.
    """
    words = text.split()
    word, flags = (words[0], words[1:]) if words else ("", [])
    name, parenthesis, argument = word.partition("(")
    fetch, underscore, method = name.partition("_")
    full = fetch + (parenthesis + argument).lower()
    if full not in fetches or (underscore and (method == "str" or method not in METHODS)):
        raise ValueError(f"unknown criterion {word[:40]!r}; known are {', '.join(_known(fetches))}")
    found, ignore_case = METHODS[method or "str"], False
    while flags and flags[0] != "--":
        if flags[0] == "-i":
            ignore_case, flags = True, flags[1:]
        elif flags[0] == "-m" and len(flags) > 1 and flags[1] in METHODS:
            found, flags = METHODS[flags[1]], flags[2:]
        else:
            raise ValueError(f"unknown flag {flags[0][:40]!r}; known are -i, -m {'|'.join(METHODS)} and --")
    if flags[1:]:
        raise ValueError(f"{flags[1][:40]!r} stands behind the flags; values belong into the list")
    return Criterion(full, found, ignore_case)


def _known(fetches: tuple[str, ...]) -> list[str]:
    names = []
    for fetch in fetches:
        name, parenthesis, argument = fetch.partition("(")
        names += [f"{name}{'' if method == 'str' else '_' + method}{parenthesis}{argument}" for method in METHODS]
    return names


def words(text: str, separator: str) -> list[str]:
    """
    Items of a list, split again at blanks as HAProxy does; empty ones left out.

    A backslash keeps a blank in its item, as it does a backslash, a quote or a hash.
    """
    found = []
    for item in items(text, separator):
        parts = _BLANKS.sub(r"\1\0", item.replace("\0", "")).split("\0")
        found += [_ESCAPED.sub(r"\1", part) for part in parts]
    return [word for word in found if word]


def headers(text: str, separator: str) -> dict[str, str]:
    """
    `name:value` items; those that do not split into exactly two are dropped, as DFP does. The last of a name holds.
    """
    halves = (item.split(":") for item in items(text, separator))
    return {pair[0].strip(): pair[1].strip() for pair in halves if len(pair) == 2}


def check_regex(text: str) -> None:
    """
    See that a regular expression compiles, and can hold nobody up (`dfproxy.expressions.regex`).

    Raises:
        ValueError: it does not; or it means something else here than it did for HAProxy.
    """
    bounded(text)
