"""
Servers by hand.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.endpoints import endpoint, is_host
from dfproxy.model.service import Endpoint


class EndpointTests(SynchronousTestCase):
    """
    What may stand in `endpoints` and `outboundHostname`.
    """

    def test_read(self) -> None:
        """
        Host, port and weight; an IPv6 address stands in brackets.
        """
        self.assertEqual(endpoint("a.test:80"), Endpoint("a.test", 80, 1))
        self.assertEqual(endpoint("10.0.0.1:8080*0"), Endpoint("10.0.0.1", 8080, 0))
        self.assertEqual(endpoint("[::1]:80*256"), Endpoint("::1", 80, 256))

    def test_refused(self) -> None:
        """
        Anything else is none.
        """
        for item in ("a", "a:", ":80", "a:0", "a:65536", "a:80*257", "::1:80", "[a]:80", "a b:80", "a:80*"):
            self.assertIsNone(endpoint(item), item)

    def test_hosts(self) -> None:
        """
        Names and addresses, nothing with a port or a blank.
        """
        self.assertEqual(
            [is_host(text) for text in ("a_b.test", "::1", "1.2.3.4", "a:80", "a b", "")], [True] * 3 + [False] * 3
        )
