"""
Field lines taken out of a section.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire.headers import first, without

SECTION = b"A: 1\r\nHost: x\r\na:2\r\nAB: 3\r\nX: a:4\r\n"


class SectionTests(SynchronousTestCase):
    """
    What goes and what is found.
    """

    def test_without(self) -> None:
        """
        Every line of the name goes, whatever its case, and no other; a name within a value is none.
        """
        self.assertEqual(without(SECTION, b"a"), b"Host: x\r\nAB: 3\r\nX: a:4\r\n")
        self.assertEqual(without(b"A: 1\r\n", b"a"), b"")

    def test_nothing_to_do(self) -> None:
        """
        A section without such a field is the very same object.
        """
        self.assertIs(without(SECTION, b"b"), SECTION)

    def test_first(self) -> None:
        """
        The first value, without blanks; an empty one is not the same as none.
        """
        self.assertEqual(first(SECTION, b"a"), b"1")
        self.assertEqual(first(b"B:\r\nA: \t1 \r\n", b"b"), b"")
        self.assertEqual(first(b"B:\r\nA: \t1 \r\n", b"a"), b"1")
        self.assertIsNone(first(SECTION, b"b"))
