"""
What is said of conditions is what the table does.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.match import Condition, HostPattern, Match, PathPattern
from dfproxy.model.service import Service
from dfproxy.routing.compile import TableBuilder
from dfproxy.routing.precedence import DfpOrder
from dfproxy.routing.replay import ALL, PassedOver, passed_over, replay, winner_of
from dfproxy.routing.table import EMPTY, RouteTable
from tests.unit.routing.naive import Request, service, targets
from tests.unit.routing.strategies import requests, services
from tests.unit.routing.test_table import CONDITIONS


def table_of(*all_services: Service) -> RouteTable:
    """
    A table whose targets are names.
    """
    builder = TableBuilder(EMPTY, DfpOrder().key, CONDITIONS)
    for one in all_services:
        builder.add(one, targets(one))
    return builder.build()


def everything(table: RouteTable, request: Request, target: object) -> tuple[object, PassedOver]:
    """
    The winner and all that was passed over.
    """
    name = str(target).partition("#")[0]
    winner = winner_of(table, target, name, request, CONDITIONS)
    result = PassedOver()
    for _ in passed_over(table, request, None if winner is None else winner.rank, CONDITIONS, result):
        continue
    return winner, result


class GeneratedTests(SynchronousTestCase):
    """
    Many tables and requests.
    """

    def tearDown(self) -> None:
        # Some have a condition that raises, which is logged.
        self.flushLoggedErrors(ZeroDivisionError)

    @settings(max_examples=120, deadline=None)
    @given(st.lists(services, max_size=6), requests)
    def test_agrees_with_the_table(self, present: list[Service], request: Request) -> None:
        """
        The winner's conditions all hold; each route before it has one that does not; without a winner each has.
        """
        table = table_of(*present)
        target = table.lookup(request)
        winner, result = everything(table, request, target)
        if target is None or winner is None:
            self.assertIs(target, table.default)
        for compiled in (each for routes in table.services.values() for each in routes):
            if winner is None or compiled.rank < winner.rank:  # type: ignore[attr-defined]  # a Compiled
                verdicts = replay(compiled.route.destination.match, request, CONDITIONS)
                self.assertFalse(all(verdict.holds for verdict in verdicts), compiled.route)
        self.assertEqual(result.total, result.looked_at)
        self.assertTrue(all(passed.failed for passed in result.listed))
        if result.total <= ALL:
            self.assertEqual(result.total, len(result.listed))


class ExampleTests(SynchronousTestCase):
    """
    What is shown.
    """

    def test_words(self) -> None:
        """
        A condition says what it wants, what the request has, and whether that will do.
        """
        match = Match(
            (PathPattern("prefix", b"/a"), PathPattern("exact", b"/b")),
            (PathPattern("prefix", b"/a/x"),),
            (HostPattern("prefix", b"acme.com"),),
            ((b"x-version", b"2"),),
            (b"fox",),
            443,
            (Condition("method", ("GET", "POST")), Condition("missing")),
        )
        request = Request(
            b"/a/x", b"acme.org", method=b"PUT", fields=((b"x-version", b"1"), (b"user-agent", b"Firefox"))
        )
        self.assertEqual(
            [
                ("path", "/a (prefix) or /b (exact)", "/a/x", True),
                ("excluded path", "not /a/x (prefix)", "/a/x", False),
                ("host", "acme.com (prefix)", "acme.org", False),
                ("header x-version", "2", "1", False),
                ("user agent", "fox", "Firefox", True),
                ("port", "443", "80", False),
                ("condition method", "GET or POST", "", False),
                ("condition missing", "", "", False),
            ],
            [(v.condition, v.wanted, v.found, v.holds) for v in replay(match, request, CONDITIONS)],
        )

    def test_long_texts(self) -> None:
        """
        Neither many alternatives nor a long path make a long answer.
        """
        match = Match(tuple(PathPattern("prefix", b"/%d" % number + b"x" * 500) for number in range(1000)))
        [verdict] = replay(match, Request(b"/" + b"y" * 5000), CONDITIONS)
        self.assertLess(len(verdict.wanted) + len(verdict.found), 500)
        self.assertTrue(verdict.wanted.endswith(" or 995 more"), verdict.wanted)

    def test_closest_of_many(self) -> None:
        """
        Of thousands those are listed that nearly took it: the same domain, or the same path on another one.
        """
        many = [service(f"p{number}", Match((PathPattern("prefix", b"/p%d/" % number),))) for number in range(500)]
        same_host = service(
            "h", Match((PathPattern("prefix", b"/other"),), hosts=(HostPattern("prefix", b"acme.com"),))
        )
        same_path = service("o", Match((PathPattern("prefix", b"/shop"),), hosts=(HostPattern("prefix", b"acme.org"),)))
        table = table_of(*many, same_host, same_path)
        _, result = everything(table, Request(b"/shop", b"acme.com"), None)
        self.assertEqual(["h", "o"], [passed.route.service.name for passed in result.listed])
        self.assertEqual((502, 502), (result.total, result.looked_at))
        [verdict] = result.listed[0].failed
        self.assertEqual("path", verdict.condition)
