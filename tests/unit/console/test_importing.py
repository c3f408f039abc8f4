"""
What is told of a Docker Flow Proxy's services before anything is switched.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.console.importing import LISTED, CannotRead, Report, as_json, lines, read_source, report_on
from dfproxy.control.strategies import Strategies
from dfproxy.model.settings import Settings
from tests.e2e.backends import Backend
from tests.e2e.wire import Wire

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "dfp" / "recorded-services.json").read_text())
STRATEGIES = Strategies.load()


def service(*paths: str, **more: Any) -> dict[str, Any]:
    """
    An object as DFP shows it.
    """
    return {"IsGlobal": True, "ServiceDest": [{"Port": "8080", "ReqMode": "http", "ServicePath": list(paths), **more}]}


def report(content: object, **settings: Any) -> Report:
    """
    The report on it.
    """
    return report_on(content, "here", Settings(**settings), STRATEGIES)


class ReportTests(SynchronousTestCase):
    """
    The report.
    """

    def test_all_is_well(self) -> None:
        """
        Services that are accepted as they are: status 0, and little to read.
        """
        found = report({"go-demo": service("/demo"), "shop": service("/shop")})
        self.assertEqual((0, 0), (found.status(False), found.status(True)))
        self.assertEqual(
            [
                "2 services read from here; nothing has been changed anywhere",
                "  2 would be accepted, 0 refused, 0 left out",
                "all is well",
            ],
            list(lines(found, True)),
        )

    def test_refused(self) -> None:
        """
        A refused one: status 1, with parameter, value and reason.
        """
        found = report({"a": service("/a", PathType="path_xyz"), "b": service("/b")})
        self.assertEqual(1, found.status(False))
        text = "\n".join(lines(found, False))
        self.assertIn("a: pathType=path_xyz: ", text)
        self.assertIn("not all is well", text)

    def test_routes_that_cannot_be_compiled(self) -> None:
        """
        What only a worker would refuse is refused here.
        """
        found = report([{"serviceName": "a", "servicePath": "/a", "port": "80", "condition": "nothing-known"}])
        self.assertEqual(1, found.status(False))

    def test_different(self) -> None:
        """
        What would behave otherwise is told, and counts only when asked to be strict.
        """
        found = report({"a": {**service("/a"), "SessionType": "sticky-server"}})
        self.assertEqual((0, 1), (found.status(False), found.status(True)))
        self.assertIn("  a: clients stay at their servers also when tasks move (31)", list(lines(found, False)))

    def test_shadowed(self) -> None:
        """
        Routes that never get a request, by the order that is asked for.
        """
        both = {"digital": service("/digital"), "digitalproduct": service("/digitalproduct")}
        [text] = report(both).shadows
        self.assertIn("digitalproduct-be8080_0 never gets a request: digital-be8080_0 (/digital)", text)
        self.assertEqual([], report(both, route_order="specific").shadows)

    def test_many_shadows(self) -> None:
        """
        The report has a limit.
        """
        found = report({f"s{number:04}": service("/") for number in range(LISTED // 15)})
        self.assertEqual(LISTED, len(found.shadows))
        self.assertGreater(found.more_shadows, 0)

    def test_recorded(self) -> None:
        """
        Services as a real one has shown them: all that are refused are those that should be.
        """
        content = {f"s{number}": entry["service"] for number, entry in enumerate(RECORDED)}
        found = report(content)
        self.assertEqual(len(RECORDED), len(found.services))
        told = as_json(found, False)
        json.dumps(told)
        self.assertEqual(len(found.refused), [one["Verdict"] for one in told["Services"]].count("refused"))
        refused = {problem["Parameter"] for one in told["Services"] for problem in one["Problems"]}
        self.assertLessEqual(refused, {"redirectFromDomain", "serviceCert"}, refused)

    def test_streams(self) -> None:
        """
        Services of whole connections are accepted, and shadow no routes.
        """
        tcp = {"IsGlobal": True, "ServiceDest": [{"Port": "5432", "ReqMode": "tcp", "SrcPort": 5432}]}
        found = report({"a": tcp, "b": service("/b"), "c": tcp})
        self.assertEqual((0, []), (found.status(False), found.shadows))
        self.assertEqual(3, len([one for one in found.services if one.service is not None]))

    def test_twice(self) -> None:
        """
        A name that is listed twice is said.
        """
        entry = {"serviceName": "a", "servicePath": "/a", "port": "80"}
        found = report([entry, entry])
        [one] = found.services
        self.assertEqual(["is listed more than once: the last one counts"], one.notes)

    def test_separator(self) -> None:
        """
        Lists are read with the proxy's separator.
        """
        found = report({"a": service("/a,b", "/c")}, separator=";")
        assert found.services[0].service is not None
        paths = found.services[0].service.destinations[0].match.paths
        self.assertEqual([b"/a,b", b"/c"], [path.value for path in paths])


class SourceTests(SynchronousTestCase):
    """
    Where services are read.
    """

    def test_file_and_standard_input(self) -> None:
        """
        Without a network.
        """
        path = Path(self.mktemp())
        path.write_text('{"a": {}}')
        self.assertEqual({"a": {}}, read_source(str(path), "dfp", 1.0))
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[]")))
        self.assertEqual([], read_source("-", "dfp", 1.0))

    def test_url(self) -> None:
        """
        A URL without path is asked for what its kind answers; one with a path as it is.
        """
        asked: list[str] = []

        def script(wire: Wire, backend: Backend) -> None:
            asked.append(wire.request().target)
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        backend = Backend(script)
        self.addCleanup(backend.close)
        base = f"http://127.0.0.1:{backend.port}"
        for source, kind in ((base, "dfp"), (f"{base}/", "dfsl"), (f"{base}/mine?x=1", "dfp")):
            self.assertEqual({}, read_source(source, kind, 5.0))
        self.assertEqual(
            [
                "/v1/docker-flow-proxy/config?type=json",
                "/v1/docker-flow-swarm-listener/get-services",
                "/mine?x=1",
            ],
            asked,
        )

    def test_what_cannot_be_read(self) -> None:
        """
        One line that says why.
        """
        path = Path(self.mktemp())
        for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
            path.write_bytes(content)
            with self.assertRaises(CannotRead) as caught:
                read_source(str(path), "dfp", 1.0)
            self.assertIn("is no JSON", str(caught.exception))
        self.assertRaises(CannotRead, read_source, "/no/such/file", "dfp", 1.0)
        for content in ({"Status": "NOK", "Message": "x"}, "text", {"a": 1}):
            self.assertRaises(CannotRead, report, content)
