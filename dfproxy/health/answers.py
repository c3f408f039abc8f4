"""
Outliers: what answers, or their absence, say about a server.

A server that gives no valid answer so many times in a row is left out for a while; where the operator asks for it, 5xx
in a row count too, or a share of bad answers. The pause doubles as long as it goes on. Pure: who is told and who
looks at the clock is up to the caller.

Source: Envoy `consecutive_gateway_failure`, `consecutive_5xx`, failure percentage; HAProxy `observe layer7`.
"""

from __future__ import annotations

FAILURES = 3
"""
Missing answers in a row (time-outs, connections closed, garbage) that leave a server out.
"""

WINDOW_S = 10.0
"""
What a share is taken of, in seconds.
"""

LEAST_REQUESTS = 20
"""
A share of fewer requests says nothing.
"""

FIRST_PAUSE_S = 5.0
"""
First pause, in seconds.
"""

LONGEST_PAUSE_S = 160.0
"""
Longest pause, in seconds.
"""


class Conduct:
    """
    How one server has behaved.

    Attributes:
        suspended: it is left out for its answers.
        missing: answers that did not come, in a row.
        errors: bad answers, missing ones included, in a row.
        pause_s: how long it is left out the next time.
    """

    __slots__ = ("_bad", "_began", "_requests", "_returned", "errors", "missing", "pause_s", "suspended")

    def __init__(self) -> None:
        self.suspended = False
        self.missing = 0
        self.errors = 0
        self.pause_s = FIRST_PAUSE_S
        self._bad = 0
        self._began = -WINDOW_S
        self._requests = 0
        self._returned: float | None = None

    def bad(self, missing: bool, now: float, requests: int, errors: int, share: int) -> bool:
        """
        An answer was bad.

        Args:
            missing: there was none at all.
            now: in seconds.
            requests: how many the server has had in its life, this one not counted.
            errors: bad answers in a row that leave it out; 0: only missing ones count.
            share: percentage of bad answers that does; 0: none.

        Returns:
            Whether it is to be left out now.
        """
        if self.suspended:
            return False
        self.errors += 1
        if missing:
            self.missing += 1
        if now - self._began > WINDOW_S:
            self._began, self._requests, self._bad = now, requests, 0
        self._bad += 1
        if self.missing >= FAILURES or (errors and self.errors >= errors):
            return True
        seen = requests - self._requests + 1
        return bool(share) and seen >= LEAST_REQUESTS and self._bad * 100 >= share * seen

    def good(self) -> None:
        """
        An answer was good; only to be called if `errors` is not 0, to save the call.
        """
        self.errors = self.missing = 0

    def suspend(self, now: float) -> float:
        """
        It is left out.

        Returns:
            For how long, in seconds.
        """
        if self._returned is not None and now - self._returned > 2 * self.pause_s:
            self.pause_s = FIRST_PAUSE_S  # it has been well for long enough
        self.suspended = True
        pause_s = self.pause_s
        self.pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s

    def resume(self, now: float, errors: int) -> None:
        """
        The pause is over: the next bad answer leaves it out again, a good one forgives.

        Args:
            errors: as for `bad`.
        """
        self.suspended = False
        self._returned = now
        self.missing = FAILURES - 1
        self.errors = max(errors - 1, self.missing)
        self._began = -WINDOW_S
