"""
`servicePath`, `servicePathExclude` and `pathType`: text -> path patterns.

Source: HAProxy ACL criteria `path*` and `url*`; DFP `pathType`.
"""

from __future__ import annotations

from collections.abc import Iterable

from dfproxy.dfp.criteria import Criterion, Method, check_regex, criterion
from dfproxy.model.match import PathForm, PathPattern

DEFAULT = "path_beg"
"""
What DFP uses without a `pathType`.
"""

_FETCHES = ("path", "url")
_FORMS: dict[Method, PathForm] = {
    "str": "exact",
    "beg": "prefix",
    "end": "suffix",
    "sub": "substring",
    "reg": "regex",
    "dir": "directory",
    "dom": "domain",
    "len": "length",
}
_LENGTH_DIGITS = 6
"""
Digits of a length: no request target comes near a million bytes.
"""


def path_criterion(text: str) -> Criterion:
    """
    Read a `pathType`; empty is the default.

    Raises:
        ValueError: unknown; the text lists what is known.
    """
    return criterion(text or DEFAULT, _FETCHES)


def path_patterns(words: Iterable[str], kind: Criterion) -> tuple[PathPattern, ...]:
    """
    Make the patterns of some paths.

    Raises:
        ValueError: a length that is no number, or a regular expression that does not compile.
    """
    return tuple(_pattern(word, kind) for word in words)


def _pattern(word: str, kind: Criterion) -> PathPattern:
    form = _FORMS[kind.method]
    if form == "regex":
        check_regex(word)
    return PathPattern(
        form, checked_length(word) if form == "length" else word.encode(), kind.ignore_case, kind.fetch == "url"
    )


def checked_length(word: str) -> bytes:
    """
    The decimal number that a length pattern compares with.

    Raises:
        ValueError: no whole number.
    """
    if not (word.isascii() and word.isdecimal() and len(word) <= _LENGTH_DIGITS):
        raise ValueError(f"{word[:40]!r} is no length; give a number of bytes, such as 5")
    return str(int(word)).encode()
