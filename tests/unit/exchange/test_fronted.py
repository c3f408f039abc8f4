"""
Rules before the choice of a route, in dialogues.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import deferLater

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.errors import InvalidRoute
from dfproxy.exchange.fronted import FRONTEND, Fronted, FrontRules
from dfproxy.exchange.passwords import Verifier
from dfproxy.exchange.steps import _UNAUTHORIZED, Tools, compile_steps
from dfproxy.model.connection import TlsFacts
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.steps import Access, Steps, User
from dfproxy.upstream.live import LiveBackend
from tests.dialogue import FORWARDED, Dialogue, DialogueCase, Step, client, ended, server, waits
from tests.unit.exchange.steps import SURROUNDINGS, by_tls

HOST = "Host: a.test"
GET = ("GET /x?q=1 HTTP/1.1", HOST)
HASH = "$1$abcdefgh$HxWb8VZZ8HqzOKVuLaoxI."
"""`p`, hashed."""
NOT_FOUND = "<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1></body></html>\n"
REFUSAL = (f"Content-Length: {len(NOT_FOUND)}", "Cache-Control: no-cache", "Content-Type: text/html")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")


class _Table:
    """
    Leads every request to one backend, but those for `/none` nowhere.
    """

    def __init__(self, backend: LiveBackend) -> None:
        self.backend = backend
        self.asked: list[bytes] = []

    def lookup(self, request: Any) -> LiveBackend | None:
        self.asked.append(request.host + request.path)
        return None if request.path == b"/none" else self.backend


def front(
    *lines: str,
    steps: Steps | None = None,
    named: str = "",
    asked: list[bytes] | None = None,
    verifying_s: float = 0.0,
) -> Step:
    """
    These rules stand before the table from now on.

    Args:
        steps: of the one backend.
        named: what `use_backend` lines may call it.
        asked: filled with what the table behind is asked.
        verifying_s: how long a hash takes.
    """

    def act(dialogue: Dialogue) -> None:
        backend = dialogue.backend
        assert backend is not None
        clock: Any = dialogue.reactor
        slowly = Verifier(lambda verify: deferLater(clock, verifying_s, verify))
        tools = Tools(SURROUNDINGS, slowly if verifying_s else Verifier.at_once())
        backend.define(backend.service, backend.destination, compile_steps(steps, "web", tools))
        table = _Table(backend)
        if asked is not None:
            table.asked = asked
        destination = Destination(0, 0, Match(), "", FRONTEND)
        service = Service(FRONTEND, FRONTEND, (destination,))
        own = LiveBackend(service, destination, RoundRobin(), dialogue.reactor, lambda server: None)
        fronted = Fronted(FrontRules(lines, tools), table, own, {named: backend} if named else {})
        dialogue.resource.lookup = fronted.lookup

    return Step(f"the front has {lines}", act)


class RequestTests(DialogueCase):
    """
    Before the route is chosen.
    """

    def test_changes(self) -> None:
        """
        Fields and target change, the route is chosen by what they have become, and the server gets that.
        """
        asked: list[bytes] = []
        self.talk(
            front(
                "acl api path_beg /x",
                "http-request set-header X-Path %[path]",
                "http-request set-path /api%[path] if api",
                "http-request set-header Host B.test",
                asked=asked,
            ),
            client.sends(*GET),
            server.gets("GET /api/x?q=1 HTTP/1.1", "X-Path: /x", "Host: B.test", FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
            ended("complete"),
        )
        self.assertEqual(asked, [b"b.test/api/x"])

    def test_answers(self) -> None:
        """
        An answer is given although no service takes the request; the connection goes on.
        """
        asked: list[bytes] = []
        self.talk(
            front(
                "monitor-uri /alive",
                "http-request return status 200 content-type text/plain string ok if { path /none }",
                "http-request redirect location /y code 301 if { path /x }",
                asked=asked,
            ),
            client.sends("GET /none HTTP/1.1", HOST),
            client.gets("HTTP/1.1 200 OK", "Content-Length: 2", "Content-Type: text/plain", body="ok"),
            client.sends(*GET),
            client.gets("HTTP/1.1 301 Moved Permanently", "Content-Length: 0", "Location: /y"),
            ended("local", "local"),
        )
        self.assertEqual(asked, [])

    def test_order(self) -> None:
        """
        `redirect` lines come after `http-request` lines, wherever they stand.
        """
        self.talk(
            front("redirect location /r", "http-request redirect location /h code 301 if { path /x }"),
            client.sends(*GET),
            client.gets("HTTP/1.1 301 Moved Permanently", "Content-Length: 0", "Location: /h"),
            client.sends("GET /z HTTP/1.1", HOST),
            client.gets("HTTP/1.1 302 Found", "Content-Length: 0", "Location: /r", "Cache-Control: no-cache"),
            ended("local", "local"),
        )

    def test_use_backend(self) -> None:
        """
        The named backend takes what no route does.
        """
        self.talk(
            front("use_backend web-be80_0 if { path /none }", named="web-be80_0"),
            client.sends("GET /none HTTP/1.1", HOST),
            server.gets("GET /none HTTP/1.1", HOST, FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
            ended("complete"),
        )

    def test_rules_of_the_route_come_after(self) -> None:
        """
        The route's own steps see what these rules have made, variables included.
        """
        self.talk(
            front(
                "http-request set-var(txn.v) path",
                "http-request set-path /y",
                steps=Steps(raw=("http-request set-header X-V %[var(txn.v)]:%[path]:%b",)),
            ),
            client.sends(*GET),
            server.gets("GET /y?q=1 HTTP/1.1", HOST, "X-V: /x:/y:web-be8080_0", FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
            ended("complete"),
        )

    def test_tls(self) -> None:
        """
        X-Forwarded-Proto is told once.
        """
        self.talk(
            front("http-response set-header X 1"),
            by_tls(TlsFacts("a.test")),
            client.sends(*GET),
            server.gets(*GET, "X-Forwarded-Proto: https", FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "X: 1", body="hi"),
            ended("complete"),
        )


class AnswerTests(DialogueCase):
    """
    On the way back.
    """

    def test_answers(self) -> None:
        """
        Their rules come behind the route's, and see what those made.
        """
        self.talk(
            front(
                "http-response set-header X-Both %[res.hdr(x-own)]2",
                steps=Steps(raw=("http-response set-header X-Own 1",)),
            ),
            client.sends(*GET),
            server.gets(*GET, FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "X-Own: 1", "X-Both: 12", body="hi"),
            ended("complete"),
        )


class RawTests(DialogueCase):
    """
    Lines behind a route's own steps.
    """

    def test_only_for_who_is_admitted(self) -> None:
        """
        Who has no password learns nothing of them; who has one gets their answer, and they see no password.
        """
        access = Access("r", (User("u", "p"),))
        raw = ("http-request return status 404 if !{ hdr(authorization) -m found }",)
        self.talk(
            front("http-request set-header X 1", steps=Steps(access=access, raw=raw)),
            client.sends(*GET),
            client.gets(
                "HTTP/1.1 401 Unauthorized",
                f"Content-Length: {len(_UNAUTHORIZED)}",
                'WWW-Authenticate: Basic realm="r"',
                "Cache-Control: no-cache",
                "Content-Type: text/html",
                body=_UNAUTHORIZED,
            ),
            client.sends(*GET, "Authorization: Basic dTpw"),
            client.gets("HTTP/1.1 404 Not Found", "Content-Length: 0"),
            ended("local", "local"),
        )

    def test_waits_for_the_password(self) -> None:
        """
        Where verifying takes time, their answer is given after it, and only to who is admitted.
        """
        access = Access("r", (User("u", HASH, True),))
        raw = ("http-request deny deny_status 404",)
        self.talk(
            front(steps=Steps(access=access, raw=raw), verifying_s=1.0),
            client.sends(*GET, "Authorization: Basic dTpw"),
            client.gets_nothing(),
            waits(1.1),
            client.gets("HTTP/1.1 404 Not Found", *REFUSAL, body=NOT_FOUND),
            client.sends(*GET, "Authorization: Basic dTpx"),
            client.gets_nothing(),
            waits(1.1),
            client.gets(
                "HTTP/1.1 401 Unauthorized",
                f"Content-Length: {len(_UNAUTHORIZED)}",
                'WWW-Authenticate: Basic realm="r"',
                "Cache-Control: no-cache",
                "Content-Type: text/html",
                body=_UNAUTHORIZED,
            ),
            ended("local", "local"),
        )


class CompileTests(DialogueCase):
    """
    When they are compiled.
    """

    def test_refused(self) -> None:
        """
        What is not understood is no rule.
        """
        self.assertRaises(InvalidRoute, FrontRules, ["http-request deny if x"], Tools(SURROUNDINGS))

    def test_nothing(self) -> None:
        """
        Lines without effect stand in nobody's way.
        """
        self.assertFalse(FrontRules(["http-request set-log-level silent", "acl a path /x"], Tools()).does_anything)
        for line in ("http-request deny", "redirect location /", "http-response del-header A", "use_backend b"):
            self.assertTrue(FrontRules([line], Tools()).does_anything, line)
