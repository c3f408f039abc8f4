"""
Redirects before the choice of a route.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.dfp.reconfigure import read
from dfproxy.errors import InvalidRoute
from dfproxy.exchange.redirects import Elsewhere, RedirectBuilder, Redirecting
from dfproxy.exchange.stepped import Answered
from dfproxy.exchange.traffic import Traffic
from dfproxy.model.connection import TlsFacts
from dfproxy.model.match import Match
from dfproxy.model.service import Balance, Service
from dfproxy.model.settings import Limits, Settings
from dfproxy.model.steps import Redirect
from dfproxy.routing.compile import TableBuilder
from dfproxy.routing.precedence import DfpOrder
from dfproxy.routing.table import EMPTY
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.h1 import RequestHead, request_head

OLD = "serviceName=s&serviceDomain=acme.test&redirectFromDomain=old.test,legacy.test&port=1"
WHEN = "serviceName=w&servicePath=/h&redirectWhenHttpProto=true&port=1"
UNLESS = "serviceName=u&servicePath=/h&redirectUnlessHttpsProto=true&httpsRedirectCode=301&port=1"
CHALLENGES = "serviceName=le&servicePath=/.well-known/acme-challenge&port=2"


def request(target: str, host: str = "x.test", *fields: str, tls: bool = False) -> RequestHead:
    found = request_head(
        "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode(), 0, 9999, 99
    )
    assert found is not None
    found[0].local_port = 80
    if tls:
        found[0].tls = TlsFacts()
    return found[0]


class TableTests(SynchronousTestCase):
    """
    Which request goes where.
    """

    def table(self, *queries: str, remove: str = "") -> Redirecting:
        routes = TableBuilder(EMPTY, DfpOrder().key, {})
        redirects = RedirectBuilder(EMPTY, DfpOrder().key)
        for query in queries:
            service = read(parse_qsl(query), (), Settings(), lambda text: Balance(text)).service
            assert service is not None
            backends = [self.backend(service, number) for number in range(len(service.destinations))]
            routes.add(service, backends)
            redirects.add(service, backends)
        redirects.remove(remove)
        return Redirecting(redirects.build(), routes.build())

    def backend(self, service: Service, number: int) -> LiveBackend:
        return LiveBackend(service, service.destinations[number], RoundRobin(), Clock(), lambda server: None)

    def where(self, table: Redirecting, asked: RequestHead) -> str:
        """
        The Location, or the name of the backend.
        """
        found = table.lookup(asked)
        if not isinstance(found, Elsewhere):
            return found.destination.backend_name if isinstance(found, LiveBackend) else "none"
        clock = Clock()
        nobody: Any = None
        exchange = found.exchange(Traffic(nobody, clock, Limits(), clock.seconds), nobody, asked)
        assert isinstance(exchange, Answered)
        said = exchange._said
        fields = said.fields.decode().split("\r\n")
        return f"{said.status} {fields[0].removeprefix('Location: ')}"

    def test_from_domain(self) -> None:
        """
        Every host that begins so, whatever path and port, goes to the first domain.
        """
        table = self.table(OLD)
        for asked, wanted in (
            (request("/", "old.test"), "301 http://acme.test/"),
            (request("/x/y?q=1", "OLD.TEST:80"), "301 http://acme.test/x/y?q=1"),
            (request("/", "legacy.test.org"), "301 http://acme.test/"),
            (request("/", "www.old.test"), "none"),
            (request("/", "acme.test"), "s-be1_0"),
            (request("/", "old.test", tls=True), "301 https://acme.test/"),
        ):
            self.assertEqual(self.where(table, asked), wanted)
        self.assertEqual(
            self.where(self.table(f"{OLD}&httpsOnly=true"), request("/", "old.test")), "301 https://acme.test/"
        )

    def test_no_circle(self) -> None:
        """
        A domain that begins like its target does not go round in a circle.
        """
        table = self.table("serviceName=s&serviceDomain=acme.test.au&redirectFromDomain=acme.test&port=1")
        self.assertEqual(self.where(table, request("/", "acme.test")), "301 http://acme.test.au/")
        self.assertEqual(self.where(table, request("/", "Acme.test.au:8080")), "s-be1_0")

    def test_when_http(self) -> None:
        """
        Only if a part of X-Forwarded-Proto is exactly http, and the service's path matches.
        """
        table = self.table(WHEN)
        for fields, wanted in (
            ((), "w-be1_0"),
            (("X-Forwarded-Proto: http",), "302 https://x.test/h?q"),
            (("X-Forwarded-Proto: https, http",), "302 https://x.test/h?q"),
            (("X-Forwarded-Proto: HTTP",), "w-be1_0"),
            (("X-Forwarded-Proto: https",), "w-be1_0"),
        ):
            self.assertEqual(self.where(table, request("/h?q", "x.test", *fields)), wanted, fields)
        self.assertEqual(self.where(table, request("/z", "x.test", "X-Forwarded-Proto: http")), "none")

    def test_unless_https(self) -> None:
        """
        If no part is https, unless the connection itself is TLS (ODDITY-25).
        """
        table = self.table(UNLESS)
        for fields, wanted in (
            ((), "301 https://x.test/h"),
            (("X-Forwarded-Proto: http",), "301 https://x.test/h"),
            (("X-Forwarded-Proto: https",), "u-be1_0"),
        ):
            self.assertEqual(self.where(table, request("/h", "x.test", *fields)), wanted, fields)
        self.assertEqual(self.where(table, request("/h", tls=True)), "u-be1_0")

    def test_order(self) -> None:
        """
        The service that comes first answers, whichever service the route is of; within one, domains come first.
        """
        self.assertEqual(
            self.where(
                self.table(UNLESS.replace("=u&", "=b&"), WHEN.replace("=w&", "=a&")),
                request("/h", "x.test", "X-Forwarded-Proto: http"),
            ),
            "302 https://x.test/h",
        )
        both = f"{OLD}&redirectUnlessHttpsProto=true&servicePath=/"
        self.assertEqual(self.where(self.table(both), request("/", "old.test")), "301 http://acme.test/")
        self.assertEqual(self.where(self.table(both), request("/", "acme.test")), "302 https://acme.test/")

    def test_challenges(self) -> None:
        """
        The challenges of certificate authorities stay with the service that serves them, and only with one.
        """
        challenge = "/.well-known/acme-challenge/x"
        table = self.table(OLD, CHALLENGES)
        self.assertEqual(self.where(table, request(challenge, "old.test")), "le-be2_0")
        self.assertEqual(self.where(table, request("/.well-known/x", "old.test")), "301 http://acme.test/.well-known/x")
        self.assertEqual(
            self.where(self.table(OLD), request(challenge, "old.test")), f"301 http://acme.test{challenge}"
        )

    def test_removed(self) -> None:
        """
        A service that goes takes its redirects with it.
        """
        self.assertEqual(self.where(self.table(OLD, remove="s"), request("/", "old.test")), "none")

    def test_refused(self) -> None:
        """
        A status that redirects nobody.
        """
        service = read(parse_qsl(OLD), (), Settings(), lambda text: Balance(text)).service
        assert service is not None
        self.assertRaises(InvalidRoute, Elsewhere, Redirect(Match(), code=200), self.backend(service, 0))
