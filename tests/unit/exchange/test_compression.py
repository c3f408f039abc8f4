"""
Which answers are compressed, and that they stay what they were.
"""

from __future__ import annotations

import gzip
import zlib

import brotli
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidRoute
from dfproxy.exchange.compression import BROTLI, Brotling, Compressor, Deflating, chosen
from dfproxy.model.steps import Compression, HeaderRule, Steps
from dfproxy.wire.h1 import RequestHead, ResponseHead, request_head, response_head
from tests.dialogue import FORWARDED, DialogueCase, client, server
from tests.unit.exchange.steps import route_has


def request(*fields: str, line: str = "GET / HTTP/1.1") -> RequestHead:
    found = request_head("\r\n".join([line, "Host: a", *fields, "", ""]).encode(), 0, 65536, 100)
    assert found is not None
    return found[0]


def answer(*fields: str, status: int = 200) -> ResponseHead:
    text = "\r\n".join([f"HTTP/1.1 {status} x", "Content-Length: 100", *fields, "", ""])
    found = response_head(text.encode(), False, 65536, 100)
    assert found is not None
    return found[0]


GZIP = Compressor(Compression(("gzip",), ("text/html", "application/json")))
ACCEPTS = "Accept-Encoding: gzip"
HTML = "Content-Type: Text/HTML; charset=utf-8"


class DecisionTests(SynchronousTestCase):
    """
    Whether.
    """

    def wanted(self, *fields: str, status: int = 200, asked: RequestHead | None = None) -> bool:
        return GZIP.chosen(asked or request(ACCEPTS), answer(*fields, status=status), (b"x",), False) is not None

    def test_yes(self) -> None:
        """
        A type that is listed, a status with a body, a client that accepts it.
        """
        self.assertTrue(self.wanted(HTML))
        self.assertTrue(self.wanted("Content-Type: application/json", status=203))

    def test_no(self) -> None:
        """
        Other types, statuses, answers that are encoded already or must not be changed, requests for the head only, and
        HTTP/1.0 on either side.
        """
        self.assertFalse(self.wanted())
        self.assertFalse(self.wanted("Content-Type: text/css"))
        self.assertFalse(self.wanted("Content-Type: multipart/x"))
        self.assertFalse(self.wanted(HTML, "Content-Encoding: br"))
        self.assertFalse(self.wanted(HTML, "Cache-Control: private, No-Transform"))
        for status in (204, 206, 304, 404, 500):
            self.assertFalse(self.wanted(HTML, status=status), status)
        self.assertFalse(self.wanted(HTML, asked=request(ACCEPTS, line="HEAD / HTTP/1.1")))
        self.assertFalse(self.wanted(HTML, asked=request(ACCEPTS, line="GET / HTTP/1.0")))
        self.assertFalse(self.wanted(HTML, asked=request()))
        self.assertIsNone(GZIP.chosen(request(ACCEPTS), answer(HTML), (), True))
        old = response_head(f"HTTP/1.0 200 OK\r\n{HTML}\r\n\r\n".encode(), False, 65536, 100)
        assert old is not None
        self.assertIsNone(GZIP.chosen(request(ACCEPTS), old[0], (b"x",), False))

    def test_accepting(self) -> None:
        """
        By name or by `*`, unless the quality is 0; old browsers lie.
        """
        for fields, wanted in (
            (("Accept-Encoding: br, GZIP;q=0.5",), True),
            (("Accept-Encoding: gzip;q=0",), False),
            (("Accept-Encoding: gzip;q=0.000, *",), False),
            (("Accept-Encoding: *",), True),
            (("Accept-Encoding: *;q=0",), False),
            (("Accept-Encoding: deflate",), False),
            (("Accept-Encoding: br", "Accept-Encoding: gzip"), True),
            ((ACCEPTS, "User-Agent: Mozilla/4.0"), False),
        ):
            self.assertEqual(chosen(request(*fields), (b"gzip",)), b"gzip" if wanted else None, fields)

    def test_several(self) -> None:
        """
        Of several the client's favourite, the first it names if it likes them alike.
        """
        both = (b"gzip", b"deflate", b"identity")
        for said, wanted in (
            ("gzip, deflate", b"gzip"),
            ("deflate, gzip", b"deflate"),
            ("gzip;q=0.5, deflate;q=0.501", b"deflate"),
            ("gzip;q=0.5, *", b"deflate"),
            ("br, *;q=0.1", b"gzip"),
            ("identity, gzip;q=0.9", b"identity"),
            ("gzip;q=0, deflate;q=0", None),
            ("gzip;q=2, br", b"gzip"),
            ("br", None),
        ):
            self.assertEqual(chosen(request(f"Accept-Encoding: {said}"), both), wanted, said)

    def test_brotli_before_others(self) -> None:
        """
        Browsers like all of them alike and name Brotli last: it is taken, unless they like another one better.
        """
        all_three = (b"gzip", b"deflate", BROTLI)
        for said, wanted in (
            ("gzip, deflate, br", BROTLI),
            ("gzip, deflate, br;q=0.9", b"gzip"),
            ("br;q=0.5, deflate;q=0.5", BROTLI),
            ("gzip, br;q=0", b"gzip"),
            ("gzip;q=0, br;q=0", None),
            ("gzip", b"gzip"),
        ):
            self.assertEqual(chosen(request(f"Accept-Encoding: {said}"), all_three), wanted, said)

    def test_as_it_is(self) -> None:
        """
        A client that would rather have it as it is gets it so.
        """
        one = Compressor(Compression(("gzip", "identity")))
        self.assertIsNone(one.chosen(request("Accept-Encoding: identity, gzip;q=0.1"), answer(HTML), (b"x",), False))
        self.assertEqual(one.chosen(request("Accept-Encoding: gzip, identity"), answer(HTML), (b"x",), False), b"gzip")

    def test_head(self) -> None:
        """
        The length goes, the coding is said, caches are told; a strong ETag becomes a weak one.
        """
        head = answer(HTML, 'ETag: "x"', "Vary: Cookie")
        GZIP.begin(head, b"gzip")
        self.assertEqual(
            head.kept.split(b"\r\n")[:-1],
            [HTML.encode(), b"Vary: Cookie", b'ETag: W/"x"', b"Content-Encoding: gzip", b"Vary: Accept-Encoding"],
        )
        again = answer(HTML, 'ETag: W/"x"', "Vary: Accept-Encoding")
        GZIP.begin(again, b"gzip")
        self.assertEqual(again.kept.count(b"Vary"), 1)
        self.assertIn(b'ETag: W/"x"', again.kept)

    def test_unknown(self) -> None:
        """
        Algorithms that are none refuse the change.
        """
        self.assertRaises(InvalidRoute, Compressor, Compression(("gzip", "zstd")))


class BodyTests(SynchronousTestCase):
    """
    What comes out.
    """

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.binary(max_size=300), max_size=5), st.binary(max_size=300))
    def test_same(self, pieces: list[bytes], last: bytes) -> None:
        """
        Uncompressed again it is what it was, and nothing stays behind on the way.
        """
        for bits in (31, 15, -15):
            body, reader = Deflating(bits), zlib.decompressobj(bits)
            for piece in pieces:
                made = b"".join(reader.decompress(part) for part in body.feed([piece]))
                self.assertEqual(made, piece)
            made = b"".join(reader.decompress(part) for part in body.finish([last])) + reader.flush()
            self.assertEqual(made, last)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.binary(max_size=300), max_size=5), st.binary(max_size=300))
    def test_same_in_brotli(self, pieces: list[bytes], last: bytes) -> None:
        """
        Likewise.
        """
        body, reader = Brotling(), brotli.Decompressor()
        for piece in pieces:
            self.assertEqual(b"".join(map(reader.process, body.feed([piece]))), piece)
        self.assertEqual(b"".join(map(reader.process, body.finish([last]))), last)
        self.assertTrue(reader.is_finished())


class DialogueTests(DialogueCase):
    """
    On the way.
    """

    def test_whole(self) -> None:
        """
        A body that is there with its head has a length again.
        """
        body = b"hello " * 100
        packed = Deflating(31).finish([body])[0]
        self.assertEqual(gzip.decompress(packed), body)
        self.talk(
            route_has(Steps(compression=Compression(("gzip",)))),
            client.sends("GET / HTTP/1.1", "Host: a.test", ACCEPTS),
            server.gets("GET / HTTP/1.1", "Host: a.test", ACCEPTS, FORWARDED),
            server.sends("HTTP/1.1 200 OK", "Content-Length: 600", body=body),
            client.gets(
                "HTTP/1.1 200 OK",
                "Content-Encoding: gzip",
                "Vary: Accept-Encoding",
                f"Content-Length: {len(packed)}",
                body=packed,
            ),
        )

    def test_before_rules(self) -> None:
        """
        What the server has said decides, not what a rule makes of it.
        """
        for said in ("no-transform", "no-store"):
            body = "hello" if said == "no-transform" else Deflating(31).finish([b"hello"])[0]
            coded = () if said == "no-transform" else ("Content-Encoding: gzip", "Vary: Accept-Encoding")
            length = f"Content-Length: {len(body)}"
            rules = (HeaderRule("del", "Cache-Control"),)
            self.talk(
                route_has(Steps(compression=Compression(("gzip",)), response_headers=rules)),
                client.sends("GET / HTTP/1.1", "Host: a.test", ACCEPTS),
                server.gets("GET / HTTP/1.1", "Host: a.test", ACCEPTS, FORWARDED),
                server.sends("HTTP/1.1 200 OK", "Content-Length: 5", f"Cache-Control: {said}", body="hello"),
                client.gets("HTTP/1.1 200 OK", *((length,) if not coded else (*coded, length)), body=body),
            )

    def test_in_pieces(self) -> None:
        """
        A longer one goes in chunks, each as soon as it comes; the connection is used again.
        """
        body = Deflating(31)
        first, last = body.feed([b"he"]), body.finish([b"llo"])
        self.talk(
            route_has(Steps(compression=Compression(("gzip",)))),
            client.sends("GET / HTTP/1.1", "Host: a.test", ACCEPTS),
            server.gets("GET / HTTP/1.1", "Host: a.test", ACCEPTS, FORWARDED),
            server.sends("HTTP/1.1 200 OK", "Content-Length: 5", body="he"),
            server.sends(b"llo"),
            client.gets_chunked(
                "HTTP/1.1 200 OK",
                "Content-Encoding: gzip",
                "Vary: Accept-Encoding",
                "Transfer-Encoding: chunked",
                body=b"".join([*first, *last]),
            ),
            client.sends("GET / HTTP/1.1", "Host: a.test"),
            server.gets("GET / HTTP/1.1", "Host: a.test", FORWARDED),
            server.sends("HTTP/1.1 200 OK", "Content-Length: 2", body="hi"),
            client.gets("HTTP/1.1 200 OK", "Content-Length: 2", body="hi"),
        )
