"""
What leaves a server out for its answers.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.health.answers import FIRST_PAUSE_S, LEAST_REQUESTS, LONGEST_PAUSE_S, WINDOW_S, Conduct


class ConductTests(SynchronousTestCase):
    """
    In a row, as a share, and the pause.
    """

    def setUp(self) -> None:
        self.conduct = Conduct()

    def bad(
        self, *, missing: bool = False, now: float = 0.0, requests: int = 0, errors: int = 0, share: int = 0
    ) -> bool:
        return self.conduct.bad(missing, now, requests, errors, share)

    def test_missing_in_a_row(self) -> None:
        """
        Three missing answers in a row; a good one in between begins anew, a 5xx does not.
        """
        self.assertEqual([self.bad(missing=True) for _ in range(2)], [False, False])
        self.conduct.good()
        self.assertEqual([self.bad(missing=True) for _ in range(2)], [False, False])
        self.assertFalse(self.bad())
        self.assertTrue(self.bad(missing=True))

    def test_errors_in_a_row(self) -> None:
        """
        5xx count only where it is asked for, and together with missing answers.
        """
        self.assertFalse(any(self.bad() for _ in range(100)))
        self.conduct.good()
        self.assertEqual([self.bad(errors=3), self.bad(missing=True, errors=3), self.bad(errors=3)], [0, 0, 1])

    def test_share(self) -> None:
        """
        A share of the requests within the window, of twenty at least; what was before it does not count.
        """
        self.assertFalse(self.bad(share=50, requests=1000))
        self.assertFalse(self.bad(share=50, requests=1000 + LEAST_REQUESTS - 2))
        for seen in range(7):
            self.assertFalse(self.bad(share=50, requests=1030 + seen), seen)
        late = WINDOW_S + 1
        self.assertFalse(self.bad(share=50, now=late, requests=2000))
        for _ in range(9):
            self.assertFalse(self.bad(share=50, now=late, requests=2010))
        self.assertTrue(self.bad(share=50, now=late, requests=2000 + 21))

    def test_pause(self) -> None:
        """
        The pause doubles up to a limit while it goes on, and is short again once the server was well for long.
        """
        pauses = []
        now = 0.0
        for _ in range(8):
            pause_s = self.conduct.suspend(now)
            pauses.append(pause_s)
            now += pause_s
            self.conduct.resume(now, 0)
        self.assertEqual(pauses[:3], [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S])
        self.assertEqual(pauses[-1], LONGEST_PAUSE_S)
        self.assertEqual(self.conduct.suspend(now + 2 * LONGEST_PAUSE_S + 1), FIRST_PAUSE_S)

    def test_probation(self) -> None:
        """
        While it is left out nothing counts; back again, the first missing answer leaves it out, a good one forgives.
        """
        self.conduct.suspend(0.0)
        self.assertFalse(any(self.bad(missing=True) for _ in range(5)))
        self.conduct.resume(5.0, 4)
        self.assertFalse(self.conduct.suspended)
        self.assertTrue(self.bad(now=5.0, errors=4))
        self.conduct.suspend(5.0)
        self.conduct.resume(15.0, 4)
        self.conduct.good()
        self.assertFalse(self.bad(missing=True, now=15.0, errors=4))
