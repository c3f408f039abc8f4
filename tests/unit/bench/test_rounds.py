"""
Turns and ratios: within a round, and their median; who is absent has no figure.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.load import LoadFailed, Run
from bench.machine import NotStarted
from bench.proxies import Proxy
from bench.report import Goal, Report
from bench.rounds import Entrants, Work, compete

# Requests per CPU second (x 1000) of each proxy in five rounds; the machine is twice as fast from the third round on.
ROUNDS = {
    "HAProxy": (10, 10, 20, 20, 20),
    "nginx": (5, 5, 10, 10, 10),
    "stock": (0.5, 0.5, 1, 1, 1),
    "dfproxy": (9, 4, 18, 20, 18),
}
GOAL = Goal(0.9, 0.6)


class Ends:
    """
    Stands for the processes of a proxy.
    """

    ended = 0

    def end(self) -> None:
        self.ended += 1


def never() -> Proxy:
    raise NotStarted("envoy ended:\n  bad | option\n" + "of many " * 100)


class CompeteTests(SynchronousTestCase):
    """
    What becomes of the runs.
    """

    def setUp(self) -> None:
        self.processes: Any = Ends()
        others = [Proxy(name, 1, self.processes) for name in ("HAProxy", "nginx", "stock")]
        self.entrants = Entrants(Proxy("dfproxy", 2, self.processes), others)
        self.order: list[str] = []
        self.made: dict[str, int] = {}
        self.failing: dict[str, int] = {}
        self.report = Report()

    def run_one(self, proxy: Proxy, warming: bool) -> Run:
        self.order.append(proxy.name)
        at = self.made[proxy.name] = self.made.get(proxy.name, -1) + 1
        self.assertEqual(warming, at == 0)
        if self.failing.get(proxy.name) == at:
            raise LoadFailed(f"{proxy.name}: 3 failed\nof many")
        rate = 1.0 if warming else ROUNDS[proxy.name][at - 1]
        return Run(int(rate * 1000), 1.0, 1)

    def compete(self, rounds: int = 5) -> dict[str, Any]:
        work = Work("Group", "small", "wrk", {"HAProxy": GOAL, "Envoy": GOAL}, "handshake")
        compete(self.report, work, self.entrants, rounds, self.run_one)
        return {result.what: result for result in self.report.results}

    def test_ratios(self) -> None:
        """
        A ratio is taken within a round, so that a machine that changes its speed changes nothing; the median counts,
        so that one bad round does not; the warm-up counts for nothing.
        """
        found = self.compete()
        self.assertEqual(len(found), 3)
        haproxy = found["small, vs HAProxy"]
        self.assertAlmostEqual(haproxy.value, 0.9)
        self.assertIn("rounds 0.90, 0.40, 0.90, 1.00, 0.90", haproxy.more)
        self.assertIn("CPU us a handshake: HAProxy 50.0, nginx 100.0", haproxy.more)
        self.assertAlmostEqual(found["small, vs nginx"].value, 1.8)
        self.assertAlmostEqual(found["small, vs Twisted's ReverseProxyResource"].value, 18)
        self.assertEqual((haproxy.goal, found["small, vs nginx"].goal), (GOAL, None))

    def test_turns(self) -> None:
        """
        The proxies take turns, so that all have the machine in the same mood.
        """
        self.compete(2)
        self.assertEqual(self.order, ["HAProxy", "nginx", "stock", "dfproxy"] * 3)

    def test_absent(self) -> None:
        """
        Who cannot run has a row without a figure that says why; the others' figures stand.
        """
        self.entrants.join("Envoy", never)
        found = self.compete()
        envoy = found["small, vs Envoy"]
        self.assertEqual((envoy.value, envoy.judged(), len(envoy.more)), (None, "", 200))
        self.assertEqual(envoy.more[:27], "envoy ended: bad / option o")
        self.assertAlmostEqual(found["small, vs HAProxy"].value, 0.9)
        self.assertEqual(self.report.unmeasured(), [envoy])
        self.assertEqual(self.report.below_floor(), [])

    def test_ours_cannot(self) -> None:
        """
        What ours cannot do yet is measured of nobody, and counts neither as reached nor as missed.
        """
        entrants = Entrants(others=self.entrants.others)
        entrants.join_ours(never)
        self.entrants = entrants
        found = self.compete()
        self.assertEqual([result.value for result in found.values()], [None] * 3)
        self.assertEqual({result.more[:11] for result in found.values()}, {"envoy ended"})
        self.assertEqual({result.judged() for result in found.values()}, {""})
        self.assertEqual(self.order, [])

    def test_other_fails(self) -> None:
        """
        One of the others that fails in the middle has no figure, not one of the rounds before, and is left in peace.
        """
        self.failing = {"nginx": 2}
        found = self.compete()
        self.assertEqual(
            (found["small, vs nginx"].value, found["small, vs nginx"].more), (None, "nginx: 3 failed of many")
        )
        self.assertNotIn("nginx", found["small, vs HAProxy"].more)
        self.assertEqual(self.order.count("nginx"), 3)
        self.assertEqual(self.order.count("stock"), 6)

    def test_ours_fails(self) -> None:
        """
        Ours that fails is an error, no row.
        """
        self.failing = {"dfproxy": 3}
        self.assertRaises(LoadFailed, self.compete)
        self.assertEqual(self.report.results, [])

    def test_end(self) -> None:
        """
        All that were started are ended.
        """
        self.entrants.join("Envoy", never)
        self.entrants.end()
        self.assertEqual(self.processes.ended, 4)
