"""
Building tables: what is refused, what a change costs, what stays as it was.
"""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidRoute
from dfproxy.model.match import Condition, HostPattern, Match, PathPattern
from dfproxy.model.service import Route
from dfproxy.routing.compile import PRODUCT_LIMIT, TableBuilder
from dfproxy.routing.precedence import DfpOrder, SpecificOrder
from dfproxy.routing.table import EMPTY, RouteTable
from tests.unit.routing.naive import Request, service, targets


def paths(*values: bytes, form: str = "prefix") -> Match:
    return Match(paths=tuple(PathPattern(form, value) for value in values))  # type: ignore[arg-type]  # forms of tests


def builder(previous: RouteTable = EMPTY) -> TableBuilder:
    return TableBuilder(previous, DfpOrder().key, {})


class TableBuilderTests(SynchronousTestCase):
    """
    From services to a table.
    """

    def test_refused(self) -> None:
        """
        A service with one bad destination is refused as a whole, with a text; the one in force stays.
        """
        made = builder()
        made.add(service("s", paths(b"/old")), ("old",))
        for bad in (
            paths(b"a(b", form="regex"),
            paths(b"long", form="length"),
            Match(hosts=(HostPattern("regex", b"*"),)),
            Match(excluded=(PathPattern("regex", b"["),)),
            Match(conditions=(Condition("nosuch"),)),
        ):
            error = self.assertRaises(InvalidRoute, made.add, service("s", paths(b"/new"), bad), ("a", "b"))
            self.assertTrue(str(error))
        self.assertRaises(InvalidRoute, made.add, service("s", paths(b"/new")), ())
        table = made.build()
        self.assertEqual(table.lookup(Request(b"/old")), "old")
        self.assertIsNone(table.lookup(Request(b"/new")))

    def test_order_of_keys(self) -> None:
        """
        A route order that fails, or whose keys do not sort with the others, is refused when compiling, so that no
        lookup ever fails.
        """
        keys: dict[str, tuple[object, ...]] = {
            "a": (1, ("x", 2)),
            "b": (2.5,),
            "c": ("1",),
            "d": (1, (2, "x")),
            "e": (1, ("y", 0), "z"),
            "f": (1, ("y", 0), 3),
            "g": (object(),),
        }

        def key(route: Route) -> tuple[object, ...]:
            return keys[route.service.name]

        made = TableBuilder(EMPTY, key, {})
        for name in "abe":
            made.add(service(name, paths(b"/")), (name,))
        for name in "cdfgh":
            self.assertRaises(InvalidRoute, made.add, service(name, paths(b"/")), (name,))
        refused = self.assertRaises(InvalidRoute, made.add, service("i", paths(b"/")), ("i",))
        self.assertIn("the route order failed: KeyError: 'i' (test_compile.py, line ", str(refused))
        table = made.build()
        self.assertEqual([target for _, target in table.routes()], ["a", "e", "b"])
        self.assertRaises(InvalidRoute, TableBuilder(table, key, {}).add, service("f", paths(b"/")), ("f",))

    def test_specific(self) -> None:
        """
        With the order `specific` the longer path wins, whatever its name.
        """
        made = TableBuilder(EMPTY, SpecificOrder().key, {})
        made.add(service("a", paths(b"/digital")), ("short",))
        made.add(service("b", paths(b"/digitalproduct")), ("long",))
        self.assertEqual(made.build().lookup(Request(b"/digitalproduct")), "long")

    def test_replace(self) -> None:
        """
        A service added again takes the place of its former definition, as route and as default.
        """
        made = builder()
        made.add(service("s", paths(b"/old"), is_default=True), ("old",))
        before = made.build()
        made.add(service("s", paths(b"/new")), ("new",))
        after = made.build()
        self.assertEqual([before.lookup(Request(path)) for path in (b"/old", b"/new", b"/x")], ["old"] * 3)
        self.assertEqual([after.lookup(Request(path)) for path in (b"/old", b"/new", b"/x")], [None, "new", None])

    def test_added_and_removed(self) -> None:
        """
        What was added and removed before the table is built was never there; unknown names may be removed.
        """
        made = builder()
        one = service("s", Match(paths=paths(b"/").paths, hosts=(HostPattern("label", b"a.com"),)))
        made.add(one, ("x",))
        made.remove("s")
        made.remove("nosuch")
        table = made.build()
        self.assertIsNone(table.lookup(Request(b"/", b"a.com")))
        self.assertIsNone(table.labels)

    def test_many_places(self) -> None:
        """
        A route with very many hosts and paths is not put under each pair of them, and is found all the same.
        """
        hosts = tuple(HostPattern("exact", b"h%d" % i) for i in range(100))
        made = builder()
        made.add(service("s", Match(paths=paths(*(b"/p%d/" % i for i in range(100))).paths, hosts=hosts)), ("x",))
        table = made.build()
        places = [len(compiled.hosts) * len(compiled.paths) for compiled in table.services["s"]]
        self.assertLessEqual(max(places), PRODUCT_LIMIT)
        self.assertEqual(table.lookup(Request(b"/p99/", b"h99")), "x")
        self.assertIsNone(table.lookup(Request(b"/p99", b"h99")))
        self.assertIsNone(table.lookup(Request(b"/p99/", b"h100")))

    def test_work_grows_with_the_change(self) -> None:
        """
        One change at 2,000 services runs less than a thousand lines of ours: nothing of the others is compiled again.
        """
        made = builder()
        for number in range(2000):
            host = HostPattern("prefix", b"shop%d.com" % number)
            made.add(service(f"p{number}", paths(b"/path%d" % number)), ("x",))
            made.add(service(f"d{number}", Match(paths=paths(b"/").paths, hosts=(host,))), ("x",))
        table = made.build()
        for one in (service("new", paths(b"/fresh")), service("d7", paths(b"/new", b"/regex")), service("p7", Match())):
            lines = 0

            def trace(frame: object, event: str, argument: object) -> object:
                nonlocal lines
                lines += event == "line"
                return trace

            former = sys.gettrace()
            sys.settrace(trace)  # type: ignore[arg-type]  # counts, whatever the frame
            try:
                changed = builder(table)
                changed.add(one, targets(one))
                changed.build()
            finally:
                sys.settrace(former)
            self.assertLess(lines, 1000, one.name)
