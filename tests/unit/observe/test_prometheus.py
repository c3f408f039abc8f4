"""
Counters as Prometheus text.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.observe.metrics import FIELDS
from dfproxy.observe.prometheus import Condition, Measure, Totals, counter, escape, exposition, gathered, gauge

NOTHING = Condition(revision=0, digest="0" * 32, services=0, routes=0, workers=1, workers_alive=1)


def values(**counted: int) -> tuple[int, ...]:
    return tuple(counted.get(name, 0) for name in FIELDS)


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(totals: list[Totals], condition: Condition = NOTHING) -> Samples:
    """
    All samples by name and labels; a doubled one raises.
    """
    found: Samples = {}
    for family in text_string_to_metric_families("".join(exposition(totals, condition))):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            if key in found:
                raise AssertionError(f"doubled: {key}")
            found[key] = sample.value
    return found


class ExpositionTests(SynchronousTestCase):
    def test_every_field(self) -> None:
        """
        Each counter arrives under its own name, with the unit that the name says.
        """
        counted = {name: position + 1 for position, name in enumerate(FIELDS)}
        everything = values(**counted)
        found = parsed(
            [
                Totals("frontend", "", "", "", everything),
                Totals("backend", "b", "s", "", everything),
                Totals("server", "b", "s", "s_0", everything, True, 7),
            ]
        )
        for side, labels in (
            ("backend", (("backend", "b"),)),
            ("server", (("backend", "b"), ("server", "s_0"))),
        ):
            for name, source in (
                ("current_sessions", "in_flight"),
                ("connections_total", "requests"),
                ("bytes_in_total", "bytes_in"),
                ("bytes_out_total", "bytes_out"),
                ("connection_errors_total", "connect_errors"),
                ("response_errors_total", "response_errors"),
                ("retry_warnings_total", "retries"),
            ):
                self.assertEqual(found[f"haproxy_{side}_{name}", labels], counted[source], name)
            for code in ("1xx", "2xx", "3xx", "4xx", "5xx", "other"):
                key = (f"haproxy_{side}_http_responses_total", tuple(sorted((*labels, ("code", code)))))
                self.assertEqual(found[key], counted[f"responses_{code}"])
        frontend = (("frontend", "services"),)
        for name, source in (
            ("current_sessions", "in_flight"),
            ("connections_total", "connections"),
            ("bytes_in_total", "bytes_in"),
            ("bytes_out_total", "bytes_out"),
            ("http_requests_total", "requests"),
        ):
            self.assertEqual(found[f"haproxy_frontend_{name}", frontend], counted[source], name)
        own = (("backend", "b"), ("service", "s"))
        for name, value in (
            ("dfproxy_requests_total", counted["requests"]),
            ("dfproxy_requests_in_flight", counted["in_flight"]),
            ("dfproxy_response_latency_seconds_sum", counted["latency_us"] / 1_000_000),
            ("dfproxy_response_latency_seconds_count", counted["requests"]),
            ("dfproxy_connect_errors_total", counted["connect_errors"]),
            ("dfproxy_retries_total", counted["retries"]),
            ("dfproxy_client_aborts_total", counted["client_aborts"]),
        ):
            self.assertEqual(found[name, own], value, name)
        self.assertEqual(found["haproxy_server_up", (("backend", "b"), ("server", "s_0"))], 1)
        self.assertEqual(found["haproxy_server_weight", (("backend", "b"), ("server", "s_0"))], 7)

    def test_servers_out(self) -> None:
        """
        Servers that get nothing new are told with the reason, those that do are not; what checks count only grows.
        """
        checked = {"chkfail": "3", "downtime": "60", "check_duration": "2"}
        servers = (
            ("s_0", True, "UP"),
            ("s_1", True, "UP 2/3"),
            ("s_2", False, "DRAIN"),
            ("s_3", False, "MAINT"),
            ("s_4", False, "DOWN 1/2"),
        )
        totals = [
            Totals("server", "b", "s", name, values(), up, 1, state=state, checked=checked)
            for name, up, state in servers
        ]
        out = {
            dict(labels)["server"]: dict(labels)["state"]
            for name, labels in parsed(totals)
            if name == "dfproxy_server_state"
        }
        self.assertEqual(out, {"s_2": "DRAIN", "s_3": "MAINT", "s_4": "DOWN"})
        text = "".join(exposition(totals, NOTHING))
        self.assertIn("# TYPE haproxy_server_check_failures_total counter\n", text)
        self.assertIn("# TYPE haproxy_server_downtime_seconds_total counter\n", text)
        self.assertIn("# TYPE haproxy_server_check_duration_milliseconds gauge\n", text)

    def test_unknown_state(self) -> None:
        """
        Of a server whose state is not known nothing is claimed.
        """
        names = {name for name, _ in parsed([Totals("server", "b", "s", "s_0", values())])}
        self.assertFalse({"haproxy_server_up", "haproxy_server_weight"} & names)

    def test_doubled(self) -> None:
        """
        Two counts of one backend are one sample, their sum: a doubled one would spoil the whole scrape.
        """
        found = parsed([Totals("backend", "b", "s", "", values(requests=n)) for n in (2, 3)])
        self.assertEqual(found["haproxy_backend_connections_total", (("backend", "b"),)], 5)

    def test_big_numbers(self) -> None:
        """
        Counters above 2^53 are written digit by digit.
        """
        text = "".join(exposition([Totals("backend", "b", "s", "", values(bytes_out=2**63 + 1))], NOTHING))
        self.assertIn(f'haproxy_backend_bytes_out_total{{backend="b"}} {2**63 + 1}\n', text)

    def test_families_together(self) -> None:
        """
        All samples of one metric stand together under its one type, as the format asks.
        """
        totals = [Totals("backend", f"b{n}", "s", "", values()) for n in range(200)]
        totals += [Totals("server", f"b{n}", "s", "x", values(), True, 1) for n in range(200)]
        heads = [
            line for part in exposition(totals, NOTHING) for line in part.splitlines() if line.startswith("# TYPE")
        ]
        self.assertEqual(len(heads), len(set(heads)))

    def test_parts(self) -> None:
        """
        Ten thousand services come in parts of some hundred lines at most, each of whole lines.
        """
        totals = [Totals("backend", f"b{n}", f"s{n}", "", values()) for n in range(2000)]
        for part in exposition(totals, NOTHING):
            self.assertLessEqual(part.count("\n"), 80)
            self.assertTrue(not part or part.endswith("\n"))

    def test_measures(self) -> None:
        """
        What parts of the control plane tell of themselves stands beside the counters.
        """
        told = (
            gauge("dfproxy_g", "G.", 1.5),
            counter("dfproxy_c_total", "C.", 3),
            Measure("dfproxy_s", "summary", "S.", (("_sum", 0.25), ("_count", 2))),
            Measure("dfproxy_l", "gauge", "L.", (('{a="x"}', 1), ('{a="y"}', 0))),
        )
        found = parsed([], replace(NOTHING, measures=told))
        names = ("dfproxy_g", "dfproxy_c_total", "dfproxy_s_sum", "dfproxy_s_count")
        self.assertEqual([found[name, ()] for name in names], [1.5, 3, 0.25, 2])
        self.assertEqual([found["dfproxy_l", (("a", letter),)] for letter in "xy"], [1, 0])

    @given(st.text(max_size=40), st.text(max_size=40))
    def test_any_name(self, service: str, reason: str) -> None:
        """
        Whatever is in a name or a reason, the text stays readable, and the label is what it was.
        """
        found = parsed(
            [Totals("backend", "b", service, "", values())],
            Condition(1, "0", 1, 1, 1, 1, quarantined={service: reason}),
        )
        labels = [dict(labels) for name, labels in found if name == "dfproxy_service_quarantined"]
        self.assertEqual(labels, [{"service": service, "reason": reason}])

    def test_escape(self) -> None:
        """
        Backslash, quote and line break are escaped, nothing else.
        """
        self.assertEqual(escape("a\\b\"c\nd'é"), "a\\\\b\\\"c\\nd'é")


class GatheredTests(SynchronousTestCase):
    def test_one_each_step(self) -> None:
        """
        Totals are asked for one by one, so that collecting can pause anywhere.
        """
        into: dict[tuple[str, str, str], Totals] = {}
        steps = gathered((Totals("backend", f"b{n}", "s", "", values()) for n in range(5)), into)
        next(steps)
        self.assertEqual(len(into), 1)
        self.assertEqual(len(list(steps)), 4)
        self.assertEqual(len(into), 5)
