"""
`config`: what is in force, as text and as JSON.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.config import as_json
from dfproxy.model.service import Route
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import ServerAddress
from tests.unit.api.caller import Api
from tests.unit.api.services import service, snapshot


class ConfigTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.services = [service("a", aclName="first"), service("b", serviceDomain="b.test"), service("odd.ü-1")]
        self.routes = [(Route(each, each.destinations[0]), "target") for each in self.services]
        self.api = Api(
            more={"routes": lambda: (iter(self.routes), None), "quarantined": lambda: {"b": "no such plugin"}}
        )
        self.api.publisher.snapshot = snapshot(*self.services)
        self.api.names.known["a", 0] = (ServerAddress("10.0.0.1", 8080), ServerAddress("10.0.0.2", 8080))

    def test_text(self) -> None:
        """
        The text names routes, backends and servers as HAProxy does, and what is quarantined.
        """
        said = self.api.call("GET", "config")
        self.assertEqual((said.status, said.headers["content-type"]), (200, "text/plain; charset=utf-8"))
        text = said.body.decode()
        for piece in ("pidfile", "frontend services", "backend first-be8080_0", "10.0.0.2:8080", "no such plugin"):
            self.assertIn(piece, text)
        self.assertIn("use_backend first-be8080_0", text)

    def test_json(self) -> None:
        """
        `type=json`, in any case, is an object of all services by name.
        """
        for query in ("type=json", "TYPE=Json"):
            said = self.api.call("GET", f"config?{query}")
            self.assertEqual((said.status, said.headers["content-type"]), (200, "application/json"))
            self.assertEqual(list(said.json), ["a", "b", "odd.ü-1"])
            self.assertEqual((said.json["a"]["AclName"], said.json["b"]["AclName"]), ("first", "b"))
            self.assertEqual(said.json["a"]["ServiceDest"][0]["ServicePath"], ["/a"])

    def test_nothing(self) -> None:
        """
        Without services the JSON is an empty object.
        """
        api = Api()
        self.assertEqual(api.call("GET", "config?type=json").body, b"{}")
        self.assertEqual(api.call("GET", "config").status, 200)

    def test_other_type(self) -> None:
        """
        Any other type is text, as with DFP.
        """
        self.assertEqual(self.api.call("GET", "config?type=xml").headers["content-type"], "text/plain; charset=utf-8")

    def test_bad_query(self) -> None:
        """
        A query that is none is a 400.
        """
        self.assertEqual(self.api.call("GET", "config?type=%ff").status, 400)

    def test_one_state(self) -> None:
        """
        A change in the middle of an answer is not in it.
        """
        connection = self.api.connect()
        connection.send(b"GET /v1/docker-flow-proxy/config?type=json HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(connection.wire.value(), b"")
        self.api.publisher.snapshot = snapshot()
        self.assertEqual(list(connection.answers()[0].json), ["a", "b", "odd.ü-1"])

    def test_slices(self) -> None:
        """
        JSON of many services comes in parts, each of one service.
        """
        parts = list(as_json((service(f"s{number}") for number in range(100)), Settings()))
        self.assertEqual(len(parts), 101)
        self.assertEqual(len(json.loads("".join(parts))), 100)
