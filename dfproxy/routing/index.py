"""
Where a lookup finds the few routes that can match: by host first, then by path.

Copied on write: what a table holds is never changed, a builder changes its own copies (`dfproxy.routing.compile`).
Copying is a `dict.copy` or `list.copy` of pointers, about 0.1 ms at 10,000 entries.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from dfproxy.interfaces import IRequest

Check = Callable[[IRequest], bool]
Rank = tuple[Any, ...]
"""
Lower wins. Begins with 0, so that `LAST` is behind every rank without a case of its own.
"""

LAST: Rank = (1,)


class Entry(NamedTuple):
    """
    A route in one place of the index.

    Attributes:
        rank: the order of the route.
        check: what the place does not already answer; None: nothing.
        target: what the lookup returns.
    """

    rank: Rank
    check: Check | None
    target: object


Entries = tuple[Entry, ...]
NOTHING = Entry(LAST, None, None)

V = TypeVar("V")


class Prefixes(Generic[V]):
    """
    Finds all stored keys that a text begins with.

    The longest one is the text's predecessor among the sorted keys, or a prefix of that predecessor; each key knows
    the longest other key that it begins with. One bisection, however many different lengths there are.

    Attributes:
        values: by key; no key is empty.
        order: the keys, sorted.
        parents: by key, the longest other key that it begins with; b"" if there is none.
    """

    __slots__ = ("order", "parents", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, V] = {}
        self.order: list[bytes] = []
        self.parents: dict[bytes, bytes] = {}

    def copy(self) -> Prefixes[V]:
        """
        One that may be changed without changing this one.
        """
        other: Prefixes[V] = Prefixes()
        other.values, other.order, other.parents = self.values.copy(), self.order.copy(), self.parents.copy()
        return other

    def deepest(self, text: bytes) -> bytes:
        """
        The longest key that the text begins with, b"" if none; the others are its `parents`.
        """
        if text in self.values:
            return text
        order = self.order
        at = bisect_right(order, text)
        if not at:
            return b""
        key = order[at - 1]
        parents = self.parents
        while not text.startswith(key):  # ends: everything starts with b""
            key = parents[key]
        return key

    def put(self, key: bytes, value: V) -> None:
        """
        Store, replacing what that key had.
        """
        if key not in self.values:
            parent = self.deepest(key)
            at = bisect_left(self.order, key)
            self.order.insert(at, key)
            self.parents[key] = parent
            for child in self._below(key, at):
                if self.parents[child] == parent:
                    self.parents[child] = key
        self.values[key] = value

    def drop(self, key: bytes) -> None:
        """
        Forget a key that is stored.
        """
        del self.values[key]
        at = bisect_left(self.order, key)
        parent = self.parents.pop(key)
        for child in self._below(key, at):
            if self.parents[child] == key:
                self.parents[child] = parent
        del self.order[at]

    def _below(self, key: bytes, at: int) -> Iterator[bytes]:
        """
        The stored keys that begin with this one, without itself; `at` is its position.
        """
        order = self.order
        for position in range(at + 1, len(order)):
            child = order[position]
            if not child.startswith(key):
                return
            yield child


class PathIndex:
    """
    The routes of one host pattern, or those of none, by their paths.

    Attributes:
        exact: by whole path.
        slash: those with the prefix `/`; apart from `prefixes`, where it would be the parent of everything.
        prefixes: by any other prefix.
        others: those whose path is anything, or has a form that must be tried.
    """

    __slots__ = ("exact", "others", "prefixes", "slash")

    def __init__(self) -> None:
        self.exact: dict[bytes, Entries] = {}
        self.slash: Entries = ()
        self.prefixes: Prefixes[Entries] | None = None
        self.others: Entries = ()

    def copy(self) -> PathIndex:
        """
        One that may be changed without changing this one.
        """
        other = PathIndex()
        other.exact, other.slash, other.others = self.exact.copy(), self.slash, self.others
        other.prefixes = None if self.prefixes is None else self.prefixes.copy()
        return other

    def best(self, path: bytes, request: IRequest, found: Entry) -> Entry:
        """
        The first route here that takes the request, if it is before `found`; else `found`.
        """
        if self.slash and path[:1] == b"/":
            found = first(self.slash, request, found)
        if self.exact and (entries := self.exact.get(path)) is not None:
            found = first(entries, request, found)
        prefixes = self.prefixes
        if prefixes is not None:
            key = prefixes.deepest(path)
            while key:
                found = first(prefixes.values[key], request, found)
                key = prefixes.parents[key]
        if self.others:
            found = first(self.others, request, found)
        return found


def first(entries: Entries, request: IRequest, found: Entry) -> Entry:
    """
    The first of these that takes the request, if it is before `found`; else `found`.
    """
    rank = found[0]
    for entry in entries:
        if not entry[0] < rank:
            return found
        check = entry[1]
        if check is None or check(request):
            return entry
    return found
