"""
Counters as Prometheus text: DFP's names (`haproxy_*`) so that its dashboards go on, and our own (`dfproxy_*`).

Only words are decided here; who counts, and how often it is asked, is decided elsewhere. Everything is made by
generators, so that the text of ten thousand services can be written in slices.

Source: Prometheus exposition formats, text format 0.0.4; names of the HAProxy exporter as DFP serves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from dfproxy.observe.metrics import FIELDS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

HTTP_FRONTEND = "services"
"""
What DFP calls the frontend of all HTTP listeners.
"""

_PART = 64
"""
Lines in one part of the text. Some 6 KiB: a part costs well below a millisecond, and joining parts costs nothing.
"""

_AT = {name: position for position, name in enumerate(FIELDS)}
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")

Kind = Literal["frontend", "backend", "server"]


@dataclass(frozen=True, slots=True)
class Totals:
    """
    What was counted for one frontend, backend or server, in all processes together.

    Attributes:
        kind: which of the three.
        backend: name of the backend, such as `go-demo-be8080_0`; of a frontend: its name, or empty for `services`.
        service: name of the service; empty for a frontend.
        server: name of the server, such as `go-demo_0`; empty unless it is one.
        values: in the order of `dfproxy.observe.metrics.FIELDS`.
        up: may be used now; None: not known.
        weight: share relative to the others; of a backend the sum; None: not known.
        active: servers of a backend that may be used; None: not known.
        limit: most sessions at once; None: there is no limit.
        state: HAProxy's word for it; empty: as `up` says.
        checked: HAProxy's columns about its checks; empty: there are none.
    """

    kind: Kind
    backend: str
    service: str
    server: str
    values: tuple[int, ...]
    up: bool | None = None
    weight: int | None = None
    active: int | None = None
    limit: int | None = None
    state: str = ""
    checked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measure:
    """
    A metric that some part of the control plane tells of itself.

    Attributes:
        name: as scraped.
        type: `counter`, `gauge` or `summary`.
        help: one line.
        samples: what follows the name (labels in braces, or the suffix of a summary) and the value.
    """

    name: str
    type: str
    help: str
    samples: tuple[tuple[str, float], ...]


def gauge(name: str, text: str, value: float) -> Measure:
    """
    A number that rises and falls.
    """
    return Measure(name, "gauge", text, (("", value),))


def counter(name: str, text: str, value: float) -> Measure:
    """
    A number that only grows.
    """
    return Measure(name, "counter", text, (("", value),))


@dataclass(frozen=True, slots=True)
class Condition:
    """
    What is told beside the counters.

    Attributes:
        revision: number of the revision in force.
        digest: its content hash.
        services: how many are published.
        routes: how many routes the table has.
        workers: data-plane processes asked.
        workers_alive: those that answered.
        quarantined: service -> why it is not served.
        backends_up: backend -> whether it has a server.
        calls_running: control calls under way.
        calls_waiting: control calls that wait for their turn.
        measures: what parts of the control plane tell of themselves.
        scrapes: how often `/metrics` was asked, with this time.
        version: of dfproxy.
        only: services that are told of, and nothing else is; None: all.
    """

    revision: int
    digest: str
    services: int
    routes: int
    workers: int
    workers_alive: int
    quarantined: Mapping[str, str] = field(default_factory=dict)
    backends_up: Mapping[str, bool] = field(default_factory=dict)
    calls_running: int = 0
    calls_waiting: int = 0
    measures: tuple[Measure, ...] = ()
    scrapes: int = 0
    version: str = ""
    only: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class _Family:
    """
    One metric made from one field of each total of a kind.

    Attributes:
        name: as scraped.
        type: `counter`, `gauge` or `summary`.
        help: one line.
        samples: suffix of the name, further labels (`,code="2xx"` or nothing), position of the value, divisor.
    """

    name: str
    type: str
    help: str
    samples: tuple[tuple[str, str, int, int], ...]


def _one(name: str, kind: str, text: str, source: str) -> _Family:
    return _Family(name, kind, text, (("", "", _AT[source], 1),))


def _by_class(name: str, text: str) -> _Family:
    return _Family(
        name, "counter", text, tuple(("", f',code="{code}"', _AT[f"responses_{code}"], 1) for code in _CLASSES)
    )


# DFP's exporter called all of these gauges; Prometheus asks nothing of the type, and counters is what they are.
_FRONTEND = (
    _one("haproxy_frontend_current_sessions", "gauge", "Client connections now.", "in_flight"),
    _one("haproxy_frontend_max_sessions", "gauge", "Most client connections seen at once.", "peak"),
    _one("haproxy_frontend_connections_total", "counter", "Client connections accepted.", "connections"),
    _one("haproxy_frontend_current_session_rate", "gauge", "Client connections of the last second.", "rate"),
    _one("haproxy_frontend_max_session_rate", "gauge", "Most client connections in a second.", "rate_peak"),
    _one("haproxy_frontend_requests_denied_total", "counter", "Requests denied by rules.", "denied"),
    _one("haproxy_frontend_request_errors_total", "counter", "Requests that could not be read.", "request_errors"),
    _one("haproxy_frontend_bytes_in_total", "counter", "Bytes from clients.", "bytes_in"),
    _one("haproxy_frontend_bytes_out_total", "counter", "Bytes to clients.", "bytes_out"),
    _by_class("haproxy_frontend_http_responses_total", "Responses by class."),
    _one("haproxy_frontend_http_requests_total", "counter", "Requests.", "requests"),
    _one(
        "dfproxy_connections_refused_total",
        "counter",
        "Client connections closed at once: there were as many as may be.",
        "connect_errors",
    ),
)

_BACKEND = tuple(
    family
    for side in ("backend", "server")
    for family in (
        _one(f"haproxy_{side}_current_queue", "gauge", "Exchanges that wait for a server.", "waiting"),
        _one(f"haproxy_{side}_max_queue", "gauge", "Most exchanges seen waiting at once.", "waiting_peak"),
        _one(f"haproxy_{side}_current_sessions", "gauge", "Exchanges under way.", "in_flight"),
        _one(f"haproxy_{side}_max_sessions", "gauge", "Most exchanges seen under way at once.", "peak"),
        _one(f"haproxy_{side}_current_session_rate", "gauge", "Exchanges of the last second.", "rate"),
        _one(f"haproxy_{side}_max_session_rate", "gauge", "Most exchanges in a second.", "rate_peak"),
        _one(f"haproxy_{side}_connections_total", "counter", "Exchanges so far.", "requests"),
        _one(f"haproxy_{side}_bytes_in_total", "counter", "Bytes of requests.", "bytes_in"),
        _one(f"haproxy_{side}_bytes_out_total", "counter", "Bytes of responses.", "bytes_out"),
        _one(f"haproxy_{side}_connection_errors_total", "counter", "Failed connects.", "connect_errors"),
        _one(f"haproxy_{side}_response_errors_total", "counter", "Broken or missing responses.", "response_errors"),
        _one(f"haproxy_{side}_retry_warnings_total", "counter", "Attempts repeated.", "retries"),
        _one(f"haproxy_{side}_redispatch_warnings_total", "counter", "Attempts at another server.", "redispatches"),
        _by_class(f"haproxy_{side}_http_responses_total", "Responses by class."),
    )
)

_OWN = (
    _one("dfproxy_requests_total", "counter", "Requests of a backend.", "requests"),
    _by_class("dfproxy_responses_total", "Responses of a backend by class."),
    _one("dfproxy_requests_in_flight", "gauge", "Exchanges under way at a backend.", "in_flight"),
    _Family(
        "dfproxy_response_latency_seconds",
        "summary",
        "Seconds from the head of a request to the head of its answer.",
        (("_sum", "", _AT["latency_us"], 1_000_000), ("_count", "", _AT["requests"], 1)),
    ),
    _one("dfproxy_connect_errors_total", "counter", "Failed connects to servers of a backend.", "connect_errors"),
    _one("dfproxy_retries_total", "counter", "Attempts repeated, of a backend.", "retries"),
    _one("dfproxy_client_aborts_total", "counter", "Exchanges that the client left.", "client_aborts"),
)


_CHECKED = (
    ("haproxy_server_check_failures_total", "counter", "Checks that failed while the server was up.", "chkfail"),
    ("haproxy_server_downtime_seconds_total", "counter", "Seconds that the server was down.", "downtime"),
    ("haproxy_server_check_duration_milliseconds", "gauge", "How long its last check took.", "check_duration"),
)
"""
Metrics of servers that are checked.
"""


def escape(value: str) -> str:
    """
    A label value as the text format wants it.
    """
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def gathered(totals: Iterable[Totals], into: dict[tuple[str, str, str], Totals]) -> Iterator[None]:
    """
    Collect totals, one each step; those of the same kind, backend and server become their sum.

    A doubled sample would make Prometheus throw away the whole scrape.

    Args:
        into: what is filled.
    """
    for total in totals:
        key = (total.kind, total.backend, total.server)
        known = into.get(key)
        if known is not None:
            summed = tuple(a + b for a, b in zip(known.values, total.values, strict=True))
            total = replace(total, service=total.service or known.service, values=summed)
        into[key] = total
        yield None


def exposition(totals: Iterable[Totals], condition: Condition) -> Iterator[str]:
    """
    The whole answer to a scrape, in parts that each take well below a millisecond; some are empty.

    Args:
        totals: asked for once; may be a generator.
        condition: what is told beside them.

    Yields:
        Text, always whole lines.
    """
    table: dict[tuple[str, str, str], Totals] = {}
    for count, _ in enumerate(gathered(totals, table)):
        if count % _PART == 0:
            yield ""
    frontends, backends, servers = [], [], []
    own_labels: list[tuple[str, Totals]] = []
    for count, total in enumerate(table.values()):
        if total.kind == "frontend":
            frontends.append((f'frontend="{escape(total.backend or HTTP_FRONTEND)}"', total))
        elif total.kind == "backend":
            backends.append((f'backend="{escape(total.backend)}"', total))
            own_labels.append((f'service="{escape(total.service)}",backend="{escape(total.backend)}"', total))
        else:
            servers.append((f'backend="{escape(total.backend)}",server="{escape(total.server)}"', total))
        if count % _PART == 0:
            yield ""
    yield "# HELP haproxy_up Always 1: this proxy is asked directly.\n# TYPE haproxy_up gauge\nhaproxy_up 1\n"
    for family in _FRONTEND:
        yield from _family(family, frontends)
    yield from _flags(
        "haproxy_frontend_limit_sessions",
        "Most client connections at once, of all workers.",
        (f"{{{labels}}} {total.limit}" for labels, total in frontends if total.limit is not None),
    )
    yield from _flags(
        "haproxy_frontend_limit_session_rate",
        "Most client connections in a second; 0: no limit.",
        (f"{{{labels}}} 0" for labels, _ in frontends),
    )
    half = len(_BACKEND) // 2
    for family in _BACKEND[:half]:
        yield from _family(family, backends)
    yield from _flags(
        "haproxy_backend_up",
        "Whether the backend has a server.",
        (f'{{backend="{escape(name)}"}} {int(up)}' for name, up in _usable(backends, condition)),
    )
    yield from _flags(
        "haproxy_backend_weight",
        "Shares of all servers that may be used.",
        (f"{{{labels}}} {total.weight}" for labels, total in backends if total.weight is not None),
    )
    for family in _BACKEND[half:]:
        yield from _family(family, servers)
    yield from _flags(
        "haproxy_server_up",
        "Whether the server may be used.",
        (f"{{{labels}}} {int(total.up)}" for labels, total in servers if total.up is not None),
    )
    yield from _flags(
        "haproxy_server_weight",
        "Share relative to the other servers.",
        (f"{{{labels}}} {total.weight}" for labels, total in servers if total.weight is not None),
    )
    yield from _flags(
        "dfproxy_server_state",
        "Always 1; servers that get no new requests, and why: DOWN, or DRAIN or MAINT by order.",
        (
            f'{{{labels},state="{total.state.split()[0]}"}} 1'
            for labels, total in servers
            if total.state and total.up is False
        ),
    )
    for name, kind, text, column in _CHECKED:
        samples = (f"{{{labels}}} {total.checked[column]}" for labels, total in servers if column in total.checked)
        yield from _flags(name, text, samples, kind)
    for family in _OWN:
        yield from _family(family, own_labels)
    # Let go of piece by piece: at once, twenty thousand of them hold everything up for ten milliseconds.
    while table:
        for _ in range(min(_PART, len(table))):
            table.popitem()
        yield ""
    for listed in (backends, servers, own_labels):
        while listed:
            del listed[-_PART:]
            yield ""
    if condition.only is None:
        yield from _exporter(condition)
        yield from _own_condition(condition)


def _usable(backends: list[tuple[str, Totals]], condition: Condition) -> Iterator[tuple[str, bool]]:
    """
    Each backend, and whether it has a server that may be used now.
    """
    down = {total.backend for _, total in backends if total.up is False}
    for name, up in condition.backends_up.items():
        yield name, up and name not in down


def _family(family: _Family, labelled: list[tuple[str, Totals]]) -> Iterator[str]:
    """
    All samples of one metric; nothing at all if there are none.
    """
    if not labelled:
        return
    lines = [f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n"]
    for labels, total in labelled:
        values = total.values
        for suffix, further, position, divisor in family.samples:
            value: float = values[position] if divisor == 1 else values[position] / divisor
            lines.append(f"{family.name}{suffix}{{{labels}{further}}} {value}\n")
        if len(lines) >= _PART:
            yield "".join(lines)
            lines = []
    yield "".join(lines)


def _flags(name: str, text: str, samples: Iterable[str], kind: str = "gauge") -> Iterator[str]:
    """
    A gauge (or what `kind` says) whose samples are written already.
    """
    lines: list[str] = []
    head = f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for sample in samples:
        lines.append(f"{head}{name}{sample}\n")
        head = ""
        if len(lines) >= _PART:
            yield "".join(lines)
            lines = []
    yield "".join(lines)


def _exporter(condition: Condition) -> Iterator[str]:
    """
    What the HAProxy exporter tells of itself: dashboards ask for it. Gauges as there: a counter would be called
    `..._total`.
    """
    yield (
        "# HELP haproxy_exporter_total_scrapes Scrapes so far.\n# TYPE haproxy_exporter_total_scrapes gauge\n"
        f"haproxy_exporter_total_scrapes {condition.scrapes}\n"
        "# HELP haproxy_exporter_csv_parse_failures Always 0: nothing is parsed.\n"
        "# TYPE haproxy_exporter_csv_parse_failures gauge\nhaproxy_exporter_csv_parse_failures 0\n"
    )
    yield from _flags(
        "haproxy_exporter_build_info",
        "Always 1; the label is the version of dfproxy.",
        (f'{{version="{escape(condition.version)}"}} 1',),
    )


def _own_condition(condition: Condition) -> Iterator[str]:
    """
    What is in force, and who serves it.
    """
    for name, text, value in (
        ("dfproxy_revision", "Number of the definitions in force.", condition.revision),
        ("dfproxy_services", "Services published.", condition.services),
        ("dfproxy_routes", "Routes in force.", condition.routes),
        ("dfproxy_workers", "Data-plane processes.", condition.workers),
        ("dfproxy_workers_alive", "Data-plane processes that answered within the scrape.", condition.workers_alive),
        ("dfproxy_api_calls_running", "Control calls under way.", condition.calls_running),
        ("dfproxy_api_calls_waiting", "Control calls that wait for their turn.", condition.calls_waiting),
    ):
        yield from _flags(name, text, (f" {value}",))
    yield from _flags(
        "dfproxy_revision_info",
        "Always 1; the label is the content hash of the definitions in force.",
        (f'{{digest="{escape(condition.digest)}"}} 1',),
    )
    yield from _flags(
        "dfproxy_service_quarantined",
        "Always 1; services that could not be loaded, and why.",
        (f'{{service="{escape(name)}",reason="{escape(reason)}"}} 1' for name, reason in condition.quarantined.items()),
    )
    for measure in condition.measures:
        head = f"# HELP {measure.name} {measure.help}\n# TYPE {measure.name} {measure.type}\n"
        yield head + "".join(f"{measure.name}{suffix} {value}\n" for suffix, value in measure.samples)
