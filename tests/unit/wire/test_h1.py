"""
Heads: what is accepted, what is refused and how, and what goes on to the other side.

Longer than other modules, but one thing: the corpus of heads, with its verdicts.
"""

from __future__ import annotations

import httptools
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import ClientProtocolError, ServerProtocolError
from dfproxy.wire.framing import CHUNKED, NO_BODY, UNTIL_CLOSE
from dfproxy.wire.h1 import RequestHead, ResponseHead, request_head, response_head, trailer_fields

LIMIT_BYTES, LIMIT_FIELDS = 16384, 100


def request(data: bytes) -> RequestHead:
    found = request_head(data, 0, LIMIT_BYTES, LIMIT_FIELDS)
    assert found is not None, "incomplete"
    assert found[1] == len(data)
    return found[0]


def response(data: bytes, bodiless: bool = False) -> ResponseHead:
    found = response_head(data, bodiless, LIMIT_BYTES, LIMIT_FIELDS)
    assert found is not None, "incomplete"
    return found[0]


def lines(*fields: str, first: str = "GET /demo HTTP/1.1", host: bool = True) -> bytes:
    given_lines = [first, *(["Host: a.test"] if host else []), *fields, "", ""]
    return "\r\n".join(given_lines).encode("latin-1")


REFUSED = {
    "nothing but empty lines": b"\r\n\r\n",
    "HTTP/0.9": b"GET /demo\r\n\r\n",
    "lower-case version": lines(first="GET /demo http/1.1"),
    "version 2.0": lines(first="GET /demo HTTP/2.0"),
    "version 1.2": lines(first="GET /demo HTTP/1.2"),
    "version 1.10": lines(first="GET /demo HTTP/1.10"),
    "no target": lines(first="GET HTTP/1.1"),
    "two blanks": lines(first="GET  /demo HTTP/1.1"),
    "blank at the end": lines(first="GET /demo HTTP/1.1 "),
    "tab for a blank": lines(first="GET\t/demo HTTP/1.1"),
    "blank before the method": lines(first=" GET /demo HTTP/1.1"),
    "method is no token": lines(first="G@T /demo HTTP/1.1"),
    "target with a fragment": lines(first="GET /demo#x HTTP/1.1"),
    "target with other than ASCII": lines(first="GET /d\xe9mo HTTP/1.1"),
    "target with a control character": lines(first="GET /d\x01 HTTP/1.1"),
    "target with NUL": lines(first="GET /d\x00 HTTP/1.1"),
    "relative target": lines(first="GET demo HTTP/1.1"),
    "another scheme": lines(first="GET ftp://a.test/ HTTP/1.1"),
    "CONNECT": lines(first="CONNECT a.test:443 HTTP/1.1"),
    "CONNECT to a path": lines(first="CONNECT http://a.test/ HTTP/1.1"),
    "target without a host": lines(first="GET http:///x HTTP/1.1"),
    "target with a user": lines(first="GET http://u@a.test/x HTTP/1.1"),
    "target of another host": lines(first="GET http://b.test/x HTTP/1.1"),
    "asterisk for GET": lines(first="GET * HTTP/1.1"),
    "no Host": lines(host=False),
    "no Host with a URL": lines(first="GET http://a.test/ HTTP/1.1", host=False),
    "two Hosts": lines("Host: b.test"),
    "blank in Host": lines("Host: a b", host=False),
    "user in Host": lines("Host: u@a.test", host=False),
    "path in Host": lines("Host: a.test/x", host=False),
    "query in Host": lines("Host: a.test?x", host=False),
    "Host beyond ASCII": lines("Host: caf\xe9.test", host=False),
    "backslash in the host of a target": lines(first="GET http://a\\b/x HTTP/1.1"),
    "two equal Hosts": lines("host: a.test"),
    "blank before the colon": lines("X-A : b"),
    "tab before the colon": lines("X-A\t: b"),
    "no colon": lines("X-A"),
    "no name": lines(": b"),
    "blank in a name": lines("X A: b"),
    "folded line": lines("X-A: b", " c"),
    "folded first line": lines(" X-A: b"),
    "NUL in a value": lines("X-A: a\x00b"),
    "control character in a value": lines("X-A: a\x07b"),
    "DEL in a value": lines("X-A: a\x7fb"),
    "lone LF in a value": lines("X-A: a\nX-B: c"),
    "lone CR in a value": lines("X-A: a\rX-B: c"),
    "LF only": b"GET /demo HTTP/1.1\nHost: a.test\n\n",
    "LF at the end": b"GET /demo HTTP/1.1\r\nHost: a.test\r\n\n\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "Content-Length with a sign": lines("Content-Length: +3"),
    "negative Content-Length": lines("Content-Length: -1"),
    "hexadecimal Content-Length": lines("Content-Length: 0x3"),
    "Content-Length with a comma": lines("Content-Length: 3, 3"),
    "empty Content-Length": lines("Content-Length:"),
    "Content-Length with other digits": lines("Content-Length: \xb3"),
    "Content-Length with an underscore": lines("Content-Length: 1_0"),
    "huge Content-Length": lines("Content-Length: 9999999999999999999"),
    "two Content-Lengths": lines("Content-Length: 3", "Content-Length: 4"),
    "zero and another Content-Length": lines("Content-Length: 0", "Content-Length: 4"),
    "length and chunks": lines("Content-Length: 3", "Transfer-Encoding: chunked"),
    "zero length and chunks": lines("Content-Length: 0", "Transfer-Encoding: chunked"),
    "chunks and length": lines("Transfer-Encoding: chunked", "Content-Length: 3"),
    "unknown coding": lines("Transfer-Encoding: xchunked"),
    "two codings": lines("Transfer-Encoding: gzip, chunked"),
    "chunked not last": lines("Transfer-Encoding: chunked, identity"),
    "chunked twice": lines("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked twice in a line": lines("Transfer-Encoding: chunked, chunked"),
    "identity": lines("Transfer-Encoding: identity"),
    "empty coding": lines("Transfer-Encoding:"),
    "quoted coding": lines('Transfer-Encoding: "chunked"'),
    "coding with a vertical tab": lines("Transfer-Encoding: \x0bchunked"),
    "chunks in HTTP/1.0": lines("Transfer-Encoding: chunked", first="POST / HTTP/1.0"),
    "smuggled in a lone CR": lines("X: y\rTransfer-Encoding: chunked"),
}

PASSED = {
    "unknown method": lines(first="BREW /demo HTTP/1.1"),
    "lower-case method": lines(first="get /demo HTTP/1.1"),
    "percent signs": lines(first="GET /%zz%2e%2e/ HTTP/1.1"),
    "odd characters": lines(first='GET /a|b{c}"d^e` HTTP/1.1'),
    "empty value": lines("X-Empty:"),
    "value of blanks": lines("X-Blank:   \t "),
    "value beyond ASCII": lines("X-A: caf\xe9"),
    "no blank after the colon": lines("X-A:b"),
    "one empty line first": b"\r\n" + lines(),
    "OPTIONS *": lines(first="OPTIONS * HTTP/1.1"),
    "HTTP/1.0 without Host": lines(first="GET / HTTP/1.0", host=False),
    "URL as target": lines(first="GET http://A.test/demo HTTP/1.1"),
    "empty Host": lines("Host:", host=False),
    "IPv6 as Host": lines("Host: [2001:DB8::1]:8080", host=False),
    "odd but legal Host": lines("Host: a_b.%41,c.test:80", host=False),
}


class Requests(SynchronousTestCase):
    """
    `request_head`.
    """

    def test_refused(self) -> None:
        """
        Whatever is ambiguous or malformed is answered 400.
        """
        for name, data in REFUSED.items():
            with self.subTest(name):
                error = self.assertRaises(ClientProtocolError, request_head, data, 0, LIMIT_BYTES, LIMIT_FIELDS)
                self.assertEqual(error.status, 400)

    def test_passed(self) -> None:
        """
        What is unusual but clear goes on.
        """
        for name, data in PASSED.items():
            with self.subTest(name):
                self.assertIsInstance(request(data), RequestHead)

    def test_parts(self) -> None:
        """
        Method, target, path, host and version are told apart.
        """
        head = request(lines("X-A: 1", first="POST /a/b?c=/d HTTP/1.1"))
        self.assertEqual((head.method, head.target, head.path), (b"POST", b"/a/b?c=/d", b"/a/b"))
        self.assertEqual((head.host, head.version, head.body), (b"a.test", 1, NO_BODY))

    def test_url(self) -> None:
        """
        The path of a URL begins after its host, and is `/` if there is none.
        """
        for target, path in (("/x/y?z", b"/x/y"), ("", b"/"), ("?q=/1", b"/"), ("/", b"/")):
            with self.subTest(target):
                head = request(lines(first=f"GET http://a.test{target} HTTP/1.1"))
                self.assertEqual((head.path, head.host), (path, b"a.test"))

    def test_values(self) -> None:
        """
        All values of a field are found in order, in whatever case its name came.
        """
        head = request(lines("x-a: 1", "X-A:  2 ", "X-Ab: 3", "X-A:"))
        self.assertEqual(head.values(b"x-a"), [b"1", b"2", b""])
        self.assertEqual(head.values(b"host"), [b"a.test"])
        self.assertEqual(head.values(b"x-"), [])

    def test_kept_as_it_came(self) -> None:
        """
        Fields go on in order, case and spelling.
        """
        data = lines("x-lower:a", "X-UPPER:  b", "x-lower: c", "Cookie: a=1", "Cookie: b=2", "X-Empty:")
        head = request(data)
        self.assertEqual(head.kept, data.partition(b"\r\n")[2][:-2])

    def test_one_hop_only(self) -> None:
        """
        Fields of one connection stay on it, also those that Connection names.
        """
        head = request(
            lines(
                "Connection: X-Hop, keep-alive,close-not",
                "X-Hop: 1",
                "x-hop: 2",
                "Keep-Alive: timeout=5",
                "TE: trailers",
                "Proxy-Connection: keep-alive",
                "Upgrade: websocket",
                "HTTP2-Settings: x",
                "X-Hop-Not: 3",
                "Proxy-Authorization: Basic eA==",
            )
        )
        self.assertEqual(head.kept, b"Host: a.test\r\nX-Hop-Not: 3\r\nProxy-Authorization: Basic eA==\r\n")
        self.assertEqual(head.upgrade, b"")

    def test_connection_cannot_take_host_or_framing(self) -> None:
        """
        Naming Host or Content-Length in Connection does not take them away.
        """
        head = request(lines("Connection: Host, Content-Length, Transfer-Encoding", "Content-Length: 3"))
        self.assertEqual(head.kept, b"Host: a.test\r\nContent-Length: 3\r\n")
        self.assertEqual(head.body, 3)

    def test_lengths(self) -> None:
        """
        The body's length is read; equal repeated ones go on once.
        """
        self.assertEqual(request(lines("Content-Length: 0")).body, NO_BODY)
        self.assertEqual(request(lines("content-length:  12 ")).body, 12)
        self.assertEqual(request(lines("Transfer-Encoding:  Chunked")).body, CHUNKED)
        self.assertNotIn(b"ransfer", request(lines("Transfer-Encoding: chunked")).kept)
        head = request(lines("Content-Length: 5", "Content-Length: 5"))
        self.assertEqual((head.body, head.kept.count(b"Length")), (5, 1))

    def test_keep_alive(self) -> None:
        """
        HTTP/1.1 stays unless closed, HTTP/1.0 closes unless kept.
        """
        cases = (
            ("GET / HTTP/1.1", None, True),
            ("GET / HTTP/1.1", "close", False),
            ("GET / HTTP/1.1", "foo, Close", False),
            ("GET / HTTP/1.1", "keep-alive, close", False),
            ("GET / HTTP/1.0", None, False),
            ("GET / HTTP/1.0", "Keep-Alive", True),
            ("GET / HTTP/1.0", "keep-alive, close", False),
        )
        for first, connection, wanted in cases:
            with self.subTest(f"{first} {connection}"):
                fields = [] if connection is None else [f"Connection: {connection}"]
                self.assertEqual(request(lines(*fields, first=first)).keep_alive, wanted)

    def test_upgrade(self) -> None:
        """
        An offer to change the protocol counts only if Connection says so, and never for HTTP/2 without TLS.
        """
        self.assertEqual(request(lines("Connection: Upgrade", "Upgrade: WebSocket")).upgrade, b"WebSocket")
        self.assertEqual(request(lines("Upgrade: websocket")).upgrade, b"")
        self.assertEqual(request(lines("Connection: upgrade", "Upgrade: h2c")).upgrade, b"")
        self.assertEqual(request(lines("Connection: upgrade", "Upgrade: h2c, websocket")).upgrade, b"")
        old = lines("Connection: upgrade", "Upgrade: websocket", first="GET / HTTP/1.0")
        self.assertEqual(request(old).upgrade, b"")

    def test_expect(self) -> None:
        """
        A client that waits for 100 is known, and the field goes on.
        """
        head = request(lines("Expect: 100-Continue", "Content-Length: 3"))
        self.assertTrue(head.expects_continue)
        self.assertIn(b"Expect: 100-Continue\r\n", head.kept)
        self.assertFalse(request(lines("Expect: other")).expects_continue)

    def test_limits(self) -> None:
        """
        A long target is 414, a long head and too many fields 431, whether complete or not.
        """
        cases = (
            (lines(first=f"GET /{'a' * 17000} HTTP/1.1"), 414),
            (b"GET /" + b"a" * 17000, 414),
            (lines(f"X-A: {'b' * 17000}"), 431),
            (lines(f"X-A: {'b' * 17000}")[:-2], 431),
            (lines(*["A: b"] * 100), 431),
        )
        for data, status in cases:
            with self.subTest(f"{data[:20]!r} {len(data)}"):
                error = self.assertRaises(ClientProtocolError, request_head, data, 0, LIMIT_BYTES, LIMIT_FIELDS)
                self.assertEqual(error.status, status)
        self.assertIsNotNone(request(lines(*["A:"] * 99)))
        self.assertIsNotNone(request(lines(f"X-Big: {'b' * 16000}")))

    def test_second_of_two(self) -> None:
        """
        A head is read from where the last request ended.
        """
        first, second = lines(), lines(first="GET /two HTTP/1.1")
        found = request_head(first + second, len(first), LIMIT_BYTES, LIMIT_FIELDS)
        assert found is not None
        self.assertEqual((found[0].target, found[1]), (b"/two", len(first + second)))

    @given(st.sampled_from([*PASSED.values(), *REFUSED.values()]), st.data())
    @settings(max_examples=150, deadline=None)
    def test_beginnings(self, data: bytes, draw: st.DataObject) -> None:
        """
        The beginning of a good head is incomplete, never refused; of a bad one at worst refused early.
        """
        cut = draw.draw(st.integers(0, len(data) - 1))
        good = data in PASSED.values()
        try:
            self.assertIsNone(request_head(data[:cut], 0, LIMIT_BYTES, LIMIT_FIELDS))
        except ClientProtocolError:
            self.assertFalse(good)

    @given(st.sampled_from([*PASSED.values(), lines("Content-Length: 3", "X-A: b")]), st.data())
    @settings(max_examples=300, deadline=None)
    def test_mutations(self, data: bytes, draw: st.DataObject) -> None:
        """
        However a head is damaged, it is a head, incomplete, or refused: never another exception.
        """
        place = draw.draw(st.integers(0, len(data) - 1))
        put = draw.draw(st.binary(max_size=3))
        damaged = data[:place] + put + data[place + draw.draw(st.integers(0, 3)) :]
        try:
            request_head(damaged, 0, LIMIT_BYTES, LIMIT_FIELDS)
        except ClientProtocolError as error:
            self.assertIn(error.status, (400, 414, 431))

    @given(
        st.sampled_from(["GET", "POST", "OPTIONS", "DELETE"]),
        st.text("abc/%?=&.~", max_size=20),
        st.lists(
            st.tuples(
                st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True), st.text("ab ,;=\"'\t~", max_size=12)
            ),
            max_size=6,
        ),
    )
    @settings(max_examples=200, deadline=None)
    def test_second_opinion(self, method: str, path: str, fields: list[tuple[str, str]]) -> None:
        """
        llhttp reads the same method, target and fields from every head that we accept.
        """
        data = lines(*(f"{name}: {value}" for name, value in fields), first=f"{method} /{path} HTTP/1.1")
        try:
            head = request(data)
        except ClientProtocolError:
            return
        seen = _Seen()
        parser = httptools.HttpRequestParser(seen)
        parser.feed_data(data)
        self.assertEqual(seen.target, head.target)
        self.assertEqual(parser.get_method(), head.method)
        for name, _ in seen.fields:
            values = [value.strip(b" \t") for other, value in seen.fields if other.lower() == name.lower()]
            self.assertEqual(head.values(name.lower()), values)


class _Seen:
    """
    What llhttp saw.
    """

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


def answer(*fields: str, first: str = "HTTP/1.1 200 OK") -> bytes:
    return lines(*fields, first=first, host=False)


class Responses(SynchronousTestCase):
    """
    `response_head`.
    """

    def test_refused(self) -> None:
        """
        What is no clear answer is 502.
        """
        cases = {
            "garbage": b"hello\r\n\r\n",
            "garbage without an end": b"hello",
            "version 2": answer(first="HTTP/2.0 200 OK"),
            "status 99": answer(first="HTTP/1.1 099 OK"),
            "status of four digits": answer(first="HTTP/1.1 2000 OK"),
            "no status": answer(first="HTTP/1.1"),
            "LF only": b"HTTP/1.1 200 OK\nA: b\n\n",
            "length is no number": answer("Content-Length: x"),
            "negative length": answer("Content-Length: -1"),
            "two lengths": answer("Content-Length: 3", "Content-Length: 4"),
            "length and chunks": answer("Content-Length: 3", "Transfer-Encoding: chunked"),
            "unknown coding": answer("Transfer-Encoding: gzip"),
            "chunks in HTTP/1.0": answer("Transfer-Encoding: chunked", first="HTTP/1.0 200 OK"),
            "NUL": answer("A: b\x00"),
            "blank before a colon": answer("A : b"),
            "too long": answer(f"A: {'b' * 17000}"),
            "too long and incomplete": answer(f"A: {'b' * 17000}")[:-4],
            "too many fields": answer(*["A: b"] * 101),
        }
        for name, data in cases.items():
            with self.subTest(name):
                self.assertRaises(ServerProtocolError, response_head, data, False, LIMIT_BYTES, LIMIT_FIELDS)

    def test_bodies(self) -> None:
        """
        Where the body ends follows RFC 9112 6.3.
        """
        cases = (
            (answer("Content-Length: 5"), False, 5),
            (answer("Content-Length: 0"), False, NO_BODY),
            (answer("Content-Length: 5"), True, NO_BODY),
            (answer("Transfer-Encoding: chunked"), False, CHUNKED),
            (answer("Transfer-Encoding: chunked"), True, NO_BODY),
            (answer(), False, UNTIL_CLOSE),
            (answer(first="HTTP/1.1 204 No Content"), False, NO_BODY),
            (answer("Content-Length: 5", first="HTTP/1.1 304 Not Modified"), False, NO_BODY),
            (answer(first="HTTP/1.1 100 Continue"), False, NO_BODY),
            (answer(first="HTTP/1.0 200 OK"), False, UNTIL_CLOSE),
        )
        for data, bodiless, wanted in cases:
            with self.subTest(f"{data!r} {bodiless}"):
                self.assertEqual(response(data, bodiless).body, wanted)

    def test_lines(self) -> None:
        """
        The status line keeps code and reason; the version is ours.
        """
        self.assertEqual(response(answer()).line, b"HTTP/1.1 200 OK\r\n")
        self.assertEqual(response(answer(first="HTTP/1.0 404 Not Here")).line, b"HTTP/1.1 404 Not Here\r\n")
        self.assertEqual(response(answer(first="HTTP/1.1 200 ")).line, b"HTTP/1.1 200 \r\n")
        self.assertEqual(response(answer(first="HTTP/1.1 200")).line, b"HTTP/1.1 200 \r\n")

    def test_kept(self) -> None:
        """
        Fields of one hop are left out, the length stays, everything else is as it came.
        """
        head = response(
            answer(
                "Server: x",
                "Connection: keep-alive, X-Hop",
                "x-hop: 1",
                "Keep-Alive: 5",
                "Content-Length: 3",
                "ETag: y",
            )
        )
        self.assertEqual(head.kept, b"Server: x\r\nContent-Length: 3\r\nETag: y\r\n")
        self.assertEqual(response(answer("Upgrade: h2", "Content-Length: 0")).kept, b"Content-Length: 0\r\n")
        self.assertEqual(response(answer("Transfer-Encoding: chunked", "A: b")).kept, b"A: b\r\n")
        doubled = response(answer("Content-Length: 3", "A: b", "Content-Length: 3"))
        self.assertEqual((doubled.kept.count(b"Content-Length: 3\r\n"), doubled.body), (1, 3))

    def test_no_length_without_a_body(self) -> None:
        """
        204 carries no Content-Length, even if the server sent one.
        """
        self.assertEqual(response(answer("Content-Length: 3", first="HTTP/1.1 204 x")).kept, b"")

    def test_keep_alive(self) -> None:
        """
        Whether the connection can be used again.
        """
        self.assertTrue(response(answer("Content-Length: 1")).keep_alive)
        self.assertFalse(response(answer("Content-Length: 1", "Connection: close")).keep_alive)
        self.assertFalse(response(answer()).keep_alive)
        self.assertFalse(response(answer("Content-Length: 1", first="HTTP/1.0 200 OK")).keep_alive)
        kept = answer("Content-Length: 1", "Connection: Keep-Alive", first="HTTP/1.0 200 OK")
        self.assertTrue(response(kept).keep_alive)

    @given(st.binary(max_size=200))
    @settings(max_examples=200, deadline=None)
    def test_anything(self, data: bytes) -> None:
        """
        Arbitrary bytes are a head, incomplete, or refused: never another exception.
        """
        for start in (b"", b"HTTP/1.1 200 OK\r\n"):
            try:
                response_head(start + data, False, LIMIT_BYTES, LIMIT_FIELDS)
            except ServerProtocolError:
                continue

    def test_incomplete(self) -> None:
        """
        A beginning is waited on.
        """
        data = answer("Content-Length: 5", "A: b")
        for cut in range(len(data)):
            self.assertIsNone(response_head(data[:cut], False, LIMIT_BYTES, LIMIT_FIELDS))


class Trailers(SynchronousTestCase):
    """
    `trailer_fields`.
    """

    def test_checked(self) -> None:
        """
        What frames, routes or authenticates may not come late; what is malformed is refused.
        """
        self.assertEqual(trailer_fields(b"A: b\r\nContent-Length: 3\r\nHost: x\r\nC: d\r\n\r\n"), b"A: b\r\nC: d\r\n")
        self.assertEqual(trailer_fields(b"\r\n"), b"")
        self.assertIsNone(trailer_fields(b"A : b\r\n\r\n"))
        self.assertIsNone(trailer_fields(b"A: b\n\r\n"))
