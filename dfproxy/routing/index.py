"""
Where a lookup finds the few routes that can match: by host first, then by path.

Copied on write: what a table holds is never changed, a builder changes its own copies (`dfproxy.routing.compile`).
Copying is a `dict.copy` or `list.copy` of pointers, some 0.1 ms at 10,000 entries.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from dfproxy.interfaces import IRequest
from dfproxy.routing.literals import Literals
from dfproxy.routing.matcher import Check

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
"""
Routes of one place, lowest rank first.
"""

NOTHING = Entry(LAST, None, None)

_rank = itemgetter(0)

V = TypeVar("V")


def with_entry(entries: Entries, entry: Entry) -> Entries:
    """
    These and one more.
    """
    if not entries:
        return (entry,)
    changed = list(entries)
    insort(changed, entry, key=_rank)
    return tuple(changed)


def without_rank(entries: Entries, rank: Rank) -> Entries:
    """
    These without those of one route.
    """
    return tuple([entry for entry in entries if entry[0] != rank])


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


class HostIndex(Protocol[V]):
    """
    What every index offers to a builder.
    """

    def copy(self) -> HostIndex[V]:
        """
        One that may be changed without changing this one.
        """

    def get(self, key: bytes) -> V | None:
        """
        What is stored under exactly this key.
        """

    def put(self, key: bytes, value: V) -> None:
        """
        Store, replacing what that key had.
        """

    def drop(self, key: bytes) -> None:
        """
        Forget a key; one that is not stored is fine.
        """

    def settle(self) -> None:
        """
        To be called after the last change.
        """

    def __len__(self) -> int:
        """
        Number of keys.
        """


class Exact(dict[bytes, V]):
    """
    Finds what equals a key.
    """

    __slots__ = ()

    def copy(self) -> Exact[V]:
        """
        As `HostIndex`.
        """
        return Exact(self)

    def put(self, key: bytes, value: V) -> None:
        """
        As `HostIndex`.
        """
        self[key] = value

    def drop(self, key: bytes) -> None:
        """
        As `HostIndex`.
        """
        self.pop(key, None)

    def settle(self) -> None:
        """
        As `HostIndex`.
        """


class Prefixes(Generic[V]):
    """
    Finds all stored keys that a text begins with.

    The longest one is the text's predecessor among the sorted keys, or a prefix of that predecessor; each key knows
    the longest other key that it begins with. One bisection, however many different lengths there are: 0.4 us at
    10,000 keys, where a dictionary for each of 60 lengths takes 4.

    Attributes:
        nodes: by key, its parent (the longest other key that it begins with, b"" if there is none) and its value.
            No key is empty.
        order: the keys, sorted.
    """

    __slots__ = ("nodes", "order")

    def __init__(self) -> None:
        self.nodes: dict[bytes, tuple[bytes, V]] = {}
        self.order: list[bytes] = []

    def copy(self) -> Prefixes[V]:
        """
        As `HostIndex`.
        """
        other: Prefixes[V] = Prefixes()
        other.nodes, other.order = self.nodes.copy(), self.order.copy()
        return other

    def deepest(self, text: bytes) -> bytes:
        """
        The longest key that the text begins with, b"" if none; the others are its parents.
        """
        nodes = self.nodes
        if text in nodes:
            return text
        at = bisect_right(self.order, text)
        if not at:
            return b""
        key = self.order[at - 1]
        while not text.startswith(key):  # ends: everything starts with b""
            key = nodes[key][0]
        return key

    def found_in(self, text: bytes) -> Iterator[V]:
        """
        The values of all keys that the text begins with, the longest first.
        """
        key = self.deepest(text)
        while key:
            key, value = self.nodes[key]
            yield value

    def get(self, key: bytes) -> V | None:
        """
        As `HostIndex`.
        """
        node = self.nodes.get(key)
        return None if node is None else node[1]

    def put(self, key: bytes, value: V) -> None:
        """
        As `HostIndex`.
        """
        nodes = self.nodes
        if key in nodes:
            nodes[key] = (nodes[key][0], value)
            return
        parent = self.deepest(key)
        at = bisect_left(self.order, key)
        self._adopt(key, at, parent, key)
        self.order.insert(at, key)
        nodes[key] = (parent, value)

    def drop(self, key: bytes) -> None:
        """
        As `HostIndex`.
        """
        if key not in self.nodes:
            return
        parent, _ = self.nodes.pop(key)
        at = bisect_left(self.order, key)
        del self.order[at]
        self._adopt(key, at, key, parent)

    def settle(self) -> None:
        """
        As `HostIndex`.
        """

    def __len__(self) -> int:
        return len(self.nodes)

    def _adopt(self, key: bytes, at: int, old: bytes, new: bytes) -> None:
        """
        Give the keys from position `at` that begin with `key`, and whose parent is `old`, the parent `new`.
        """
        order, nodes = self.order, self.nodes
        for position in range(at, len(order)):
            child = order[position]
            if not child.startswith(key):
                return
            parent, value = nodes[child]
            if parent == old:
                nodes[child] = (new, value)


_DELIMITERS = re.compile(rb"[.:/?]")


class Labels(Generic[V]):
    """
    Finds all stored keys that stand in a host between two of `. : / ?` or its ends.

    A key of three labels can only be three neighbouring labels of the host: one probe for each place in the host and
    each number of labels that some key has.

    Attributes:
        values: by key; a key neither begins nor ends with a delimiter.
        spans: number of delimiters inside a key, to how many keys have it.
    """

    __slots__ = ("spans", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, V] = {}
        self.spans: dict[int, int] = {}

    def copy(self) -> Labels[V]:
        """
        As `HostIndex`.
        """
        other: Labels[V] = Labels()
        other.values, other.spans = self.values.copy(), self.spans.copy()
        return other

    def put(self, key: bytes, value: V) -> None:
        """
        As `HostIndex`.
        """
        if key not in self.values:
            span = len(_DELIMITERS.findall(key))
            self.spans[span] = self.spans.get(span, 0) + 1
        self.values[key] = value

    def drop(self, key: bytes) -> None:
        """
        As `HostIndex`.
        """
        if key not in self.values:
            return
        del self.values[key]
        span = len(_DELIMITERS.findall(key))
        self.spans[span] -= 1
        if not self.spans[span]:
            del self.spans[span]

    def get(self, key: bytes) -> V | None:
        """
        As `HostIndex`.
        """
        return self.values.get(key)

    def settle(self) -> None:
        """
        As `HostIndex`.
        """

    def __len__(self) -> int:
        return len(self.values)

    def found_in(self, host: bytes) -> Iterator[V]:
        """
        The values of all keys in the host; one may come twice.
        """
        values = self.values
        ends = [hit.start() for hit in _DELIMITERS.finditer(host)]
        ends.append(len(host))
        for span in self.spans:
            start = 0
            for at in range(len(ends) - span):
                value = values.get(host[start : ends[at + span]])
                if value is not None:
                    yield value
                start = ends[at] + 1


class PathIndex:
    """
    The routes of one host pattern, or those of none, by their paths.

    Attributes:
        slash: those with the prefix `/`; apart from `prefixes`, where it would be the parent of everything.
        exact: by whole path.
        prefixes: by any other prefix.
        tried: what must be tried, by bytes without which it cannot match.
        loose: what must be tried always; among it what asks nothing of the path.
        least: lowest rank in `tried` and `loose`; right after `settle`.
        least_gone: a route of that rank was taken out since.
    """

    __slots__ = ("exact", "least", "least_gone", "loose", "prefixes", "slash", "tried")

    def __init__(self) -> None:
        self.slash: Entries = ()
        self.exact: dict[bytes, Entries] | None = None
        self.prefixes: Prefixes[Entries] | None = None
        self.tried: Literals[Entries] | None = None
        self.loose: Entries = ()
        self.least: Rank = LAST
        self.least_gone = False

    def copy(self) -> PathIndex:
        """
        One that may be changed without changing this one.
        """
        other = PathIndex()
        other.slash, other.loose = self.slash, self.loose
        other.least, other.least_gone = self.least, self.least_gone
        other.exact = self.exact and self.exact.copy()
        other.prefixes = self.prefixes and self.prefixes.copy()
        other.tried = self.tried and self.tried.copy()
        return other

    def __bool__(self) -> bool:
        """
        Whether there is any route.
        """
        return bool(self.slash or self.exact or self.prefixes or self.tried or self.loose)

    def settle(self) -> None:
        """
        To be called after the last change.
        """
        if self.tried is not None:
            self.tried.settle()
        if self.least_gone:
            ranks = [self.loose[0][0]] if self.loose else []
            if self.tried is not None:
                ranks += [entries[0][0] for entries in self.tried.values.values()]
            self.least = min(ranks, default=LAST)
            self.least_gone = False

    # --- the request path ------------------------------------------------------------------------------------

    def best(self, path: bytes, request: IRequest, found: Entry) -> Entry:
        """
        The first route by exact path or prefix that takes the request, if it is before `found`; else `found`.
        """
        entries = self.slash
        if entries and path[:1] == b"/":
            entry = entries[0]
            # most routes: nothing else to ask
            if entry[0] < found[0]:
                found = entry if entry[1] is None else first(entries, request, found)
        if self.exact is not None and path in self.exact:
            found = first(self.exact[path], request, found)
        prefixes = self.prefixes
        if prefixes is not None:
            key = prefixes.deepest(path)
            nodes = prefixes.nodes
            while key:
                key, entries = nodes[key]
                entry = entries[0]
                if entry[0] < found[0]:
                    found = entry if entry[1] is None else first(entries, request, found)
        return found

    def best_tried(self, path: bytes, request: IRequest, found: Entry) -> Entry:
        """
        The same for the other routes. Worth calling only if `least` is before `found`.
        """
        if self.loose:
            found = first(self.loose, request, found)
        if self.tried is not None:
            for entries in self.tried.found_in(path.lower()):
                found = first(entries, request, found)
        return found

    # --- changes ---------------------------------------------------------------------------------------------

    def put(self, kind: str, value: bytes, runs: tuple[bytes, ...], entry: Entry) -> None:
        """
        Add a route.

        Args:
            kind: `slash`, `exact`, `prefix`, `tried` or `loose`.
            value: the path of `exact` and `prefix`.
            runs: of `tried`: literals that the path must contain; the least used one is taken.
            entry: the route, with the check that the place leaves to it.
        """
        if kind in ("tried", "loose"):
            self.least = min(self.least, entry[0])
        if kind == "slash":
            self.slash = with_entry(self.slash, entry)
        elif kind == "loose":
            self.loose = with_entry(self.loose, entry)
        elif kind == "exact":
            if self.exact is None:
                self.exact = {}
            self.exact[value] = with_entry(self.exact.get(value, ()), entry)
        elif kind == "prefix":
            if self.prefixes is None:
                self.prefixes = Prefixes()
            self.prefixes.put(value, with_entry(self.prefixes.get(value) or (), entry))
        else:
            if self.tried is None:
                self.tried = Literals()
            by_literal = self.tried.values
            literal = min(runs, key=lambda run: (len(by_literal.get(run, ())), -len(run)))
            self.tried.put(literal, with_entry(by_literal.get(literal, ()), entry))

    def drop(self, kind: str, value: bytes, runs: tuple[bytes, ...], rank: Rank) -> None:
        """
        Take a route out of the place where it was put.
        """
        if rank == self.least:
            self.least_gone = True
        if kind == "slash":
            self.slash = without_rank(self.slash, rank)
        elif kind == "loose":
            self.loose = without_rank(self.loose, rank)
        elif kind == "exact" and self.exact is not None:
            entries = without_rank(self.exact.pop(value, ()), rank)
            if entries:
                self.exact[value] = entries
            self.exact = self.exact or None
        elif kind == "prefix" and self.prefixes is not None:
            before = self.prefixes.get(value)
            if before is not None:
                entries = without_rank(before, rank)
                if entries:
                    self.prefixes.put(value, entries)
                else:
                    self.prefixes.drop(value)
            if not self.prefixes.order:
                self.prefixes = None
        elif kind == "tried" and self.tried is not None:
            for run in runs:
                entries = without_rank(self.tried.values.get(run, ()), rank)
                if entries:
                    self.tried.put(run, entries)
                else:
                    self.tried.drop(run)
            if not self.tried.values:
                self.tried = None
