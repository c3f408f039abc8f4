"""
Parameters of checks and slow starts, and what HAProxy calls them.

Source: contract 4.11 (defaults), 5 (`checkTcp`); HAProxy `option httpchk`, `http-check`, `server ... check inter rise
fall slowstart`.
"""

from __future__ import annotations

import re

from dfproxy.dfp.haproxytext import comment, milliseconds, word
from dfproxy.dfp.steps import Reader
from dfproxy.model.checks import DRAIN, MAINT, READY, Check, Order
from dfproxy.model.match import Match

MOST_IN_A_ROW = 1000
"""
Highest `checkRise` and `checkFall`.
"""

LEAST_INTERVAL_S = 0.1
"""
Shortest `checkInterval`, in seconds.
"""

LONGEST_INTERVAL_S = 3600.0
"""
Longest `checkInterval` and `slowStart`, in seconds.
"""

BODY_CHARS = 200
"""
Longest `checkBody`.
"""

MOST_STATUSES = 50
"""
Most items of `checkStatus`.
"""

_USUAL = Check()
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
_STATUSES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_CLASS = re.compile(r"([1-5])[xX]{2}")
_PATH = re.compile(r"/[!-\"$-~]*")
_DETAILS = ("checkStatus", "checkBody", "checkInterval", "checkTimeout", "checkRise", "checkFall")
_OF_GET = ("checkStatus", "checkBody")


def check(reader: Reader, index: int, match: Match, is_stream: bool, longest_s: float) -> Check | None:
    """
    How the servers of a destination are checked; None: not at all. What is wrong is noted at the reader.

    Args:
        match: of the destination; its first whole domain is asked for.
        is_stream: it takes connections, not requests.
        longest_s: time to connect: a check takes no longer, unless it says so.
    """
    path, tcp = _path(reader, index), reader.text("checkTcp", index)
    if not path and not (
        tcp.lower() == "true" or reader.given.flag("checkTcp", index) or (not tcp and _has_own_servers(reader))
    ):
        for name in _DETAILS:
            if reader.given.text(name, index):
                reader.problem(name, index, "needs checkPath or checkTcp=true: without them nothing is checked")
        return None
    if is_stream and path:
        reader.problem("checkPath", index, "works with reqMode=http only; checkTcp=true checks by connecting")
    if not path:
        for name in _OF_GET:
            if reader.given.text(name, index):
                reader.problem(name, index, "needs checkPath: only then there is an answer")
    interval_s = _seconds(reader, "checkInterval", index, LEAST_INTERVAL_S)
    interval_s = _USUAL.interval_s if interval_s is None else interval_s
    timeout_s = _seconds(reader, "checkTimeout", index, 0.001)
    return Check(
        path,
        _statuses(reader, index),
        _body(reader, index),
        (reader.raw.check_host or _host(match)) if path else "",
        interval_s,
        min(interval_s, longest_s) if timeout_s is None else timeout_s,
        _count(reader, "checkRise", index, _USUAL.rise),
        _count(reader, "checkFall", index, _USUAL.fall),
        "GET" if reader.given.text("checkPath", index) else reader.raw.check_method,
    )


def slow_start_s(reader: Reader, index: int) -> float:
    """
    How long a server that comes takes to its whole share, in seconds.
    """
    return _seconds(reader, "slowStart", index, 0.0) or 0.0


def _has_own_servers(reader: Reader) -> bool:
    """
    Whether each server has a line of its own in DFP, which then has a check (contract 4.11).
    """
    return bool(reader.text("sessionType")) or reader.text("discoveryType") == "DNS"


def _host(match: Match) -> str:
    for pattern in match.hosts:
        if pattern.form in ("exact", "prefix") and pattern.value:
            return pattern.value.decode("ascii", "replace")
    return ""


def _path(reader: Reader, index: int) -> str:
    text = reader.text("checkPath", index)
    if text and not _PATH.fullmatch(text):
        reader.problem("checkPath", index, "must begin with a slash, and have no blanks and no #")
        return ""
    return text


def _body(reader: Reader, index: int) -> str:
    text = reader.text("checkBody", index)
    if len(text) > BODY_CHARS:
        reader.problem("checkBody", index, f"has {len(text)} characters of at most {BODY_CHARS}")
        return ""
    return text


def _statuses(reader: Reader, index: int) -> tuple[int, ...]:
    found: set[int] = set()
    items = [item for item in re.split(r"[\s,]+", reader.text("checkStatus", index)) if item]
    for item in items[:MOST_STATUSES]:
        exact, kind = _STATUSES.fullmatch(item), _CLASS.fullmatch(item)
        if kind:
            found.update(range(int(kind[1]) * 100, int(kind[1]) * 100 + 100))
        elif exact and int(exact[1]) <= int(exact[2] or exact[1]):
            found.update(range(int(exact[1]), int(exact[2] or exact[1]) + 1))
        else:
            reader.problem("checkStatus", index, f"{item[:40]!r} is no status: write 204, 200-299 or 2xx, or several")
            return ()
    if len(items) > MOST_STATUSES:
        reader.problem("checkStatus", index, f"has {len(items)} items of at most {MOST_STATUSES}")
    return tuple(sorted(found))


def _seconds(reader: Reader, name: str, index: int, least_s: float) -> float | None:
    text = reader.text(name, index)
    if not text:
        return None
    if not _SECONDS.fullmatch(text) or not least_s <= float(text) <= LONGEST_INTERVAL_S:
        reader.problem(name, index, f"must be seconds from {least_s:g} to {LONGEST_INTERVAL_S:.0f}")
        return None
    return float(text)


def _count(reader: Reader, name: str, index: int, otherwise: int) -> int:
    text = reader.text(name, index)
    if not text:
        return otherwise
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:12]) <= MOST_IN_A_ROW:
        reader.problem(name, index, f"must be a whole number from 1 to {MOST_IN_A_ROW}")
        return otherwise
    return int(text)


# --- HAProxy -------------------------------------------------------------------------------------------------


def backend_lines(wanted: Check | None) -> list[str]:
    """
    The check as HAProxy writes it in a backend.
    """
    if wanted is None:
        return []
    lines = [f"timeout check {milliseconds(wanted.timeout_s)}"]
    if not wanted.path:
        return lines
    lines.append("option httpchk")
    host = f" hdr Host {word(wanted.host)}" if wanted.host else ""
    lines.append(
        f"http-check send meth {wanted.method} uri {word(wanted.path)} ver HTTP/1.1{host} hdr Connection close"
    )
    if not wanted.host:
        lines.append("# here the Host field of checks is the address of the server, there it is empty")
    lines.append(f"http-check expect status {_ranges(wanted.statuses) or '200-399'}")
    if wanted.body:
        lines.append(f"http-check expect string {word(wanted.body)}")
        lines.append(f"# the answer must hold {comment(wanted.body)!r}, within its first 64 KiB")
    return lines


def server_words(wanted: Check | None, slow_start: float) -> str:
    """
    What checks and slow starts add to a server's line.
    """
    words = ""
    if wanted is not None:
        words = f" check inter {milliseconds(wanted.interval_s)} fall {wanted.fall} rise {wanted.rise}"
    return words + (f" slowstart {milliseconds(slow_start)}" if slow_start else "")


def order_words(weight: int, order: Order | None) -> str:
    """
    Weight and state of a server's line.

    Args:
        weight: that it has of itself.
        order: what an operator says.
    """
    standing = READY if order is None else order.standing
    if order is not None and order.weight is not None:
        weight = order.weight
    if standing == DRAIN:
        weight = 0
    return (f" weight {weight}" if weight != 1 else "") + (" disabled" if standing == MAINT else "")


def _ranges(statuses: tuple[int, ...]) -> str:
    """
    Statuses in HAProxy's words: `200-299,404`.
    """
    ranges: list[list[int]] = []
    for status in statuses:
        if ranges and status == ranges[-1][1] + 1:
            ranges[-1][1] = status
        else:
            ranges.append([status, status])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
