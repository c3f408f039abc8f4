"""
The indexes against a look at every key.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.routing.index import LAST, NOTHING, Entry, Exact, HostIndex, Labels, PathIndex, Prefixes, first
from tests.unit.routing.naive import Request, delimited

keys = st.text(alphabet="ab.", min_size=1, max_size=5).map(str.encode)
label_keys = keys.map(lambda key: key.strip(b".")).filter(bool)
texts = st.text(alphabet="ab.:", max_size=8).map(str.encode)
changes = st.lists(st.lists(st.tuples(st.booleans(), keys), max_size=6), max_size=6)


def entry(rank: int, check: object = None) -> Entry:
    return Entry((0, rank), check, f"t{rank}")  # type: ignore[arg-type]  # checks of tests


def change(index: HostIndex[bytes], present: set[bytes], batch: list[tuple[bool, bytes]]) -> None:
    for put, key in batch:
        if put:
            index.put(key, key)
            present.add(key)
        else:
            index.drop(key)
            present.discard(key)
    index.settle()


class PrefixesTests(SynchronousTestCase):
    """
    All keys that a text begins with.
    """

    @settings(max_examples=120, deadline=None)
    @given(changes, st.lists(texts, min_size=1, max_size=5))
    def test_found(self, batches: list[list[tuple[bool, bytes]]], asked: list[bytes]) -> None:
        """
        After any changes all keys that a text begins with are found, the longest first; a copy changes alone.
        """
        index: Prefixes[bytes] = Prefixes()
        present: set[bytes] = set()
        for batch in batches:
            former, before = index, set(present)
            index = index.copy()
            change(index, present, batch)
            self.assertEqual(len(index), len(present))
            for old, known in ((former, before), (index, present)):
                for text in (*asked, *known):
                    expected = sorted((key for key in known if text.startswith(key)), key=len, reverse=True)
                    self.assertEqual(list(old.found_in(text)), expected)

    def test_get(self) -> None:
        """
        A stored key is got, a prefix of it is not.
        """
        index: Prefixes[bytes] = Prefixes()
        index.put(b"ab", b"1")
        self.assertEqual((index.get(b"ab"), index.get(b"a")), (b"1", None))


class ExactTests(SynchronousTestCase):
    """
    A key and nothing else.
    """

    def test_copy(self) -> None:
        """
        A copy changes alone, and forgetting what is not there is fine.
        """
        index: Exact[bytes] = Exact()
        index.put(b"a", b"1")
        other = index.copy()
        other.drop(b"a")
        other.drop(b"a")
        self.assertEqual((index.get(b"a"), other.get(b"a")), (b"1", None))


class LabelsTests(SynchronousTestCase):
    """
    Keys delimited in a host.
    """

    @settings(max_examples=120, deadline=None)
    @given(
        st.lists(st.lists(st.tuples(st.booleans(), label_keys), max_size=6), max_size=4),
        st.lists(texts, min_size=1, max_size=5),
    )
    def test_found(self, batches: list[list[tuple[bool, bytes]]], asked: list[bytes]) -> None:
        """
        After any changes exactly the keys that stand between delimiters are found; a copy changes alone.
        """
        index: Labels[bytes] = Labels()
        present: set[bytes] = set()
        for batch in batches:
            former, before = index, set(present)
            index = index.copy()
            change(index, present, batch)
            for old, known in ((former, before), (index, present)):
                for text in (*asked, *known):
                    expected = {key for key in known if delimited(text, key, b".:/?")}
                    self.assertEqual(set(old.found_in(text)), expected)


class PathIndexTests(SynchronousTestCase):
    """
    Routes by path.
    """

    def test_first(self) -> None:
        """
        The lowest rank whose check holds; nothing that is behind what is found already; no check more than needed.
        """
        asked = []

        def check(number: int, holds: bool) -> object:
            return lambda request: (asked.append(number), holds)[1]

        entries = (entry(1, check(1, False)), entry(2, check(2, True)), entry(3, check(3, True)))
        self.assertEqual(first(entries, Request(), NOTHING).target, "t2")
        self.assertEqual(first(entries, Request(), entry(2)).check, None)
        self.assertEqual(asked, [1, 2, 1])

    def test_places(self) -> None:
        """
        Each place holds its routes; taking all out leaves it empty; a copy changes alone.
        """
        index = PathIndex()
        places = [
            ("slash", b"/", ()),
            ("exact", b"/x", ()),
            ("prefix", b"/x", ()),
            ("tried", b"", (b"/x", b"xy")),
            ("tried", b"", (b"/x", b"zz")),
            ("loose", b"", ()),
        ]
        for rank, (kind, value, runs) in enumerate(places):
            other = index.copy()
            other.put(kind, value, runs, entry(rank))
            other.put(kind, value, runs, entry(rank + 10))
            other.settle()
            self.assertEqual(bool(index), rank > 0)
            index = other
        self.assertEqual(index.least, (0, 3))
        self.assertEqual(index.best(b"/x", Request(), NOTHING).target, "t0")
        self.assertEqual(index.best_tried(b"/XY", Request(), NOTHING).target, "t3")
        for rank, (kind, value, runs) in enumerate(places):
            other = index.copy()
            other.drop(kind, value, runs, (0, rank))
            other.settle()
            self.assertEqual(index.best(b"/x", Request(), NOTHING).target, f"t{rank}" if rank < 3 else "t10")
            index = other
        for rank, (kind, value, runs) in enumerate(places):
            index.drop(kind, value, runs, (0, rank + 10))
        index.settle()
        self.assertFalse(index)
        self.assertEqual(index.least, LAST)

    def test_least_used_literal(self) -> None:
        """
        Of the literals of an expression the one that fewest others have is used: those with `/api/` in common are
        told apart by the rest.
        """
        index = PathIndex()
        for number in range(20):
            index.put("tried", b"", (b"/api/", b"/w%d" % number), entry(number))
        assert index.tried is not None
        self.assertLessEqual(max(len(entries) for entries in index.tried.values.values()), 2)
