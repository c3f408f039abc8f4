"""
Values of headers.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.formats import LONGEST_VALUE_BYTES, compile_format
from dfproxy.expressions.words import InvalidExpression
from dfproxy.model.connection import TlsFacts
from tests.unit.expressions.subjects import SURROUNDINGS, answer, subject


def value(text: str, *fields: str, tls: TlsFacts | None = None) -> bytes:
    made = compile_format(text, "request", SURROUNDINGS)
    return made if isinstance(made, bytes) else made(subject(*fields, tls=tls))


class FormatTests(SynchronousTestCase):
    """
    What values become.
    """

    def test_constant(self) -> None:
        """
        Text is bytes at once.
        """
        self.assertEqual(compile_format("a 100%% b", "request", SURROUNDINGS), b"a 100% b")

    def test_mixed(self) -> None:
        """
        Text, variables, expressions; what is not found is empty, flags are 1 and 0.
        """
        self.assertEqual(value("%ci:%cp-%[path,upper]-%[hdr(X)]."), b"192.0.2.1:4000-/A/B.C-.")
        self.assertEqual(value("%[ssl_fc]%[ssl_fc]", tls=TlsFacts()), b"11")
        self.assertEqual(value("%[hdr(X),regsub(a,'b]')]", "X: xa"), b"xb]")

    def test_flags(self) -> None:
        """
        Flags before an expression, as guides for client certificates have them: of HAProxy's only E changes one.
        """
        for flags, wanted in (
            ("{+Q}", b'a"b\\c]'),
            ("{+E}", b'a\\"b\\\\c\\]'),
            ("{+Q, +E,-E}", b'a"b\\c]'),
            ("{+X}", b'a"b\\c]'),
        ):
            self.assertEqual(value(f"<%{flags}[hdr(X)]>", 'X: a"b\\c]'), b"<" + wanted + b">", flags)
        self.assertEqual(value("%{+Q}[hdr(None)]"), b"")

    def test_no_line_breaks(self) -> None:
        """
        Whatever is fetched, it stays one line, and not too long a one.
        """
        self.assertEqual(value("%[hdr(X),url_dec]", "X: a%0d%0aSet-Cookie:%20b%00"), b"a??Set-Cookie: b?")
        self.assertEqual(value("%[ssl_c_der]", tls=TlsFacts(certificate=b"\x30\n\r\x01")), b"0???")
        self.assertEqual(len(value("%[hdr(X)]%[hdr(X)]", "X: " + "a" * 6000)), LONGEST_VALUE_BYTES)

    def test_too_long_for_a_regex(self) -> None:
        """
        What must not be searched gives nothing.
        """
        self.assertEqual(value("[%[hdr(X),regsub(.*x.*y,)]]", "X: " + "a" * 6000), b"[]")

    def test_refused(self) -> None:
        """
        Unknown names, wrong counts, the wrong phase, and per cent signs that mean nothing.
        """
        for text in (
            "%", "5% off", "%zz", "%{+Q}ci", "%{+Z}[src]", "%{Q}[src]", "%{}[src", "%{+Q",
            "%[", "%[nope]", "%[src,nope]", "%[hdr]", "%[src(1)]", "%[path,word(1)]",
            "%[res.hdr(x)]", "%[status]", "%[src",
        ):  # fmt: skip
            self.assertRaises(InvalidExpression, compile_format, text, "request", SURROUNDINGS)
        self.assertRaises(InvalidExpression, compile_format, "%[path]", "answer", SURROUNDINGS)

    def test_answers(self) -> None:
        """
        In rules about answers the answer can be asked.
        """
        made = compile_format("%[res.hdr(x)] %[status]", "answer", SURROUNDINGS)
        on = subject()
        on.answer = answer("X: 1")
        assert not isinstance(made, bytes)
        self.assertEqual(made(on), b"1 200")

    @settings(max_examples=100, deadline=None)
    @given(st.text(alphabet="ab %[](),'{}ciHMpathsrc", max_size=20))
    def test_total(self, text: str) -> None:
        """
        Any text gives a value or a refusal; a value is a line.
        """
        try:
            made = value(text)
        except InvalidExpression:
            return
        self.assertNotIn(b"\n", made)
