"""
Required literals: what is said to be required is, and all that are in a text are found.
"""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.routing.literals import GROUP_LIMIT, LONGEST, Literals, regex_literals

texts = st.text(alphabet="ab/.", max_size=12).map(str.encode)
literals = st.text(alphabet="ab/.", min_size=2, max_size=5).map(str.encode)

expressions = st.recursive(
    st.one_of(
        st.text(alphabet="abB/", min_size=1, max_size=3),
        st.sampled_from((r"\.", "[ab]", "[^a]", ".", "^", "$", r"\b", "(?=a)", "(?!b)", "(?:)")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: "(?:" + "|".join(parts) + ")"),
        st.tuples(inner, st.sampled_from(("?", "*", "+", "{2}", "{0,1}", "+?", "*+"))).map(
            lambda parts: f"(?:{parts[0]}){parts[1]}"
        ),
        inner.map(lambda part: f"({part})"),
        inner.map(lambda part: f"(?>{part})"),
        inner.map(lambda part: f"(?i:{part})"),
    ),
    max_leaves=6,
)


def found(index: Literals[bytes], text: bytes) -> set[bytes]:
    return set(index.found_in(text))


class RegexLiteralsTests(SynchronousTestCase):
    """
    What an expression requires.
    """

    def test_kinds(self) -> None:
        """
        Plain text between variable parts is required, in lower case; what is optional or alternative is not.
        """
        for expression, expected in (
            (rb"^/api/v[0-9]+/users$", (b"/api/v", b"/users")),
            (rb"\.php", (b".php",)),
            (rb"(?i)/ABC(de)+f?gh", (b"/abc", b"de", b"gh")),
            (rb"ab(?:bc)*de", (b"ab", b"de")),
            (rb"x(ab)c|yy", ()),
            (rb"/(ab)c", (b"/abc",)),
            (rb"\.(png|jpg)$", ()),
            (rb"(?L)\xc9ab", ()),
            (b"a" * 100, (b"a" * LONGEST,)),
        ):
            self.assertEqual(regex_literals(expression), expected, expression)

    @settings(max_examples=120, deadline=None)
    @given(expressions, st.lists(texts, min_size=1, max_size=10), st.sampled_from((0, re.IGNORECASE)))
    def test_required(self, expression: str, asked: list[bytes], flags: int) -> None:
        """
        Whatever matches contains every literal that is said to be required.
        """
        pattern = re.compile(expression.encode(), flags)
        required = regex_literals(expression.encode(), flags)
        for text in (*asked, *required, expression.encode(), b"".join(required), b"/".join(required)):
            if pattern.search(text):
                for literal in required:
                    self.assertIn(literal, text.lower())


class LiteralsTests(SynchronousTestCase):
    """
    Finding them.
    """

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.lists(st.tuples(st.booleans(), literals), max_size=6), max_size=6),
        st.lists(texts, min_size=1, max_size=6),
    )
    def test_found(self, batches: list[list[tuple[bool, bytes]]], asked: list[bytes]) -> None:
        """
        After any changes exactly the literals that stand in a text are found, overlapping ones too.
        """
        index: Literals[bytes] = Literals()
        present: set[bytes] = set()
        for batch in batches:
            former, before = index, set(present)
            index = index.copy()
            for put, literal in batch:
                if put:
                    index.put(literal, literal)
                    present.add(literal)
                else:
                    index.drop(literal)
                    present.discard(literal)
            index.settle()
            for text in (*asked, *present, *before):
                self.assertEqual(found(index, text), {literal for literal in present if literal in text})
                self.assertEqual(found(former, text), {literal for literal in before if literal in text})

    def test_groups(self) -> None:
        """
        Added one by one, many literals stay in few groups; none is larger than the limit; those gone are forgotten.
        """
        index: Literals[bytes] = Literals()
        for number in range(700):
            index.put(b"/word%d/" % number, b"%d" % number)
            index.settle()
        sizes = [len(group.chains) for group in index.groups]
        self.assertLessEqual(max(sizes), GROUP_LIMIT)
        self.assertLessEqual(len(sizes), 8)
        for number in range(700):
            self.assertEqual(found(index, b"/x/word%d/y" % number), {b"%d" % number})
        for number in range(690):
            index.drop(b"/word%d/" % number)
        index.settle()
        self.assertEqual(sum(len(group.chains) for group in index.groups), 10)
        self.assertEqual(found(index, b"/word1/word695/"), {b"695"})
