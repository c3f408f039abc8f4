"""
Things by text: which lie within a text, and which are around it.

Changed in place, unlike the indexes of a table (`dfproxy.routing.index`), which are copied.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class Texts(Generic[V]):
    """
    Something by text; finds what begins with a text, and what a text begins with.

    Attributes:
        values: what is held, by text; never an empty one.
        order: the texts, sorted.
        lengths: of the texts, each with how many have it.
    """

    __slots__ = ("lengths", "order", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, dict[V, None]] = {}
        self.order: list[bytes] = []
        self.lengths: Counter[int] = Counter()

    def put(self, text: bytes, value: V) -> None:
        """
        Hold one more.
        """
        held = self.values.get(text)
        if held is None:
            held = self.values[text] = {}
            insort(self.order, text)
            self.lengths[len(text)] += 1
        held[value] = None

    def drop(self, text: bytes, value: V) -> None:
        """
        Let one go.
        """
        held = self.values[text]
        held.pop(value, None)
        if not held:
            del self.values[text]
            del self.order[bisect_left(self.order, text)]
            self.lengths[len(text)] -= 1
            if not self.lengths[len(text)]:
                del self.lengths[len(text)]

    def at(self, text: bytes) -> Iterable[V]:
        """
        Those of exactly this text.
        """
        return self.values.get(text, ())

    def around(self, text: bytes) -> Iterator[V]:
        """
        Those whose text this one begins with.
        """
        for length in self.lengths:
            if length <= len(text):
                yield from self.at(text[:length])

    def count_within(self, text: bytes) -> int:
        """
        How many texts begin with this one.
        """
        return self._end(text) - bisect_left(self.order, text)

    def within(self, text: bytes) -> Iterator[V]:
        """
        Those whose text begins with this one.
        """
        for at in range(bisect_left(self.order, text), self._end(text)):
            yield from self.values[self.order[at]]

    def _end(self, text: bytes) -> int:
        after = text.rstrip(b"\xff")
        if not after:
            return len(self.order)
        return bisect_left(self.order, after[:-1] + bytes([after[-1] + 1]))
