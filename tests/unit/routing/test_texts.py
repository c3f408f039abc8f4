"""
What begins with a text, and what a text begins with, whatever came and went.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.routing.texts import Texts

texts = st.lists(st.sampled_from((b"a", b"b", b"\xff")), max_size=4).map(b"".join)


class TextsTests(SynchronousTestCase):
    """
    Compared with a plain list.
    """

    @settings(max_examples=120, deadline=None)
    @given(st.lists(st.tuples(texts, st.integers(0, 3), st.booleans()), max_size=20), texts)
    def test_all_are_found(self, changes: list[tuple[bytes, int, bool]], asked: bytes) -> None:
        """
        Each value held under a text that fits is found once, and those that went are not.
        """
        held: Texts[int] = Texts()
        plain: set[tuple[bytes, int]] = set()
        for text, value, comes in changes:
            if comes:
                held.put(text, value)
                plain.add((text, value))
            elif (text, value) in plain:
                held.drop(text, value)
                plain.discard((text, value))
        self.assertEqual(sorted(value for text, value in plain if text.startswith(asked)), sorted(held.within(asked)))
        self.assertEqual(sorted(value for text, value in plain if asked.startswith(text)), sorted(held.around(asked)))
        self.assertEqual(sorted(value for text, value in plain if text == asked), sorted(held.at(asked)))
        self.assertEqual(len({text for text, _ in plain if text.startswith(asked)}), held.count_within(asked))
