"""
Parameters of retries, places at servers, and what leaves a server out.

Source: HAProxy `retries`, `retry-on`, `server ... maxconn`, `timeout queue`; Envoy's retry budget, outlier detection.
"""

from __future__ import annotations

import re

from dfproxy.dfp.steps import Reader
from dfproxy.model.resilience import CONN_FAILURE, CUT_RESPONSE, PLAIN, REASONS, STATUSES, Resilience

MOST_RETRIES = 20
"""
Most attempts after the first that may be asked for.
"""

MOST_CONNECTIONS = 1_000_000
"""
Highest limit of requests at a server.
"""

MOST_QUEUED = 100_000
"""
Longest queue.
"""

LONGEST_QUEUE_S = 3600.0
"""
Longest wait for a place, in seconds.
"""

_SECONDS = re.compile(r"[0-9]{1,5}(\.[0-9]{1,3})?")


def resilience(reader: Reader, index: int) -> Resilience:
    """
    The policy of a destination. What is wrong is noted at the reader.
    """
    reasons, statuses = _retry_on(reader, index)
    retries = _number(reader, "retries", index, 0, MOST_RETRIES)
    budget = _number(reader, "retryBudget", index, 0, 100)
    queue_limit = _number(reader, "queueLimit", index, 0, MOST_QUEUED)
    most = _number(reader, "ejectMost", index, 0, 100)
    return Resilience(
        retries,
        reasons,
        statuses,
        PLAIN.retry_budget if budget is None else budget,
        _number(reader, "maxConnections", index, 0, MOST_CONNECTIONS) or 0,
        _queue_timeout_s(reader, index),
        PLAIN.queue_limit if queue_limit is None else queue_limit,
        _number(reader, "ejectErrors", index, 0, 1000) or 0,
        _number(reader, "ejectShare", index, 0, 100) or 0,
        PLAIN.eject_most if most is None else most,
    )


def _number(reader: Reader, name: str, index: int, least: int, most: int) -> int | None:
    text = reader.text(name, index)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
        reader.problem(name, index, f"must be a whole number from {least} to {most}")
        return None
    return int(text)


def _queue_timeout_s(reader: Reader, index: int) -> float | None:
    text = reader.text("queueTimeout", index)
    if not text:
        return None
    if not _SECONDS.fullmatch(text) or not 0 < float(text) <= LONGEST_QUEUE_S:
        reader.problem("queueTimeout", index, f"must be seconds above 0, at most {LONGEST_QUEUE_S:.0f}")
        return None
    return float(text)


def _retry_on(reader: Reader, index: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    items = [item for item in re.split(r"[\s,]+", reader.text("retryOn", index)) if item]
    if not items:
        return PLAIN.retry_on, ()
    if items == ["none"]:
        return (), ()
    reasons: set[str] = set()
    statuses: set[int] = set()
    for item in items:
        if item == "all-retryable-errors":
            reasons.update(REASONS)
            statuses.update((500, 502, 503, 504))
        elif item in REASONS:
            reasons.add(item)
        elif item.isascii() and item.isdigit() and int(item[:4]) in STATUSES:
            statuses.add(int(item))
        else:
            known = ", ".join((*REASONS, "all-retryable-errors", *map(str, STATUSES)))
            reader.problem("retryOn", index, f"{item[:40]!r} is not known: write none, or some of {known}")
            return PLAIN.retry_on, ()
    return tuple(reason for reason in REASONS if reason in reasons), tuple(sorted(statuses))


def general_lines(policy: Resilience) -> list[str]:
    """
    The policy as HAProxy writes it in a backend for HTTP, as far as it can.
    """
    lines = _common_lines(policy, policy.retries)
    if (policy.retry_on, policy.retry_statuses) != (PLAIN.retry_on, ()):
        words = [word for word in policy.retry_on if word != CUT_RESPONSE] + [*map(str, policy.retry_statuses)]
        lines.append(f"retry-on {' '.join(words or ['none'])}")
    if policy.eject_errors or policy.eject_share:
        rules = [f"{policy.eject_errors} 5xx in a row"] if policy.eject_errors else []
        rules += [f"{policy.eject_share} % bad answers"] if policy.eject_share else []
        lines.append(f"# a server is left out for a while after {' or '.join(rules)}")
    return lines


def stream_lines(policy: Resilience) -> list[str]:
    """
    The policy as HAProxy writes it in a backend for whole connections: only connecting can be tried again.
    """
    return _common_lines(policy, policy.retries if CONN_FAILURE in policy.retry_on else 0)


def _common_lines(policy: Resilience, retries: int | None) -> list[str]:
    lines = [] if retries is None else [f"retries {retries}"]
    if policy.queue_timeout_s is not None:
        lines.append(f"timeout queue {int(policy.queue_timeout_s * 1000)}")
    if policy.max_connections:
        lines.append(f"# each server gets {policy.max_connections} requests at once, over all workers")
    return lines


def server_words(policy: Resilience) -> str:
    """
    What it adds to a server's line.
    """
    return f" maxconn {policy.max_connections}" if policy.max_connections else ""
