"""
`/metrics` for Prometheus, and `/v1/docker-flow-proxy/metrics` as HAProxy's CSV.

Source: contract 2.9, 9.2, 9.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from twisted.internet.defer import Deferred

from dfproxy.api.access import CallQueue
from dfproxy.api.control import Control
from dfproxy.api.request import Request, Verb
from dfproxy.api.slices import LongAnswer, Slices
from dfproxy.observe.metrics import FIELDS
from dfproxy.observe.prometheus import CONTENT_TYPE, HTTP_FRONTEND, Condition, Totals, exposition, gathered

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
    "stot": "requests",
    "bin": "bytes_in",
    "bout": "bytes_out",
    "econ": "connect_errors",
    "eresp": "response_errors",
    "wretr": "retries",
    "hrsp_1xx": "responses_1xx",
    "hrsp_2xx": "responses_2xx",
    "hrsp_3xx": "responses_3xx",
    "hrsp_4xx": "responses_4xx",
    "hrsp_5xx": "responses_5xx",
    "hrsp_other": "responses_other",
    "cli_abrt": "client_aborts",
}
_KINDS = {"frontend": ("FRONTEND", "0"), "backend": ("BACKEND", "1"), "server": ("", "2")}


class Metrics(Verb):
    """
    Everything counted, and what is in force, as Prometheus text.

    Args:
        control: what is asked.
        changes: the queue whose length is told.
        queue: who waits for his turn.
        slices: how the text is sent.
    """

    def __init__(self, control: Control, changes: CallQueue, queue: CallQueue, slices: Slices) -> None:
        super().__init__()
        self._control = control
        self._changes = changes
        self._queue = queue
        self._slices = slices

    def render(self, request: Request) -> int:
        """
        The same for every method.
        """
        return self._queue.render(request, self._scrape)

    async def _scrape(self, request: Request) -> None:
        asked = await cast("Deferred[list[Any]]", self._control.data_plane.query("ping", None))
        await self._slices.send(request, CONTENT_TYPE.encode(), self._text(asked))

    def _text(self, asked: list[Any]) -> Iterator[str]:
        """
        Args:
            asked: one answer of each data-plane process; None: none came.
        """
        control = self._control
        snapshot = control.publisher.snapshot
        routes = 0
        backends_up: dict[str, bool] = {}
        quarantined = control.quarantined()
        for service in snapshot.services.values():
            if service.name not in quarantined:
                routes += len(service.destinations)
            for destination in service.destinations:
                members = control.names.members_of(service.name, destination.index)
                backends_up[destination.backend_name] = bool(members) and service.name not in quarantined
            yield ""
        yield from exposition(
            control.totals(),
            Condition(
                revision=snapshot.revision.number,
                digest=snapshot.revision.digest,
                services=len(snapshot.services),
                routes=routes,
                workers=len(asked),
                workers_alive=sum(answer is not None for answer in asked),
                quarantined=quarantined,
                backends_up=backends_up,
                calls_running=self._changes.running,
                calls_waiting=self._changes.waiting,
                measures=tuple(control.measures()),
            ),
        )


class Statistics(LongAnswer):
    """
    The counters as HAProxy's CSV, from our own numbers.
    """

    async def _answer(self, request: Request) -> None:
        await self._slices.send(request, b"text/plain; charset=utf-8", csv(self._control.totals()))


def csv(totals: Iterable[Totals]) -> Iterator[str]:
    """
    HAProxy's CSV, line by line; `services,FRONTEND` is always there.

    Args:
        totals: asked for once; may be a generator.
    """
    table: dict[tuple[str, str, str], Totals] = {}
    for _ in gathered(totals, table):
        yield ""
    yield "# " + ",".join(COLUMNS) + ",\n"
    if not any(total.kind == "frontend" for total in table.values()):
        yield _line(Totals("frontend", HTTP_FRONTEND, "", "", (0,) * len(FIELDS)))
    for total in table.values():
        yield _line(total)


def _line(total: Totals) -> str:
    counted = dict(zip(FIELDS, total.values, strict=True))
    name, kind = _KINDS[total.kind]
    row = {column: str(counted[source]) for column, source in _COUNTED.items()}
    row |= {"pxname": total.backend or HTTP_FRONTEND, "svname": total.server or name, "type": kind, "mode": "http"}
    row |= {"pid": "1", "status": _status(total)}
    if total.kind == "frontend":
        row |= {"stot": str(counted["connections"]), "conn_tot": str(counted["connections"])}
        row |= {"req_tot": str(counted["requests"])}
    if total.weight is not None:
        row["weight"] = str(total.weight)
    return ",".join(row.get(column, "") for column in COLUMNS) + ",\n"


def _status(total: Totals) -> str:
    if total.kind == "frontend":
        return "OPEN"
    return "DOWN" if total.up is False else "UP"
