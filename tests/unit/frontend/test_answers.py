"""
What we say ourselves, to the byte.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.answers import REASONS, answer, page
from dfproxy.wire.h1 import response_head


class AnswerTests(SynchronousTestCase):
    """
    `answer` and `page`.
    """

    def test_complete(self) -> None:
        """
        Each answer is complete HTTP that says it closes and may not be stored; to HEAD it has no body.
        """
        for status, reason in REASONS.items():
            found = response_head(answer(status), False, 16384, 100)
            assert found is not None
            head, end = found
            self.assertEqual((head.status, head.body, head.keep_alive), (status, len(page(status)), False))
            self.assertEqual(answer(status)[end:], page(status))
            self.assertEqual(answer(status, bodiless=True), answer(status)[:end])
            self.assertTrue(answer(status).startswith(b"HTTP/1.1 %d %s\r\n" % (status, reason.encode())))
            self.assertIn(b"\r\nCache-Control: no-cache\r\n", answer(status))

    def test_page(self) -> None:
        """
        The page says what happened in a sentence, and nothing of what was asked.
        """
        self.assertIn(b"<h1>503 Service Unavailable</h1>", page(503))
        self.assertIn(b"No server is available for this request.", page(503))

    def test_no_404(self) -> None:
        """
        There is no 404 of our own.
        """
        self.assertNotIn(404, REASONS)
        for status in (400, 408, 413, 414, 431, 502, 503, 504):
            self.assertIn(status, REASONS)
