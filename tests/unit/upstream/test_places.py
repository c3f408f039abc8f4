"""
Places at servers: the limit, the queue, and other workers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.resilience import Resilience
from dfproxy.upstream.places import LOOK_S, Places, claim_alone, places_for


class Server:
    """
    As much of a `LiveServer` as places need.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.in_flight = 0
        self.elsewhere = 0


class Request:
    """
    A request that wants a place.
    """

    def __init__(self, test: PlacesTests, name: str, bound: Server | None = None) -> None:
        self.test, self.name = test, name
        self.is_bound = bound is not None
        self.picked: Any = bound or test.servers[0]
        self.waits = False

    def ask(self) -> Server | None:
        test = self.test
        found: Any = test.places.find(self, self.picked, test.servers)
        self.waits = False
        if found is not None:
            found.in_flight += 1
            test.told.append(f"{self.name} at {found.name}")
        elif test.places.wait(self):
            self.waits = True
        else:
            test.told.append(f"{self.name} refused")
        return found

    def place_free(self) -> bool:
        self.ask()
        return not self.waits

    def waited_long(self) -> None:
        self.test.told.append(f"{self.name} late")


class PlacesTests(SynchronousTestCase):
    """
    One process, and two.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.servers: Any = (Server("a"), Server("b"))
        self.told: list[str] = []
        self.elsewhere = {"a": 0, "b": 0}
        self.claims: list[tuple[str, int]] = []
        self.places = Places(self.clock, self.claim, 1, 1.0, 3)

    def claim(self, server: Any, count: int) -> int:
        self.claims.append((server.name, count))
        return self.elsewhere[server.name]

    def ask(self, *names: str) -> list[Request]:
        requests = [Request(self, name) for name in names]
        for request in requests:
            request.ask()
        return requests

    def free(self, server: Any) -> None:
        server.in_flight -= 1
        self.places.released(server)

    def test_limit(self) -> None:
        """
        Each server gets its number; what finds no place waits in order, and one too many is refused.
        """
        self.ask("1", "2", "3", "4", "5", "6")
        self.assertEqual(self.told, ["1 at a", "2 at b", "6 refused"])
        self.free(self.servers[1])
        self.free(self.servers[0])
        self.assertEqual(self.told[3:], ["3 at b", "4 at a"])
        self.assertEqual([server.in_flight for server in self.servers], [1, 1])

    def test_behind_others(self) -> None:
        """
        Who comes later does not get a place before those who wait.
        """
        self.ask("1", "2", "3")
        self.servers[0].in_flight -= 1  # free, but nobody was told
        self.ask("4")
        self.assertEqual(self.told, ["1 at a", "2 at b"])
        self.clock.advance(LOOK_S)
        self.assertEqual(self.told[2:], ["3 at a"])

    def test_time(self) -> None:
        """
        Nobody waits longer than the time-out, and who left is not asked any more.
        """
        _, _, third, _ = self.ask("1", "2", "3", "4")
        self.places.leave(third)
        self.clock.pump([0.01] * 99)
        self.assertEqual(self.told[2:], [])
        self.clock.pump([0.01] * 4)
        self.assertEqual(self.told[2:], ["4 late"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bound(self) -> None:
        """
        A request that belongs to one server waits for that one, and holds up nobody.
        """
        self.ask("1", "2")
        bound = Request(self, "bound", self.servers[0])
        bound.ask()
        self.ask("3")
        self.free(self.servers[1])
        self.assertEqual(self.told[2:], ["3 at b"])
        self.free(self.servers[0])
        self.assertEqual(self.told[3:], ["bound at a"])

    def test_elsewhere(self) -> None:
        """
        Places that other workers have count; a claim that fails is taken back; their end is noticed soon.
        """
        self.elsewhere["a"] = 1
        self.ask("1", "2")
        self.assertEqual(self.told, ["1 at b"])
        self.assertEqual(self.claims[:3], [("a", 1), ("a", 0), ("b", 1)])
        self.elsewhere["a"] = 0
        self.clock.advance(LOOK_S)
        self.assertEqual(self.told[1:], ["2 at a"])

    def test_policy(self) -> None:
        """
        A changed policy keeps the queue; one without a limit lets all go on.
        """
        self.ask("1", "2", "3")
        former = self.places
        wider = places_for(Resilience(max_connections=2, queue_limit=9), former, self.clock, claim_alone, 30.0)
        self.assertIs(wider, former)
        self.assertEqual((former.each, former.timeout_s, former.limit), (2, 30.0, 9))
        self.assertEqual(self.told[2:], ["3 at a"])
        self.ask("4", "5")
        self.assertEqual(self.told[3:], ["4 at b"])
        self.assertIsNone(places_for(Resilience(), former, self.clock, claim_alone, 30.0))
        self.assertEqual(self.told[4:], ["5 at a"])
        self.assertIsNone(places_for(Resilience(), None, self.clock, claim_alone, 30.0))
        made = places_for(Resilience(max_connections=1, queue_timeout_s=2.0), None, self.clock, claim_alone, 30.0)
        assert made is not None
        self.assertEqual((made.each, made.timeout_s), (1, 2.0))
