"""
`upgrade`: who may ask for what, and what is answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.upgrade import Proof
from dfproxy.errors import NotUpgraded
from tests.unit.api.caller import Api


@dataclass
class Proved:
    version: str = "9.1"
    workers: int = 3


class UpgradeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[int | None] = []
        self.error: NotUpgraded | None = None
        self.api = Api(more={"upgrade": self.upgrade})

    def upgrade(self, workers: int | None) -> Deferred[Proof]:
        self.asked.append(workers)
        return succeed(Proved()) if self.error is None else fail(self.error)

    def test_upgrade(self) -> None:
        """
        The answer tells which version takes over, with how many workers.
        """
        for query, workers in (("", None), ("?workers=3", 3), ("?Workers=256", 256), ("?workers=", None)):
            said = self.api.call("POST", f"upgrade{query}")
            self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
            self.assertEqual((said.json["Version"], said.json["Workers"]), ("9.1", 3))
            self.assertEqual(self.asked.pop(), workers)

    def test_only_by_post(self) -> None:
        """
        Whoever only looks changes nothing.
        """
        for method in ("GET", "PUT", "DELETE"):
            said = self.api.call(method, "upgrade")
            self.assertEqual((said.status, said.headers["allow"]), (405, "POST"))
        self.assertEqual(self.asked, [])

    def test_wrong_parameters(self) -> None:
        """
        Numbers out of range and words that mean nothing are named; nothing is begun.
        """
        for query, name, value in (
            ("workers=0", "workers", "0"),
            ("workers=257", "workers", "257"),
            ("workers=-1", "workers", "-1"),
            ("workers=auto", "workers", "auto"),
            ("workers=%C2%B2", "workers", "²"),
            ("worker=4", "worker", "4"),
            ("workers=2&force=true", "force", "true"),
        ):
            said = self.api.call("POST", f"upgrade?{query}")
            self.assertEqual(said.status, 400, query)
            [problem] = said.json["Problems"]
            self.assertEqual((problem["Parameter"], problem["Value"]), (name, value))
            self.assertTrue(problem["Reason"])
        self.assertEqual(self.asked, [])

    def test_no_upgrade(self) -> None:
        """
        Not now is a conflict; a new version that does not start is an error; both say why.
        """
        self.error = NotUpgraded("an upgrade is under way", possible=False)
        said = self.api.call("POST", "upgrade")
        self.assertEqual((said.status, said.json["Message"]), (409, "an upgrade is under way"))
        self.error = NotUpgraded("the new version does not start: no module")
        said = self.api.call("POST", "upgrade")
        self.assertEqual((said.status, said.json["Message"]), (500, str(self.error)))
        self.assertEqual(Api().call("POST", "upgrade").status, 409)
