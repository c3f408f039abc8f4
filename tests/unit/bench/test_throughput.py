"""
Ratios: within a round, and their median.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import throughput
from bench.load import Run
from bench.machine import Bench
from bench.proxies import Proxy
from bench.report import Report
from bench.servers import Backends

# Requests per CPU second (x 1000) of each proxy in five rounds; the machine is twice as fast from the third round on.
ROUNDS = {
    "HAProxy": (10, 10, 20, 20, 20),
    "nginx": (5, 5, 10, 10, 10),
    "stock": (0.5, 0.5, 1, 1, 1),
    "dfproxy": (9, 4, 18, 20, 18),
}


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
        self.made: dict[tuple[str, str, int], int] = {}
        nothing: Any = Nothing()
        for name in ("HAProxy", "nginx", "stock"):
            proxy = Proxy(name, 1, nothing)
            self.patch(throughput, f"start_{name.lower()}", lambda *_, proxy=proxy: proxy)
        self.patch(throughput, "start_dfproxy", lambda *_: Proxy("dfproxy", 2, nothing, nothing))
        self.patch(throughput, "run_wrk", self.run_wrk)
        self.patch(throughput, "wrk_command", lambda *_: ["wrk"])

    def run_wrk(self, proxy: Proxy, target: str, connections: int, seconds: int) -> Run:
        self.order.append(proxy.name)
        key = (proxy.name, target, connections)
        at = self.made[key] = self.made.get(key, -1) + 1
        rate = 1.0 if at == 0 else ROUNDS[proxy.name][at - 1]  # the first one only warms
        return Run(int(rate * 1000), 1.0, seconds)

    def test_ratios(self) -> None:
        """
        A ratio is taken within a round, so that a machine that changes its speed changes nothing; the median counts,
        so that one bad round does not; the warm-up counts for nothing.
        """
        report = Report()
        bench: Any = Bench(self.mktemp(), False)  # type: ignore[arg-type]  # nothing is written
        throughput.measure(bench, report, Backends(3, 4))
        found = {result.what: result for result in report.results}
        self.assertEqual(len(found), 9)
        haproxy = found["small GET, 32 connections, vs HAProxy"]
        self.assertAlmostEqual(haproxy.value, 0.9)
        self.assertIn("rounds 0.90, 0.40, 0.90, 1.00, 0.90", haproxy.more)
        self.assertAlmostEqual(found["1 MB response, 8 connections, vs nginx"].value, 1.8)
        stock = found["small GET, 256 connections, vs Twisted's ReverseProxyResource"]
        self.assertAlmostEqual(stock.value, 18)
        self.assertEqual((haproxy.goal, stock.goal), (throughput.SMALL, throughput.STOCK))

    def test_turns(self) -> None:
        """
        The proxies take turns, so that all have the machine in the same mood.
        """
        bench: Any = Bench(self.mktemp(), True)  # type: ignore[arg-type]  # nothing is written
        throughput.measure(bench, Report(), Backends(3, 4))
        turn = ["HAProxy", "nginx", "stock", "dfproxy"]
        self.assertEqual(self.order, turn * 6)  # of each work one to warm, one that counts
