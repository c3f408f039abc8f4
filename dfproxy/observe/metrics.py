"""
Counters that the request path bumps: plain integers, no locks, no labels.

Each backend, each server and the frontend of a worker own one `Tally`. Every 0.1 s the changed ones are written
to shared cells (`dfproxy.observe.cells`), from which the leader makes sums; nothing here knows of that.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

FIELDS = (
    "requests",
    "in_flight",
    "responses_1xx",
    "responses_2xx",
    "responses_3xx",
    "responses_4xx",
    "responses_5xx",
    "responses_other",
    "latency_us",
    "bytes_in",
    "bytes_out",
    "connections",
    "connect_errors",
    "response_errors",
    "retries",
    "client_aborts",
)
"""
What one tally counts, in the order of a cell. `in_flight` is a gauge and the only one; all others only grow.
`latency_us` sums microseconds from the request's head to the answer's head; bytes are of bodies.
For the frontend tally `in_flight` and `connections` are client connections, now and in all; its requests, responses and
bytes are those of all backends and of our own refusals.
"""

GAUGE = FIELDS.index("in_flight")

_NOTHING = (0,) * len(FIELDS)
_values: Callable[[object], tuple[int, ...]] = attrgetter(*FIELDS)
_TOTALLED = tuple(
    (place, name)
    for place, name in enumerate(FIELDS)
    if name.startswith("responses_") or name in ("requests", "bytes_in", "bytes_out")
)


class Tally:
    """
    The counters of one backend, server or frontend in this process.

    Attributes:
        cell: number of its shared cell; 0: not shared.
        dirty: changed since it was last written; who bumps sets it and appends the tally to the worker's list once.
    """

    __slots__ = (*FIELDS, "_passed_on", "cell", "dirty")

    requests: int
    in_flight: int
    responses_1xx: int
    responses_2xx: int
    responses_3xx: int
    responses_4xx: int
    responses_5xx: int
    responses_other: int
    latency_us: int
    bytes_in: int
    bytes_out: int
    connections: int
    connect_errors: int
    response_errors: int
    retries: int
    client_aborts: int

    def __init__(self, cell: int = 0) -> None:
        for name in FIELDS:
            setattr(self, name, 0)
        self.cell = cell
        self.dirty = False
        self._passed_on = _NOTHING

    def values(self) -> tuple[int, ...]:
        """
        All counters, in the order of `FIELDS`.
        """
        return _values(self)

    def pass_on(self, total: Tally) -> None:
        """
        Add to a total what of requests, responses and bytes has come since it was last passed on.
        """
        now, before = _values(self), self._passed_on
        self._passed_on = now
        for place, name in _TOTALLED:
            if now[place] != before[place]:
                setattr(total, name, getattr(total, name) + now[place] - before[place])

    def absorb(self, other: Tally) -> None:
        """
        Take over what another has counted, so that a sum over both does not fall when the other goes.

        What it has in flight stays its own.
        """
        for name in FIELDS:
            if name != "in_flight":
                setattr(self, name, getattr(self, name) + getattr(other, name))
                setattr(other, name, 0)
        both = zip(self._passed_on, other._passed_on, strict=True)
        self._passed_on, other._passed_on = tuple(map(sum, both)), _NOTHING
