"""
Lines of HAProxy configuration, as they are read.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.directives import MOST_ACL_LINES, DirectiveReader, Directives, quiet, read_all
from dfproxy.expressions.words import InvalidExpression
from tests.unit.expressions.subjects import SURROUNDINGS, subject


def read(*lines: str) -> Directives:
    return read_all(lines, SURROUNDINGS)


class LineTests(SynchronousTestCase):
    """
    Which lines there are.
    """

    def refused(self, *lines: str) -> str:
        """
        Why the last of these is refused; the others are not.
        """
        reader = DirectiveReader(SURROUNDINGS)
        for line in lines[:-1]:
            reader.read(line)
        before = reader.done()
        error = self.assertRaises(InvalidExpression, reader.read, lines[-1])
        self.assertEqual(reader.done(), before, lines)
        return str(error)

    def test_kinds(self) -> None:
        """
        Each goes into its list, in order; other lines are passed over.
        """
        found = read(
            "http-request set-header A 1",
            "redirect scheme https if !{ ssl_fc }",
            "http-response del-header B",
            "http-request deny if { path_beg /x }",
            "use_backend web-be80_0 if { path_beg /y }",
            "timeout server 30s",
            "http-request set-log-level silent",
            "monitor-uri /alive",
        )
        self.assertEqual([action.kind for action in found.request], ["return", "set-header", "deny"])
        self.assertEqual([action.kind for action in found.redirects], ["redirect"])
        self.assertEqual([(action.kind, action.name) for action in found.answer], [("del-header", b"B")])
        self.assertEqual([action.name for action in found.routes], [b"web-be80_0"])
        self.assertFalse(DirectiveReader(SURROUNDINGS).read("timeout server 30s"))

    def test_refused(self) -> None:
        """
        An `acl` needs a name and a test.
        """
        for line in (
            "acl",
            "acl a",
            "acl or path /x",
            "acl a! path /x",
            "acl a { path /x }",
            "acl a nofetch /x",
        ):
            self.assertNotEqual(self.refused(line), "", line)

    def test_acl(self) -> None:
        """
        Lines of one name are alternatives; a name can be negated and stand beside other tests.
        """
        (action,) = read(
            "acl api path_beg /a/",
            "acl api path_beg /b/",
            "acl big hdr_cnt(x) ge 2",
            "http-request deny if api !big { method GET }",
        ).request
        assert action.holds is not None
        self.assertTrue(action.holds(subject("X: 1")))
        self.assertFalse(action.holds(subject("X: 1", "X: 2")))
        self.assertTrue(action.holds(subject(line="GET /b/ HTTP/1.1")))
        self.assertFalse(action.holds(subject(line="GET /c/ HTTP/1.1")))
        self.assertFalse(action.holds(subject(line="PUT /a/ HTTP/1.1")))

    def test_acl_later(self) -> None:
        """
        A line that comes later counts for rules that came before it, as in HAProxy: a refusal grows with its test.
        """
        found = read(
            "acl a path /x", "http-request deny if a", "http-response del-header b if !METH_GET", "acl a method PUT"
        )
        assert found.request[0].holds is not None
        self.assertFalse(found.request[0].holds(subject()))
        self.assertTrue(found.request[0].holds(subject(line="GET /x HTTP/1.1")))
        self.assertTrue(found.request[0].holds(subject(line="PUT /y HTTP/1.1")))
        self.assertIn("answers only", self.refused("acl a path /x", "http-request deny if a", "acl a res.hdr(x) 1"))
        self.assertEqual(self.refused("acl a path /x", "acl a nofetch")[:17], "there is no fetch")

    def test_acl_before_predefined(self) -> None:
        """
        A name goes before HAProxy's own of the same name.
        """
        (action,) = read("acl METH_GET path /x", "http-request deny if METH_GET").request
        assert action.holds is not None
        self.assertFalse(action.holds(subject()))

    def test_acl_of_answers(self) -> None:
        """
        A test of answers can be used in rules about answers only.
        """
        self.assertEqual(len(read("acl old res.hdr(x) 1", "http-response del-header x if old").answer), 1)
        self.assertIn("answers only", self.refused("acl old res.hdr(x) 1", "http-request deny if old"))

    def test_most_acls(self) -> None:
        """
        There is a limit.
        """
        self.refused(*["acl a path /x"] * (MOST_ACL_LINES + 1))


class QuietTests(SynchronousTestCase):
    """
    Reasons without values.
    """

    def test_excerpts(self) -> None:
        """
        What stands in quotes is left out; names of what does not exist are not.
        """
        self.assertEqual(quiet("'s3cret' is no number"), "... is no number")
        self.assertEqual(quiet("a parenthesis is not closed: (s3cret"), "a parenthesis is not closed")
        self.assertIn("'nofetch'", quiet("there is no fetch 'nofetch'; known are ..."))
        self.assertIn("'foo'", quiet("'foo' is no test; write it between braces with blanks around"))
