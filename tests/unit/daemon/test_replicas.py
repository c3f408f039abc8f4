"""
Who the other replicas are.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.distribute import NoReplicas
from dfproxy.daemon.replicas import other_replicas
from dfproxy.discovery.addresses import Answer, Verdict


class Swarm:
    """
    Knows three tasks, of which one is ours; or nothing.
    """

    answer = Answer(Verdict.FOUND, ("10.0.0.1", "10.0.0.2", "10.0.0.3"))

    def tasks_of(self, service: str) -> Deferred[Answer]:
        return succeed(self.answer)

    def is_ours(self, address: str, bound: str = "") -> bool:
        return address == "10.0.0.2"


class ReplicasTests(SynchronousTestCase):
    """
    `other_replicas`.
    """

    def test_others(self) -> None:
        """
        All tasks but this one.
        """
        swarm = Swarm()
        self.assertEqual(self.successResultOf(other_replicas("proxy", "", swarm, swarm)), ("10.0.0.1", "10.0.0.3"))

    def test_unknown(self) -> None:
        """
        Where there is no such service it is said what is to be done.
        """
        swarm = Swarm()
        swarm.answer = Answer(Verdict.ABSENT, (), "no such name")
        error = self.failureResultOf(other_replicas("proxy", "", swarm, swarm), NoReplicas)
        self.assertIn("tasks.proxy: no such name", error.getErrorMessage())
        self.assertIn("SERVICE_NAME", error.getErrorMessage())
