"""
Clients that are kept at their servers, in dialogues.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.exchange.stickiness import Stickiness
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.model.steps import Steps
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.h1 import request_head
from tests.dialogue import FORWARDED, HOSTS, DialogueCase, Party, Step, client, connections
from tests.unit.exchange.steps import route_has

GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
STICKY = Steps(sticky="web")


Fields = tuple[str, ...]


def exchange(number: int, cookies: Fields, passed: Fields, given: Fields) -> tuple[Step, ...]:
    """
    One request on its way to the server of this connection and back.
    """
    there = Party("server", number)
    return (
        client.sends(*GET, *cookies),
        there.gets(*GET, *passed, FORWARDED),
        there.sends(*OK, body="hi"),
        client.gets(*OK, *given, body="hi"),
    )


class StickyTests(DialogueCase):
    """
    `sessionType=sticky-server`.
    """

    def test_cookie(self) -> None:
        """
        A client without cookie is balanced and gets one; with it, it comes back to the same server, which does not see
        the cookie, and is given none again.
        """
        self.talk(
            route_has(STICKY),
            *exchange(0, (), (), ("Set-Cookie: web=web_0; path=/",)),
            *exchange(1, (), (), ("Set-Cookie: web=web_1; path=/",)),
            *exchange(1, ("Cookie: a=1; web=web_1; b=2",), ("Cookie: a=1; b=2",), ()),
            *exchange(1, ("Cookie: web=web_1",), (), ()),
            *exchange(0, ("Cookie: web=web_0", "Cookie: c=3"), ("Cookie: c=3",), ()),
            connections(*HOSTS[:2]),
            servers=2,
        )

    def test_unknown(self) -> None:
        """
        A cookie of nobody, or of a server that is gone: balanced, and a new one.
        """
        self.talk(
            route_has(STICKY),
            *exchange(0, ("Cookie: web=nosuch",), (), ("Set-Cookie: web=web_0; path=/",)),
            *exchange(1, ("Cookie: web=web_7",), (), ("Set-Cookie: web=web_1; path=/",)),
            servers=2,
        )

    def test_server_sets_it(self) -> None:
        """
        A cookie of that name from a server goes, its others stay.
        """
        there = Party("server", 0)
        self.talk(
            route_has(STICKY),
            client.sends(*GET, "Cookie: web=web_0"),
            there.gets(*GET, FORWARDED),
            there.sends(*OK, "Set-Cookie: web=mine; path=/", "Set-Cookie: other=1", body="hi"),
            client.gets(*OK, "Set-Cookie: other=1", body="hi"),
        )


class ValueTests(DialogueCase):
    """
    What the cookie holds.
    """

    def backend(self, *servers: ServerAddress) -> LiveBackend:
        destination = Destination(0, 80, Match(), "h", "b")
        service = Service("my app", "s", (destination,))
        backend = LiveBackend(service, destination, RoundRobin(), Clock(), lambda server: None)
        backend.members(Membership("my app", 0, 1, servers))
        return backend

    def test_places(self) -> None:
        """
        The place of a server, wherever it stands in the list; a name fit for a cookie.
        """
        backend = self.backend(ServerAddress("10.0.0.1", 80, place=2), ServerAddress("10.0.0.2", 80))
        sticky = Stickiness(Steps(sticky="my app"))
        self.assertEqual([sticky.value(server) for server in backend.servers], [b"my_app_2", b"my_app_1"])
        self.assertIs(sticky.server(backend, b"my_app_2"), backend.servers[0])
        self.assertIsNone(sticky.server(backend, b"my_app_0"))
        self.assertIsNone(sticky.server(backend, b""))

    def test_by_address(self) -> None:
        """
        A digest of the address tells no address, and is the same whatever the place.
        """
        sticky = Stickiness(Steps(sticky="s", sticky_by_address=True))
        one, other = (
            sticky.value(self.backend(ServerAddress("10.0.0.1", 80, place=place)).servers[0]) for place in (0, 5)
        )
        self.assertEqual(one, other)
        self.assertRegex(one.decode(), "^[0-9a-f]{16}$")

    def test_taken(self) -> None:
        """
        A request without the cookie is not touched at all.
        """
        found = request_head(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: other=1\r\n\r\n", 0, 999, 99)
        assert found is not None
        before = found[0].kept
        self.assertEqual(Stickiness(STICKY).take(found[0]), b"")
        self.assertIs(found[0].kept, before)
