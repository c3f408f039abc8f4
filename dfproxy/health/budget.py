"""
How many requests may be sent again: a share of the traffic.

Without it a service that is slow or broken gets several times the load, at the worst moment. Nothing is counted with
each request: the number of requests so far is only looked at when one is to be repeated.

Source: Envoy `retry_budget`, Finagle's.
"""

from __future__ import annotations

RESERVE = 10.0
"""
Repetitions that are always there at the beginning, and at most saved up by little traffic.
"""

PER_S = 1.0
"""
Repetitions a second that are allowed however little traffic there is.
"""

SAVED_S = 10.0
"""
The share of traffic older than this is lost, in seconds.
"""


class Budget:
    """
    The repetitions of one destination.
    """

    __slots__ = ("_at", "_left", "_requests")

    def __init__(self) -> None:
        self._left = RESERVE
        self._at: float | None = None
        self._requests = 0

    def take(self, now: float, requests: int, percent: int) -> bool:
        """
        Take one repetition.

        Args:
            now: in seconds.
            requests: all there have been in its life.
            percent: how many of them may be repeated.

        Returns:
            Whether there was one left.
        """
        if self._at is None:
            self._at, self._requests = now, requests
        passed_s, self._at = now - self._at, now
        came, self._requests = max(requests - self._requests, 0), requests
        if passed_s or came:
            self._left = max(min(self._left, RESERVE), self._left * (1 - min(passed_s / SAVED_S, 1.0)))
            self._left += came * percent / 100 * min(1.0, SAVED_S / passed_s if passed_s else 1.0)
            if self._left < RESERVE:
                self._left = min(self._left + passed_s * PER_S, RESERVE)
        if not percent or self._left < 1.0:
            return False
        self._left -= 1.0
        return True
