"""
Sample expressions as text.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.samples import Call, Sample, parse_sample
from dfproxy.expressions.words import InvalidExpression


class SampleTests(SynchronousTestCase):
    """
    What is read, and what is refused.
    """

    def test_read(self) -> None:
        """
        A fetch with arguments, and converters.
        """
        self.assertEqual(parse_sample("src"), (Sample(Call("src")), 3))
        found, place = parse_sample("hdr(X-A,2),lower,word(2,.)] z", 0, "]")
        self.assertEqual(found, Sample(Call("hdr", ("X-A", "2")), (Call("lower"), Call("word", ("2", ".")))))
        self.assertEqual(place, 27)
        self.assertEqual(parse_sample("date()")[0], Sample(Call("date")))

    def test_quotes(self) -> None:
        """
        Commas and parentheses stand in quotes or behind a backslash.
        """
        wanted = Call("regsub", ("(a,b)", ""))
        for text in (r"path,regsub('(a,b)','')", r'path,regsub("(a,b)","")', r"path,regsub((a\,b\),)"):
            self.assertEqual(parse_sample(text)[0].converters, (wanted,), text)
        self.assertEqual(parse_sample("path,regsub(a,'\\1')")[0].converters[0].arguments, ("a", "\\1"))
        self.assertEqual(parse_sample("str('')")[0].fetch.arguments, ("",))

    def test_refused(self) -> None:
        """
        Everything else.
        """
        for text in ("", "hdr(", "hdr(a", "src,", "src)", "a b", "src,,lower", "(x)", "src" + ",lower" * 17):
            self.assertRaises(InvalidExpression, parse_sample, text)
        self.assertRaises(InvalidExpression, parse_sample, "src", 0, "]")

    @settings(max_examples=100, deadline=None)
    @given(st.text(alphabet="ab,()'\"\\ ].1", max_size=25))
    def test_total(self, text: str) -> None:
        """
        Any text is an expression or refused.
        """
        try:
            found, place = parse_sample(text)
        except InvalidExpression:
            return
        self.assertEqual(place, len(text))
        self.assertTrue(found.fetch.name)
