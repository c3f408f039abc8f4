"""
Error pages of the operator.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.errorpages import LARGEST_BYTES, media_type, parse_page, read_pages
from tests.dialogue import DialogueCase, Step, client

SHIPPED = (
    b"HTTP/1.0 503 Service Unavailable\nCache-Control: no-cache\nConnection: close\nContent-Type: text/html\n\n<h1>x"
)


class PageTests(SynchronousTestCase):
    """
    One file.
    """

    def test_dfp(self) -> None:
        """
        The files that DFP ships, with bare LF and HTTP/1.0; the answer is HTTP/1.1 with a length.
        """
        head, body = parse_page(SHIPPED, 503)
        self.assertEqual(
            head,
            b"HTTP/1.1 503 Service Unavailable\r\nCache-Control: no-cache\r\nContent-Type: text/html\r\n"
            b"Content-Length: 5\r\nConnection: close\r\n\r\n",
        )
        self.assertEqual(body, b"<h1>x")
        self.assertEqual(parse_page(SHIPPED.replace(b"\n", b"\r\n"), 503)[0], head)

    def test_framing_is_ours(self) -> None:
        """
        What a file says of length and connection does not count.
        """
        head, _ = parse_page(b"HTTP/1.1 403\nContent-Length: 999\nTransfer-Encoding: chunked\nX: y\n\nabc", 403)
        self.assertEqual(head, b"HTTP/1.1 403 Forbidden\r\nX: y\r\nContent-Length: 3\r\nConnection: close\r\n\r\n")

    def test_refused(self) -> None:
        """
        Another status, no head, broken lines, too much.
        """
        for data in (
            b"", b"HTTP/1.0 502 x\n\n", b"HTTP/1.0 503 x\n", b"<html>", b"HTTP/1.0 503 x\nbroken\n\n",
            b"HTTP/1.0 503 x\nA: \x00\n\n", b"HTTP/1.0 503 x\n\n" + b"x" * LARGEST_BYTES,
        ):  # fmt: skip
            self.assertRaises(ValueError, parse_page, data, 503)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=60))
    def test_total(self, data: bytes) -> None:
        """
        Any file is a page with one head, or refused.
        """
        try:
            head, _ = parse_page(b"HTTP/1.0 400 x\n" + data, 400)
        except ValueError:
            return
        self.assertEqual(head.count(b"\r\n\r\n"), 1)
        self.assertTrue(head.endswith(b"\r\n\r\n"))


class FolderTests(SynchronousTestCase):
    """
    A folder of them.
    """

    def test_read(self) -> None:
        """
        What can be used is, the rest is told; no folder is fine.
        """
        folder = Path(self.mktemp())
        self.assertEqual(read_pages(str(folder)), {})
        folder.mkdir()
        (folder / "503.http").write_bytes(SHIPPED)
        (folder / "403.http").write_bytes(b"broken")
        (folder / "999.http").write_bytes(SHIPPED)
        pages = read_pages(str(folder))
        self.assertEqual(set(pages), {503})
        self.assertEqual(media_type({503: (b"HTTP/1.1 503 x\r\nContent-Type: a/b\r\n\r\n", b"")}, 503), b"a/b")
        self.assertEqual(media_type({}, 503), b"text/html")


class DialogueTests(DialogueCase):
    """
    What clients get.
    """

    def test_used(self) -> None:
        """
        The operator's page instead of the built-in one, and only its head for HEAD.
        """
        head, body = parse_page(SHIPPED, 503)
        for method, wanted in (("GET", head + body), ("HEAD", head)):
            self.talk(
                Step("there are pages", lambda dialogue: setattr(dialogue.traffic, "pages", {503: (head, body)})),
                Step("there is no route", lambda dialogue: setattr(dialogue, "backend", None)),
                client.sends(f"{method} / HTTP/1.1", "Host: a.test"),
                client.gets(wanted),
            )
