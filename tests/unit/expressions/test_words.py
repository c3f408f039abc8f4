"""
Where lists are cut, and how words are quoted.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.words import InvalidExpression, split_items, split_words

TEXTS = st.text(alphabet="ab ,'\"\\%[]{}$#()x0", max_size=30)


class ItemTests(SynchronousTestCase):
    """
    `SEPARATOR` in lists of rules.
    """

    def test_plain(self) -> None:
        """
        As DFP cuts them, empty items and blanks included.
        """
        self.assertEqual(split_items("X-A 1,X-B 2", ","), ["X-A 1", "X-B 2"])
        self.assertEqual(split_items(" a,,b ", ","), [" a", "", "b "])
        self.assertEqual(split_items("", ","), [])

    def test_within(self) -> None:
        """
        Not within quotes nor expressions, where DFP tore items apart (ODDITY-29).
        """
        self.assertEqual(split_items("X %[a,b(1,2)],Y 2", ","), ["X %[a,b(1,2)]", "Y 2"])
        self.assertEqual(split_items("X 'a,b',Y \"c,d\"", ","), ["X 'a,b'", 'Y "c,d"'])
        self.assertEqual(split_items("X %[path,regsub([a,b]+,c)],Y", ","), ["X %[path,regsub([a,b]+,c)]", "Y"])
        self.assertEqual(split_items("X %[str(']'),lower],Y", ","), ["X %[str(']'),lower]", "Y"])
        self.assertEqual(split_items("X %{+Q,+E}[src,lower],Y", ","), ["X %{+Q,+E}[src,lower]", "Y"])

    def test_within_tests(self) -> None:
        """
        Nor within the braces of a test.
        """
        for text in ("X 1 if { path,lower /a }", "X 1 if !{ hdr(x,1) a } or { path /b,c }"):
            self.assertEqual(split_items(f"{text},Y 2", ","), [text, "Y 2"])
        self.assertEqual(split_items("X {a,Y b}", ","), ["X {a", "Y b}"])

    def test_literal_percent(self) -> None:
        """
        `%%[` begins no expression.
        """
        self.assertEqual(split_items("X 5%%[a,b", ","), ["X 5%%[a", "b"])
        self.assertEqual(split_items("X %%%[a,b],c", ","), ["X %%%[a,b]", "c"])

    def test_long_separator(self) -> None:
        """
        Any text may separate.
        """
        self.assertEqual(split_items("a||b", "||"), ["a", "b"])

    @settings(max_examples=100, deadline=None)
    @given(TEXTS)
    def test_nothing_is_lost(self, text: str) -> None:
        """
        Items joined by the separator are the text.
        """
        self.assertEqual(",".join(split_items(text, ",")), text)


class WordTests(SynchronousTestCase):
    """
    HAProxy's quoting.
    """

    def words(self, text: str) -> list[str]:
        return split_words(text, {"NAME": "v", "E": ""})

    def test_words(self) -> None:
        """
        Blanks separate; quotes group and vanish; an empty pair is a word.
        """
        self.assertEqual(self.words(" X-A  one\ttwo "), ["X-A", "one", "two"])
        self.assertEqual(self.words("a 'b c' \"d e\"f ''"), ["a", "b c", "d ef", ""])

    def test_escapes(self) -> None:
        """
        A backslash keeps a blank, a quote, a hash and itself; before others it stays.
        """
        self.assertEqual(self.words(r"a\ b \"c \' \\ \# \1 \x41"), ["a b", '"c', "'", "\\", "#", "\\1", "A"])
        self.assertEqual(self.words(r"'a\ b'"), [r"a\ b"])

    def test_comment(self) -> None:
        """
        What stands behind a bare hash is none of it.
        """
        self.assertEqual(self.words("a b # c"), ["a", "b"])
        self.assertEqual(self.words("a '#c'"), ["a", "#c"])

    def test_environment(self) -> None:
        """
        Variables stand within double quotes only; unknown ones are empty.
        """
        self.assertEqual(self.words('"$NAME" "${NAME}x" "$OTHER" $NAME \'$NAME\''), ["v", "vx", "", "$NAME", "$NAME"])

    def test_refused(self) -> None:
        """
        Open quotes, and characters that would break a line.
        """
        for text in ("'a", '"a', "a'b", r"a\n", r"a\x0d", r"\x7f"):
            self.assertRaises(InvalidExpression, self.words, text)

    @settings(max_examples=100, deadline=None)
    @given(TEXTS)
    def test_total(self, text: str) -> None:
        """
        Any text gives words or a refusal, and no word could break a line.
        """
        try:
            words = self.words(text)
        except InvalidExpression:
            return
        self.assertNotIn("\n", "".join(words))
