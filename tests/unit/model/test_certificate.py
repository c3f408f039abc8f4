"""
What a certificate is known by.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.certificate import Certificate, identity


class IdentityTests(SynchronousTestCase):
    """
    The identity of a file.
    """

    def test_source(self) -> None:
        """
        Files of the same name in the folder and among the secrets are two certificates.
        """
        self.assertNotEqual(identity("folder", "cert-a"), identity("secret", "cert-a"))

    def test_not_a_service(self) -> None:
        """
        No service can have the same name: theirs hold no slash.
        """
        found = Certificate("demo.pem", "folder", b"", b"", "ec", (), "", 0.0)
        self.assertIn("/", found.identity)

    def test_secrets_are_not_shown(self) -> None:
        """
        Its text shows no key.
        """
        self.assertNotIn("SECRET", repr(Certificate("a", "folder", b"SECRET", b"SECRET", "ec", (), "", 0.0)))
