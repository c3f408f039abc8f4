"""
Words and lines that HAProxy reads as they were meant.
"""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.haproxytext import LINE_CHARS, LINE_WORDS, Names, acl_lines, balance_lines, comment, milliseconds, word
from dfproxy.model.match import HostPattern, PathPattern
from dfproxy.model.service import Balance


def as_haproxy_reads(text: str) -> list[bytes]:
    """
    Words of a line by the rules of HAProxy's manual, section 2.2, without quotes (we write none but `""`).
    """
    words, now, at, inside = [], b"", 0, False
    while at < len(text):
        if text.startswith('""', at):
            at, inside = at + 2, True
        elif text[at] == " ":
            words += [now] if inside else []
            at, now, inside = at + 1, b"", False
        elif text[at] == "#":
            break
        elif found := re.compile(r"\\x([0-9a-f]{2})").match(text, at):
            at, now, inside = found.end(), now + bytes([int(found[1], 16)]), True
        elif text[at] == "\\" and text[at + 1] in " #\\\"'":
            at, now, inside = at + 2, now + text[at + 1].encode(), True
        else:
            at, now, inside = at + 1, now + text[at].encode(), True
    return words + ([now] if inside else [])


class WordTests(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.binary(max_size=12), max_size=4))
    def test_exactly_this_value(self, values: list[bytes]) -> None:
        """
        Whatever a value holds, HAProxy reads one word, and that value.
        """
        line = " ".join(map(word, values))
        self.assertTrue(line.isascii() and (line.isprintable() or not line))
        self.assertEqual(as_haproxy_reads(line), values)

    def test_readable(self) -> None:
        """
        Ordinary values stay as they are.
        """
        self.assertEqual(word("/demo/x-1_~?a=b&c"), "/demo/x-1_~?a=b&c")
        self.assertEqual(word("a b\n#"), "a\\ b\\x0a\\#")

    def test_comment(self) -> None:
        """
        A comment stays on its line.
        """
        self.assertEqual(comment("a\nb\r\u2028\x85c é"), "a?b???c é")

    def test_time(self) -> None:
        """
        Never 0, which would mean for ever.
        """
        self.assertEqual([milliseconds(s) for s in (20.0, 0.5, 0.0001)], ["20000ms", "500ms", "1ms"])


class NamesTests(SynchronousTestCase):
    def test_once_each(self) -> None:
        """
        A taken name gets a number, so that two routes never share an ACL.
        """
        names = Names()
        self.assertEqual([names.take(n) for n in ("a b", "a/b", "a_b", "c")], ["a_b", "a_b:2", "a_b:3", "c"])


class AclTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """
        Each pattern with its criterion; several lines of one name are alternatives.
        """
        self.assertEqual(
            acl_lines(
                "n",
                [PathPattern("prefix", b"/a"), PathPattern("prefix", b"/b"), PathPattern("exact", b"/C", True, True)],
            ),
            ["acl n path_beg /a /b", "acl n url -i /C"],
        )
        self.assertEqual(
            acl_lines("n", [HostPattern("label", b"a"), HostPattern("suffix", b".b", True)]),
            ["acl n hdr_dom(host) -i a", "acl n req.hdr(host),host_only -m end -i .b"],
        )
        self.assertEqual(acl_lines("n", [(b"x-version", b"a b")]), ["acl n hdr(x-version) a\\ b"])
        self.assertEqual(acl_lines("n", [b"-f", b"x"]), ["acl n hdr_sub(User-Agent) -i -- -f x"])

    def test_long_lists(self) -> None:
        """
        Lines are never longer than HAProxy reads.
        """
        lines = acl_lines("n", [PathPattern("prefix", b"/%d" % i) for i in range(LINE_WORDS * 2 + 1)])
        self.assertEqual([len(line.split()) - 3 for line in lines], [LINE_WORDS, LINE_WORDS, 1])
        lines = acl_lines("n", [PathPattern("prefix", b"/" + b"x" * 700)] * 5)
        self.assertTrue(all(len(line) < LINE_CHARS + 50 for line in lines))

    def test_empty_values(self) -> None:
        """
        An empty value matches nothing; for HAProxy it would match all.
        """
        self.assertEqual(acl_lines("n", [PathPattern("prefix", b"")]), ["acl n always_false"])
        self.assertEqual(acl_lines("n", [b"", b"x"]), ["acl n hdr_sub(User-Agent) -i x"])

    def test_inexpressible(self) -> None:
        """
        Where HAProxy would decide otherwise there is a reason instead of lines.
        """
        for value in (b"a{,3}", b"(?a)x", b"(a)(?(1)b|c)"):
            self.assertIsInstance(acl_lines("n", [PathPattern("regex", value)]), str, value)
        for value in (b"(?i)x", b"(?:a)(?=b)(?!c)(?P<n>d)(?<=e)", b"a{1,3}"):
            self.assertIsInstance(acl_lines("n", [PathPattern("regex", value)]), list, value)
        self.assertIsInstance(acl_lines("n", [(b"x'y", b"z")]), str)


class BalanceTests(SynchronousTestCase):
    def test_known(self) -> None:
        """
        Strategies that HAProxy has, in its words.
        """
        known = {
            Balance("roundrobin"): ["balance roundrobin"],
            Balance("random", ("3",)): ["balance random(3)"],
            Balance("hdr", ("X-User",)): ["balance hdr(X-User)", "hash-type consistent"],
            Balance("uri", ("depth", "3", "whole")): ["balance uri depth 3 whole", "hash-type consistent"],
            Balance("source"): ["balance source", "hash-type consistent"],
        }
        for balance, lines in known.items():
            self.assertEqual(balance_lines(balance), lines)

    def test_nearest(self) -> None:
        """
        Others become the nearest, and say so; nothing of them reaches a directive.
        """
        for balance in (
            Balance("ewma"),
            Balance("mine", ("x\nserver evil",)),
            Balance("hdr", ("a)\n",)),
            Balance("uri", ("x",)),
        ):
            remark, line = balance_lines(balance)
            self.assertTrue(remark.startswith("# the strategy is ") and "\n" not in remark)
            self.assertEqual(line, "balance leastconn" if balance.name == "ewma" else "balance roundrobin")
