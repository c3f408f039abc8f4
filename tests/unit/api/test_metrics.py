"""
`/metrics` for Prometheus, and the counters as HAProxy's CSV.
"""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.distribute import NO_REPLICAS, Replicas
from dfproxy.control.asking import Said, Unanswered
from dfproxy.model.snapshot import ServerAddress
from dfproxy.observe.metrics import FIELDS
from dfproxy.observe.prometheus import Totals, gauge
from tests.unit.api.caller import Api
from tests.unit.api.services import service, snapshot


def values(**counted: int) -> tuple[int, ...]:
    return tuple(counted.get(name, 0) for name in FIELDS)


TOTALS = (
    Totals("frontend", "", "", "", values(requests=9, connections=4, in_flight=2, bytes_in=10, responses_2xx=8)),
    Totals("backend", "a-be8080_0", "a", "", values(requests=7, responses_5xx=1, retries=3, connect_errors=2)),
    Totals("server", "a-be8080_0", "a", "a_0", values(requests=7, bytes_out=5), up=False, weight=3),
)


class PrometheusTests(SynchronousTestCase):
    def test_measures(self) -> None:
        """
        What parts of the control plane tell of themselves is there.
        """
        api = Api(more={"measures": lambda: (gauge("dfproxy_dns_names", "Names.", 3),)})
        self.assertEqual(self.scrape(api)["dfproxy_dns_names", ()], 3)

    def scrape(self, api: Api, target: str = "/metrics") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """
        All samples, as Prometheus' own parser reads them.
        """
        said = api.call("GET", target)
        self.assertEqual((said.status, said.headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(said.body.decode())
            for sample in family.samples
        }

    def test_scrape(self) -> None:
        """
        Counters under DFP's names, what is in force, and who is alive.
        """
        api = Api(more={"totals": lambda: iter(TOTALS), "quarantined": lambda: {"b": 'no "plugin"'}})
        api.publisher.snapshot = snapshot(service("a"), service("b"), service("c"))
        api.names.known["a", 0] = api.names.known["b", 0] = (ServerAddress("10.0.0.1", 8080),)
        api.data_plane.answers = [{}, None, {}]
        found = self.scrape(api)
        for name, labels, value in (
            ("haproxy_up", {}, 1),
            ("haproxy_frontend_http_requests_total", {"frontend": "services"}, 9),
            ("haproxy_backend_http_responses_total", {"backend": "a-be8080_0", "code": "5xx"}, 1),
            ("haproxy_backend_up", {"backend": "a-be8080_0"}, 1),
            ("haproxy_backend_up", {"backend": "b-be8080_0"}, 0),
            ("haproxy_backend_up", {"backend": "c-be8080_0"}, 0),
            ("haproxy_server_up", {"backend": "a-be8080_0", "server": "a_0"}, 0),
            ("dfproxy_requests_total", {"service": "a", "backend": "a-be8080_0"}, 7),
            ("dfproxy_revision", {}, 3),
            ("dfproxy_revision_info", {"digest": f"{3:032x}"}, 1),
            ("dfproxy_services", {}, 3),
            ("dfproxy_routes", {}, 2),
            ("dfproxy_workers", {}, 3),
            ("dfproxy_workers_alive", {}, 2),
            ("dfproxy_service_quarantined", {"service": "b", "reason": 'no "plugin"'}, 1),
        ):
            self.assertEqual(found.get((name, tuple(sorted(labels.items())))), value, name)
        self.assertEqual(api.data_plane.calls, [("query", "ping")])

    def test_exporter_names(self) -> None:
        """
        Every name that DFP's dashboards and alerts know (contract 9.3), but for what only active checks can tell.
        """
        totals = (
            Totals("frontend", "", "", "", values(), limit=900),
            Totals("backend", "a-be8080_0", "a", "", values(), up=True, weight=2, active=1),
            Totals("server", "a-be8080_0", "a", "a_0", values(), up=True, weight=2),
        )
        api = Api(more={"totals": lambda: iter(totals)})
        api.publisher.snapshot = snapshot(service("a"))
        names = {name for name, _ in self.scrape(api)}
        both = (
            "current_queue max_queue current_sessions max_sessions connections_total bytes_in_total bytes_out_total "
            "connection_errors_total response_errors_total retry_warnings_total redispatch_warnings_total up weight "
            "current_session_rate max_session_rate http_responses_total"
        ).split()
        wanted = {f"haproxy_{side}_{name}" for side in ("backend", "server") for name in both}
        wanted |= {
            f"haproxy_frontend_{name}"
            for name in (
                "current_sessions max_sessions limit_sessions connections_total bytes_in_total bytes_out_total "
                "requests_denied_total request_errors_total current_session_rate limit_session_rate max_session_rate "
                "http_responses_total http_requests_total"
            ).split()
        }
        wanted |= {"haproxy_up", "haproxy_exporter_total_scrapes", "haproxy_exporter_csv_parse_failures"}
        wanted |= {"haproxy_exporter_build_info"}
        self.assertEqual(wanted - names, set())

    def test_of_services(self) -> None:
        """
        `service=` tells of these services only, and of nothing else.
        """
        totals = (
            *TOTALS,
            Totals("backend", "b-be8080_0", "b", "", values(requests=1)),
            Totals("backend", "c-be8080_0", "c", "", values(requests=2)),
        )
        api = Api(more={"totals": lambda: iter(totals)})
        api.publisher.snapshot = snapshot(service("a"), service("b"), service("c"))
        for query, wanted in (
            ("service=a", {"a-be8080_0"}),
            ("service=b,c", {"b-be8080_0", "c-be8080_0"}),
            ("service=a&service=b", {"a-be8080_0", "b-be8080_0"}),
            ("service=none", set()),
        ):
            found = self.scrape(api, f"/metrics?{query}")
            told = {dict(labels)["backend"] for _, labels in found if labels}
            self.assertEqual(told, wanted, query)
            self.assertEqual({name for name, labels in found if not labels}, {"haproxy_up"}, query)

    def test_nothing(self) -> None:
        """
        Without services the scrape still says that we are up.
        """
        self.assertEqual(self.scrape(Api())["haproxy_up", ()], 1)


class StatisticsTests(SynchronousTestCase):
    def rows(self, api: Api) -> list[dict[str, Any]]:
        said = api.call("GET", "metrics")
        self.assertEqual((said.status, said.headers["content-type"]), (200, "text/plain; charset=utf-8"))
        text = said.body.decode()
        self.assertTrue(text.startswith("# pxname,svname,qcur,"))
        self.assertTrue(text.splitlines()[0].endswith(",dses,"))
        return list(csv.DictReader(io.StringIO(text[2:])))

    def test_counters(self) -> None:
        """
        One line for each frontend, backend and server, each field under its column.
        """
        frontend, server, backend = self.rows(Api(more={"totals": lambda: TOTALS}))
        self.assertEqual((frontend["pxname"], frontend["svname"], frontend["type"]), ("services", "FRONTEND", "0"))
        self.assertEqual((frontend["stot"], frontend["req_tot"], frontend["scur"]), ("4", "9", "2"))
        self.assertEqual((frontend["bin"], frontend["hrsp_2xx"], frontend["status"]), ("10", "8", "OPEN"))
        self.assertEqual((backend["pxname"], backend["svname"], backend["type"]), ("a-be8080_0", "BACKEND", "1"))
        self.assertEqual((backend["econ"], backend["wretr"], backend["hrsp_5xx"]), ("2", "3", "1"))
        self.assertEqual((server["svname"], server["type"], server["status"]), ("a_0", "2", "DOWN"))
        self.assertEqual((server["weight"], server["stot"], server["bout"]), ("3", "7", "5"))

    def test_nothing(self) -> None:
        """
        The frontend is there from the start.
        """
        (row,) = self.rows(Api())
        self.assertEqual((row["pxname"], row["svname"], row["stot"]), ("services", "FRONTEND", "0"))

    def test_of_services(self) -> None:
        """
        Of one service only its lines.
        """
        said = Api(more={"totals": lambda: TOTALS}).call("GET", "metrics?service=a")
        names = [line.split(",")[1] for line in said.body.decode().splitlines()[1:]]
        self.assertEqual(names, ["FRONTEND", "a_0", "BACKEND"])

    def test_replicas(self) -> None:
        """
        `distribute=true`: what every replica says, one after the other, each asked for its own only.
        """
        asked: list[tuple[str, str]] = []

        def ask(method: str, url: str, within_s: float, limit: int, body: bytes, headers: Any) -> Deferred[Said]:
            asked.append((method, url))
            return succeed(Said(200, b"# theirs"))

        asking: Any = SimpleNamespace(ask=ask)
        replicas = Replicas(Clock(), lambda: succeed(("10.0.0.2", "10.0.0.3")), asking, lambda: 8080)
        said = Api(more={"totals": lambda: TOTALS, "replicas": replicas}).call("GET", "metrics?distribute=true")
        self.assertEqual(said.status, 200)
        self.assertTrue(said.body.decode().endswith(",\n# theirs\n# theirs\n"), said.body[-40:])
        path = "/v1/docker-flow-proxy/metrics?distribute=false"
        self.assertEqual(asked, [("GET", f"http://10.0.0.{number}:8080{path}") for number in (2, 3)])

    def test_replica_fails(self) -> None:
        """
        One that does not answer, or none that can be known: 500 with the reason, not half of the numbers.
        """

        def ask(*_: Any) -> Deferred[Said]:
            return fail(Unanswered("refused"))

        asking: Any = SimpleNamespace(ask=ask)
        replicas = Replicas(Clock(), lambda: succeed(("10.0.0.2",)), asking, lambda: 8080)
        said = Api(more={"totals": lambda: TOTALS, "replicas": replicas}).call("GET", "metrics?distribute=true")
        self.assertEqual((said.status, "10.0.0.2: refused" in said.json["Message"]), (500, True))
        said = Api(more={"totals": lambda: TOTALS}).call("GET", "metrics?distribute=true")
        self.assertEqual((said.status, said.json["Message"]), (500, NO_REPLICAS))

    def test_columns(self) -> None:
        """
        HAProxy 1.8's columns by number: type is the 33rd, hrsp_1xx the 40th, there are 83.
        """
        said = Api().call("GET", "metrics").body.decode()
        columns = said.splitlines()[0][2:].split(",")
        self.assertEqual((columns[32], columns[39], columns[17]), ("type", "hrsp_1xx", "status"))
        self.assertEqual(len(said.splitlines()[1].split(",")), len(columns))
