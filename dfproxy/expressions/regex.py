"""
Regular expressions that cannot run away.

Python's `re` has no limit of steps and holds the whole process while it searches. So a pattern's worst case is
estimated from its parse tree: a repetition without end within another is refused, and what remains polynomial is
bounded by the length of the text it is used on.

Source: HAProxy `regsub`, `replace-path` (PCRE, which has a match limit of its own); OWASP on ReDoS.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

from dfproxy.expressions.words import InvalidExpression

# The parse tree of the standard library: no other tells what `re` will really do.
_parser: Any = re._parser  # type: ignore[attr-defined]  # sre_parse under its name since 3.11
_c: Any = re._constants  # type: ignore[attr-defined]  # sre_constants likewise

LONGEST_CHARS = 1024
"""
Longest pattern. HAProxy's line set 2048 for all of a rule.
"""

MOST_GROUPS = 50
"""
Most groups: nested ones cost stack when compiled.
"""

MOST_STEPS = 20_000_000
"""
Steps that the worst text may cost: some 0.1 s, which nobody sends twice without being seen.
"""

LEAST_TEXT_BYTES = 256
"""
Texts up to here must always be possible, or the pattern is refused: few paths are longer.
"""

_READS_IN_A_STEP = 16
"""
Characters of `[0-9a-f]{32}` and its like that are read in the time of one step that may be taken back.
"""

_DELIMITERS = "./-:,;&=+@"
"""
What may delimit the turns of a repetition: never a digit, letter or blank, whatever the case.
"""

_POSIX_CLASS = re.compile(r"\[[:.=]\^?\w+[:.=]\]")


class Bounded:
    """
    A compiled pattern, and what it may be used on.

    Args:
        pattern: over bytes.
        longest_bytes: longest text; on longer ones it might run away.
    """

    __slots__ = ("longest_bytes", "pattern")

    def __init__(self, pattern: re.Pattern[bytes], longest_bytes: int) -> None:
        self.pattern = pattern
        self.longest_bytes = longest_bytes


def bounded(text: str, ignore_case: bool = False) -> Bounded:
    """
    Compile a regular expression over bytes.

    Raises:
        InvalidExpression: it does not parse, is too large, or can run away.
    """
    if len(text) > LONGEST_CHARS:
        raise InvalidExpression(f"regular expressions may have {LONGEST_CHARS} characters, this has {len(text)}")
    if text.count("(") > MOST_GROUPS:
        raise InvalidExpression(f"regular expressions may have {MOST_GROUPS} groups, this has {text.count('(')}")
    if _POSIX_CLASS.search(text):
        raise InvalidExpression("classes such as [:alpha:] are not known; write [A-Za-z]")
    encoded = text.encode()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # a set that Python will read otherwise one day
            compiled = re.compile(encoded, re.IGNORECASE if ignore_case else 0)
            tree = list(_parser.parse(encoded))
    except (re.error, OverflowError, RecursionError, FutureWarning) as error:
        raise InvalidExpression(f"not a regular expression: {error}") from error
    return Bounded(compiled, _longest(tree))


def _longest(tree: list[Any]) -> int:
    """
    The longest text on which the pattern takes at most `MOST_STEPS`.

    Raises:
        InvalidExpression: that would be too short to be of use.
    """
    if tree and _never_gives_back(tree[-1]):
        tree = tree[:-1]
    degree, factor = _cost(tree)
    anchored = bool(tree) and tree[0] in ((_c.AT, _c.AT_BEGINNING), (_c.AT, _c.AT_BEGINNING_STRING))
    if degree and not anchored:
        degree += 1
    if _text_bytes(degree, factor) < LEAST_TEXT_BYTES:
        raise InvalidExpression("this regular expression can run away: it has too many repetitions such as .* or x?")
    factor *= max(_reads(tree) // _READS_IN_A_STEP, 1)
    if factor * LEAST_TEXT_BYTES**degree > 4 * MOST_STEPS:
        raise InvalidExpression(
            "this regular expression can run away: it reads the same text too often, as x{200} does"
        )
    return max(_text_bytes(degree, factor), LEAST_TEXT_BYTES)


def _text_bytes(degree: int, factor: int) -> int:
    """
    The longest text that takes at most `MOST_STEPS`.
    """
    return int((MOST_STEPS / factor) ** (1 / degree)) if degree else MOST_STEPS // factor


def _reads(nodes: Iterable[Any]) -> int:
    """
    Characters that one attempt reads at most, whatever it varies: what follows `.*` is read anew at each turn of it.
    """
    reads = 0
    for kind, value in nodes:
        if kind in (_c.MAX_REPEAT, _c.MIN_REPEAT):
            high, body = value[1], value[2]
            turns = 1 if high is _c.MAXREPEAT or high > LEAST_TEXT_BYTES else high
            reads += turns * (1 if _is_simple(body) else _READS_IN_A_STEP + _reads(body))
        elif kind is _c.SUBPATTERN:
            reads += _reads(value[3])
        elif kind is _c.BRANCH:
            reads += sum(_reads(branch) for branch in value[1])
        elif kind in (_c.ASSERT, _c.ASSERT_NOT):
            reads += 4 * _reads(value[1])
        elif kind is getattr(_c, "ATOMIC_GROUP", None):
            reads += _reads(value)
        elif kind is getattr(_c, "POSSESSIVE_REPEAT", None):
            reads += _READS_IN_A_STEP + _reads(value[2])
        else:
            reads += 1
    return reads


def _never_gives_back(node: Any) -> bool:
    """
    `.*` and its like, which at the end of a pattern take what is there: nothing behind them can fail.
    """
    kind, value = node
    if kind is _c.SUBPATTERN:
        inner = list(value[3])
        return len(inner) == 1 and _never_gives_back(inner[0])
    return kind is _c.MAX_REPEAT and value[0] == 0 and value[1] is _c.MAXREPEAT and _is_simple(value[2])


def _is_simple(body: Any) -> bool:
    """
    One character, of whatever kind.
    """
    nodes = list(body)
    if len(nodes) == 1 and nodes[0][0] is _c.SUBPATTERN:
        return _is_simple(nodes[0][1][3])
    return len(nodes) == 1 and nodes[0][0] in (_c.LITERAL, _c.NOT_LITERAL, _c.ANY, _c.IN)


def _is_delimited(body: Any) -> bool:
    """
    `[^/]+/`, `[a-z]+[.]` or `/[^/]+`: each turn of the repetition has one delimiter that the rest of it cannot match,
    so a text is cut into turns in one way only.
    """
    nodes = list(body)
    if len(nodes) == 1 and nodes[0][0] is _c.SUBPATTERN:
        return _is_delimited(nodes[0][1][3])
    if len(nodes) != 2:
        return False
    delimiter, other = nodes if nodes[0][0] is _c.LITERAL else reversed(nodes)
    if delimiter[0] is not _c.LITERAL or chr(delimiter[1]) not in _DELIMITERS:
        return False
    if other[0] not in (_c.MAX_REPEAT, _c.MIN_REPEAT):
        return False
    inner = list(other[1][2])
    return len(inner) == 1 and not _can_be(inner[0], delimiter[1])


def _can_be(node: Any, delimiter: int) -> bool:
    """
    Whether one character of a pattern may be this delimiter.
    """
    kind, value = node
    if kind is _c.LITERAL:
        return bool(value == delimiter)
    if kind is _c.NOT_LITERAL:
        return bool(value != delimiter)
    if kind is not _c.IN:
        return True
    listed = any(
        (kind is _c.LITERAL and what == delimiter)
        or (kind is _c.RANGE and what[0] <= delimiter <= what[1])
        or (kind is _c.CATEGORY and what not in (_c.CATEGORY_DIGIT, _c.CATEGORY_WORD, _c.CATEGORY_SPACE))
        for kind, what in value
    )
    return listed != (value[0][0] is _c.NEGATE)


def _are_told_apart(branches: Iterable[Any]) -> bool:
    """
    Whether the first byte decides between alternatives.
    """
    firsts = [list(branch)[:1] for branch in branches]
    literals = {first[0][1] for first in firsts if first and first[0][0] is _c.LITERAL}
    return len(literals) == len(firsts)


def _cost(nodes: Iterable[Any]) -> tuple[int, int]:
    """
    How a search grows: the number of open-ended repetitions, and the choices of all bounded ones multiplied.

    Raises:
        InvalidExpression: an open-ended repetition of something that varies itself: exponential.
    """
    degree, factor = 0, 1
    for kind, value in nodes:
        inner_degree, inner_factor = 0, 1
        if kind in (_c.MAX_REPEAT, _c.MIN_REPEAT):
            low, high, body = value
            inner_degree, inner_factor = _cost(body)
            if high is _c.MAXREPEAT or high > LEAST_TEXT_BYTES:
                if (inner_degree or inner_factor > 1) and not _is_delimited(body):
                    raise InvalidExpression(
                        "this regular expression can run away: a repetition such as + or * within another, or around "
                        "alternatives"
                    )
                inner_degree, inner_factor = 1, 1
            elif inner_degree and high > 1:
                inner_degree *= high
                inner_factor = min(inner_factor**high, MOST_STEPS) * (high - low + 1)
            else:
                inner_factor = min(inner_factor ** max(high, 1), MOST_STEPS) * (high - low + 1)
        elif kind is _c.SUBPATTERN:
            inner_degree, inner_factor = _cost(value[3])
        elif kind is _c.BRANCH:
            costs = [_cost(branch) for branch in value[1]]
            inner_degree = max(cost[0] for cost in costs)
            together = max if _are_told_apart(value[1]) else sum
            inner_factor = together(cost[1] for cost in costs)
        elif kind in (_c.ASSERT, _c.ASSERT_NOT):
            inner_degree, inner_factor = _cost(value[1])
        elif kind is getattr(_c, "ATOMIC_GROUP", None):
            inner_degree, inner_factor = _cost(value)
        elif kind is getattr(_c, "POSSESSIVE_REPEAT", None):
            inner_degree, inner_factor = _cost(value[2])
            inner_degree = max(inner_degree, 1)
        elif kind is _c.GROUPREF:
            inner_degree = 1  # compares all that the group holds
        elif kind is _c.GROUPREF_EXISTS:
            raise InvalidExpression("conditional groups are not known")
        degree += inner_degree
        factor = min(factor * inner_factor, MOST_STEPS)
    return degree, factor
