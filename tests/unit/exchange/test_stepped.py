"""
Passwords, and connections that are closed, in dialogues.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from twisted.internet.defer import Deferred

from dfproxy.exchange.passwords import Verifier
from dfproxy.exchange.stepped import Said
from dfproxy.frontend.errorpages import parse_page
from dfproxy.model.ending import DENIED
from dfproxy.model.steps import Access, HeaderRule, Steps, User
from tests.dialogue import FORWARDED, DialogueCase, Step, client, connections, ended, server
from tests.unit.exchange.steps import route_has

HOST = "Host: a.test"
GET = ("GET /x HTTP/1.1", HOST)
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
PAGE = (
    "<!DOCTYPE html>\n<html><head><title>dfproxy: 401 Unauthorized</title></head>\n"
    "<body><h1>401 Unauthorized</h1>\n<p>This needs a user name and a password.</p>\n</body></html>\n"
)
UNAUTHORIZED = (
    "HTTP/1.1 401 Unauthorized",
    f"Content-Length: {len(PAGE)}",
    'WWW-Authenticate: Basic realm="sRealm"',
    "Cache-Control: no-cache",
    "Content-Type: text/html",
)
PLAIN = Steps(access=Access("sRealm", (User("admin", "secret"),)))
HASHED = Steps(access=Access("sRealm", (User("admin", "a hash", encrypted=True),)))


def basic(text: str) -> str:
    return "Authorization: Basic " + b64encode(text.encode()).decode()


class Thread:
    """
    Verifies when it is told.
    """

    def __init__(self) -> None:
        self.asked: list[Deferred[bool]] = []
        self.verifier = Verifier(self.run)

    def run(self, verify: Callable[[], bool]) -> Deferred[bool]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def says(self, verdict: bool) -> Step:
        return Step(f"the thread says {verdict}", lambda dialogue: self.asked.pop(0).callback(verdict))


class PasswordTests(DialogueCase):
    """
    `users`.
    """

    def test_plain(self) -> None:
        """
        Without or with wrong credentials 401 and the connection goes on; with the right ones the server is asked, and
        does not see them.
        """
        self.talk(
            route_has(PLAIN),
            client.sends(*GET),
            client.gets(*UNAUTHORIZED, body=PAGE),
            client.sends(*GET, basic("admin:wrong")),
            client.gets(*UNAUTHORIZED, body=PAGE),
            client.sends("HEAD /x HTTP/1.1", HOST),
            client.gets(*UNAUTHORIZED),
            client.sends(*GET, basic("admin:secret")),
            server.gets(*GET, FORWARDED),
            *answers,
            ended("local", "local", "local", "complete"),
        )

    def test_own_page(self) -> None:
        """
        The operator's page for 401 takes the place of ours; what asks for the password is always of the service, and
        the connection goes on.
        """
        raw = b'HTTP/1.0 401 Who?\nX-Own: y\nwww-authenticate: Basic realm="other"\nContent-Type: text/plain\n\nWho?'
        page = parse_page(raw, 401)
        own = (
            "HTTP/1.1 401 Who?",
            "Content-Length: 4",
            'WWW-Authenticate: Basic realm="sRealm"',
            "X-Own: y",
            "Content-Type: text/plain",
        )
        self.talk(
            route_has(PLAIN),
            Step("there is a page", lambda dialogue: setattr(dialogue.traffic, "pages", {401: page})),
            client.sends(*GET),
            client.gets(*own, body="Who?"),
            client.sends("HEAD /x HTTP/1.1", HOST),
            client.gets(*own),
            client.sends(*GET, basic("admin:secret")),
            server.gets(*GET, FORWARDED),
            *answers,
        )

    def test_same_fields_again(self) -> None:
        """
        What steps have made of a request's fields is forgotten when the next one comes with the same.
        """
        rules = (HeaderRule("add", "X-A 1"), HeaderRule("del", "X-B"))
        asked, reaches = ("GET /x HTTP/1.1", HOST, "X-B: 2"), ("GET /x HTTP/1.1", HOST, "X-A: 1", FORWARDED)
        again = tuple(text.replace("/x", "/y") for text in asked), tuple(text.replace("/x", "/y") for text in reaches)
        self.talk(
            route_has(Steps(request_headers=rules)),
            client.sends(*asked),
            server.gets(*reaches),
            *answers,
            client.sends(*again[0]),
            server.gets(*again[1]),
            *answers,
        )

    def test_rules_cannot_log_in(self) -> None:
        """
        Credentials are those that the client sent, whatever header rules make of them.
        """
        rule = HeaderRule("set", f"Authorization '{basic('admin:secret').partition(': ')[2]}'")
        steps = Steps(request_headers=(rule,), access=PLAIN.access)
        self.talk(route_has(steps), client.sends(*GET), client.gets(*UNAUTHORIZED, body=PAGE))

    def test_hash(self) -> None:
        """
        A hash takes its time; the next request with the same password does not.
        """
        thread = Thread()
        self.talk(
            route_has(HASHED, thread.verifier),
            client.sends(*GET, basic("admin:x")),
            connections(),
            thread.says(True),
            server.gets(*GET, FORWARDED),
            *answers,
            client.sends(*GET, basic("admin:x")),
            server.gets(*GET, FORWARDED),
            *answers,
        )

    def test_wrong_hash(self) -> None:
        """
        If it is not the password: 401.
        """
        thread = Thread()
        self.talk(
            route_has(HASHED, thread.verifier),
            client.sends(*GET, basic("admin:x")),
            thread.says(False),
            client.gets(*UNAUTHORIZED, body=PAGE),
            connections(),
        )

    def test_body_waits(self) -> None:
        """
        A body that comes meanwhile is sent with the request once it is admitted.
        """
        thread = Thread()
        post = ("POST /x HTTP/1.1", HOST, "Content-Length: 6")
        self.talk(
            route_has(HASHED, thread.verifier),
            client.sends(*post, basic("admin:x"), body="one"),
            client.sends(b"two"),
            thread.says(True),
            server.gets(*post, FORWARDED, body="onetwo"),
            *answers,
        )

    def test_client_goes(self) -> None:
        """
        Who goes meanwhile leaves nothing behind.
        """
        thread = Thread()
        self.talk(
            route_has(HASHED, thread.verifier),
            client.sends(*GET, basic("admin:x")),
            client.resets(),
            thread.says(True),
            connections(),
            ended("client_gone"),
        )

    def test_too_many(self) -> None:
        """
        While too many hashes are under way: 503.
        """
        thread = Thread()
        for number in range(64):
            thread.verifier.verify(b"%d" % number, "h")
        self.talk(
            route_has(HASHED, thread.verifier),
            client.sends(*GET, basic("admin:x")),
            client.gets_answer(503),
            ended("too_busy"),
        )


class ClosingTests(DialogueCase):
    """
    `connectionMode=http-server-close`.
    """

    def test_server_is_closed(self) -> None:
        """
        Each request has a connection of its own to the server, which is told so; the client's goes on.
        """
        asks = (client.sends(*GET), server.gets(*GET, "Connection: close", FORWARDED))
        self.talk(
            route_has(Steps(closes_server=True)),
            *asks,
            *answers,
            *asks,
            server.sends("HTTP/1.1 200 OK", "Content-Length: 2", body="h"),
            server.sends(b"i"),
            client.gets(*OK, body="hi"),
            connections("192.0.2.11", "192.0.2.11"),
            server.is_closed(),
        )


class SaidTests(DialogueCase):
    """
    Answers of our own.
    """

    def test_head(self) -> None:
        """
        A head has the length of its body; a refusal has the status of its ending.
        """
        head = Said(302, b"HTTP/1.1 302 Found\r\n", b"A: b\r\n", b"xy").head()
        self.assertEqual((head.status, head.kept, head.body), (302, b"Content-Length: 2\r\nA: b\r\n", 2))
        self.assertEqual(Said.refusal(DENIED).status, 403)
