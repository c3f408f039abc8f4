"""
Which route is first.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.interfaces import IRouteOrderFactory
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Route, Service
from dfproxy.routing.precedence import DfpOrder, SpecificOrder, service_class
from tests.unit.routing.naive import service


def paths(*values: bytes) -> Match:
    return Match(paths=tuple(PathPattern("prefix", value) for value in values))


class DfpOrderTests(SynchronousTestCase):
    """
    DFP's order.
    """

    def test_interface(self) -> None:
        """
        Both are route orders.
        """
        verifyObject(IRouteOrderFactory, DfpOrder())
        verifyObject(IRouteOrderFactory, SpecificOrder())

    def test_class(self) -> None:
        """
        One path of one destination decides for the whole service; well-known in any case is stronger than `/`.
        """
        for matches, expected in (
            ((paths(b"/a"),), 1),
            ((Match(),), 1),
            ((paths(b"/a"), paths(b"/b", b"/")), 2),
            ((paths(b"/"), paths(b"/.Well-Known/x")), 0),
            ((paths(b"/x/.well-known"),), 1),
        ):
            self.assertEqual(service_class(service("s", *matches)), expected, matches)

    def test_names(self) -> None:
        """
        Names are compared byte by byte: `10-x` before `2-x` before `A` before `a`.
        """
        names = ["10-x", "2-x", "A", "a", "\xe9", "\uffee", "\U0001f600"]
        keys = [DfpOrder().key(self.route(service("s", paths(b"/a"), order_name=name))) for name in names]
        self.assertEqual(keys, sorted(keys))
        self.assertEqual(sorted(names, key=str.encode), names)

    def route(self, one: Service, index: int = 0) -> Route:
        """
        A destination as a route.
        """
        return Route(one, one.destinations[index])


class SpecificOrderTests(SynchronousTestCase):
    """
    The narrower first.
    """

    def test_order(self) -> None:
        """
        Well-known, then by host (exact, longer, shorter, none), then by path, then by number of conditions, then name.
        """

        def route(name: str, host: HostPattern | None, path: PathPattern | None, port: int = 0) -> Route:
            hosts = () if host is None else (host,)
            one = service(name, Match(paths=() if path is None else (path,), hosts=hosts, local_port=port))
            return Route(one, one.destinations[0])

        exact, longer = HostPattern("exact", b"a.com"), HostPattern("prefix", b"www.a.com")
        ordered = [
            route("z", None, PathPattern("prefix", b"/.well-known/acme")),
            route("y", exact, PathPattern("prefix", b"/digital")),
            route("x", exact, PathPattern("prefix", b"/")),
            route("w", longer, PathPattern("prefix", b"/")),
            route("v", HostPattern("prefix", b"a.com"), PathPattern("prefix", b"/")),
            route("u", None, PathPattern("exact", b"/")),
            route("t", None, PathPattern("prefix", b"/digitalproduct")),
            route("s", None, PathPattern("prefix", b"/digital"), port=80),
            route("q", None, PathPattern("prefix", b"/digital")),
            route("r", None, PathPattern("prefix", b"/digital")),
            route("b", None, PathPattern("length", b"1234567890")),
            route("a", None, None),
        ]
        keys = [SpecificOrder().key(one) for one in ordered]
        self.assertEqual(keys, sorted(keys))
        self.assertEqual(len(set(keys)), len(keys))
