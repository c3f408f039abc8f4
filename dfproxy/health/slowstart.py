"""
Slow start: a server that comes gets its share little by little, so that cold caches are not buried.

Weights are whole numbers, so while one server of a backend starts the weights of all of them are multiplied by `STEPS`,
and it begins with one part. Pure: who looks at the clock is up to the caller.

Source: HAProxy `slowstart`, which takes a sixteenth of the weight as its smallest step as well.
"""

from __future__ import annotations

STEPS = 16
"""
Steps from nothing to the whole share. A power of two: hashing strategies keep the points of all other servers.
"""


def part(passed_s: float, slow_start_s: float) -> int:
    """
    How many of `STEPS` parts of its share a server gets.

    Args:
        passed_s: since it came, in seconds.
        slow_start_s: how long it takes in all, in seconds.
    """
    if passed_s >= slow_start_s:
        return STEPS
    return max(1, int(max(passed_s, 0.0) * STEPS / slow_start_s))


def step_s(slow_start_s: float) -> float:
    """
    How long one step takes, in seconds.
    """
    return slow_start_s / STEPS
