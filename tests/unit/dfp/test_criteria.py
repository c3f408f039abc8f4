"""
HAProxy's criteria, flags, blanks and regular expressions in parameters.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.criteria import Criterion, check_regex, criterion, headers, words
from dfproxy.expressions.regex import LONGEST_CHARS, MOST_GROUPS


class CriterionTests(SynchronousTestCase):
    def test_flags(self) -> None:
        """
        `-i`, `-m method` and `--` may follow a criterion.
        """
        self.assertEqual(criterion("path_beg", ("path",)), Criterion("path", "beg", False))
        self.assertEqual(criterion("path -m reg -i", ("path",)), Criterion("path", "reg", True))
        self.assertEqual(criterion("path_beg -i --", ("path",)), Criterion("path", "beg", True))
        self.assertEqual(criterion("hdr_end(Host)", ("hdr(host)",)), Criterion("hdr(host)", "end", False))

    def test_unknown(self) -> None:
        """
        Anything else is refused in words that list what is known.
        """
        for text in (
            "",
            "no_such",
            "path_",
            "path_str",
            "path_found",
            "Path",
            "path_beg(x)",
            "hdr(host)",
            "path,lower",
        ):
            error = self.assertRaises(ValueError, criterion, text, ("path", "url"))
            self.assertIn("path_beg, ", str(error), text)
        for text in ("path -f file", "path -m", "path -m found", "path x"):
            self.assertIn("-i, -m", str(self.assertRaises(ValueError, criterion, text, ("path",))))
        self.assertRaises(ValueError, criterion, "path -- x", ("path",))


class WordsTests(SynchronousTestCase):
    def test_separator_then_blanks(self) -> None:
        """
        Items are split at the separator, then at blanks; nothing empty is left.
        """
        self.assertEqual(words("a.com, b.com,,c.com\td.com ", ","), ["a.com", "b.com", "c.com", "d.com"])
        self.assertEqual(words("a,b;c", ";"), ["a,b", "c"])
        self.assertEqual(words(" , ", ","), [])

    def test_escapes(self) -> None:
        """
        A backslash keeps a blank in a word; before anything else that HAProxy does not escape it stays.
        """
        self.assertEqual(words(r"Mozilla\ 5,x", ","), ["Mozilla 5", "x"])
        self.assertEqual(words(r"a\\ b", ","), ["a\\", "b"])
        self.assertEqual(words(r"a\\\ b", ","), ["a\\ b"])
        self.assertEqual(words(r"^(www\.)?acme\.test$", ","), [r"^(www\.)?acme\.test$"])
        self.assertEqual(words(r"\#\"\'", ","), ["#\"'"])

    def test_headers(self) -> None:
        """
        `name:value` items are trimmed; those with no or two colons are dropped; the last of a name holds.
        """
        self.assertEqual(headers(" X : 1 ,a:b:c,plain,Y:2,Y:3", ","), {"X": "1", "Y": "3"})


class RegexTests(SynchronousTestCase):
    def test_good(self) -> None:
        """
        Ordinary expressions pass.
        """
        for text in ("^/v[0-9]+/api", r"\.(jpg|png)$", "é", "(?i)x", "[]a]"):
            check_regex(text)

    def test_bad(self) -> None:
        """
        What does not compile, or would mean something else than it did, is refused.
        """
        for text in ("(", "[", "a**", "\\", "(?P<x", "x{99999999999}", "[[:alpha:]]", "[a[:digit:]]", "[a--b]"):
            self.assertRaises(ValueError, check_regex, text)

    def test_runaways(self) -> None:
        """
        What one request could keep a worker busy with for minutes is refused before it routes anything.
        """
        for text in ("^/(a+)+$", "(a|aa)+b", "^/.*.*.*.*.*b$"):
            self.assertRaises(ValueError, check_regex, text)

    def test_limits(self) -> None:
        """
        Length and number of groups are bounded.
        """
        check_regex("a" * LONGEST_CHARS)
        check_regex("()" * MOST_GROUPS)
        self.assertRaises(ValueError, check_regex, "a" * (LONGEST_CHARS + 1))
        self.assertRaises(ValueError, check_regex, "()" * (MOST_GROUPS + 1))
