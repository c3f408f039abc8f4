"""
Whom a request is from where proxies in front of us are trusted.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.forwarded import believing
from dfproxy.wire.h1 import RequestHead, is_https, request_head
from dfproxy.wire.networks import Networks


class BelievingTests(SynchronousTestCase):
    """
    What the lookup of routes sees.
    """

    def seen(self, peer: str, *fields: str) -> RequestHead:
        found = request_head("\r\n".join(["GET / HTTP/1.1", "Host: a", *fields, "", ""]).encode(), 0, 65536, 100)
        assert found is not None
        request = found[0]
        request.client_host, request.client_port = peer, 4711
        seen: list[Any] = []
        lookup = believing(lambda request: seen.append(request) or "route", Networks(("10.0.0.0/8",)))
        self.assertEqual(lookup(request), "route")
        self.assertEqual(seen, [request])
        return request

    def test_trusted(self) -> None:
        """
        A trusted proxy says whom it is from; what it has sent goes on as it came.
        """
        request = self.seen("10.0.0.1", "X-Forwarded-For: 127.0.0.1, 192.0.2.1")
        self.assertEqual((request.client_host, request.client_port), ("192.0.2.1", 4711))
        self.assertIn(b"X-Forwarded-For: 127.0.0.1, 192.0.2.1\r\n", request.kept)
        self.assertFalse(is_https(request))

    def test_other_family(self) -> None:
        """
        The port of another connection is not this client's.
        """
        request = self.seen("10.0.0.1", "X-Forwarded-For: 2001:db8::1")
        self.assertEqual((request.client_host, request.client_port), ("2001:db8::1", 0))

    def test_stranger(self) -> None:
        """
        Nobody else is believed, neither about the address nor about TLS.
        """
        request = self.seen("192.0.2.7", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https")
        self.assertEqual((request.client_host, is_https(request)), ("192.0.2.7", False))

    def test_https(self) -> None:
        """
        The last word of X-Forwarded-Proto is the trusted proxy's own.
        """
        for said, wanted in (
            (("https",), True),
            (("http, HTTPS ",), True),
            (("http", "https"), True),
            (("https, http",), False),
            (("https", "http"), False),
            (("httpsx",), False),
            (("",), False),
            ((), False),
        ):
            request = self.seen("10.0.0.1", *(f"X-Forwarded-Proto: {value}" for value in said))
            self.assertIs(is_https(request), wanted, said)
