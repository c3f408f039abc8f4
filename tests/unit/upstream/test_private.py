"""
Kept connections that go on with one client only.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.upstream.private import Private


class Kept:
    """
    A connection, as far as it is looked at.
    """

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting


class PrivateTests(SynchronousTestCase):
    """
    `Private`.
    """

    def setUp(self) -> None:
        self.private = Private()

    def keep(self, *greetings: bytes, limit: int = 3) -> list[Any]:
        made = [Kept(greeting) for greeting in greetings]
        self.surplus = [self.private.keep(each, limit) for each in made]
        return made

    def test_by_client(self) -> None:
        """
        Each client finds its own, the last used at the end, and nobody else's.
        """
        first, other, second = self.keep(b"a", b"b", b"a")
        self.assertEqual(self.private.of(b"a"), [first, second])
        self.assertEqual(self.private.of(b"b"), [other])
        self.assertEqual((self.private.of(b"c"), self.private.count), ([], 3))

    def test_limit(self) -> None:
        """
        One too many: that of the client goes that has not used any for longest.
        """
        first, other, second, last = self.keep(b"a", b"b", b"a", b"c")
        self.assertEqual(self.surplus, [None, None, None, other])
        self.assertEqual((self.private.of(b"a"), self.private.of(b"b"), self.private.count), ([first, second], [], 3))
        self.assertEqual(self.keep(b"d", limit=0), self.surplus)

    def test_taken(self) -> None:
        """
        What is taken out or has gone is not counted any more.
        """
        first, other, second = self.keep(b"a", b"b", b"a")
        self.private.of(b"a").remove(first)
        self.private.settle(b"a", 2)
        self.assertEqual(self.private.count, 2)
        self.private.remove(second)
        self.assertRaises(ValueError, self.private.remove, second)
        self.assertEqual((self.private.of(b"a"), self.private.count), ([], 1))
        self.private.settle(b"a", 0)
        self.assertEqual(self.private.clear(), [other])
        self.assertEqual((self.private.clear(), self.private.count), ([], 0))
