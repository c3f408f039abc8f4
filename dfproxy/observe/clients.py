"""
What is counted of clients' connections besides: handshakes of TLS by their outcome, and HTTP/2.

Plain integers, as in `dfproxy.observe.metrics`; they have a shared cell of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter

from dfproxy.observe.metrics import FIELDS, GAUGE
from dfproxy.observe.prometheus import Measure

COUNTED = (
    "tls12",
    "http2_open",
    "tls12_resumed",
    "tls13",
    "tls13_resumed",
    "tls_older",
    "tls_refused",
    "tls_left",
    "http2_connections",
    "http2_streams",
)
"""
In the order of the cell. `http2_open` is a gauge, and stands where gauges of cells do; all others only grow.
"""

assert COUNTED[GAUGE] == "http2_open" and len(COUNTED) <= len(FIELDS)

_REST = (0,) * (len(FIELDS) - len(COUNTED))
_values: Callable[[object], tuple[int, ...]] = attrgetter(*COUNTED)


class ClientCounts:
    """
    Of one process.

    Attributes:
        tls12: handshakes of TLS 1.2 that succeeded, in full; likewise `tls13`, and `tls_older` in whichever way.
        tls12_resumed: those that went on with a former session; likewise `tls13_resumed`.
        tls_refused: handshakes that failed, by our refusal or the client's.
        tls_left: handshakes that ended before they were decided: the client left, or took too long.
        http2_open: connections that speak HTTP/2 now.
        http2_connections: those so far.
        http2_streams: requests on them.
    """

    __slots__ = COUNTED

    tls12: int
    http2_open: int
    tls12_resumed: int
    tls13: int
    tls13_resumed: int
    tls_older: int
    tls_refused: int
    tls_left: int
    http2_connections: int
    http2_streams: int

    def __init__(self) -> None:
        for name in COUNTED:
            setattr(self, name, 0)

    def handshaken(self, version: str | None, resumed: bool) -> None:
        """
        A handshake has succeeded.
        """
        if version == "TLSv1.3":
            if resumed:
                self.tls13_resumed += 1
            else:
                self.tls13 += 1
        elif version == "TLSv1.2":
            if resumed:
                self.tls12_resumed += 1
            else:
                self.tls12 += 1
        else:
            self.tls_older += 1

    def values(self) -> tuple[int, ...]:
        """
        All of them, as long as a cell.
        """
        return _values(self) + _REST


def measures(values: tuple[int, ...]) -> Iterator[Measure]:
    """
    As Prometheus sees them.

    Args:
        values: as `ClientCounts.values`, or the sum of those of all processes.
    """
    of = dict(zip(COUNTED, values, strict=False))
    yield Measure(
        "dfproxy_tls_handshakes_total",
        "counter",
        "Handshakes with clients that succeeded.",
        (
            ('{version="older",resumed="any"}', of["tls_older"]),
            ('{version="1.2",resumed="no"}', of["tls12"]),
            ('{version="1.2",resumed="yes"}', of["tls12_resumed"]),
            ('{version="1.3",resumed="no"}', of["tls13"]),
            ('{version="1.3",resumed="yes"}', of["tls13_resumed"]),
        ),
    )
    yield Measure(
        "dfproxy_tls_handshakes_failed_total",
        "counter",
        "Handshakes with clients that failed: refused by either side, or left undecided until the time-out.",
        (('{reason="refused"}', of["tls_refused"]), ('{reason="left"}', of["tls_left"])),
    )
    for name, kind, text, value in (
        ("dfproxy_http2_connections", "gauge", "Client connections that speak HTTP/2 now.", of["http2_open"]),
        ("dfproxy_http2_connections_total", "counter", "Those so far.", of["http2_connections"]),
        ("dfproxy_http2_streams_total", "counter", "Requests by HTTP/2.", of["http2_streams"]),
    ):
        yield Measure(name, kind, text, (("", value),))
