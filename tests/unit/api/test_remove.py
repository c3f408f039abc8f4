"""
`remove`: takes a service away; asking twice is fine.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import Overloaded, Superseded
from tests.unit.api.caller import Api
from tests.unit.api.services import service, snapshot


class RemoveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()
        self.api.publisher.snapshot = snapshot(service("s"))

    def test_removed(self) -> None:
        """
        The service is gone when 200 is said, and the answer names it.
        """
        said = self.api.call("GET", "remove?serviceName=s&aclName=wrong&more=1")
        self.assertEqual((said.status, said.json["Status"], said.json["ServiceName"]), (200, "OK", "s"))
        self.assertEqual(said.json["Revision"]["Number"], 2)
        self.assertEqual(self.api.publisher.snapshot.services, {})

    def test_again(self) -> None:
        """
        A service that is not there is removed already.
        """
        for method in ("GET", "DELETE", "PUT"):
            self.assertEqual(self.api.call(method, "remove?serviceName=unknown").json["ServiceName"], "unknown")

    def test_form(self) -> None:
        """
        The name may come in a form, in any case.
        """
        self.assertEqual(self.api.form("POST", "remove", "servicename=s").status, 200)
        self.assertEqual(self.api.publisher.calls, [("withdraw", ("s",))])

    def test_refused(self) -> None:
        """
        Without a name: 400, and nothing changes. To be passed on by a proxy that has no replicas: 500.
        """
        for path, word in (
            ("remove", "serviceName"),
            ("remove?serviceName=", "serviceName"),
        ):
            said = self.api.call("GET", path)
            self.assertEqual((said.status, said.json["Status"]), (400, "NOK"))
            self.assertIn(word, said.json["Message"])
            self.assertEqual(said.json["Problems"][0]["Parameter"], word)
        said = self.api.call("GET", "remove?serviceName=s&distribute=true")
        self.assertEqual((said.status, said.json["Status"], said.json["Distribute"]), (500, "NOK", True))
        self.assertEqual(self.api.publisher.calls, [])
        self.assertEqual(self.api.call("GET", "remove?serviceName=s&distribute=false").status, 200)

    def test_overtaken_or_too_many(self) -> None:
        """
        A removal that a newer definition has overtaken is done; too many changes at once are a 503.
        """
        self.api.publisher.failure = Superseded("s")
        said = self.api.call("GET", "remove?serviceName=s")
        self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
        self.assertIn("in force instead", said.json["Message"])
        self.api.publisher.failure = Overloaded("too many changes wait")
        said = self.api.call("GET", "remove?serviceName=s")
        self.assertEqual((said.status, said.headers["retry-after"]), (503, "1"))
