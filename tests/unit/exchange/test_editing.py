"""
Changes to the head of a request.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.exchange import editing
from dfproxy.wire.h1 import RequestHead
from tests.unit.expressions.subjects import subject


def head(target: str, *fields: str) -> RequestHead:
    request = subject(*fields, line=f"GET {target} HTTP/1.1").request
    assert isinstance(request, RequestHead)
    return request


class TargetTests(SynchronousTestCase):
    """
    Path and query.
    """

    def check(self, change: object, before: str, value: bytes, target: bytes, path: bytes) -> None:
        request = head(before)
        change(request, value)  # type: ignore[operator]  # one of the module's
        self.assertEqual((request.target, request.path), (target, path))

    def test_path(self) -> None:
        """
        The query stays, and so does the authority of an absolute target.
        """
        self.check(editing.set_path, "/a?x=1", b"/b", b"/b?x=1", b"/b")
        self.check(editing.set_path, "/a", b"b c", b"/b%20c", b"/b%20c")
        self.check(editing.set_path, "http://web.test:81/a?x", b"/b", b"http://web.test:81/b?x", b"/b")
        self.check(editing.set_path, "/a?x=1", b"/b?y", b"/b?y?x=1", b"/b")
        self.check(editing.set_path, "/a", b"", b"/", b"/")

    def test_query(self) -> None:
        """
        Behind the mark, which stays even if nothing follows.
        """
        self.check(editing.set_query, "/a?x=1", b"y=2", b"/a?y=2", b"/a")
        self.check(editing.set_query, "/a", b"y=2", b"/a?y=2", b"/a")
        self.check(editing.set_query, "/a?x=1", b"", b"/a?", b"/a")
        self.check(editing.set_query, "/a", b"", b"/a", b"/a")

    def test_path_and_query(self) -> None:
        """
        Both at once.
        """
        self.check(editing.set_path_and_query, "/a?x=1", b"/b?y", b"/b?y", b"/b")
        self.check(editing.set_path_and_query, "/a?x=1", b"/b", b"/b", b"/b")

    def test_target(self) -> None:
        """
        All of it, in either form.
        """
        self.check(editing.set_target, "/a?x", b"/b?y", b"/b?y", b"/b")
        self.check(editing.set_target, "/a?x", b"http://h/b?y", b"http://h/b?y", b"/b")
        self.check(editing.set_target, "/a?x", b"http://h", b"http://h/", b"/")
        self.check(editing.set_target, "/a", b"/b?u=http://h/c", b"/b?u=http://h/c", b"/b")

    def test_nothing_ends_the_line(self) -> None:
        """
        Blanks, line ends and other bytes are encoded.
        """
        for change in (editing.set_path, editing.set_query, editing.set_path_and_query, editing.set_target):
            request = head("/a?x")
            change(request, b"/b HTTP/1.1\r\nX: \xff#")
            self.assertEqual(set(request.target) & set(b" \r\n\xff#"), set(), change)


class FieldTests(SynchronousTestCase):
    """
    Field lines.
    """

    def test_both_change(self) -> None:
        """
        What expressions see and what the server gets, also where the two differ.
        """
        for fields in (("X: 1",), ("X: 1", "Connection: keep-alive")):
            request = head("/a", *fields)
            editing.append(request, b"Y: 2\r\n")
            self.assertEqual(request.values(b"y"), [b"2"])
            editing.replace(request, b"x", b"X: 3\r\n")
            self.assertEqual(request.values(b"x"), [b"3"])
            editing.rewrite(request, lambda section: section.replace(b"Y: 2", b"Y: 4"))
            self.assertEqual(request.values(b"y"), [b"4"])
            self.assertTrue(request.kept.endswith(b"Y: 4\r\nX: 3\r\n"), request.kept)
            editing.replace(request, b"y", b"")
            self.assertEqual(request.values(b"y"), [])
            self.assertNotIn(b"Y:", request.kept)

    def test_host(self) -> None:
        """
        Routes are chosen by the new one.
        """
        request = head("/a")
        editing.replace(request, b"host", b"Host: Other.Test\r\n")
        editing.host_changed(request)
        self.assertEqual(request.host, b"other.test")

    def test_missing_host(self) -> None:
        """
        The one that stands in for a missing one goes: there are never two.
        """
        request = head("/a")
        request.added = b"Content-Length: 0\r\nHost: web.test\r\n"
        editing.replace(request, b"host", b"Host: other.test\r\n")
        editing.host_changed(request)
        self.assertEqual(request.added, b"Content-Length: 0\r\n")
