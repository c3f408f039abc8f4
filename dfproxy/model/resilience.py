"""
How a destination copes with servers that fail or have too much to do.

Source: HAProxy `retries`, `retry-on`, `maxconn`, `timeout queue`; Envoy's retry budget and outlier detection.
"""

from __future__ import annotations

from dataclasses import dataclass

CONN_FAILURE = "conn-failure"
"""
A connection could not be had: nothing was sent.
"""

EMPTY_RESPONSE = "empty-response"
"""
The server closed before the first byte of an answer.
"""

RESPONSE_TIMEOUT = "response-timeout"
"""
The server was silent for too long.
"""

JUNK_RESPONSE = "junk-response"
"""
What it sent is no answer.
"""

CUT_RESPONSE = "cut-response"
"""
A short answer (up to 16 KiB, of known length) breaks off. HAProxy has no word for it: it cannot repeat what has begun.
"""

REASONS = (CONN_FAILURE, EMPTY_RESPONSE, RESPONSE_TIMEOUT, JUNK_RESPONSE, CUT_RESPONSE)
"""
What a request may be tried again for, besides statuses; HAProxy's words but for the last.
"""

STATUSES = (401, 403, 404, 408, 425, 500, 501, 502, 503, 504)
"""
Statuses that a request may be tried again for, as in HAProxy.
"""


@dataclass(frozen=True, slots=True)
class Resilience:
    """
    The policy of one destination.

    Attributes:
        retries: most attempts after the first; None: the general limit.
        retry_on: of `REASONS`, what a request is tried again for.
        retry_statuses: of `STATUSES`, likewise.
        retry_budget: requests that were sent may be sent again in so many percent of all, 0 to 100.
        max_connections: requests under way at each server, over all workers; 0: no limit.
        queue_timeout_s: how long a request waits for a place, in seconds; None: the general limit.
        queue_limit: requests that may wait at once, in each worker.
        eject_errors: so many 5xx in a row leave a server out; 0: they do not count.
        eject_share: so many percent 5xx and missing answers within ten seconds do; 0: likewise.
        eject_most: percentage of the servers that may be left out at once for their answers.
    """

    retries: int | None = None
    retry_on: tuple[str, ...] = (CONN_FAILURE, EMPTY_RESPONSE, RESPONSE_TIMEOUT, CUT_RESPONSE)
    retry_statuses: tuple[int, ...] = ()
    retry_budget: int = 20
    max_connections: int = 0
    queue_timeout_s: float | None = None
    queue_limit: int = 1000
    eject_errors: int = 0
    eject_share: int = 0
    eject_most: int = 50


PLAIN = Resilience()
"""
Of a destination that says nothing of it.
"""
