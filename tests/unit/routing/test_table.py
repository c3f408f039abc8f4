"""
The table answers as the contract says, whatever the routes and the order in which they came.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from dfproxy.interfaces import ILookup, IRequest, IRouteConditionFactory
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Service
from dfproxy.routing.compile import TableBuilder
from dfproxy.routing.precedence import DfpOrder
from dfproxy.routing.table import EMPTY, SEEN_HOST_LIMIT_BYTES, SEEN_LIMIT, Current, RouteTable
from tests.unit.routing.naive import Request, answer, service, targets
from tests.unit.routing.strategies import requests, services


@implementer(IRouteConditionFactory)
class MethodCondition:
    """
    The method is one of the values.
    """

    name = "method"
    description = "by method"

    def compile(self, values: tuple[str, ...]) -> Callable[[IRequest], bool]:
        """
        As `IRouteConditionFactory`.
        """
        return lambda request: request.method.decode() in values


@implementer(IRouteConditionFactory)
class BrokenCondition:
    """
    Breaks its promise never to raise.
    """

    name = "broken"
    description = "always raises"

    def compile(self, values: tuple[str, ...]) -> Callable[[IRequest], bool]:
        """
        As `IRouteConditionFactory`.
        """
        return lambda request: bool(1 / 0)


CONDITIONS: dict[str, object] = {"method": MethodCondition(), "broken": BrokenCondition()}

PLUGINS: dict[str, Callable[[tuple[str, ...], Request], bool]] = {
    "method": lambda values, request: request.method.decode() in values,
    "broken": lambda values, request: False,
}


def builder(previous: RouteTable = EMPTY) -> TableBuilder:
    """
    One with DFP's order and the conditions above.
    """
    return TableBuilder(previous, DfpOrder().key, CONDITIONS)


def table_of(*given: Service) -> RouteTable:
    """
    A full compile; targets as `naive.targets`.
    """
    made = builder()
    for one in given:
        made.add(one, targets(one))
    return made.build()


def paths(*values: bytes) -> Match:
    """
    Prefix paths and nothing else.
    """
    return Match(paths=tuple(PathPattern("prefix", value) for value in values))


class OracleTests(SynchronousTestCase):
    """
    Against a list that is scanned.
    """

    def tearDown(self) -> None:
        # Some tables have a condition that raises, which is logged.
        self.flushLoggedErrors(ZeroDivisionError)

    @settings(max_examples=160, deadline=None)
    @given(st.lists(services, max_size=8), st.lists(requests, min_size=1, max_size=12))
    def test_contract(self, found: list[Service], asked: list[Request]) -> None:
        """
        Every request gets the route that asking all routes in DFP's order finds first.
        """
        by_name = {one.name: one for one in found}
        table = table_of(*found)
        for request in asked:
            self.assertEqual(table.lookup(request), answer(by_name.values(), request, PLUGINS), request)

    @settings(max_examples=75, deadline=None)
    @given(
        st.lists(st.lists(st.one_of(services, st.sampled_from("abcdefgh")), max_size=5), max_size=8),
        st.lists(requests, min_size=1, max_size=8),
    )
    def test_changes(self, batches: list[list[Service | str]], asked: list[Request]) -> None:
        """
        After any adding, replacing and removing the answers are those of a full compile, and former tables still
        answer as they did.
        """
        table = EMPTY
        in_force: dict[str, Service] = {}
        former: list[tuple[RouteTable, list[object]]] = []
        for batch in batches:
            made = builder(table)
            for change in batch:
                if isinstance(change, str):
                    made.remove(change)
                    in_force.pop(change, None)
                else:
                    made.add(change, targets(change))
                    in_force[change.name] = change
            table = made.build()
            expected: list[object] = [answer(in_force.values(), request, PLUGINS) for request in asked]
            self.assertEqual([table.lookup(request) for request in asked], expected)
            full = table_of(*in_force.values())
            self.assertEqual(list(table.routes()), list(full.routes()))
            self.assertEqual(table.default, full.default)
            former.append((table, expected))
        for old, expected in former:
            old._seen.clear()  # what it remembers would hide a change of its indexes
            self.assertEqual([old.lookup(request) for request in asked], expected)
        made = builder(table)
        for name in list(in_force):
            made.remove(name)
        emptied = made.build()
        for name in RouteTable.__slots__:
            if name not in ("shape", "_seen"):
                self.assertEqual(getattr(emptied, name), getattr(EMPTY, name), name)


class RouteTableTests(SynchronousTestCase):
    """
    What an operator sees.
    """

    def test_interface(self) -> None:
        """
        A table is a lookup, and `Current` just points at one.
        """
        self.assertTrue(verifyObject(ILookup, EMPTY))
        current = Current()
        self.assertIs(current.table, EMPTY)
        current.table = table_of(service("go", paths(b"/")))
        self.assertEqual(current.table.lookup(Request(b"/x")), "go#0")

    def test_empty(self) -> None:
        """
        Before the first service nothing is found.
        """
        self.assertIsNone(EMPTY.lookup(Request(b"/", b"acme.com")))
        self.assertEqual(list(EMPTY.routes()), [])

    def test_shadowing(self) -> None:
        """
        `/digital` takes the requests of `/digitalproduct` when its name is lower, and not when it is higher.
        """
        narrow = service("m", paths(b"/digitalproduct"))
        self.assertEqual(table_of(narrow, service("a", paths(b"/digital"))).lookup(Request(b"/digitalproduct")), "a#0")
        self.assertEqual(table_of(narrow, service("z", paths(b"/digital"))).lookup(Request(b"/digitalproduct")), "m#0")

    def test_ignore_case(self) -> None:
        """
        A path with the flag `-i` takes any case, others only their own.
        """
        for form in ("prefix", "exact", "suffix"):
            for ignore_case in (False, True):
                pattern = PathPattern(form, b"/Demo", ignore_case)  # type: ignore[arg-type]  # forms of a loop
                table = table_of(service("s", Match(paths=(pattern,))))
                self.assertEqual(table.lookup(Request(b"/Demo")), "s#0")
                self.assertEqual(table.lookup(Request(b"/dEMO")), "s#0" if ignore_case else None)

    def test_former_table(self) -> None:
        """
        Domains that come and go do not show in a table that was built before.
        """
        for form in ("exact", "prefix", "suffix", "label", "substring"):
            host = HostPattern(form, b"a.com")  # type: ignore[arg-type]  # forms of a loop
            other = HostPattern(form, b"b.com")  # type: ignore[arg-type]  # the same
            before = table_of(service("a", Match(hosts=(host,))))
            made = builder(before)
            made.remove("a")
            made.add(service("b", Match(hosts=(other,))), ("b#0",))
            made.build()
            self.assertEqual(before.lookup(Request(b"/", b"a.com")), "a#0")
            self.assertIsNone(before.lookup(Request(b"/", b"b.com")))

    def test_domain_prefix(self) -> None:
        """
        A domain takes its name with a port, and longer names that begin with it; not those that end with it.
        """
        table = table_of(service("s", Match(paths=paths(b"/").paths, hosts=(HostPattern("prefix", b"acme.com"),))))
        for host in (b"acme.com", b"ACME.com:8081", b"acme.com.evil.org", b"acme.community", b"x.com, acme.com"):
            self.assertEqual(table.lookup(Request(b"/", host)), "s#0", host)
        for host in (b"", b"www.acme.com", b"acme.co"):
            self.assertIsNone(table.lookup(Request(b"/", host)), host)

    def test_wildcard(self) -> None:
        """
        `*.acme.com` takes every name under it, on any port, and not the name itself.
        """
        wildcard = HostPattern("suffix", b".acme.com", without_port=True)
        table = table_of(service("s", Match(paths=paths(b"/").paths, hosts=(wildcard,))))
        for host in (b"www.acme.com", b"a.b.Acme.com:8443"):
            self.assertEqual(table.lookup(Request(b"/", host)), "s#0", host)
        for host in (b"acme.com", b"www.acme.com.org", b"www.acme.com:x"):
            self.assertIsNone(table.lookup(Request(b"/", host)), host)

    def test_default(self) -> None:
        """
        What no route takes goes to the last destination of the last default service, whatever that service asks.
        """
        elsewhere = Match(paths=paths(b"/x").paths, hosts=(HostPattern("exact", b"nowhere"),), local_port=1)
        table = table_of(
            service("a", elsewhere, elsewhere, is_default=True),
            service("b", elsewhere, elsewhere, is_default=True),
            service("c", paths(b"/c")),
        )
        self.assertEqual(table.default, "b#1")
        self.assertEqual(table.lookup(Request(b"/")), "b#1")
        self.assertEqual(table.lookup(Request(b"/c")), "c#0")

    def test_default_comes_last(self) -> None:
        """
        A default service takes nothing that a route takes, whatever else that route asks.
        """
        asks = Match(paths=paths(b"/c").paths, headers=((b"x-a", b"1"),))
        table = table_of(service("a", paths(b"/a"), is_default=True), service("c", asks))
        self.assertEqual(table.lookup(Request(b"/c", fields=((b"x-a", b"1"),))), "c#0")
        self.assertEqual(table.lookup(Request(b"/c", fields=((b"x-a", b"2"),))), "a#0")

    def test_all_conditions_count(self) -> None:
        """
        Whatever the form of the path, a route is taken only if its other conditions hold too.
        """
        for form, value in (
            ("prefix", b"/abc"),
            ("exact", b"/abcd"),
            ("suffix", b"bcd"),
            ("regex", b"bc+d"),
            ("length", b"5"),
        ):
            pattern = PathPattern(form, value)  # type: ignore[arg-type]  # forms of a loop
            for hosts in ((), (HostPattern("prefix", b"a.com"),)):
                asks = Match(paths=(pattern,), hosts=hosts, headers=((b"x-a", b"1"),), local_port=80)
                table = table_of(service("s", asks))
                for value_sent, port, found in ((b"1", 80, "s#0"), (b"2", 80, None), (b"1", 81, None)):
                    request = Request(b"/abcd", b"a.com", local_port=port, fields=((b"x-a", value_sent),))
                    self.assertEqual(table.lookup(request), found, (form, hosts, value_sent, port))

    def test_routes(self) -> None:
        """
        Routes are shown in winning order, destinations of a service together and by index.
        """
        table = table_of(
            service("z", paths(b"/z")),
            service("root", paths(b"/")),
            service("a", paths(b"/a"), paths(b"/b")),
            service("acme", paths(b"/.well-known/acme-challenge")),
        )
        self.assertEqual([target for _, target in table.routes()], ["acme#0", "a#0", "a#1", "z#0", "root#0"])
        self.assertEqual([route.service.name for route, _ in table.routes()], ["acme", "a", "a", "z", "root"])

    def test_remembered_hosts(self) -> None:
        """
        Someone who sends ever new hosts, and very long ones, does not fill the memory, and the answers stay right.
        """
        table = table_of(service("s", Match(hosts=(HostPattern("suffix", b".a.com", without_port=True),))))
        for number in range(SEEN_LIMIT + 10):
            self.assertEqual(table.lookup(Request(b"/", b"%d.a.com" % number)), "s#0")
        self.assertLessEqual(len(table._seen), 10)
        self.assertEqual(table.lookup(Request(b"/", b"x" * 10_000 + b".a.com")), "s#0")
        self.assertLessEqual(max(map(len, table._seen)), SEEN_HOST_LIMIT_BYTES)

    def test_many(self) -> None:
        """
        With thousands of routes of each form the right one is found, and a lookup runs none of the others' checks.
        """
        every = []
        for i in range(1000):
            every.append(service(f"p{i}", paths(b"/p%d/" % i)))
            hosts = (HostPattern("prefix", b"d%d.com" % i), HostPattern("suffix", b".d%d.com" % i, True))
            every.append(service(f"d{i}", Match(paths=paths(b"/").paths, hosts=hosts)))
            every.append(service(f"r{i}", Match(paths=(PathPattern("regex", b"/re%d/v[0-9]+$" % i),))))
            every.append(service(f"l{i}", Match(hosts=(HostPattern("label", b"l%d.net" % i),))))
        table = table_of(*every)
        for i in (0, 1, 10, 999):
            self.assertEqual(table.lookup(Request(b"/p%d/x" % i)), f"p{i}#0")
            self.assertEqual(table.lookup(Request(b"/q", b"d%d.com:80" % i)), f"d{i}#0")
            self.assertEqual(table.lookup(Request(b"/q", b"www.d%d.com:80" % i)), f"d{i}#0")
            self.assertEqual(table.lookup(Request(b"/x/re%d/v1" % i, b"d1.com")), f"r{i}#0")
            self.assertEqual(table.lookup(Request(b"/q", b"www.l%d.net:80" % i)), f"l{i}#0")
        self.assertIsNone(table.lookup(Request(b"/q", b"l1000.net")))
