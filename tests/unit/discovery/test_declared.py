"""
Services that options and variables declare.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.reading import Reading
from dfproxy.dfp.reconfigure import read
from dfproxy.discovery.declared import ENVIRONMENT, Declared
from dfproxy.discovery.environment import Pairs
from dfproxy.errors import Claimed
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Revision, Snapshot
from tests.fakes import FakePublisher, FakeStrategies
from tests.unit.api.services import service


def query(name: str, **more: str) -> str:
    return urlencode({"serviceName": name, "servicePath": f"/{name}", "port": "80", **more})


class DeclaredTests(SynchronousTestCase):
    """
    A start.
    """

    def setUp(self) -> None:
        self.publisher = FakePublisher()

    def read(self, pairs: Pairs) -> Reading:
        return read(pairs, (), Settings(), FakeStrategies().parse_balance)

    def publish(self, *queries: str) -> None:
        done: Deferred[None] = Declared(queries, self.read, self.publisher).publish()
        self.successResultOf(done)

    def test_published(self) -> None:
        """
        Each is published in its order, with an origin of its own.
        """
        self.publish(query("b"), query("a"))
        self.assertEqual(self.publisher.calls, [("publish", ("b",)), ("publish", ("a",))])
        self.assertEqual({one.origin for one in self.publisher.snapshot.services.values()}, {ENVIRONMENT})

    def test_corrected(self) -> None:
        """
        What a former start has declared and this one does not goes; what others have published stays.
        """
        old, kept = (replace(service(name), origin=ENVIRONMENT) for name in ("old", "kept"))
        called = service("called")
        self.publisher.snapshot = Snapshot(Revision(3), {one.name: one for one in (old, kept, called)})
        self.publish(query("kept"))
        self.assertEqual(self.publisher.calls, [("withdraw", ("old",)), ("publish", ("kept",))])
        self.assertEqual(set(self.publisher.snapshot.services), {"kept", "called"})

    def test_without_replicas(self) -> None:
        """
        One that is declared with no replicas is withdrawn.
        """
        self.publish(query("a", replicas="0"))
        self.assertEqual(self.publisher.calls, [("withdraw", ("a",))])

    def test_left_out(self) -> None:
        """
        One that makes no service, or whose name is another's, is left out; the others are published.
        """
        self.publish("serviceName=bad", query("good"))
        self.assertEqual(self.publisher.calls, [("publish", ("good",))])
        self.publisher.failure = Claimed("taken belongs to another origin")
        self.publish(query("taken"))
