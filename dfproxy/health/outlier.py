"""
Passive health: what failed connections say about a server.

So many failures in a row eject it; it is tried again after a pause that doubles each time the trial fails too, and
one success forgives everything. Who ejects, and how a trial is made, is up to the caller.

Source: HAProxy `fall`, `observe layer4`; Envoy's consecutive gateway failures.
"""

from __future__ import annotations

FAILURES = 3
"""
Connect failures in a row that eject: HAProxy's `fall` in DFP. Each was retried elsewhere, so no client saw them.
"""

FIRST_PAUSE_S = 1.0
"""
First pause before a trial, in seconds: a restarted task is back about then.
"""

LONGEST_PAUSE_S = 30.0
"""
Longest pause before a trial, in seconds: how late a returned server may be used again.
"""


class Record:
    """
    The connect failures of one server.

    Attributes:
        failures: in a row.
        ejected: not to be used until a trial succeeds.
        pause_s: how long to wait before the next trial.
    """

    __slots__ = ("ejected", "failures", "pause_s")

    def __init__(self) -> None:
        self.failures = 0
        self.ejected = False
        self.pause_s = FIRST_PAUSE_S

    def failed(self) -> bool:
        """
        A connection could not be had.

        Returns:
            Whether that ejects it now: a trial is due after `pause_s`.
        """
        self.failures += 1
        if self.ejected or self.failures < FAILURES:
            return False
        self.ejected = True
        return True

    def trial_failed(self) -> None:
        """
        The trial failed: the next comes after twice the pause.
        """
        self.failures += 1
        self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S)

    def succeeded(self) -> bool:
        """
        A connection was had.

        Returns:
            Whether that ends an ejection.
        """
        was_ejected = self.ejected
        self.failures = 0
        self.ejected = False
        self.pause_s = FIRST_PAUSE_S
        return was_ejected
