"""
Which proxies do which work, and what is to be reached against each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import throughput
from bench.load import Run
from bench.machine import Bench, NotStarted
from bench.proxies import Proxy
from bench.report import Report
from bench.servers import Backends

# Requests per CPU second of each proxy.
RATES = {"HAProxy": 10_000, "nginx": 5_000, "stock": 500, "Envoy": 4_500, "Caddy": 3_000, "dfproxy": 9_000}


class Nothing:
    """
    Stands for the processes and the API of a proxy.
    """

    def end(self) -> None:
        """
        Nothing to end.
        """

    async def publish(self, service: object, backend: int) -> float:
        return 0.0


class ThroughputTests(SynchronousTestCase):
    """
    What becomes of the runs.
    """

    def setUp(self) -> None:
        self.order: list[str] = []
        self.fields: list[int] = []
        self.checked: list[tuple[str, str]] = []
        nothing: Any = Nothing()
        for name in ("HAProxy", "nginx", "stock", "Envoy", "Caddy"):
            proxy = Proxy(name, 1, nothing)
            self.patch(throughput, f"start_{name.lower()}", lambda *_, proxy=proxy, log=False: proxy)
        self.patch(throughput, "start_dfproxy", lambda *_, options: Proxy("dfproxy", 2, nothing, nothing))
        self.patch(throughput, "check_answer", lambda proxy, target: self.checked.append((proxy.name, target)))
        self.patch(throughput, "run_wrk", self.run_wrk)
        self.patch(throughput, "wrk_command", lambda *_, fields=(): ["wrk", *fields])

    def run_wrk(self, proxy: Proxy, target: str, connections: int, seconds: int, fields: tuple[str, ...] = ()) -> Run:
        self.fields.append(len(fields))
        self.order.append(proxy.name)
        return Run(RATES[proxy.name], 1.0, seconds)

    def measure(self) -> dict[str, Any]:
        report = Report()
        throughput.measure(Bench(Path(self.mktemp()), True), report, Backends(3, 4))
        return {result.what: result for result in report.results}

    def test_rows(self) -> None:
        """
        Small requests against all of them, big ones against those that a goal or a habit names.
        """
        found = self.measure()
        self.assertEqual(len(found), 17)
        small = found["small GET, 256 connections, vs Envoy"]
        self.assertEqual((small.value, small.judged()), (2.0, "floor"))
        self.assertEqual(found["small GET, 32 connections, vs Caddy"].judged(), "goal")
        self.assertEqual(found["small GET, 32 connections, vs HAProxy"].goal, throughput.SMALL["HAProxy"])
        self.assertEqual(found["small GET, 32 connections, vs Twisted's ReverseProxyResource"].value, 18)
        self.assertEqual(found["1 MB response, 8 connections, vs nginx"].value, 1.8)
        self.assertNotIn("1 MB response, 8 connections, vs Envoy", found)
        self.assertIsNone(found["small GET with access logs, 32 connections, vs Envoy"].goal)

    def test_same_rounds(self) -> None:
        """
        Envoy and Caddy run between the others and ours, in the same rounds.
        """
        self.measure()
        turn = ["HAProxy", "nginx", "stock", "Envoy", "Caddy", "dfproxy"]
        self.assertEqual(self.order[:24], turn * 4)  # two works: one round to warm, one that counts
        self.assertEqual(self.checked[:6], [(name, "/demo/hello") for name in turn])
        self.assertEqual(self.fields[:32], [0] * 24 + [10] * 8)  # those of a browser for all four

    def test_no_wheels(self) -> None:
        """
        Without the wheels their rows stand, without a figure; all others are measured.
        """

        def missing(*_: Any, log: bool = False) -> Proxy:
            raise NotStarted("envoy is not installed")

        self.patch(throughput, "start_envoy", missing)
        found = self.measure()
        without = [what for what, result in found.items() if result.value is None]
        self.assertEqual(len(found), 17)
        self.assertEqual(len(without), 3)
        self.assertEqual({what.rpartition(" ")[2] for what in without}, {"Envoy"})
