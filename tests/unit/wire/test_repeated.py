"""
A head read with what is known of an earlier one is the head that is read without.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import ClientProtocolError
from dfproxy.wire.h1 import RequestHead, request_head
from dfproxy.wire.h2fields import FieldReader, Malformed
from dfproxy.wire.repeated import repeated, repeated_list, request_again
from tests.unit.wire.test_h1 import LIMIT_BYTES, LIMIT_FIELDS, PASSED, REFUSED, lines

FIELDS = (
    "Accept: */*",
    "Cookie: a=b; c=d",
    "Connection: keep-alive",
    "Connection: close, X-A",
    "X-A: 1",
    "Content-Length: 3",
    "Transfer-Encoding: chunked",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "TE: trailers",
)
FIRST = (
    "GET /demo HTTP/1.1",
    "DELETE /x?y HTTP/1.1",
    "GET / HTTP/1.0",
    "GET http://a.test/y HTTP/1.1",
    "OPTIONS * HTTP/1.1",
)

LISTED = tuple(
    (name, value, False)
    for name, value in (
        (b"accept", b"*/*"),
        (b"cookie", b"a=b"),
        (b"cookie", b"c=d"),
        (b"content-length", b"0"),
        (b"content-length", b"3"),
        (b"te", b"trailers"),
        (b"expect", b"100-continue"),
        (b"host", b"a.test"),
    )
)

heads = st.builds(
    lambda first, fields, host: lines(*fields, first=first, host=host),
    st.sampled_from(FIRST),
    st.lists(st.sampled_from(FIELDS), max_size=4),
    st.sampled_from((True, True, True, False)),
)


def read(data: bytes) -> tuple[RequestHead, int] | None:
    try:
        return request_head(data, 0, LIMIT_BYTES, LIMIT_FIELDS)
    except ClientProtocolError:
        return None


def parts(found: tuple[RequestHead, int]) -> dict[str, object]:
    head, end = found
    return {name: getattr(head, name) for name in RequestHead.__slots__ if hasattr(head, name)} | {"end": end}


class RepeatedTests(SynchronousTestCase):
    """
    Pairs of heads on one connection.
    """

    def test_again(self) -> None:
        """
        The same fields with another line; what comes behind is left.
        """
        first = read(lines("Accept: */*", "Connection: keep-alive"))
        assert first is not None
        known = repeated(first[0])
        assert known is not None
        data = lines("Accept: */*", "Connection: keep-alive", first="DELETE /x?y HTTP/1.1")
        found = request_again(data + b"GET /", known, LIMIT_BYTES)
        assert found is not None
        self.assertEqual(parts(found), parts(read(data) or found))
        self.assertEqual((found[0].method, found[0].path, found[0].host), (b"DELETE", b"/x", b"a.test"))
        self.assertEqual(found[0].kept, b"Host: a.test\r\nAccept: */*\r\n")

    def test_not_again(self) -> None:
        """
        Anything else is read anew: other fields, more or fewer, another version, no path, too long, not all here.
        """
        first = read(lines("Accept: */*"))
        assert first is not None
        known = repeated(first[0])
        assert known is not None
        for data in (
            lines("Accept: */*", "X-A: 1"),
            lines("accept: */*"),
            lines(),
            lines("Accept: */*", first="GET /demo HTTP/1.0"),
            lines("Accept: */*", first="GET http://a.test/ HTTP/1.1"),
            lines("Accept: */*", first="GET /demo#x HTTP/1.1"),
            lines("Accept: */*", first="GET  /demo HTTP/1.1"),
            b"\r\n" + lines("Accept: */*"),
            lines("Accept: */*", first=f"GET /{'x' * LIMIT_BYTES} HTTP/1.1"),
            lines("Accept: */*")[:-1],
            b"",
        ):
            self.assertIsNone(request_again(data, known, LIMIT_BYTES), data[:60])

    def test_not_remembered(self) -> None:
        """
        Fields that mean more than is remembered.
        """
        for data in (
            lines("Content-Length: 3"),
            lines("Transfer-Encoding: chunked"),
            lines("Connection: upgrade", "Upgrade: websocket"),
            lines("Expect: 100-continue"),
            lines(first="GET http://a.test/ HTTP/1.1"),
            lines(first="GET / HTTP/1.0", host=False),
        ):
            first = read(data)
            assert first is not None
            self.assertIsNone(repeated(first[0]), data)

    @settings(max_examples=300, deadline=None)
    @given(heads, heads, st.binary(max_size=5))
    def test_no_difference(self, first: bytes, second: bytes, more: bytes) -> None:
        """
        Whenever a head is read so, reading it without gives the same.
        """
        before = read(first)
        known = repeated(before[0]) if before is not None else None
        if known is not None:
            for data in (second + more, second.partition(b"\r\n")[0] + b"\r\n" + known.lines + more):
                again = request_again(data, known, LIMIT_BYTES)
                if again is not None:
                    alone = read(data)
                    assert alone is not None
                    self.assertEqual(parts(again), parts(alone))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.sampled_from(LISTED), max_size=5), st.sampled_from((b"/x?y", b"/", b"*")), st.booleans())
    def test_lists(self, fields: list[tuple[bytes, bytes, bool]], path: bytes, ended: bool) -> None:
        """
        A list of HTTP/2 that is remembered gives the same head again, and another head object.
        """
        start = [(b":method", b"OPTIONS", False), (b":path", path, False), (b":scheme", b"https", False)]
        whole = [*start, (b":authority", b"A.test", False), *fields]
        reader, first = FieldReader(LIMIT_BYTES, LIMIT_FIELDS), RequestHead()
        try:
            status = reader.request(whole, ended, first)
        except Malformed:
            return
        known = repeated_list(whole, first) if not status else None
        if known is None:
            self.assertTrue(status or not ended or first.added or first.body or first.expects_continue)
            return
        again = RequestHead()
        known.fill(again)
        self.assertEqual(parts((again, 0)), parts((first, 0)))
        self.assertIs(known.fields, whole)

    def test_corpus(self) -> None:
        """
        No head that is refused is accepted behind one with the same fields.
        """
        for data in (*REFUSED.values(), *PASSED.values()):
            _, _, fields = data.partition(b"\r\n")
            before = read(b"GET / HTTP/1.1\r\n" + fields)
            known = repeated(before[0]) if before is not None else None
            again = request_again(data, known, LIMIT_BYTES) if known is not None else None
            if again is not None:
                alone = read(data)
                assert alone is not None, data
                self.assertEqual(parts(again), parts(alone))
