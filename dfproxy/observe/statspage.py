"""
The statistics as a page for people: one line for each frontend, backend and server, in HAProxy's columns.

Made piece by piece, so that ten thousand services do not hold up anything else. Needs no script, and nothing from
elsewhere. Every name is escaped.

Source: HAProxy `stats enable`, `stats refresh`; contract 9.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from dfproxy.observe.haproxycsv import in_order, status
from dfproxy.observe.metrics import FIELDS
from dfproxy.observe.prometheus import HTTP_FRONTEND, Totals

REFRESH_S = 30
"""
Seconds after which a browser asks again (DFP: `stats refresh 30s`).
"""

_AT = {name: place for place, name in enumerate(FIELDS)}

_STYLE = """\
body{font:14px/1.4 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}
h1{font-size:1.3em;margin:0 0 .2em}
p{margin:.2em 0 1em;color:#555}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{border:1px solid #ddd;padding:2px 7px;text-align:right;white-space:nowrap}
th{background:#eef1f4;position:sticky;top:0}
td:first-child,th:first-child{text-align:left}
tbody tr.frontend td,tbody tr.backend td{background:#f7f9fb;font-weight:600}
tr.server td:first-child{padding-left:2em}
tr.up td.state{color:#176f2c}
tr.down td.state{background:#fbdcdc;color:#8f1313;font-weight:600}
@media(prefers-color-scheme:dark){body{background:#16191d;color:#ddd}p{color:#aaa}a{color:#7fb4ff}
th{background:#262c33}th,td{border-color:#3a424b}tbody tr.frontend td,tbody tr.backend td{background:#1e2329}
tr.up td.state{color:#6fd08c}tr.down td.state{background:#5a1d1d;color:#ffc9c9}}
"""

_GROUPS = (
    ("Queue", (("Now", "waiting"), ("Max", "waiting_peak"))),
    ("Per second", (("Now", "rate"), ("Max", "rate_peak"))),
    ("Sessions", (("Now", "in_flight"), ("Max", "peak"), ("Total", ""))),
    ("Bytes", (("In", "bytes_in"), ("Out", "bytes_out"))),
    ("Denied", (("Requests", "denied"),)),
    ("Errors", (("Requests", "request_errors"), ("Connect", "connect_errors"), ("Answers", "response_errors"))),
    ("Warnings", (("Retries", "retries"), ("Elsewhere", "redispatches"))),
    (
        "Answers",
        tuple((code, f"responses_{code}") for code in ("1xx", "2xx", "3xx", "4xx", "5xx")),
    ),
)


@dataclass(frozen=True, slots=True)
class About:
    """
    What stands above the table.

    Attributes:
        uri: where the page is.
        version: of dfproxy.
        host: name of this machine.
        pid: process that made the page.
        refreshes: the browser asks again by itself.
    """

    uri: str
    version: str
    host: str
    pid: int
    refreshes: bool = True


def page(totals: Iterable[Totals], about: About) -> Iterator[str]:
    """
    The page, in parts; some are empty.

    Args:
        totals: asked for once; may be a generator.
    """
    uri, host = escape(about.uri), escape(about.host)
    again = f'<meta http-equiv="refresh" content="{REFRESH_S}">\n' if about.refreshes else ""
    other = f'<a href="{uri}">with refresh</a>' if not about.refreshes else f'<a href="{uri};norefresh">no refresh</a>'
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{again}<title>Statistics of dfproxy on {host}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Statistics of dfproxy {escape(about.version)}</h1>\n"
        f'<p>{host}, all workers together; asked of process {about.pid}. <a href="{uri};csv">CSV</a>, {other}.</p>\n'
        f"<table>\n<thead>\n{_heads()}</thead>\n<tbody>\n"
    )
    for total in in_order(totals):
        yield "" if total is None else _row(total)
    yield "</tbody>\n</table>\n</body>\n</html>\n"


def _heads() -> str:
    groups = "".join(f'<th colspan="{len(columns)}">{name}</th>' for name, columns in _GROUPS)
    names = "".join(f"<th>{name}</th>" for _, columns in _GROUPS for name, _ in columns)
    rest = "".join(f'<th rowspan="2">{name}</th>' for name in ("Mean ms", "Weight", "Usable"))
    return f'<tr><th rowspan="2">Name</th><th rowspan="2">Status</th>{groups}{rest}</tr>\n<tr>{names}</tr>\n'


def _row(total: Totals) -> str:
    values = total.values
    session = "connections" if total.kind == "frontend" else "requests"
    cells = "".join(
        f"<td>{values[_AT[source or session]] if _applies(source, total) else ''}</td>"
        for _, columns in _GROUPS
        for _, source in columns
    )
    count = values[_AT["requests"]]
    mean = f"{values[_AT['latency_us']] / count / 1000:.1f}" if count and total.kind != "frontend" else ""
    name = total.server if total.kind == "server" else total.backend or HTTP_FRONTEND
    rest = "".join(f"<td>{'' if value is None else value}</td>" for value in (total.weight, total.active))
    said = status(total)
    return (
        f'<tr class="{total.kind} {"down" if said == "DOWN" else "up"}"><td>{escape(name)}</td>'
        f'<td class="state">{said}</td>{cells}<td>{mean}</td>{rest}</tr>\n'
    )


def _applies(source: str, total: Totals) -> bool:
    """
    HAProxy leaves empty what a kind does not count.
    """
    if total.kind == "frontend":
        return source not in (
            "waiting", "waiting_peak", "connect_errors", "response_errors", "retries", "redispatches"
        )  # fmt: skip
    return source != "request_errors"
