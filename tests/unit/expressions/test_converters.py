"""
What can be made of what was fetched.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.converters import CONVERTERS, TooLong, substitution
from dfproxy.expressions.fetches import Found
from dfproxy.expressions.words import InvalidExpression


def converted(name: str, text: bytes, *arguments: str) -> Found:
    return CONVERTERS[name].make(arguments)(text)


class ConverterTests(SynchronousTestCase):
    """
    Each converter.
    """

    def test_plain_ones(self) -> None:
        """
        Case, base64, hexadecimal, length, URL decoding, dates.
        """
        self.assertEqual((converted("lower", b"aB"), converted("upper", b"aB")), (b"ab", b"AB"))
        self.assertEqual((converted("base64", b"\x00a"), converted("b64dec", b"AGE=")), (b"AGE=", b"\x00a"))
        self.assertIsNone(converted("b64dec", b"!"))
        self.assertEqual((converted("hex", b"\x0a"), converted("length", b"abc")), (b"0A", 3))
        self.assertEqual(converted("url_dec", b"a%20b"), b"a b")
        self.assertEqual(converted("http_date", b"0"), b"Thu, 01 Jan 1970 00:00:00 GMT")
        self.assertIsNone(converted("http_date", b"x"))

    def test_word(self) -> None:
        """
        Delimiters in a row count as one; negative numbers count from the end.
        """
        text = b"f1_f2_f3__f5"
        self.assertEqual(
            [converted("word", text, str(n), "_") for n in (1, 3, 4, 5, -1)], [b"f1", b"f3", b"f5", b"", b"f5"]
        )
        self.assertEqual(converted("word", text, "2", "_", "0"), b"f2_f3__f5")
        self.assertEqual(converted("word", text, "3", "_", "2"), b"f3__f5")
        self.assertEqual(converted("word", text, "-2", "_", "3"), b"f1_f2_f3")

    def test_field(self) -> None:
        """
        Fields may be empty.
        """
        text = b"f1_f2_f3__f5"
        self.assertEqual([converted("field", text, str(n), "_") for n in (4, 5, 6, -2)], [b"", b"f5", b"", b""])
        self.assertEqual(converted("field", text, "2", "_", "2"), b"f2_f3")

    def test_regsub(self) -> None:
        """
        The first occurrence, or all with `g`; groups are put in.
        """
        self.assertEqual(converted("regsub", b"/a/a", "a", "b"), b"/b/a")
        self.assertEqual(converted("regsub", b"/a/A", "a", "b", "gi"), b"/b/b")
        self.assertEqual(converted("regsub", b"/v12/x", "^/v([0-9]+)", r"/version-\1"), b"/version-12/x")
        self.assertEqual(converted("regsub", b"ab", "(a)|(b)", r"[\1\2\0]", "g"), b"[aa][bb]")
        self.assertEqual(converted("regsub", b"a", "a", r"\\1\x41"), b"\\1A")

    def test_refused(self) -> None:
        """
        Wrong flags, missing groups, numbers that are none, expressions that run away.
        """
        for arguments in (("a", "b", "z"), ("a", r"\1"), ("(a+)+", "b"), ("(", "b")):
            self.assertRaises(InvalidExpression, CONVERTERS["regsub"].make, arguments)
        for arguments in (("x", "_"), ("0", "_"), ("1", ""), ("1", "_", "-1")):
            self.assertRaises(InvalidExpression, CONVERTERS["word"].make, arguments)

    def test_too_long(self) -> None:
        """
        A text on which the expression might run away is not searched at all.
        """
        self.assertRaises(TooLong, substitution(".*x.*y", ""), b"a" * 100000)
