"""
Whom a name belongs to, through the one door.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred

from dfproxy.control.origins import ORIGINS
from dfproxy.errors import Claimed, Superseded
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Revision
from tests.unit.control.test_publisher import PublisherCase as Case
from tests.unit.control.test_publisher import service


class OriginTests(Case):
    """
    A name belongs to the origin that has published it.
    """

    def declared(self, name: str, port: int = 80) -> Service:
        return replace(service(name, port), origin="environment")

    def test_claimed(self) -> None:
        """
        What was declared at start is neither replaced nor taken away by a call, nor the other way round; the reason
        names the owner, and nothing changes.
        """
        self.successResultOf(self.publisher.publish((self.declared("a"),)))
        self.successResultOf(self.publisher.publish((service("b"),)))
        before = self.publisher.snapshot
        for refused in (
            self.publisher.publish((service("a", 81),)),
            self.publisher.publish((service("a"),)),
            self.publisher.withdraw(("a",)),
            self.publisher.publish((service("c"), service("a", 81))),
        ):
            self.assertIn("a belongs to another origin (what was declared at start", self.claimed(refused))
        self.assertIn("calls of the API", self.claimed(self.publisher.publish((self.declared("b"),))))
        self.assertIn("calls of the API", self.claimed(self.publisher.withdraw(("b",), "environment")))
        self.assertEqual(self.publisher.snapshot, before)

    def claimed(self, answer: Deferred[Revision]) -> str:
        return str(self.failureResultOf(answer, Claimed).value)

    def test_owner(self) -> None:
        """
        The owner replaces it and takes it away; then anybody may have the name.
        """
        self.successResultOf(self.publisher.publish((self.declared("a"),)))
        self.successResultOf(self.publisher.publish((self.declared("a", 81),)))
        self.successResultOf(self.publisher.withdraw(("a",), "environment"))
        self.successResultOf(self.publisher.publish((service("a"),)))

    def test_same_batch(self) -> None:
        """
        Of two origins that want a new name at the same time the first one gets it; a third caller is not concerned.
        """
        self.plane.hold()
        self.publisher.publish((service("x"),))
        answers = [
            self.publisher.publish((self.declared("a"),)),
            self.publisher.publish((service("a"),)),
            self.publisher.publish((service("b"),)),
        ]
        self.plane.go_on()
        self.successResultOf(answers[0])
        self.failureResultOf(answers[1], Claimed)
        self.successResultOf(answers[2])
        self.assertEqual(self.plane.services["a"].origin, "environment")

    def test_given_up_in_the_same_batch(self) -> None:
        """
        The owner gives the name up, and another one takes it, in one batch.
        """
        self.successResultOf(self.publisher.publish((self.declared("a"),)))
        self.plane.hold()
        self.publisher.publish((service("x"),))
        gone = self.publisher.withdraw(("a",), "environment")
        taken = self.publisher.publish((service("a"),))
        self.plane.go_on()
        self.failureResultOf(gone, Superseded)
        self.successResultOf(taken)
        self.assertEqual(self.plane.services["a"].origin, "dfp")

    def test_words(self) -> None:
        """
        Each origin that there is has words for callers.
        """
        self.assertEqual(set(ORIGINS), {"dfp", "environment", "docker", "file"})
