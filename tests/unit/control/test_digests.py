"""
Definitions as numbers.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.digests import digest, digits
from tests.unit.api.services import service


class DigestTests(SynchronousTestCase):
    def test_equal(self) -> None:
        """
        Equal definitions have equal numbers, others have others.
        """
        self.assertEqual(digest(service("a")), digest(service("a")))
        self.assertNotEqual(digest(service("a")), digest(service("a", port="1")))

    def test_no_passwords(self) -> None:
        """
        A hash that everybody may read says nothing of passwords, only of who there is.
        """
        self.assertEqual(digest(service("a", users="bob:one")), digest(service("a", users="bob:two")))
        self.assertNotEqual(digest(service("a", users="bob:one")), digest(service("a", users="eve:one")))

    def test_digits(self) -> None:
        """
        32 of them, whatever the sum.
        """
        self.assertEqual(digits(-1), "f" * 32)
        self.assertEqual(digits((1 << 128) + 255), "0" * 30 + "ff")
