"""
Calls of a swarm listener, as a real one was seen to make them, and what is in force after each situation.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.publisher import Publisher
from tests.fakes import FakeDataPlane, FakeNames
from tests.standins.recorded import SITUATIONS
from tests.unit.api.caller import Connection
from tests.unit.api.replicas import Others, api_with


class RecordedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.others = Others("10.0.0.2")
        self.plane = FakeDataPlane()
        self.api = api_with(self.others)
        self.api.publisher = Publisher(self.plane, FakeNames(), self.api.clock)
        self.api.__post_init__()

    def test_situations(self) -> None:
        """
        Each call is success in the listener's eyes (200, for a create also 409), is sent on where it says so, and the
        services that run are in force.
        """
        for situation in SITUATIONS:
            for call in situation.calls:
                before = len(self.others.asked)
                said = self.api.call(call.method, call.target)
                fine = (200, 409) if "/reconfigure" in call.target else (200,)
                self.assertIn(said.status, fine, f"{situation.what}: {said.body!r}")
                sent_on = "distribute=true" in call.target and said.status == 200
                self.assertEqual(len(self.others.asked) - before, int(sent_on), situation.what)
            there = sorted(self.api.publisher.snapshot.services)
            self.assertEqual(there, sorted(situation.there), situation.what)

    def test_repeats(self) -> None:
        """
        Everything said twice is as if it was said once.
        """
        for situation in SITUATIONS:
            for call in situation.calls * 2:
                self.api.call(call.method, call.target)
        self.assertEqual(sorted(self.api.publisher.snapshot.services), sorted(SITUATIONS[-1].there))

    def test_burst(self) -> None:
        """
        Six hundred creates at once, as when the listener starts in a large Swarm, are all answered 200, each in force,
        in few rounds.
        """
        connections = []
        for number in range(600):
            connection = self.api.connect()
            query = f"distribute=true&port=80&replicas=1&serviceName=s{number}&servicePath=%2Fs{number}"
            connection.send(f"GET /v1/docker-flow-proxy/reconfigure?{query} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            connections.append(connection)
        said = [answer.status for connection in connections for answer in connection.answers()]
        self.assertEqual(said, [200] * 600)
        self.assertEqual(len(self.api.publisher.snapshot.services), 600)
        self.assertEqual((self.others.lookups, len(self.others.asked)), (1, 600))

    def test_aborted(self) -> None:
        """
        A listener drops its call when something newer happens: whatever moment that is, the newer call is in force in
        the end, and nothing is half done.
        """
        path = "/v1/docker-flow-proxy/reconfigure?distribute=true&port=80&serviceName=s&servicePath=%2F"
        for held in ("plane", "replica"):
            self.plane.hold = held == "plane"
            self.others.answers = {"10.0.0.2": None} if held == "replica" else {}
            dropped = self.send(f"{path}{held}-old")
            dropped.lose()
            self.others.answers = {}
            newer = self.send(f"{path}{held}-new")
            self.plane.hold = False
            while self.plane.held:
                self.plane.held.pop(0).callback(None)
            while self.others.held:
                done: Deferred[object] = self.others.held.pop(0)
                done.callback(None) if done.called else done.errback(ValueError("cut"))
            (said,) = newer.answers()
            self.assertEqual(said.status, 200, said.body)
            service = self.api.publisher.snapshot.services["s"]
            self.assertIn(("servicePath", f"/{held}-new"), service.parameters)
        self.assertEqual(dropped.answers(), [])

    def send(self, target: str) -> Connection:
        connection = self.api.connect()
        connection.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return connection
