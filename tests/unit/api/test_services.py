"""
`services`: several at once, all or none.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import Refused, Superseded
from tests.unit.api.caller import Api, Said
from tests.unit.api.replicas import REFUSED, Others, api_with
from tests.unit.api.services import service, snapshot


def entry(name: str, **parameters: Any) -> dict[str, Any]:
    return {"serviceName": name, "servicePath": f"/{name}", "port": "8080", **parameters}


class ServicesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def post(self, body: Any, path: str = "services", method: str = "POST") -> Said:
        return self.api.call(method, path, body if isinstance(body, bytes) else json.dumps(body).encode())


class ServicesTests(ServicesCase):
    def test_all_at_once(self) -> None:
        """
        One change publishes and removes all that is asked for; what has no route is told and left out.
        """
        self.api.publisher.snapshot = snapshot(service("old"))
        body = [entry("a"), entry("b", port=80), entry("old", replicas="0"), {"serviceName": "alert", "port": "1"}]
        for method in ("POST", "PUT"):
            said = self.post(body, method=method)
            self.assertEqual((said.status, said.json["Status"]), (200, "OK"), said.body)
            outcome = [said.json[key] for key in ("Services", "Removed", "Skipped", "Held")]
            self.assertEqual(outcome, [["a", "b"], ["old"], ["alert"], []])
        self.assertEqual(self.api.publisher.calls[:2], [("publish", ("a", "b")), ("withdraw", ("old",))])
        self.assertEqual(set(self.api.publisher.snapshot.services), {"a", "b"})

    def test_one_is_wrong(self) -> None:
        """
        Then none changes, and each that is wrong is named with each of its problems, or by its place.
        """
        wrong = [entry("b", port="x", balance="no"), entry("c", port="0"), {"port": "1", "servicePath": "/"}, 5]
        body = [entry("a"), *wrong, entry("a")]
        said = self.post(body)
        self.assertEqual((said.status, self.api.publisher.calls), (400, []))
        found = [(one["ServiceName"], one["Parameter"]) for one in said.json["Problems"]]
        named = [("b", "port"), ("b", "balance"), ("c", "port"), ("entry 3", "serviceName"), ("entry 4", "entry 4")]
        self.assertEqual(sorted(found), sorted([*named, ("a", "serviceName")]))
        self.assertIn("nothing has changed", said.json["Message"])

    def test_refused_by_workers(self) -> None:
        """
        What only a worker finds is named as well, every one.
        """
        self.api.publisher.failure = Refused("b: first")
        self.api.data_plane.answers = [{"refused": {"b": "b: first", "c": "c: second"}}]
        said = self.post([entry("a"), entry("b"), entry("c")])
        self.assertEqual(said.status, 400)
        self.assertEqual([one["ServiceName"] for one in said.json["Problems"]], ["b", "c"])

    def test_others_names(self) -> None:
        """
        What was declared at start cannot be taken.
        """
        self.api.publisher.snapshot = snapshot(replace(service("env"), origin="environment"))
        said = self.post([entry("a"), entry("env")])
        self.assertEqual((said.status, said.json["Problems"][0]["ServiceName"]), (400, "env"))
        self.assertEqual(self.api.publisher.calls, [])

    def test_replace_all(self) -> None:
        """
        Only when asked for, and only what calls and listeners have published: what was declared at start stays.
        """
        env = replace(service("env"), origin="environment")
        self.api.publisher.snapshot = snapshot(env, service("a"), service("gone"))
        self.assertEqual(self.post([entry("a")]).json["Removed"], [])
        said = self.post([entry("a"), {"serviceName": "gone"}], "services?replace=all")
        self.assertEqual((said.json["Removed"], said.json["Skipped"]), ([], ["gone"]))
        self.assertEqual(self.post([entry("a")], "services?replace=all").json["Removed"], ["gone"])
        self.assertEqual(set(self.api.publisher.snapshot.services), {"env", "a"})
        self.assertEqual(self.post([entry("a")], "services?replace=some").status, 400)

    def test_dry(self) -> None:
        """
        What it would do is said, nothing is done, and what is wrong is named.
        """
        said = self.post([entry("a")], "services?dryRun=true")
        self.assertEqual((said.status, said.json["Services"], self.api.publisher.calls), (200, ["a"], []))
        self.assertEqual([route["ServiceName"] for route in said.json["Difference"]["RoutesAdded"]], ["a"])
        self.api.data_plane.answers = [{"refused": {"a": "a: no"}}]
        said = self.post([entry("a")], "services?dryRun=true")
        self.assertEqual((said.status, said.json["Problems"][0]["ServiceName"]), (400, "a"))

    def test_overtaken(self) -> None:
        """
        That something newer is in force instead is no failure.
        """
        self.api.publisher.failure = Superseded("later")
        said = self.post([entry("a")])
        self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
        self.assertIn("in force instead", said.json["Message"])

    def test_methods(self) -> None:
        """
        Looking must not change anything: GET is told what to do.
        """
        said = self.api.call("GET", "services")
        self.assertEqual((said.status, said.headers["allow"]), (405, "POST, PUT"))

    def test_bodies(self) -> None:
        """
        What is no list of services is a 400 that shows one.
        """
        for body in (b"", b"{", b"{}", b"[", b"null", b"\xff", b"serviceName=a&port=1", b"[" * 2000):
            said = self.post(body)
            self.assertEqual(said.status, 400, body)
            self.assertIn('[{"serviceName"', said.json["Message"])

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.sampled_from(["serviceName", "port", "servicePath", "x"]), inner, max_size=4)
            ),
        )
    )
    @settings(max_examples=75, deadline=None)
    def test_any_json(self, body: Any) -> None:
        """
        Whatever JSON comes, the answer is 200 or 400, and after a 400 nothing has changed.
        """
        api = Api()
        said = api.call("POST", "services", json.dumps(body).encode())
        self.assertIn(said.status, (200, 400))
        if said.status == 400:
            self.assertEqual(api.publisher.calls, [])


class EverywhereTests(ServicesCase):
    def setUp(self) -> None:
        self.others = Others("10.0.0.2", "10.0.0.3")
        self.api = api_with(self.others)

    def test_sent_on(self) -> None:
        """
        With `distribute=true` here first, then by every other replica, with the same body; a dry run goes nowhere.
        """
        self.post([entry("a")], "services?distribute=true&dryRun=true")
        self.assertEqual(self.others.asked, [])
        said = self.post([entry("a"), entry("b")], "services?distribute=true&replace=all")
        self.assertEqual((said.status, said.json["Message"]), (200, "distributed to all 3 replicas"))
        self.assertEqual([one[0] for one in self.others.asked], ["10.0.0.2", "10.0.0.3"])
        self.assertEqual(self.others.asked[0][2], "/v1/docker-flow-proxy/services?distribute=false&replace=all")
        self.assertEqual(json.loads(self.others.asked[0][3]), [entry("a"), entry("b")])

    def test_not_everywhere(self) -> None:
        """
        What is wrong here goes nowhere; a replica that has not done it, or nobody knowing any, is a 500.
        """
        self.assertEqual(self.post([entry("a", port="x")], "services?distribute=true").status, 400)
        self.assertEqual(self.others.asked, [])
        self.others.answers["10.0.0.3"] = REFUSED
        said = self.post([entry("a")], "services?distribute=true")
        self.assertEqual(said.status, 500)
        self.assertIn("10.0.0.3", said.json["Message"])
        self.others.addresses = None
        self.api = api_with(self.others)
        self.assertEqual(self.post([entry("a")], "services?distribute=true").status, 500)
        self.api = Api()
        self.assertEqual(self.post([entry("a")], "services?distribute=true").status, 500)
