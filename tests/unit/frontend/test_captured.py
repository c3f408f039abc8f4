"""
Fields of requests that access lines show.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.captured import capturing
from dfproxy.wire.h1 import request_head


class CapturingTests(SynchronousTestCase):
    """
    `CAPTURE_REQUEST_HEADER`.
    """

    def test_kept(self) -> None:
        """
        Each field is kept as it came, cut to its length; of several the last (HAProxy's), and nothing where there is
        none.
        """
        asked: list[Any] = []
        lookup = capturing(lambda request: asked.append(request) or "route", (("User-Agent", 4), ("X-A", 9), ("No", 1)))
        found = request_head(
            b"GET / HTTP/1.1\r\nHost: a\r\nuser-agent: curl/8\r\nX-A: one\r\nX-A: two\r\n\r\n", 0, 4096, 100
        )
        assert found is not None
        self.assertEqual(lookup(found[0]), "route")
        self.assertEqual(asked, [found[0]])
        self.assertEqual(found[0].captured, (b"curl", b"two", b""))
