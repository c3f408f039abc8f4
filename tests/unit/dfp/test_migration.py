"""
What a running Docker Flow Proxy tells of its services makes the same services here; what differs is said.

`recorded-services.json` holds calls of a real one, and the objects that it then showed (zero values left out).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.strategies import Strategies
from dfproxy.dfp import answers
from dfproxy.dfp.migration import (
    DIFFERENCES,
    SERVICES,
    Found,
    UnknownShape,
    judged,
    parameters_of,
    services_of,
)
from dfproxy.dfp.reconfigure import read
from dfproxy.errors import InvalidService
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings

RECORDED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("recorded-services.json").read_text())
STRATEGIES = Strategies.load()


def bare(service: Service | None) -> Service | None:
    """
    Without the parameters that it was given.
    """
    return None if service is None else replace(service, parameters=())


def called(query: dict[str, str]) -> Service | None:
    """
    What the call makes here; None: it is refused.
    """
    try:
        return read(list(query.items()), (), Settings(), STRATEGIES.parse_balance).service
    except InvalidService:
        return None


def found(content: object) -> list[Found]:
    """
    What becomes of each service.
    """
    return [
        judged(pairs, notes, Settings(), STRATEGIES.parse_balance, STRATEGIES.check_condition)
        for pairs, notes in services_of(content)
    ]


def listed(**parameters: str) -> Found:
    """
    What becomes of one service of a list.
    """
    [one] = found([{"serviceName": "s", **parameters}])
    return one


class RecordedTests(SynchronousTestCase):
    """
    Objects of a real one.
    """

    def test_same_service(self) -> None:
        """
        Read from what is shown, a service is the one that the call had made, but for wildcards.
        """
        self.assertGreater(len(RECORDED), 40)
        self.assertTrue([entry for entry in RECORDED if "*" in entry["query"].get("serviceDomain", "")])
        for entry in RECORDED:
            query = list(entry["query"].items())
            asked = called(entry["query"])
            [shown] = found({entry["service"]["ServiceName"]: entry["service"]})
            if "*" in entry["query"].get("serviceDomain", ""):
                self.assertIn("may have been *.acme.test", " ".join(shown.notes), query)
            else:
                self.assertEqual(bare(asked), bare(shown.service), query)
                self.assertEqual(asked is None, bool(shown.problems), query)

    def test_lists(self) -> None:
        """
        What a swarm listener lists are calls.
        """
        list_of = [{**entry["query"], "distribute": "true", "nodeInfo": "[]"} for entry in RECORDED]
        for entry, shown in zip(RECORDED, found(list_of)):
            self.assertEqual(bare(called(entry["query"])), bare(shown.service))
            self.assertEqual([], shown.notes, entry["query"])

    def test_our_own(self) -> None:
        """
        Our own `config?type=json` is read as well; what it does not show is said.
        """
        for entry in RECORDED:
            service = called(entry["query"])
            if service is None:
                continue
            [shown] = found(answers.config((service,), Settings()))
            self.assertEqual(bare(service), bare(shown.service), entry["query"])


class VerdictTests(SynchronousTestCase):
    """
    Accepted, refused, left out; and what is otherwise.
    """

    def test_refused(self) -> None:
        """
        With each problem: parameter, value, reason.
        """
        one = listed(servicePath="/a", port="nothing", pathType="path_xyz")
        self.assertIsNone(one.service)
        self.assertEqual({"port", "pathType"}, {problem.parameter for problem in one.problems})

    def test_left_out(self) -> None:
        """
        Without a route, or without replicas, as in DFP.
        """
        self.assertIn("409", listed(alertName="memload").skipped)
        self.assertIn("replicas=0", listed(servicePath="/a", port="80", replicas="0").skipped)

    def test_users(self) -> None:
        """
        Users go on with their passwords, which are said nowhere; where these are not shown, that is said.
        """
        service = {"IsGlobal": True, "ServiceDest": [{"Port": "80", "ServicePath": ["/a"]}]}
        users = [{"Username": "me", "Password": "topsecret", "PassEncrypted": False}]
        [one] = found({"s": {**service, "Users": users}})
        assert one.service is not None
        [destination] = one.service.destinations
        assert destination.steps is not None
        assert destination.steps.access is not None
        self.assertEqual("topsecret", destination.steps.access.users[0].password)
        self.assertNotIn("topsecret", repr([one.problems, one.notes, one.differences, one.skipped]))
        [hidden] = found({"s": {**service, "Users": [{"Username": "me", "Password": ""}]}})
        self.assertIn("must be given again", " ".join(hidden.notes))
        [nobody] = found(
            {"s": {**service, "Users": [{"Username": "dummyUser", "Password": "x", "PassEncrypted": True}]}}
        )
        self.assertIn("everybody is answered 401", " ".join(nobody.notes))

    def test_replicas(self) -> None:
        """
        A service without replicas in its object is no service to be taken away.
        """
        [one] = found({"s": {"IsGlobal": True, "Replicas": 0, "ServiceDest": [{"Port": "80", "ServicePath": ["/a"]}]}})
        self.assertIsNotNone(one.service)

    def test_unknown_names(self) -> None:
        """
        A slip is told of; labels of other programs are not.
        """
        one = listed(
            servicePath="/a", port="80", servicePaht="/b", alertIf="x", nodeInfo="[]", **{"letsencrypt.host": "a"}
        )
        self.assertEqual(["servicePaht is no parameter, and ignored, as DFP ignored it"], one.notes)

    def test_differences(self) -> None:
        """
        Each is told of where a service uses it, and nowhere else.
        """
        plain = {"servicePath": "/a", "port": "80"}
        self.assertEqual([], listed(**plain).differences)
        uses: dict[int, dict[str, str]] = {
            13: {"servicePath.1": "/a", "port.1": "80", "httpsOnly": "true", "httpsOnly.1": "false"},
            14: {"checkResolvers": "true"},
            15: {"reqMode": "HTTP"},
            19: {"httpsPort": "81", "serviceHeader": "X-A:b"},
            20: {"pathType": "path_reg", "servicePath": "^/a,^/b"},
            21: {"serviceDomain": "*.acme.com"},
            22: {
                "servicePath.1": "/a",
                "port.1": "80",
                "servicePath.2": "/b",
                "port.2": "80",
                "serviceHeader": "X-A:b",
            },
            23: {"redirectFromDomain": "old.com", "serviceDomain": "new.com"},
            25: {"redirectUnlessHttpsProto": "true"},
            27: {"users": "a:b"},
            28: {"reqPathSearchReplace": "^/a(.*),/b"},
            29: {"setReqHeader": "X-A %[src,lower]"},
            30: {"discoveryType": "DNS"},
            31: {"sessionType": "sticky-server"},
            32: {"compressionAlgo": "gzip"},
            33: {"reqMode": "tcp", "serviceDomain": "a.com"},
            34: {"reqMode": "sni", "aclName": "05-a"},
        }
        self.assertEqual(set(uses), {one.oddity for one in DIFFERENCES})
        for oddity, parameters in uses.items():
            told = {one.oddity for one in listed(**{**plain, **parameters}).differences}
            self.assertIn(oddity, told, parameters)

    def test_page(self) -> None:
        """
        The page on migration has each oddity that is told of, and all others of the register.
        """
        page = (Path(__file__).parents[3] / "docs" / "migration.md").read_text()
        rows = [int(number) for number in re.findall(r"(?m)^\| ([0-9]+) \|", page)]
        self.assertEqual(list(range(1, 42)), rows)


class ShapeTests(SynchronousTestCase):
    """
    Whatever is read.
    """

    def test_neither(self) -> None:
        """
        What is neither of the shapes is refused with what it is.
        """
        for content in ("text", 3, None, [1], {"s": 1}, {"Status": "NOK", "Message": "no"}, [{}] * (SERVICES + 1)):
            with self.assertRaises(UnknownShape):
                list(services_of(content))

    values = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 70000) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=6,
    )
    keys = st.sampled_from(("Users", "ServiceDest", "Replicas", "IsGlobal", "AclName", "SetReqHeader", "ServiceCert"))
    inner_keys = st.sampled_from(
        (
            "Port",
            "ServicePath",
            "ServiceDomain",
            "HttpsPort",
            "UserAgent",
            "ServiceHeader",
            "SrcPort",
            "Index",
            "ReqMode",
        )
    )

    @settings(max_examples=100, deadline=None)
    @given(
        st.dictionaries(keys, values, max_size=4),
        st.lists(st.dictionaries(inner_keys, values, max_size=5), max_size=12),
    )
    def test_odd_objects(self, service: dict[str, Any], destinations: list[dict[str, Any]]) -> None:
        """
        Objects of any kind give a verdict, never an exception.
        """
        service.setdefault("ServiceDest", destinations)
        pairs, notes = parameters_of("s", service)
        one = judged(pairs, notes, Settings(), STRATEGIES.parse_balance)
        self.assertEqual("s", one.name)
        self.assertTrue(one.service is not None or one.problems or one.skipped)
