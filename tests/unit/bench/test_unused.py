"""
What a route does not use: with and without others beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import unused
from bench.api import Published
from bench.load import LoadFailed
from bench.machine import Bench
from bench.proxies import Proxy
from bench.report import Report
from bench.servers import Backends


class Ours:
    """
    Stands for dfproxy and its API.
    """

    def __init__(self) -> None:
        self.services: list[Published] = []

    async def publish(self, service: Published, backend: int) -> float:
        self.services.append(service)
        return 0.0

    async def publish_all(self, services: Sequence[Published], backend: int) -> float:
        self.services.extend(services)
        return 0.0

    def end(self) -> None:
        """
        Nothing to end.
        """


class UnusedTests(SynchronousTestCase):
    """
    One measurement.
    """

    def measure(self, status: int) -> Report:
        self.ours: dict[str, Any] = {}

        def start(bench: Bench, name: str) -> Proxy:
            made: Any = Ours()
            self.ours[name] = made
            return Proxy(name, 1, made, made)

        async def ask(port: int, target: str) -> tuple[int, bytes]:
            return status, b""

        self.patch(unused, "start_dfproxy", start)
        self.patch(unused, "ask", ask)
        self.patch(unused, "wrk_command", lambda *_: ["wrk"])
        self.patch(unused, "compare", lambda one, many, *_: ([1.2, 1.0, 1.1], f"{one.name} -> {many.name}"))
        report = Report()
        unused.measure(Bench(Path(self.mktemp()), True), report, Backends(3, 4))
        return report

    def test_cost(self) -> None:
        """
        The cost beside the others over the cost alone; the same service is measured on both.
        """
        (result,) = self.measure(401).results
        self.assertEqual((result.value, result.judged()), (1.1, "floor"))
        self.assertIn("dfproxy-alone -> dfproxy-beside", result.more)
        alone, beside = self.ours["dfproxy-alone"].services, self.ours["dfproxy-beside"].services
        self.assertEqual(alone, [unused.MEASURED])
        self.assertEqual(beside.count(unused.MEASURED), 1)
        self.assertEqual(len(beside), unused.OTHERS + 1)
        self.assertEqual(unused.MEASURED.query, (("servicePath", "/demo/"),))

    def test_not_in_force(self) -> None:
        """
        Others whose users are not asked for a password show nothing: an error, no figure.
        """
        self.assertIn("200", str(self.assertRaises(LoadFailed, self.measure, 200)))
