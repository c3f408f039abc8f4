"""
What is known of a TLS connection.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.connection import TlsFacts
from dfproxy.wire.h1 import RequestHead, tls_of


class FactsTests(SynchronousTestCase):
    """
    Asking for it.
    """

    def test_plain(self) -> None:
        """
        A request that came without TLS has no facts; that is not the same as facts without certificate.
        """
        request = RequestHead()
        self.assertIsNone(tls_of(request))
        request.tls = TlsFacts()
        self.assertEqual(tls_of(request), TlsFacts("", b"", "", 0))
