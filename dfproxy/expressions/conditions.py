"""
Conditions: `if { path_beg /x } !{ ssl_fc } or { src 10.0.0.0/8 }`, `unless ...`.

What cannot be evaluated (nothing found, a text too long for its regular expression) does not match, so that `!` holds.

Source: HAProxy manual 7.1 (ACL basics), 7.2 (conditions), 7.4 (predefined ACLs).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address, ip_network

from dfproxy.expressions.converters import CONVERTERS, TooLong
from dfproxy.expressions.fetches import FETCHES, SUFFIXED, Found, Kind, Phase
from dfproxy.expressions.formats import as_bytes, compile_sample
from dfproxy.expressions.regex import bounded
from dfproxy.expressions.samples import Call, Sample, parse_sample
from dfproxy.expressions.subject import Named, Subject, Surroundings
from dfproxy.expressions.words import InvalidExpression

Holds = Callable[[Subject], bool]

METHODS = ("str", "beg", "end", "sub", "reg", "dir", "dom", "len", "int", "ip", "bool", "found")
_USUAL: dict[Kind, str] = {"text": "str", "number": "int", "flag": "bool", "address": "ip"}
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}

PREDEFINED = {
    "TRUE": "always_true",
    "FALSE": "always_false",
    "LOCALHOST": "src 127.0.0.1/8",
    "METH_GET": "method GET HEAD",
    **{f"METH_{name}": f"method {name}" for name in ("CONNECT", "DELETE", "HEAD", "OPTIONS", "POST", "PUT", "TRACE")},
}
"""
HAProxy's own ACLs, as what stands between braces.
"""

MOST_TESTS = 32
"""
Most tests in a condition: each is work on the request path. HAProxy takes 64 words in a line.
"""


def compile_condition(words: Sequence[str], phase: Phase, surroundings: Surroundings) -> Holds:
    """
    A condition as a predicate.

    Args:
        words: `if` or `unless` and what follows.

    Raises:
        InvalidExpression: it does not parse, or names what is not known.
    """
    negated = words[0] == "unless"
    alternatives: list[list[Holds]] = [[]]
    for item in _items(words[1:], surroundings.acls):
        if item is None:
            alternatives.append([])
        else:
            named = item.named
            test = _test(item, phase, surroundings) if named is None else _named(named, item.negated, phase)
            alternatives[-1].append(test)
    if not all(alternatives):
        raise InvalidExpression(f"a test is missing in the condition after {words[0]!r}")
    if sum(map(len, alternatives)) > MOST_TESTS:
        raise InvalidExpression(f"conditions may have {MOST_TESTS} tests")
    every = tuple(tuple(tests) for tests in alternatives)

    def holds(subject: Subject) -> bool:
        for tests in every:
            for test in tests:
                if not test(subject):
                    break
            else:
                return not negated
        return negated

    return holds


class NamedTest:
    """
    A test with a name: any of its lines. Those that come later count for rules that came before them, too.

    Args:
        surroundings: for its expressions.
    """

    __slots__ = ("_compiled", "_lines", "_surroundings")

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._lines: list[tuple[str, ...]] = []
        self._compiled: dict[Phase, list[Holds]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, words: tuple[str, ...]) -> None:
        """
        A further alternative.

        Raises:
            InvalidExpression: it does not parse, or cannot be asked where the test has been used already.
        """
        found: dict[Phase, Holds] = {}
        failure: InvalidExpression | None = None
        phases: tuple[Phase, ...] = ("request", "answer")
        for phase in phases:
            try:
                found[phase] = _test(_Item(list(words), False), phase, self._surroundings)
            except InvalidExpression as error:
                failure = failure or error
        if failure is not None and (not found or not self._compiled.keys() <= found.keys()):
            raise failure
        self._lines.append(words)
        for phase, tests in self._compiled.items():
            tests.append(found[phase])

    def tests(self, phase: Phase) -> list[Holds]:
        """
        Its alternatives; grows when lines are added.

        Raises:
            InvalidExpression: one of them cannot be asked there.
        """
        if phase not in self._compiled:
            self._compiled[phase] = [
                _test(_Item(list(words), False), phase, self._surroundings) for words in self._lines
            ]
        return self._compiled[phase]


class _Item:
    """
    One test: its words, and whether it must not hold. One with a name has its lines elsewhere.
    """

    def __init__(self, words: list[str], negated: bool, named: Named | None = None) -> None:
        self.words = words
        self.negated = negated
        self.named = named


def _named(named: Named, negated: bool, phase: Phase) -> Holds:
    tests = named.tests(phase)

    def holds(subject: Subject) -> bool:
        return any(test(subject) for test in tests) is not negated

    return holds


def _items(words: Sequence[str], acls: Mapping[str, Named]) -> list[_Item | None]:
    """
    Tests in their order; None is an `or`.
    """
    found: list[_Item | None] = []
    negated = False
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        while word.startswith("!"):
            negated, word = not negated, word[1:]
        if not word:
            continue
        if word in ("or", "||", "OR"):
            if negated:
                raise InvalidExpression("a test is missing behind !")
            found.append(None)
        elif word == "{":
            try:
                end = list(words).index("}", place)
            except ValueError:
                raise InvalidExpression("a brace { is not closed; blanks belong around it: { path_beg /x }") from None
            found.append(_Item(list(words[place:end]), negated))
            negated, place = False, end + 1
        elif word in acls:
            found.append(_Item([], negated, acls[word]))
            negated = False
        elif word in PREDEFINED:
            found.append(_Item(PREDEFINED[word].split(), negated))
            negated = False
        else:
            raise InvalidExpression(
                f"{word[:40]!r} is no test; write it between braces with blanks around, such as {{ path_beg /x }}"
            )
    if negated:
        raise InvalidExpression("a test is missing behind !")
    return found


def _test(item: _Item, phase: Phase, surroundings: Surroundings) -> Holds:
    if not item.words:
        raise InvalidExpression("there is nothing between the braces { }")
    text, rest = item.words[0], item.words[1:]
    sample, _ = parse_sample(text)
    method = ""
    if sample.fetch.name in SUFFIXED:
        base, method = SUFFIXED[sample.fetch.name]
        sample = Sample(Call(base, sample.fetch.arguments), sample.converters)
    fetching, kind = compile_sample(sample, phase, surroundings)
    ignore_case = False
    while rest and rest[0].startswith("-"):
        flag, rest = rest[0], rest[1:]
        if flag == "--":
            break
        if flag == "-i":
            ignore_case = True
        elif flag == "-m" and rest and rest[0] in METHODS:
            method, rest = rest[0], rest[1:]
        elif flag == "-m":
            raise InvalidExpression(f"-m takes one of {', '.join(METHODS)}")
        else:
            raise InvalidExpression(f"{flag[:40]!r} is no flag; known are -i, -m and --")
    method = method or _USUAL[kind]
    compare = _comparison(method, kind, rest, ignore_case, text)
    several = _several(sample)
    negated = item.negated

    def holds(subject: Subject) -> bool:
        try:
            if several is None:
                value = fetching(subject)
                result = value is not None and compare(value)
            else:
                result = any(compare(value) for value in several(subject))
        except TooLong:
            result = False
        return result is not negated

    return holds


def _several(sample: Sample) -> Callable[[Subject], list[Found]] | None:
    """
    All values of a field, of which one must match, unless a number says which.
    """
    row = FETCHES[sample.fetch.name]
    if row.several is None or len(sample.fetch.arguments) > 1:
        return None
    values = row.several(sample.fetch.arguments)
    if not sample.converters:
        return lambda subject: list(values(subject))
    steps = [CONVERTERS[call.name].make(call.arguments) for call in sample.converters]

    def converted(subject: Subject) -> list[Found]:
        found: list[Found] = []
        for value in values(subject):
            result: Found = value
            for step in steps:
                result = None if result is None else step(as_bytes(result))
            if result is not None:
                found.append(result)
        return found

    return converted


def _comparison(method: str, kind: Kind, values: list[str], ignore_case: bool, text: str) -> Callable[[Found], bool]:
    """
    What one value is compared with, and how.
    """
    if method == "found":
        return lambda value: value is not None
    if method == "bool" or (kind == "flag" and method == "int"):
        # HAProxy ignores values here: `{ ssl_c_used 0 }` tests that it was used
        return lambda value: value not in (None, 0, False, b"0", b"")
    if not values:
        raise InvalidExpression(f"{text[:40]!r} needs something to compare with, or -m found")
    if method == "int":
        return _numbers(values)
    if method == "len":
        wanted = _numbers(values)
        return lambda value: value is not None and wanted(len(as_bytes(value)))
    if method == "ip":
        return _networks(values)
    tests = [_text(method, value, ignore_case) for value in values]
    return lambda value: value is not None and any(test(as_bytes(value)) for test in tests)


def _text(method: str, value: str, ignore_case: bool) -> Callable[[bytes], bool]:
    encoded = value.encode()
    if method == "reg":
        found = bounded(value, ignore_case)

        def search(text: bytes) -> bool:
            if len(text) > found.longest_bytes:
                raise TooLong
            return found.pattern.search(text) is not None

        return search
    if ignore_case:
        plain = _text(method, value.lower(), False)
        return lambda text: plain(text.lower())
    if method == "str":
        return encoded.__eq__
    if method == "beg":
        return lambda text: text.startswith(encoded)
    if method == "end":
        return lambda text: text.endswith(encoded)
    if method == "sub":
        return lambda text: encoded in text
    delimiters = b"/?" if method == "dir" else b"/?.:"
    stripped = encoded.strip(delimiters)
    if not stripped:
        return lambda text: False
    either = re.escape(delimiters)
    word = re.compile(b"(?:^|[" + either + b"])" + re.escape(stripped) + b"(?![^" + either + b"])")
    return lambda text: word.search(text) is not None


def _numbers(values: list[str]) -> Callable[[Found], bool]:
    """
    Numbers and ranges `low:high`, and `ge 5` and its kin, which hold for the values behind them.
    """
    tests: list[Callable[[int], bool]] = []
    compare = _COMPARISONS["eq"]
    for value in values:
        if value in _COMPARISONS:
            compare = _COMPARISONS[value]
            continue
        low, colon, high = value.partition(":")
        try:
            first, last = int(low), int(high) if colon else 0
        except ValueError:
            raise InvalidExpression(f"{value[:40]!r} is neither a number nor a range such as 80:89") from None
        if colon:
            tests.append(lambda number, first=first, last=last: first <= number <= last)  # type: ignore[misc]  # bound now
        else:
            tests.append(lambda number, first=first, compare=compare: compare(number, first))  # type: ignore[misc]  # bound now
    if not tests:
        raise InvalidExpression("a number to compare with is missing")

    def check(value: Found) -> bool:
        try:
            number = int(value)  # type: ignore[arg-type]  # None is a TypeError like others
        except (TypeError, ValueError):
            return False
        return any(test(number) for test in tests)

    return check


def _networks(values: list[str]) -> Callable[[Found], bool]:
    try:
        networks = [ip_network(value, strict=False) for value in values]
    except ValueError as error:
        raise InvalidExpression(f"not a network: {error}") from None

    def check(value: Found) -> bool:
        try:
            address = ip_address(as_bytes(value or b"").decode("ascii"))
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any(address in network or (mapped is not None and mapped in network) for network in networks)

    return check
