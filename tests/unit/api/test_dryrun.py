"""
What a change would do, said without doing it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.dryrun import LAST, RefusedServices, dry_run
from dfproxy.control.overlaps import Overlaps
from dfproxy.control.trial import Trial
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import ServerAddress
from dfproxy.routing.precedence import DfpOrder
from tests.fakes import FakeDataPlane, FakeNames
from tests.unit.api.caller import Api
from tests.unit.api.services import service, snapshot


def moved(path: str, count: int) -> dict[str, Any]:
    return {"host": "h", "path": path, "before": "old", "after": "new", "count": count}


class Plane(FakeDataPlane):
    """
    Remembers what is tried.
    """

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)
        self.trials: list[Trial] = []

    def query(self, what: str, argument: object) -> Deferred[list[Any]]:
        assert what == "trial" and isinstance(argument, Trial)
        self.trials.append(argument)
        return succeed(self.answers)


class Names(FakeNames):
    """
    Remembers what is forgotten.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[str] = []

    def forget(self, names: tuple[str, ...]) -> None:
        self.forgotten += names


class DryRunTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.plane, self.names = Plane({"looked_at": 0}), Names()
        self.api = Api(data_plane=self.plane, names=self.names, settings=Settings(workers=4))
        self.api.publisher.snapshot = snapshot(service("a"), service("b"))

    def run_dry(self, *services: Service, removed: tuple[str, ...] = ()) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(dry_run(self.api.control, services, removed)))

    def test_workers_are_added_up(self) -> None:
        """
        Each worker looks at its share of the last requests; what the same key comes to is one line; who did not answer
        in time is told.
        """
        self.plane.answers = [
            {"looked_at": 250, "elsewhere": 3, "moved": [moved("/x", 2), moved("/y", 1)]},
            None,
            {"looked_at": 10, "elsewhere": 5, "moved": [moved("/y", 5)]},
        ]
        found = self.run_dry(service("n"))["Requests"]
        self.assertEqual((found["LookedAt"], found["Elsewhere"], found["WorkersMissing"]), (260, 8, 1))
        keys = [(key["Path"], key["Count"]) for key in found["Keys"]]
        self.assertEqual(keys, [("/y", 6), ("/x", 2)])
        self.assertEqual(found["Keys"][0], {"Host": "h", "Path": "/y", "From": "old", "To": "new", "Count": 6})
        self.assertEqual(self.plane.trials[0].last, LAST // 4)

    def test_only_what_changes(self) -> None:
        """
        What is in force as it is, and what is not there to be removed, is not tried; nothing at all asks nobody.
        """
        found = self.run_dry(service("a"), removed=("gone",))
        self.assertEqual((found["RoutesAdded"], found["RoutesChanged"], found["RoutesRemoved"]), ([], [], []))
        self.assertEqual(self.plane.trials, [])
        found = self.run_dry(service("a", port="1"), removed=("b", "gone"))
        self.assertEqual([each.name for each in self.plane.trials[0].services], ["a"])
        self.assertEqual(self.plane.trials[0].removed, ("b",))
        self.assertEqual([route["ServiceName"] for route in found["RoutesRemoved"]], ["b"])

    def test_unresolved(self) -> None:
        """
        Destinations without a server are told; a name that was asked for only now is forgotten again.
        """
        self.names.known["a", 0] = (ServerAddress("10.0.0.1", 80),)
        found = self.run_dry(service("a", port="1"), service("n"))
        self.assertEqual(found["Unresolved"], [{"ServiceName": "n", "Backend": "n-be8080_0", "Name": "n"}])
        self.assertEqual(self.names.forgotten, ["n"])

    def test_refused(self) -> None:
        """
        What no worker could serve is refused, with each reason.
        """
        self.plane.answers = [{"refused": {"n": "no such condition"}}]
        failure = self.failureResultOf(
            Deferred.fromCoroutine(dry_run(self.api.control, (service("n"),), ())), RefusedServices
        )
        self.assertEqual(failure.value.refused, {"n": "no such condition"})

    def test_shadowed(self) -> None:
        """
        What a change would hide, or what would hide it, is told.
        """
        overlaps = Overlaps(DfpOrder().key, self.api.clock)
        overlaps.begin((service("digital"), service("z")))
        self.api = Api(data_plane=self.plane, names=self.names, more={"shadowed": overlaps.trial})
        self.api.publisher.snapshot = snapshot(service("digital"), service("z"))
        product = service("digitalproduct", servicePath="/digitalproduct")
        (found,) = self.run_dry(product)["Shadowed"]
        self.assertIn("digitalproduct-be8080_0 never gets a request: digital-be8080_0", found)
        self.assertEqual(self.run_dry(product, removed=("digital",))["Shadowed"], [])

    def test_calls(self) -> None:
        """
        `dryRun` on a call changes nothing and sends nothing on, whatever else it says.
        """
        for path in (
            "reconfigure?serviceName=n&servicePath=/n&port=1&dryRun=true&distribute=true",
            "reconfigure?serviceName=a&servicePath=/n&port=1&replicas=0&dryrun=1",
            "remove?serviceName=a&dryRun=true&distribute=true",
        ):
            said = self.api.call("GET", path)
            self.assertEqual((said.status, said.json["Status"]), (200, "OK"), path)
            self.assertIn("nothing has changed", said.json["Message"])
            self.assertIn("Requests", said.json["Difference"])
        self.assertEqual(self.api.publisher.calls, [])
        self.plane.answers = [{"refused": {"n": "no such condition"}}]
        said = self.api.call("GET", "reconfigure?serviceName=n&servicePath=/n&port=1&dryRun=true")
        self.assertEqual((said.status, said.json["Message"]), (400, "no such condition"))
        said = self.api.call("GET", "reconfigure?serviceName=n&dryRun=true")
        self.assertEqual(said.status, 409)
