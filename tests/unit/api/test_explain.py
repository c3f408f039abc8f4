"""
How `explain` is asked, and what it tells a program or a person.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.access import Parameters
from dfproxy.api.explain import WrongQuestion, lines, question
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Settings
from dfproxy.wire.h1 import request_head
from tests.fakes import FakeDataPlane
from tests.unit.api.caller import Api

ANSWER = {
    "Route": {
        "Service": "demo",
        "Index": 0,
        "Backend": "demo-be80_0",
        "Default": False,
        "Conditions": [{"Condition": "path", "Wanted": "/demo (prefix)", "Found": "/demo/x", "Holds": True}],
        "Steps": [{"Parameter": "httpsOnly", "Does": "302 to https for what came without TLS"}],
    },
    "Effects": ["target becomes /x"],
    "Servers": 2,
    "UsableServers": 1,
    "Server": {"Name": "demo_0", "Address": "10.0.0.2", "Port": 80},
    "Why": "balance=roundrobin",
    "Outcome": "sent to demo_0 (10.0.0.2:80) of demo-be80_0",
    "PassedOver": [
        {
            "Service": "a",
            "Index": 0,
            "Backend": "a-be80_0",
            "Failed": [{"Condition": "host", "Wanted": "acme.com (prefix)", "Found": "x.test", "Holds": False}],
        }
    ],
    "LeftOut": 7,
    "NotLookedAt": 0,
}


class Asking(FakeDataPlane):
    """
    Remembers what it was asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Any]] = []

    def query(self, what: str, argument: object) -> Any:
        self.asked.append((what, argument))
        return super().query(what, argument)


class ExplainTests(SynchronousTestCase):
    """
    The verb.
    """

    def setUp(self) -> None:
        self.plane = Asking()
        self.plane.answers = [dict(ANSWER)]
        listeners = (Listener("", 8080), Listener("", 8443, tls=True))
        self.api = Api(data_plane=self.plane, settings=Settings(listeners=listeners))

    def ask(self, *pairs: tuple[str, str], headers: tuple[str, ...] = ()) -> Any:
        """
        One call.
        """
        return self.api.call("GET", f"explain?{urlencode(pairs)}", headers=headers)

    def asked(self) -> Any:
        """
        What the data plane was asked last.
        """
        what, argument = self.plane.asked[-1]
        self.assertEqual("explain", what)
        return argument

    def test_the_request(self) -> None:
        """
        URL, method, headers, listener and client make the head that a client would send.
        """
        said = self.ask(
            ("url", "https://acme.com:8443/demo/é x?q=a b"),
            ("method", "POST"),
            ("header", "X-Version: 2"),
            ("header", "Cookie:a=b"),
            ("client", "10.0.0.7:4711"),
        )
        self.assertEqual(200, said.status)
        self.assertEqual(
            {
                "head": b"POST /demo/%C3%A9%20x?q=a%20b HTTP/1.1\r\nHost: acme.com:8443\r\n"
                b"X-Version: 2\r\nCookie: a=b\r\n\r\n",
                "port": 8443,
                "tls": True,
                "client": "10.0.0.7",
                "client_port": 4711,
            },
            self.asked(),
        )

    def test_listener(self) -> None:
        """
        The listener is the one that is named, or the first of its kind; TLS goes by the scheme unless it is said.
        """
        for pairs, port, tls in (
            ((), 8080, False),
            ((("port", "99"),), 99, False),
            ((("tls", "true"),), 8443, True),
        ):
            self.ask(("url", "http://x/"), *pairs)
            self.assertEqual((port, tls), (self.asked()["port"], self.asked()["tls"]))
        self.ask(("url", "/only/a/path"), ("header", "host: acme.com"))
        self.assertIn(b"host: acme.com\r\n", self.asked()["head"])

    def test_json(self) -> None:
        """
        The answer of the data plane, with what was asked and the revision.
        """
        told = self.ask(("url", "http://x.test/demo/x")).json
        self.assertEqual("OK", told["Status"])
        self.assertEqual(ANSWER["Outcome"], told["Message"])
        self.assertEqual(ANSWER["Route"], told["Route"])
        self.assertEqual("http://x.test/demo/x", told["Request"]["Url"])
        self.assertEqual(0, told["Revision"]["Number"])

    def test_text(self) -> None:
        """
        For a terminal, by `format` or by what is accepted.
        """
        for pairs, headers in (((("format", "text"),), ()), ((), ("Accept: text/plain",))):
            said = self.ask(("url", "http://x.test/demo/x"), *pairs, headers=headers)
            self.assertEqual("text/plain; charset=utf-8", said.headers["content-type"])
            self.assertEqual(
                [
                    "GET http://x.test/demo/x from 127.0.0.1 on port 8080",
                    "  sent to demo_0 (10.0.0.2:80) of demo-be80_0",
                    "route demo-be80_0 of service demo",
                    "  yes: path /demo (prefix), is /demo/x",
                    "  httpsOnly: 302 to https for what came without TLS",
                    "  target becomes /x",
                    "server demo_0 10.0.0.2:80: balance=roundrobin; 1 of 2 may be used",
                    "passed over:",
                    "  a-be80_0: no: host acme.com (prefix), is x.test",
                    "  and 7 more routes that were not as close",
                ],
                said.body.decode().splitlines(),
            )
        said = self.ask(("url", "http://x.test/"), ("format", "json"), headers=("Accept: text/plain",))
        self.assertEqual("application/json", said.headers["content-type"])

    def test_nobody_answers(self) -> None:
        """
        A worker that does not answer in time is a 503, not a wait.
        """
        for answers in ([None], []):
            self.plane.answers = answers
            said = self.ask(("url", "http://x/"))
            self.assertEqual((503, "1"), (said.status, said.headers["retry-after"]))

    def test_no_route(self) -> None:
        """
        The text of an answer without route and server is short, and complete.
        """
        told = {
            "Request": {"Method": "GET", "Url": "/", "Port": 80, "Tls": False, "Client": "::1"},
            "Route": None,
            "Outcome": "no route takes it: answered 503",
        }
        self.assertEqual(["GET / from ::1 on port 80", "  no route takes it: answered 503"], list(lines(told)))


class HostileTests(SynchronousTestCase):
    """
    Whatever is given.
    """

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(("url", "method", "header", "port", "client", "tls", "format")),
                st.one_of(
                    st.text(max_size=30),
                    st.sampled_from(
                        ("http://x/", "http://[::1", "http://x:y/", "https://ü.test/", "A:b\r\nC:d", "[::1]:5")
                    ),
                    st.text(st.sampled_from("/:?#[]@ab%\r\n\0é "), max_size=20).map(lambda text: f"http://x{text}"),
                ),
            ),
            max_size=5,
        )
    )
    def test_a_head_or_a_refusal(self, pairs: list[tuple[str, str]]) -> None:
        """
        Either a head that parses, as long as it is, or a refusal that names the parameter; no line gets in.
        """
        api = Api()
        try:
            asked = question(Parameters(tuple(pairs), ()), api.control)
        except WrongQuestion as error:
            self.assertTrue(error.problem.parameter)
            json.dumps(error.problem.reason)
            return
        head = asked["head"]
        found = request_head(head, 0, 16384, 100)
        assert found is not None
        self.assertEqual(len(head), found[1])
        given = sum(1 for name, value in pairs if name == "header" and value)
        self.assertLessEqual(head.count(b"\r\n"), given + 3)
