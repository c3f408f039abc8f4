"""
Counters as HAProxy's CSV: its columns, one line for each frontend, backend and server.

Only words are decided here; who counts, and how often it is asked, is decided elsewhere.

Source: HAProxy management guide 9.1 (CSV format); contract 9.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from dfproxy.observe.metrics import FIELDS
from dfproxy.observe.prometheus import HTTP_FRONTEND, Totals, gathered

COLUMNS = (
    "pxname svname qcur qmax scur smax slim stot bin bout dreq dresp ereq econ eresp wretr wredis status weight act "
    "bck chkfail chkdown lastchg downtime qlimit pid iid sid throttle lbtot tracked type rate rate_lim rate_max "
    "check_status check_code check_duration hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other hanafail req_rate "
    "req_rate_max req_tot cli_abrt srv_abrt comp_in comp_out comp_byp comp_rsp lastsess last_chk last_agt qtime ctime "
    "rtime ttime agent_status agent_code agent_duration check_desc agent_desc check_rise check_fall check_health "
    "agent_rise agent_fall agent_health addr cookie mode algo conn_rate conn_rate_max conn_tot intercepted dcon dses"
).split()
"""
The columns of HAProxy's CSV. One that we do not count is empty, as HAProxy leaves those that do not apply.
"""

_COUNTED = {
    "scur": "in_flight",
    "smax": "peak",
    "bin": "bytes_in",
    "bout": "bytes_out",
    "dreq": "denied",
    "rate": "rate",
    "rate_max": "rate_peak",
    "hrsp_1xx": "responses_1xx",
    "hrsp_2xx": "responses_2xx",
    "hrsp_3xx": "responses_3xx",
    "hrsp_4xx": "responses_4xx",
    "hrsp_5xx": "responses_5xx",
    "hrsp_other": "responses_other",
    "req_tot": "requests",
}
_OF_FRONTENDS = {
    **_COUNTED,
    "stot": "connections",
    "ereq": "request_errors",
    "req_rate": "request_rate",
    "req_rate_max": "request_rate_peak",
    "conn_rate": "rate",
    "conn_rate_max": "rate_peak",
    "conn_tot": "connections",
}
_OF_BACKENDS = {
    **_COUNTED,
    "qcur": "waiting",
    "qmax": "waiting_peak",
    "stot": "requests",
    "lbtot": "requests",
    "econ": "connect_errors",
    "eresp": "response_errors",
    "wretr": "retries",
    "wredis": "redispatches",
    "cli_abrt": "client_aborts",
    "srv_abrt": "response_errors",
}
_KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "frontend": ("FRONTEND", "0", _OF_FRONTENDS),
    "backend": ("BACKEND", "1", _OF_BACKENDS),
    "server": ("", "2", _OF_BACKENDS),
}


def csv(totals: Iterable[Totals]) -> Iterator[str]:
    """
    HAProxy's CSV, line by line; `services,FRONTEND` is always there.

    Args:
        totals: asked for once; may be a generator.
    """
    yield "# " + ",".join(COLUMNS) + ",\n"
    number = place = 0
    for total in in_order(totals):
        if total is None:
            yield ""
            continue
        if total.kind == "server":
            place += 1
        yield _line(total, number + 2, place if total.kind == "server" else 0)
        if total.kind != "server":
            number, place = number + 1, 0


def in_order(totals: Iterable[Totals]) -> Iterator[Totals | None]:
    """
    As HAProxy shows them: the frontends (at least `services`), then the servers of each backend before the backend.

    Args:
        totals: as `gathered`: those of the same name become one.

    Yields:
        None after each step that gave nothing.
    """
    table: dict[tuple[str, str, str], Totals] = {}
    for _ in gathered(totals, table):
        yield None
    # Let go of piece by piece: at once, twenty thousand of them take longer than a slice has.
    rest = deque(table.values())
    while table:
        table.popitem()
        yield None
    frontends = [total for total in rest if total.kind == "frontend"]
    yield from frontends or [Totals("frontend", HTTP_FRONTEND, "", "", (0,) * len(FIELDS))]
    held: Totals | None = None
    while rest:
        total = rest.popleft()
        if total.kind == "backend":
            yield held
            held = total
        elif total.kind == "server":
            yield total
    yield held


def _line(total: Totals, proxy: int, server: int) -> str:
    counted = dict(zip(FIELDS, total.values, strict=True))
    name, kind, columns = _KINDS[total.kind]
    row = {column: str(counted[source]) for column, source in columns.items()}
    row |= {"pxname": _word(total.backend or HTTP_FRONTEND), "svname": _word(total.server or name), "type": kind}
    row |= {"pid": "1", "iid": str(proxy), "sid": str(server), "status": status(total), "mode": "http", "dresp": "0"}
    if total.kind == "frontend":
        row["rate_lim"] = "0"
    if total.kind != "frontend" and counted["requests"]:
        row["rtime"] = str(counted["latency_us"] // counted["requests"] // 1000)
    if total.limit is not None:
        row["slim"] = str(total.limit)
    if total.weight is not None:
        row["weight"] = str(total.weight)
    if total.active is not None:
        row |= {"act": str(total.active), "bck": "0"}
    row |= total.checked
    return ",".join(row.get(column, "") for column in COLUMNS) + ",\n"


def _word(name: str) -> str:
    """
    A name that is one field, whatever is in it (RFC 4180).
    """
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in ',"\r\n') else name


def status(total: Totals) -> str:
    """
    HAProxy's word: `OPEN` of a frontend, `UP`, or `DOWN` where a server is left out or a backend has none to use;
    of a server that the operator keeps from requests `DRAIN` or `MAINT`.
    """
    if total.state:
        return total.state
    if total.kind == "frontend":
        return "OPEN"
    return "DOWN" if total.up is False else "UP"
