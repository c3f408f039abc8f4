"""
Fields of HTTP/2 become heads in HTTP/1 form, and heads become fields; what could become anything else is no request.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire import h2fields
from dfproxy.wire.framing import CHUNKED
from dfproxy.wire.h1 import RequestHead, request_head, response_head
from dfproxy.wire.h2fields import KNOWN_LINES, FieldReader, FieldWriter, Malformed
from dfproxy.wire.hpack import Field
from tests.http2 import GET, POST, Pair

SETTINGS = settings(max_examples=300, deadline=None, derandomize=True)


def listed(*pairs: Pair) -> list[Field]:
    """
    Pairs as the decoder gives them.
    """
    return [
        (n.encode("latin-1") if isinstance(n, str) else n, v.encode("latin-1") if isinstance(v, str) else v, False)
        for n, v in pairs
    ]


class RequestTests(SynchronousTestCase):
    """
    Requests (RFC 9113 8.3.1).
    """

    def setUp(self) -> None:
        self.reader = FieldReader(1000, 10)

    def head(self, *pairs: Pair, ended: bool = True) -> RequestHead:
        head = RequestHead()
        self.assertEqual(self.reader.request(listed(*pairs), ended, head), 0)
        return head

    def malformed(self, *lists: tuple[Pair, ...], ended: bool = True) -> None:
        for pairs in lists:
            for _ in range(2):  # also when seen before
                with self.assertRaises(Malformed, msg=str(pairs)):
                    self.reader.request(listed(*pairs), ended, RequestHead())

    def test_as_in_http1(self) -> None:
        """
        The head is the one that HTTP/1 would have had, field by field, twice over.
        """
        for _ in range(2):
            head = self.head(*GET[:1], (":path", "/x/y?a=b"), *GET[2:3], (":authority", "A.test:80"), ("x-a", "1"))
            other = request_head(b"GET /x/y?a=b HTTP/1.1\r\nHost: A.test:80\r\nx-a: 1\r\n\r\n", 0, 1000, 10)
            assert other is not None
            for name in ("method", "target", "path", "host", "section", "kept", "added", "body", "upgrade"):
                self.assertEqual(getattr(head, name), getattr(other[0], name), name)
            self.assertEqual((head.version, head.keep_alive, head.expects_continue), (2, True, False))

    def test_bodies(self) -> None:
        """
        A body has the length that it says, else it goes on in chunks.
        """
        self.assertEqual(self.head(*POST, ("content-length", "12"), ended=False).body, 12)
        head = self.head(*POST, ended=False)
        self.assertEqual((head.body, head.added), (CHUNKED, b"Transfer-Encoding: chunked\r\n"))
        self.assertEqual(self.head(*POST, ("content-length", "0")).body, 0)
        self.assertEqual(
            self.head(*POST, ("content-length", "3"), ("content-length", "3"), ended=False).kept.count(b"3"), 1
        )

    def test_lengths(self) -> None:
        """
        A length that is no number, differs from another, or has no body.
        """
        for wrong in ("+1", "-1", "1a", "", "1, 1", "9" * 19):
            self.malformed((*POST, ("content-length", wrong)), ended=False)
        self.malformed((*POST, ("content-length", "1"), ("content-length", "2")), ended=False)
        self.malformed((*POST, ("content-length", "1")))

    def test_cookies(self) -> None:
        """
        Crumbs are joined in their order.
        """
        head = self.head(*GET, ("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2; d=3"))
        self.assertEqual(head.values(b"cookie"), [b"a=1; c=2; d=3"])

    def test_host(self) -> None:
        """
        `:authority` and Host are the same thing: either will do, and two must agree.
        """
        self.assertEqual(self.head(*GET[:3], ("host", "B.test")).host, b"b.test")
        self.assertEqual(self.head(*GET, ("host", "A.TEST")).values(b"host"), [b"a.test"])
        self.malformed(GET[:3], (*GET, ("host", "b.test")), (*GET, ("host", "a.test"), ("host", "a.test")))

    def test_authorities(self) -> None:
        """
        An authority with user information, a path or what is not visible.
        """
        for wrong in ("", "u@a.test", "a.test/x", "a test", "a.test\r\nX: y", "a\\b", "a?b", "a#b", "\xe4.test"):
            self.malformed((*GET[:3], (":authority", wrong)))
        self.assertEqual(self.head(*GET[:3], (":authority", "[::1]:80")).host, b"[::1]:80")

    def test_pseudo_fields(self) -> None:
        """
        Each exactly once, known, and before all others.
        """
        method, path, scheme, authority = GET
        self.malformed(
            (path, scheme, authority),
            (method, scheme, authority),
            (method, path, authority),
            *((*GET, twice) for twice in GET),
            (*GET, (":status", "200")),
            (*GET, (":protocol", "websocket")),
            (*GET, (":x", "y")),
            (method, path, authority, ("x-a", "b"), scheme),
        )

    def test_paths(self) -> None:
        """
        A path begins with a slash and is visible; `*` is for OPTIONS.
        """
        method, _, scheme, authority = GET
        for wrong in ("", "x", "http://a.test/", "/a b", "/a\r\nX: y", "/\0", "/a#b", "/\xe4", "*"):
            self.malformed((method, (":path", wrong), scheme, authority))
        head = self.head((":method", "OPTIONS"), (":path", "*"), scheme, authority)
        self.assertEqual((head.target, head.path), (b"*", b""))

    def test_methods(self) -> None:
        """
        A method is a token, in whatever case.
        """
        self.assertEqual(self.head((":method", "brew"), *GET[1:]).method, b"brew")
        for wrong in ("", "GET /", "G\r\nT", "G\xe4T", "GET:"):
            self.malformed(((":method", wrong), *GET[1:]))

    def test_names(self) -> None:
        """
        Names are lower-case tokens.
        """
        for wrong in ("", "X-A", "x a", "x:a", ":x", "x\r\na", "x\0", "x\xe4", "x\x7f", " x", "x(", '"x"'):
            self.malformed((*GET, (wrong, "y")))

    def test_values(self) -> None:
        """
        Values have no CR, LF, NUL or other control character, and no blanks around them; others are kept as they are.
        """
        for wrong in ("a\r\nx: y", "a\nb", "a\rb", "a\0b", " a", "a ", "\ta", "a\t", " ", "a\x7fb", "\x01"):
            self.malformed((*GET, ("x-a", wrong)), (*GET, ("cookie", wrong)), (*GET, ("te", wrong)))
        for right in ("", "a", "a b\tc", "\xe4\xff", "a: b, c"):
            self.assertEqual(self.head(*GET, ("x-a", right)).values(b"x-a"), [right.encode("latin-1")])

    def test_fields_of_connections(self) -> None:
        """
        Fields that concern an HTTP/1 connection are an error; TE may say trailers, and goes no further.
        """
        for name in ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"):
            self.malformed((*GET, (name, "x")))
        self.malformed((*GET, ("te", "gzip")), (*GET, ("te", "trailers, gzip")))
        head = self.head(*GET, ("te", "trailers"), ("http2-settings", "AAA"))
        self.assertEqual(head.kept, b"Host: a.test\r\n")
        self.assertEqual(head.values(b"te"), [b"trailers"])

    def test_expectations(self) -> None:
        """
        An expectation is known, and handed on.
        """
        head = self.head(*POST, ("expect", "100-continue"), ended=False)
        self.assertTrue(head.expects_continue)
        self.assertEqual(head.values(b"expect"), [b"100-continue"])

    def test_answered_at_once(self) -> None:
        """
        Requests that are well formed and not for us: too long, too many fields, CONNECT, other schemes.
        """
        method, path, scheme, authority = GET
        for status, pairs in (
            (414, (method, (":path", "/" + "x" * 1000), scheme, authority)),
            (431, (*GET, ("x-a", "x" * 1000))),
            (431, (*GET, *((f"x-{n}", "y") for n in range(11)))),
            (400, ((":method", "CONNECT"), authority)),
            (400, (method, path, (":scheme", "ftp"), authority)),
        ):
            self.assertEqual(self.reader.request(listed(*pairs), True, RequestHead()), status)
        self.malformed(((":method", "CONNECT"), path, authority), ((":method", "CONNECT"), scheme, authority))

    def test_memory_is_bounded(self) -> None:
        """
        What is remembered of fields has a limit, and secrets are not remembered.
        """
        for count in range(KNOWN_LINES + 10):
            self.head(*GET[:3], (":authority", f"a{count}.test"), ("x-a", str(count)))
        self.assertLessEqual(max(len(self.reader._known), len(self.reader._hosts)), KNOWN_LINES)
        self.head(*GET, ("authorization", "Basic eDp5"), ("cookie", "secret"), ("x-b", "long" * 100))
        self.assertFalse([field for field in self.reader._known if field[0] in (b"authorization", b"cookie", b"x-b")])

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([":method", ":path", ":scheme", ":authority", "host", "cookie", "x-a", "te", "A", ""]),
                st.text(st.characters(max_codepoint=255), max_size=8),
            ),
            max_size=7,
        ),
        st.booleans(),
    )
    @SETTINGS
    def test_what_passes_is_one_request(self, pairs: list[tuple[str, str]], late: bool) -> None:
        """
        Whatever the fields: a request that an HTTP/1 parser reads as the same, with as many fields, or none at all.
        """
        fields = listed(*GET, *pairs) if late else listed(*pairs, *GET)
        head = RequestHead()
        try:
            if FieldReader(10000, 100).request(fields, True, head):
                return
        except Malformed:
            return
        read = request_head(b"%b %b HTTP/1.1\r\n%b\r\n" % (head.method, head.target, head.kept), 0, 10000, 100)
        assert read is not None
        self.assertEqual((read[0].method, read[0].target, read[0].host), (head.method, head.target, head.host))
        self.assertEqual(head.kept.count(b"\n"), head.kept.count(b"\r\n"))
        self.assertLessEqual(head.kept.count(b"\n"), len(fields))


class TrailerTests(SynchronousTestCase):
    """
    Fields after a body (RFC 9113 8.1).
    """

    def test_checked(self) -> None:
        """
        They are kept to the same rules, and those that may not stand there are left out.
        """
        reader = FieldReader(1000, 10)
        self.assertEqual(reader.trailers(listed(("x-sum", "1"), ("host", "b.test"))), b"x-sum: 1\r\n")
        for wrong in ((":path", "/"), ("X-Sum", "1"), ("x", "a\r\nb: c"), ("connection", "x")):
            with self.assertRaises(Malformed):
                reader.trailers(listed(wrong))


class AnswerTests(SynchronousTestCase):
    """
    Answers (RFC 9113 8.3.2).
    """

    def fields(self, *lines: str) -> list[tuple[bytes, bytes, bool]]:
        found = response_head("\r\n".join([*lines, "", ""]).encode("latin-1"), False, 10000, 100)
        assert found is not None
        return FieldWriter().response(found[0])

    def test_fields(self) -> None:
        """
        The status first, then all fields with names in lower case and values as they are.
        """
        self.assertEqual(
            self.fields("HTTP/1.1 200 OK", "Content-Length: 2", "X-Mixed:  A b "),
            [(b":status", b"200", False), (b"content-length", b"2", False), (b"x-mixed", b"A b", False)],
        )

    def test_fields_of_connections(self) -> None:
        """
        What concerns the server's connection goes no further, not even what a 426 wants to change to.
        """
        said = ("Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Upgrade: h2c", "Transfer-Encoding: chunked")
        for status in ("200 OK", "426 Upgrade Required"):
            self.assertEqual([name for name, _, _ in self.fields(f"HTTP/1.1 {status}", *said)], [b":status"])

    def test_secrets(self) -> None:
        """
        Cookies are kept out of the client's table, and are not remembered.
        """
        writer = FieldWriter()
        self.assertEqual(writer.trailers(b"Set-Cookie: a=b\r\n"), [(b"set-cookie", b"a=b", True)])
        self.assertEqual(writer._known, {})

    def test_memory_is_bounded(self) -> None:
        """
        What is remembered of lines has a limit.
        """
        writer = FieldWriter()
        for count in range(h2fields.KNOWN_LINES + 10):
            writer.trailers(b"X-A: %d\r\n" % count)
        self.assertLessEqual(len(writer._known), KNOWN_LINES)
