"""
Which methods a verb takes, and where its calls wait.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.access import Answer, CallQueue
from dfproxy.api.request import Request, Verb
from dfproxy.api.verbs import DistributedVerb, WaitingVerb
from tests.unit.api.caller import Api


class Posted(WaitingVerb):
    """
    POST only.
    """

    methods = (b"POST", b"PUT")
    otherwise = "use POST"

    async def _answer(self, request: Request) -> Answer:
        return Answer(200, {"Status": "OK"})


class Sent(DistributedVerb):
    """
    Says in which queue it has waited.
    """

    async def _answer(self, request: Request) -> Answer:
        return Answer(200, {"Everywhere": self._sent_on.running == 1})


class VerbTests(SynchronousTestCase):
    """
    `WaitingVerb` and `DistributedVerb`.
    """

    def setUp(self) -> None:
        self.api = Api()

    def put(self, verb: Verb) -> None:
        root: Any = self.api.site.resource
        root.putChild(b"verb", verb)

    def test_methods(self) -> None:
        """
        A method that is not taken is 405 with those that are, and nothing is done.
        """
        self.put(Posted(self.api.control, CallQueue(1, 1)))
        self.assertEqual(self.api.call("POST", "/verb").status, 200)
        refused = self.api.call("GET", "/verb")
        self.assertEqual((refused.status, refused.json["Message"]), (405, "use POST"))
        self.assertEqual(refused.headers["allow"], "POST, PUT")

    def test_queues(self) -> None:
        """
        Calls that are sent on wait apart from those that end here.
        """
        self.put(Sent(self.api.control, CallQueue(1, 1), CallQueue(1, 1)))
        self.assertFalse(self.api.call("GET", "/verb").json["Everywhere"])
        self.assertTrue(self.api.call("GET", "/verb?distribute=true").json["Everywhere"])
