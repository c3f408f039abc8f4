"""
What lines of HAProxy configuration do to requests and answers.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.exchange.directives import compile_answer, compile_request, in_turn
from dfproxy.exchange.stepped import Said
from dfproxy.expressions.converters import TooLong
from dfproxy.expressions.directives import read_all
from dfproxy.expressions.subject import Subject
from dfproxy.wire.h1 import ResponseHead
from tests.unit.expressions.subjects import SURROUNDINGS, answer, subject


def run(on: Subject, *lines: str) -> Said | None:
    """
    The rules about requests, then redirects.
    """
    found = read_all(lines, SURROUNDINGS)
    for actions in (found.request, found.redirects):
        compiled = compile_request(actions)
        said = compiled(on.request, on) if compiled is not None else None  # type: ignore[arg-type]  # a RequestHead
        if said is not None:
            return said
    return None


def run_answer(head: ResponseHead, *lines: str) -> ResponseHead:
    compiled = compile_answer(read_all(lines, SURROUNDINGS).answer)
    assert compiled is not None
    compiled(head, subject())
    return head


class RequestTests(SynchronousTestCase):
    """
    Rules that change requests.
    """

    def check(self, lines: tuple[str, ...], name: bytes, wanted: list[bytes], *fields: str) -> None:
        on = subject(*fields)
        self.assertIsNone(run(on, *lines))
        self.assertEqual(on.request.values(name), wanted, lines)

    def test_fields(self) -> None:
        """
        Set, add, delete; in order, each sees what the former ones did.
        """
        self.check(("http-request set-header X %[path]",), b"x", [b"/a/b.c"], "X: 1", "x: 2")
        self.check(("http-request add-header X 2",), b"x", [b"1", b"2"], "X: 1")
        self.check(("http-request del-header X",), b"x", [], "X: 1", "x: 2")
        self.check(("http-request set-header Y 1", "http-request set-header X %[hdr(y)]2"), b"x", [b"12"])
        self.check(("http-request set-header X 1 if { path /no }",), b"x", [])

    def test_replace(self) -> None:
        """
        The whole value, or each between commas, becomes the replacement if the expression is found in it.
        """
        line = "http-request replace-header X (b)(.) [\\2\\1]"
        self.check((line,), b"x", [b"[cb]", b"no"], "X: a bcd", "X: no")
        self.check(("http-request replace-value X (b)(.) [\\2\\1]",), b"x", [b"a,[cb],d"], "X: a, bc,d")
        self.check(("http-request replace-header X (a) %[hdr(y)]\\1\\9",), b"x", [b"ya"], "X: a", "Y: y")

    def test_replace_cannot_end_a_line(self) -> None:
        """
        A line break out of a replacement is no line break.
        """
        self.check(("http-request replace-header X a \\x5cx0d\\x5cx0aY:1",), b"y", [], "X: a")

    def test_replace_what_is_too_long(self) -> None:
        """
        A value on which the expression could run away refuses the request.
        """
        on = subject("X: " + "a" * 60000)
        self.assertRaises(TooLong, run, on, "http-request replace-header X a.*b x")

    def test_targets(self) -> None:
        """
        Path, query, both, all.
        """
        for line, target in (
            ("http-request set-path /new%[path]", b"/new/a/b.c?x=1&y"),
            ("http-request set-query z=%[path]", b"/a/b.c?z=/a/b.c"),
            ("http-request set-pathq /p?q", b"/p?q"),
            ("http-request set-uri /u%[query]", b"/ux=1&y"),
            ("http-request replace-path /a/(.*) /z/\\1", b"/z/b.c?x=1&y"),
            ("http-request replace-path b /z", b"/z?x=1&y"),
            ("http-request replace-path /no /z", b"/a/b.c?x=1&y"),
            ("http-request replace-pathq x=(.) x=2\\1", b"/x=21"),
            ("http-request replace-uri (.*) /pre\\1", b"/pre/a/b.c?x=1&y"),
        ):
            on = subject()
            run(on, line)
            self.assertEqual(on.request.target, target, line)

    def test_no_path(self) -> None:
        """
        `OPTIONS *` has none to change.
        """
        on = subject(line="OPTIONS * HTTP/1.1")
        run(on, "http-request set-path /x", "http-request replace-uri .* /x")
        self.assertEqual(on.request.target, b"*")

    def test_variables(self) -> None:
        """
        Set from expressions and formats, used by values and tests; what finds nothing changes nothing.
        """
        lines = (
            "http-request set-var(txn.p) path,lower",
            "http-request set-var(txn.p) hdr(none)",
            "http-request set-var-fmt(req.f) <%[var(txn.p)]>",
            "http-request set-header X %[var(req.f)] if { var(txn.p) -m beg /a }",
            "http-request unset-var(txn.p)",
            "http-request set-header Y [%[var(txn.p)]]",
        )
        self.check(lines, b"x", [b"</a/b.c>"])
        self.check(lines, b"y", [b"[]"])


class AnswerTests(SynchronousTestCase):
    """
    Rules that answer.
    """

    def test_deny(self) -> None:
        """
        403 unless told; a refusal with its page where there are pages; the first one that holds.
        """
        said = run(
            subject(), "http-request deny if { path /no }", "http-request deny deny_status 429", "http-request deny"
        )
        assert said is not None and said.ending is not None
        self.assertEqual((said.ending.status, said.ending.word), (429, "denied"))
        said = run(subject(), "http-request deny deny_status 404")
        assert said is not None
        self.assertEqual((said.status, said.ending, said.line), (404, None, b"HTTP/1.1 404 Not Found\r\n"))
        self.assertIn(b"404", said.body)

    def test_return(self) -> None:
        """
        Status, type, text and fields as they are said.
        """
        said = run(
            subject(), 'http-request return status 418 content-type text/plain lf-string "at %[path]" hdr X %[method]'
        )
        assert said is not None
        self.assertEqual((said.status, said.body), (418, b"at /a/b.c"))
        self.assertEqual(said.fields, b"Content-Type: text/plain\r\nX: GET\r\n")
        said = run(subject(), "http-request return")
        assert said is not None
        self.assertEqual((said.status, said.body, said.fields), (200, b"", b""))

    def test_deny_with_text(self) -> None:
        """
        The refusal may be told in words.
        """
        said = run(subject(), "http-request deny deny_status 403 content-type text/plain string 'go away'")
        assert said is not None
        self.assertEqual((said.status, said.body), (403, b"go away"))

    def test_allow(self) -> None:
        """
        It ends the rules, not the redirects.
        """
        self.assertIsNone(run(subject(), "http-request allow if { path_beg /a }", "http-request deny"))
        said = run(subject(), "http-request allow", "http-request deny", "redirect location /x")
        assert said is not None
        self.assertEqual(said.status, 302)

    def test_redirects(self) -> None:
        """
        Where to, with which status, cookies and rest of the target.
        """
        for line, status, where in (
            ("http-request redirect location /x/%[hdr(host)]", 302, b"/x/Web.Test:81"),
            ("redirect location /x/%[hdr(host)]", 302, b"/x/%[hdr(host)]"),
            ("http-request redirect prefix https://b.test code 301", 301, b"https://b.test/a/b.c?x=1&y"),
            ("http-request redirect prefix / code 308", 308, b"/a/b.c?x=1&y"),
            ("http-request redirect scheme https", 302, b"https://Web.Test:81/a/b.c?x=1&y"),
            ("http-request redirect prefix /p drop-query", 302, b"/p/a/b.c"),
            ("http-request redirect scheme https drop-query append-slash", 302, b"https://Web.Test:81/a/b.c/"),
            ("http-request redirect prefix /p append-slash", 302, b"/p/a/b.c?x=1&y"),
        ):
            said = run(subject(), line)
            assert said is not None
            self.assertEqual((said.status, said.fields.partition(b"\r\n")[0]), (status, b"Location: " + where), line)
            self.assertEqual(b"no-cache" in said.fields, status in (302, 303, 307), line)

    def test_redirect_cookies(self) -> None:
        """
        Cookies that are set and taken away.
        """
        said = run(subject(), "http-request redirect location / set-cookie SEEN=1 clear-cookie USER=")
        assert said is not None
        self.assertIn(b"Set-Cookie: SEEN=1; path=/;\r\n", said.fields)
        self.assertIn(b"Set-Cookie: USER=; path=/; Max-Age=0;\r\n", said.fields)

    def test_redirect_to_nothing(self) -> None:
        """
        `ignore-empty` goes on where there is nowhere to go.
        """
        self.assertIsNone(run(subject(), "http-request redirect location %[hdr(none)] ignore-empty"))


class ResponseTests(SynchronousTestCase):
    """
    Rules about answers.
    """

    def test_fields(self) -> None:
        """
        Set, add, delete, replace.
        """
        head = run_answer(
            answer("A: 1", "B: 2", "C: x; Path=/in", "D: a, bc"),
            "http-response set-header A %[status]",
            "http-response add-header B 3 if { res.hdr(b) 2 }",
            "http-response replace-header C (.*)Path=/in \\1Path=/out",
            "http-response replace-value D b(.) \\1",
        )
        self.assertEqual(head.kept, b"B: 2\r\nC: x; Path=/out\r\nD: a,c\r\nA: 200\r\nB: 3\r\n")
        self.assertEqual(run_answer(answer("A: 1", "a: 2"), "http-response del-header A").kept, b"")

    def test_allow(self) -> None:
        """
        It ends the rules.
        """
        lines = ("http-response set-header A 1", "http-response allow", "http-response set-header B 1")
        self.assertEqual(run_answer(answer(), *lines).kept, b"A: 1\r\n")

    def test_status(self) -> None:
        """
        Another status and reason, but never one that has no body, nor instead of one.
        """
        head = run_answer(answer(status=500), "http-response set-status 503 reason 'Go away'")
        self.assertEqual((head.status, head.line), (503, b"HTTP/1.1 503 Go away\r\n"))
        self.assertEqual(run_answer(answer(status=304), "http-response set-status 200").status, 304)

    def test_too_long(self) -> None:
        """
        A value that the rule was to change and cannot does not go out.
        """
        head = run_answer(answer("A: " + "a" * 60000, "B: 1"), "http-response replace-header A a.*b x")
        self.assertEqual(head.kept, b"B: 1\r\n")

    def test_in_turn(self) -> None:
        """
        Two lists run one after the other.
        """
        first = compile_answer(read_all(["http-response set-header A 1"], SURROUNDINGS).answer)
        then = compile_answer(read_all(["http-response set-header A 2%[res.hdr(a)]"], SURROUNDINGS).answer)
        both = in_turn(first, then)
        assert both is not None
        head = answer()
        both(head, subject())
        self.assertEqual(head.kept, b"A: 21\r\n")
        self.assertIs(in_turn(None, then), then)
        self.assertIs(in_turn(first, None), first)
        self.assertIsNone(in_turn(None, None))
