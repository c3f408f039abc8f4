"""
Which of the values that came in counts: names in any case, indexes and gaps, repeated values, fall-backs.

Knows nothing of what a value means beyond its kind in the table of `parameters`.

Source: DFP `server/server.go` (two readers), `proxy/util.go` (indexes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dfproxy.dfp.parameters import BY_LOWER_NAME, BY_NAME, DESTINATION_EXISTS_WITH, MAX_INDEX, Parameter

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
"""
What Go's `strconv.ParseBool` takes as true.
"""

_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
"""
What it takes as false.
"""

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
"""
What Go's `strconv.Atoi` takes, as far as a port or a count can make sense.
"""

_PLACES = {name: place for place, name in enumerate(BY_NAME)}
_INDEXES = {str(index): index for index in range(1, MAX_INDEX + 1)}


class Value(NamedTuple):
    """
    One value, and the name by which it came.
    """

    spelled: str
    text: str


def flag(row: Parameter, text: str) -> bool:
    """
    A boolean as DFP reads it; what is neither true nor false is false. Of a service, `on` is true as well.
    """
    return text in _TRUE or (row.last_wins and text == "on")


def is_flag(row: Parameter, text: str) -> bool:
    """
    Whether this is a boolean at all.
    """
    return text in _TRUE or text in _FALSE or (row.last_wins and text == "on")


def integer(text: str) -> int | None:
    """
    A whole number, or None if it is none (or has more than ten digits).
    """
    return int(text) if _INTEGER.fullmatch(text) else None


def items(text: str, separator: str) -> list[str]:
    """
    A list as DFP splits it: neither trimmed nor without its empty items.
    """
    return text.split(separator) if text else []


class Given:
    """
    The effective values of one call.

    Attributes:
        indexes: the destinations: (0,), or 1 to at most 10.
        built: False: no destination was named at all, and `indexes` stands for an empty one.
    """

    __slots__ = ("_values", "built", "indexes")

    def __init__(self, query: Sequence[tuple[str, str]], form: Sequence[tuple[str, str]]) -> None:
        values = _pick(query, form)
        present = [
            index for index in range(MAX_INDEX + 1) if any((name, index) in values for name in DESTINATION_EXISTS_WITH)
        ]
        indexes = []
        for index in range(1, MAX_INDEX + 1):
            if index not in present:
                break  # a gap hides the rest
            indexes.append(index)
        self.built = bool(indexes) or 0 in present
        self.indexes = tuple(indexes) or (0,)
        kept = {0, *self.indexes}
        self._values = {key: value for key, value in values.items() if key[1] in kept}

    def value(self, name: str, index: int = 0) -> Value | None:
        """
        The value for a destination: its own, else the un-indexed one.
        """
        return self._values.get((name, index)) or self._values.get((name, 0))

    def text(self, name: str, index: int = 0) -> str:
        """
        Text of `value`; empty if there is none.
        """
        value = self.value(name, index)
        return value.text if value else ""

    def spelled(self, name: str, index: int = 0) -> str:
        """
        How the caller spelled it; where it is missing, how it would have to be.
        """
        value = self.value(name, index)
        return value.spelled if value else f"{name}.{index}" if index else name

    def flag(self, name: str, index: int = 0) -> bool:
        """
        A boolean parameter.
        """
        return flag(BY_NAME[name], self.text(name, index))

    def number(self, name: str, index: int = 0) -> int:
        """
        An integer parameter; 0 if it is missing, negative or no number.
        """
        return max(integer(self.text(name, index)) or 0, 0)

    def __iter__(self) -> Iterator[tuple[Parameter, int, Value]]:
        """
        Every effective value once, as `(row, index, value)`, in the order of the table.
        """
        for (name, index), value in sorted(self._values.items(), key=lambda item: (_PLACES[item[0][0]], item[0][1])):
            yield BY_NAME[name], index, value

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """
        Every effective value under its documented name, sorted: what reads the same again.
        """
        return tuple(sorted((f"{row.name}.{index}" if index else row.name, value.text) for row, index, value in self))


def _pick(query: Sequence[tuple[str, str]], form: Sequence[tuple[str, str]]) -> dict[tuple[str, int], Value]:
    """
    Of all values of one parameter the one that counts; empty ones are absent.

    A name spelled as documented goes before one in other case: DFP knew only the former for destinations. The query
    goes before the form: Go puts the form first and DFP takes the last; of destinations DFP ignored the form.
    """
    found: dict[tuple[str, int], tuple[tuple[bool, bool], Value]] = {}
    for in_query, pairs in ((False, form), (True, query)):
        for spelled, text in pairs:
            row, index = _named(spelled)
            if row is None:
                continue
            key, rank = (row.name, index), (spelled.partition(".")[0] == row.name, in_query)
            former = found.get(key)
            if former is None or rank > former[0] or (rank == former[0] and row.last_wins):
                found[key] = (rank, Value(spelled, text))
    return {key: value for key, (_, value) in found.items() if value.text}


def _named(spelled: str) -> tuple[Parameter | None, int]:
    """
    The row and index that a name means; no row: not ours, such as the label `letsencrypt.host`.
    """
    if not spelled.isascii():
        return None, 0  # a Kelvin sign has the same lower case as a K
    base, dot, suffix = spelled.partition(".")
    row = BY_LOWER_NAME.get(base.lower())
    if row is None or not dot:
        return row, 0
    index = _INDEXES.get(suffix)
    return (row, index) if index and row.scope == "destination" else (None, 0)
