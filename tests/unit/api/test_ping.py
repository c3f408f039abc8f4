"""
Are you there?
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.api.caller import Api


class PingTests(SynchronousTestCase):
    def test_ping(self) -> None:
        """
        200, `OK`, all of DFP's keys, and the revision in force.
        """
        said = Api().call("GET", "ping")
        self.assertEqual((said.status, said.json["Status"], said.json["ServiceName"]), (200, "OK", ""))
        self.assertEqual(said.headers["content-type"], "application/json")
        self.assertEqual(said.json["Revision"]["Number"], 0)

    def test_versions(self) -> None:
        """
        Both versions answer their test, naming themselves, with all of DFP's keys.
        """
        for version in ("1", "2"):
            said = Api().call("GET", f"/v{version}/test")
            self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
            self.assertIn(version, said.json["Message"])
            self.assertIn("ServiceDest", said.json)

    def test_initial_reload(self) -> None:
        """
        500 until a listener's services have been had, then 200; no body either way.
        """
        fetched = [False]
        api = Api(more={"listener_fetched": lambda: fetched[0]})
        said = api.call("GET", "successfulinitreload")
        self.assertEqual((said.status, said.body), (500, b""))
        fetched[0] = True
        said = api.call("GET", "successfulinitreload")
        self.assertEqual((said.status, said.body), (200, b""))
        self.assertEqual(Api().call("GET", "successfulinitreload").status, 500)

    def test_ready(self) -> None:
        """
        503 names what keeps us from serving; quarantined services alone do not.
        """
        problems: dict[str, str] = {}
        api = Api(more={"ready": lambda: problems, "quarantined": lambda: {"s": "no such plugin"}})
        said = api.call("GET", "ready")
        self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
        self.assertEqual(said.json["Quarantined"], {"s": "no such plugin"})
        problems["workers"] = "none is alive"
        said = api.call("GET", "ready")
        self.assertEqual((said.status, said.json["Status"]), (503, "NOK"))
        self.assertEqual(said.json["Message"], "workers: none is alive")
