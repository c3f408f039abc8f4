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
    "denied",
    "request_errors",
    "redispatches",
    "waiting",
    "ejected",
    "peak",
    "waiting_peak",
    "rate",
    "rate_peak",
    "request_rate",
    "request_rate_peak",
)
"""
What one tally counts, in the order of a cell. Those of `GAUGES` rise and fall, and those of `SAMPLED` are not counted
here but by whoever looks at all processes together, once a second; all others only grow.
`latency_us` sums microseconds from the request's head to the answer's head; bytes are of bodies.
For the frontend tally `in_flight` and `connections` are client connections, now and in all; its requests, responses and
bytes are those of all backends and of our own refusals.
"""

GAUGE = FIELDS.index("in_flight")

GAUGES = tuple(map(FIELDS.index, ("in_flight", "waiting", "ejected")))
"""
Places of what rises and falls: exchanges under way, exchanges that wait for a server, and 1 while a server is left out.
"""

SAMPLED = tuple(map(FIELDS.index, ("peak", "waiting_peak", "rate", "rate_peak", "request_rate", "request_rate_peak")))
"""
Places of: most under way at once, most waiting at once, requests of the last second, most of them in a second; of the
frontend these are connections, and its requests are the last two, which others do not have.
"""

_STAYS = frozenset((*GAUGES, *SAMPLED))

_NOTHING = (0,) * len(FIELDS)
_values: Callable[[object], tuple[int, ...]] = attrgetter(*FIELDS)
_TOTALLED = tuple(
    (place, name)
    for place, name in enumerate(FIELDS)
    if name.startswith("responses_") or name in ("requests", "bytes_in", "bytes_out", "denied")
)


class Tally:
    """
    The counters of one backend, server or frontend in this process.

    Attributes:
        cell: number of its shared cell; 0: not shared.
        sampled: what `Sampling` has seen of it.
        dirty: changed since it was last written; who bumps sets it and appends the tally to the worker's list once.
    """

    __slots__ = (*FIELDS, "_passed_on", "cell", "dirty", "sampled")

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
    denied: int
    request_errors: int
    redispatches: int
    waiting: int
    ejected: int
    peak: int
    waiting_peak: int
    rate: int
    rate_peak: int
    request_rate: int
    request_rate_peak: int

    def __init__(self, cell: int = 0) -> None:
        for name in FIELDS:
            setattr(self, name, 0)
        self.cell = cell
        self.dirty = False
        self.sampled = 0
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

        What it has in flight stays its own, and so does what others have found out about it.
        """
        for place, name in enumerate(FIELDS):
            if place not in _STAYS:
                setattr(self, name, getattr(self, name) + getattr(other, name))
                setattr(other, name, 0)
        both = zip(self._passed_on, other._passed_on, strict=True)
        self._passed_on, other._passed_on = tuple(map(sum, both)), _NOTHING


SAMPLE_S = 1.0
"""
Seconds that a rate is counted over.
"""


class Sampling:
    """
    Rates and highest numbers of a process that is alone; where there are several, who sums them up does it.

    Args:
        frontend: of it client connections and requests are counted, of all others requests.
    """

    def __init__(self, frontend: Tally) -> None:
        self._frontend = frontend
        self._requests = 0  # of the frontend, when last looked at
        self._since = 0.0
        self._moving: set[Tally] = set()

    def look(self, now: float, changed: list[Tally]) -> None:
        """
        Look at the tallies that have changed since the last look.

        Args:
            now: seconds that only grow.
        """
        for tally in changed:
            tally.peak = max(tally.peak, tally.in_flight)
            tally.waiting_peak = max(tally.waiting_peak, tally.waiting)
        self._moving.update(changed)
        past_s = now - self._since
        if past_s < SAMPLE_S:
            return
        self._since = now
        for tally in list(self._moving):
            is_frontend = tally is self._frontend
            count = tally.connections if is_frontend else tally.requests
            if count == tally.sampled and not (is_frontend and tally.requests != self._requests):
                self._moving.discard(tally)
            if is_frontend:
                tally.request_rate = round((tally.requests - self._requests) / past_s)
                tally.request_rate_peak = max(tally.request_rate_peak, tally.request_rate)
                self._requests = tally.requests
            tally.rate = round((count - tally.sampled) / past_s)
            tally.rate_peak = max(tally.rate_peak, tally.rate)
            tally.sampled = count
