"""
Regular expressions that cannot run away.
"""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.regex import LEAST_TEXT_BYTES, bounded
from dfproxy.expressions.words import InvalidExpression


class BoundedTests(SynchronousTestCase):
    """
    What is taken and what is refused.
    """

    def test_usual_ones(self) -> None:
        """
        What people write for paths is taken, and for paths of any usual length.
        """
        for text in ("/api/", "^/v([0-9]+)/", "(.*)/(.*)", "^/a/(.*)/b/(.*)$", "^/(en|de)/(.*)$", "/+", "(foo|bar)*"):
            self.assertGreaterEqual(bounded(text).longest_bytes, 4096, text)

    def test_delimited(self) -> None:
        """
        Labels of a domain and parts of a path may be repeated, since there is one way only to cut a text into them.
        """
        for text, part in (
            (r"^([a-z0-9-]+\.)*acme\.com$", b"aa."),
            ("^/([^/]+/)*x$", b"aa/"),
            (r"^(?:/\w+)+x$", b"/aa"),
        ):
            found = bounded(text)
            begun = time.process_time()
            self.assertIsNone(found.pattern.search(b"/" * (part[-1:] == b"/") + part * 5000 + b"!"))
            self.assertLess(time.process_time() - begun, 0.5, text)
        for text in (r"([a-z.]+\.)*x", "(/.+)*x", r"(\W+/)*x", "([^a]+/)*x", "([a-z]+a)*x"):
            self.assertRaises(InvalidExpression, bounded, text)

    def test_runaways(self) -> None:
        """
        Repetitions within each other, around alternatives, or too many in a row are refused.
        """
        for text in (
            "(a+)+$",
            "(a|aa)+$",
            "(a*)*",
            "(?:x?){30}y",
            "a?" * 30 + "a" * 30,
            ".*.*.*.*x",
            "((ab)*c)*",
            "(a|a)*b",
        ):
            self.assertRaises(InvalidExpression, bounded, text)

    def test_read_again_and_again(self) -> None:
        """
        References to groups, counted repetitions and what looks ahead read the same text many times: so the text is
        shorter, or they are refused.
        """
        for text in (
            "(.+)\\1x",
            "(?i)(.+)\\1x",
            ".*a{200}b",
            ".*[0-9a-f]{32}-",
            "a*[ab]{64}c",
            "(?:a(?=[ab]{20}){9}){20}c",
        ):
            found = bounded(text)
            begun = time.process_time()
            found.pattern.search(b"a" * min(found.longest_bytes, 16384))
            self.assertLess(time.process_time() - begun, 5, text)  # a fault takes minutes
        for text in ("^(.*)(.*)\\1\\2x", "(a)(?:\\1{200}){40}[bc]", ".*.*(?:a(?=[ab]{200})){200}c"):
            self.assertRaises(InvalidExpression, bounded, text)

    def test_counted_ones(self) -> None:
        """
        Counted repetitions as people write them are taken, for texts of a usual length.
        """
        for text in (
            "^/v[0-9]{1,3}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
            ".*/[0-9]+/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            ".*-[0-9a-f]{32}\\.js",
            "(['\"]).*?\\1",
        ):
            self.assertGreaterEqual(bounded(text).longest_bytes, LEAST_TEXT_BYTES, text)

    def test_broken(self) -> None:
        """
        So is what does not parse, is too long, or means something else here.
        """
        for text in ("(", "[", "a" * 1025, "()" * 51, "[[:alpha:]]", "(a)(?(1)b|c)"):
            self.assertRaises(InvalidExpression, bounded, text)

    def test_case(self) -> None:
        """
        Case counts unless it is said not to.
        """
        self.assertIsNone(bounded("a").pattern.search(b"A"))
        self.assertIsNotNone(bounded("a", ignore_case=True).pattern.search(b"A"))

    @settings(max_examples=60, deadline=None)
    @given(
        st.recursive(
            st.sampled_from(["a", "b", "[ab]", ".", "ab", "^", "$"]),
            lambda inner: st.one_of(
                st.tuples(inner, st.sampled_from(["*", "+", "?", "{2,3}", "*?"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
                st.lists(inner, min_size=2, max_size=3).map("".join),
                st.lists(inner, min_size=2, max_size=2).map(lambda p: f"({'|'.join(p)})"),
            ),
            max_leaves=6,
        )
    )
    def test_what_is_taken_is_quick(self, text: str) -> None:
        """
        Whatever is taken searches the longest text it may in a moment.
        """
        try:
            found = bounded(text)
        except InvalidExpression:
            return
        self.assertGreaterEqual(found.longest_bytes, LEAST_TEXT_BYTES)
        subject = b"a" * min(found.longest_bytes, 16384) + b"!"
        begun = time.process_time()
        found.pattern.search(subject)
        self.assertLess(time.process_time() - begun, 2.0, text)
