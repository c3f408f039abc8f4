"""
`revisions` and `undo`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.publisher import Publisher
from dfproxy.control.revisions import Revisions
from tests.fakes import FakeDataPlane, FakeNames
from tests.unit.api.caller import Api, Said
from tests.unit.api.services import service

DEMO = "reconfigure?serviceName=demo&servicePath=/{path}&port=8080"


class RevisionsCase(SynchronousTestCase):
    """
    The API before a real door.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.revisions = Revisions(lambda: 1700000000.25 + self.clock.seconds())
        self.plane = FakeDataPlane()
        self.publisher = Publisher(self.plane, FakeNames(), self.clock, told=self.revisions.add)
        sourced = {"listed"}
        more: dict[str, Any] = {
            "revisions": self.revisions,
            "is_sourced": lambda one: one.origin == "environment" or one.name in sourced,
        }
        self.api = Api(publisher=self.publisher, data_plane=self.plane, clock=self.clock, more=more)

    def get(self, path: str) -> Said:
        return self.api.call("GET", path)

    def undo(self, query: str = "") -> Said:
        return self.api.call("POST", f"undo{query}")

    def declare(self, port: str) -> None:
        """
        A source that is no caller says something.
        """
        wanted = replace(service("env", port=port), origin="environment")
        self.successResultOf(self.publisher.publish((wanted,), cause="start"))

    def port(self, name: str) -> int | None:
        present = self.publisher.snapshot.services.get(name)
        return None if present is None else present.destinations[0].port


class ListTests(RevisionsCase):
    def test_nothing_yet(self) -> None:
        """
        Where it begins is said.
        """
        said = self.get("revisions").json
        self.assertEqual((said["Revisions"], said["Holds"]), ([], []))
        self.assertEqual(said["Since"], {"Number": 0, "Time": "2023-11-14T22:13:20.250Z"})

    def test_listed(self) -> None:
        """
        The latest first: number, hash, when, why, on whose behalf, and what differs; never a password.
        """
        self.get(DEMO.format(path="a") + "&users=bob:secret")
        self.clock.advance(60)
        self.get(DEMO.format(path="b") + "&users=bob:secret2")
        self.get("remove?serviceName=demo")
        said = self.get("revisions")
        self.assertNotIn(b"secret", said.body)
        removed, changed, added = said.json["Revisions"]
        self.assertEqual([one["Number"] for one in (removed, changed, added)], [3, 2, 1])
        self.assertEqual(said.json["Revision"], {"Number": 3, "Hash": removed["Hash"]})
        self.assertEqual(changed["Time"], "2023-11-14T22:14:20.250Z")
        self.assertEqual(added["Causes"], [{"Cause": "reconfigure", "Origin": "dfp"}])
        self.assertEqual(changed["Difference"]["Parameters"]["demo"]["servicePath"], ["/a", "/b"])
        self.assertEqual([len(one["Difference"]["RoutesRemoved"]) for one in (removed, changed, added)], [1, 0, 0])
        self.assertEqual(removed["Services"], ["demo"])


class UndoTests(RevisionsCase):
    def test_last(self) -> None:
        """
        The last change is undone, as a new revision with the hash of the former one; undone again it is back.
        """
        self.get(DEMO.format(path="a"))
        first = self.publisher.snapshot
        self.get(DEMO.format(path="b"))
        second = self.publisher.snapshot
        said = self.undo()
        self.assertEqual((said.status, said.json["To"], said.json["Held"]), (200, 1, []))
        self.assertEqual(said.json["Revision"], {"Number": 3, "Hash": first.revision.digest})
        self.assertEqual(self.publisher.snapshot.services, first.services)
        self.assertEqual(said.json["Difference"]["Parameters"]["demo"]["servicePath"], ["/b", "/a"])
        self.undo()
        self.assertEqual(self.publisher.snapshot.services, second.services)
        self.assertEqual(self.get("revisions").json["Revisions"][0]["Causes"][0]["Cause"], "undo to 2")

    def test_to(self) -> None:
        """
        Any revision that is kept can be gone back to; what the definitions are already changes nothing.
        """
        for path in "abc":
            self.get(DEMO.format(path=path))
        self.assertEqual(self.undo("?to=0").json["Message"], "the definitions are those of revision 0")
        self.assertEqual(self.publisher.snapshot.services, {})
        said = self.undo("?to=0")
        self.assertEqual((said.status, said.json["Revision"]["Number"]), (200, 4))
        self.assertIn("already", said.json["Message"])
        self.undo("?to=2")
        self.assertEqual(dict(self.publisher.snapshot.services["demo"].parameters)["servicePath"], "/b")

    def test_wrong(self) -> None:
        """
        What is no revision, is not kept, or is not there yet: 400 that names the parameter; looking is not undoing.
        """
        for query in ("?to=x", "?to=-1", "?to=99", "?to=1.5", "?to=%D9%A1", "?to=99999999999", ""):
            said = self.undo(query)
            self.assertEqual((said.status, said.json["Problems"][0]["Parameter"]), (400, "to"), query)
        self.assertIn("nothing to take back", self.undo().json["Message"])
        self.assertEqual((self.get("undo").status, self.get("undo").headers["allow"]), (405, "POST"))
        self.assertEqual(self.plane.calls, [])

    def test_refused(self) -> None:
        """
        What cannot be served any more cannot be gone back to; everything stays.
        """
        from dfproxy.errors import Refused

        self.get(DEMO.format(path="a"))
        self.get(DEMO.format(path="b"))
        self.plane.failure = Refused("no such strategy")
        said = self.undo()
        self.assertEqual(said.status, 400)
        self.assertIn("no such strategy", said.json["Message"])
        self.assertEqual(self.publisher.snapshot.revision.number, 2)

    def test_dry(self) -> None:
        """
        What it would do, and nothing done.
        """
        self.get(DEMO.format(path="a"))
        said = self.undo("?dryRun=true")
        self.assertEqual([route["ServiceName"] for route in said.json["Difference"]["RoutesRemoved"]], ["demo"])
        self.assertEqual(self.publisher.snapshot.revision.number, 1)


class HoldTests(RevisionsCase):
    def test_until_it_says_something_else(self) -> None:
        """
        A source that says the same again is not heard, and that is shown; what it says newly is.
        """
        self.declare("1")
        self.declare("2")
        self.assertEqual(self.undo().json["Held"], ["env"])
        self.declare("2")
        self.assertEqual((self.port("env"), self.publisher.snapshot.revision.number), (1, 3))
        said = self.get("revisions").json
        self.assertEqual(said["Holds"], [{"ServiceName": "env", "Origin": "environment", "Revision": 2}])
        self.assertEqual(said["Revisions"][0]["Held"], ["env"])
        shown = self.get("config?type=json").json["env"]
        self.assertEqual(shown["Held"], {"Revision": 2, "Origin": "environment"})
        self.declare("3")
        self.assertEqual((self.port("env"), self.publisher.snapshot.holds), (3, {}))
        self.assertEqual(self.get("revisions").json["Revisions"][0]["Released"], ["env"])
        self.assertNotIn("Held", self.get("config?type=json").json["env"])
        self.declare("2")
        self.assertEqual(self.port("env"), 2)

    def test_what_was_not_there(self) -> None:
        """
        Undoing that a source has published something keeps it out; that the source takes it away ends the hold.
        """
        self.declare("1")
        self.undo()
        self.declare("1")
        self.assertEqual(self.port("env"), None)
        self.successResultOf(self.publisher.withdraw(("env",), "environment"))
        self.assertEqual(self.publisher.snapshot.holds, {})
        self.declare("1")
        self.assertEqual(self.port("env"), 1)

    def test_listener(self) -> None:
        """
        What a listener lists is held against its calls too, which are told so; what nobody repeats is not.
        """
        listed = "reconfigure?serviceName=listed&servicePath=/l&port=80"
        self.get(listed)
        self.undo()
        said = self.get(listed)
        self.assertEqual((said.status, self.port("listed")), (200, None))
        self.assertIn("undo", said.json["Message"])
        body = b'[{"serviceName": "listed", "servicePath": "/l", "port": "80"}]'
        self.assertEqual(self.api.call("POST", "services", body).json["Held"], ["listed"])
        self.get("remove?serviceName=listed")
        self.assertEqual(self.get(listed).json["Message"], "")
        self.assertEqual(self.port("listed"), 80)
        self.get(DEMO.format(path="a"))
        self.undo()
        self.get(DEMO.format(path="a"))
        self.assertEqual(self.port("demo"), 8080)

    def test_redone(self) -> None:
        """
        Going forward again to what the source says ends the hold.
        """
        self.declare("1")
        self.declare("2")
        self.undo()
        self.undo("?to=2")
        self.assertEqual((self.port("env"), self.publisher.snapshot.holds), (2, {}))
