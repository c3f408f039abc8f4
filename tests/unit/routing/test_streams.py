"""
Which pool takes a connection.
"""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidRoute
from dfproxy.model.match import HostPattern, Match
from dfproxy.model.service import Destination, Route, Service
from dfproxy.model.stream import Stream
from dfproxy.routing.precedence import DfpOrder
from dfproxy.routing.streams import PortTable, pools_of

KEY = DfpOrder().key


def service(name: str, *streams: Stream, order: str = "") -> Service:
    destinations = tuple(
        Destination(number, 1000 + number, Match(), name, f"{name}-be{number}", stream=stream)
        for number, stream in enumerate(streams, 1)
    )
    return Service(name, order or name, destinations)


def exact(*names: str) -> tuple[HostPattern, ...]:
    return tuple(HostPattern("exact", name.encode()) for name in names)


def table(*services: Service, port: int = 1) -> PortTable:
    """
    The table of a port whose targets are names of services.
    """
    return PortTable((pool, pool.first.service.name) for pool in pools_of(services, KEY)[port])


class PoolsTests(SynchronousTestCase):
    """
    `pools_of`.
    """

    def arranged(self, *services: Service) -> dict[int, list[list[str]]]:
        return {
            port: [[route.service.name for route in pool.members] for pool in pools]
            for port, pools in pools_of(services, KEY).items()
        }

    def test_by_port(self) -> None:
        """
        Each port has its pools in the order of services; what takes requests is not among them.
        """
        plain = Service("p", "p", (Destination(0, 80, Match(), "p", "p"),))
        found = self.arranged(service("b", Stream(1), Stream(2)), service("a", Stream(1)), plain)
        self.assertEqual(found, {1: [["a"], ["b"]], 2: [["b"]]})

    def test_order_name(self) -> None:
        """
        `aclName` decides, not the name.
        """
        self.assertEqual(
            self.arranged(service("a", Stream(1), order="z"), service("b", Stream(1))), {1: [["b"], ["a"]]}
        )

    def test_group(self) -> None:
        """
        Members of a group are one pool, wherever they are; it is at the port that the first of them names.
        """
        first, second = Stream(7, group="g", keep_alive=True), Stream(8, group="g")
        services = service("b", second), service("a", first), service("c", Stream(8))
        self.assertEqual(self.arranged(*services), {7: [["a", "b"]], 8: [["c"]]})
        self.assertEqual(pools_of(services, KEY)[7][0].stream, first)

    def test_order_fails(self) -> None:
        """
        A route order that raises is the operator's business.
        """

        def fails(route: Route) -> Any:
            raise ZeroDivisionError("oops")

        self.assertRaises(InvalidRoute, pools_of, [service("a", Stream(1))], fails)


class TableTests(SynchronousTestCase):
    """
    `PortTable`.
    """

    def test_nobody_named(self) -> None:
        """
        Without names a client need not say anything. Of several the last one takes all, the first one says how.
        """
        found = table(service("a", Stream(1, keep_alive=True)), service("b", Stream(1)))
        self.assertEqual((found.is_named, found.default), (False, "b"))
        assert found.stream is not None
        self.assertTrue(found.stream.keep_alive)

    def test_named(self) -> None:
        """
        The first in order whose name fits; without a name none does, and the default is told apart.
        """
        found = table(
            service("a", Stream(1, (HostPattern("suffix", b".test"),))),
            service("b", Stream(1, exact("b.test", "b.other"))),
            service("c", Stream(1)),
        )
        self.assertTrue(found.is_named)
        asked = [b"b.test", b"b.other", b"x.test", b"c", b""]
        self.assertEqual([found.named(name) for name in asked], ["a", "b", "a", None, None])
        self.assertEqual(found.default, "c")

    def test_case(self) -> None:
        """
        Names of the operator may be written as he likes.
        """
        found = table(service("a", Stream(1, (*exact("A.Test"), HostPattern("regex", rb"^B\d")))))
        self.assertEqual([found.named(name) for name in (b"a.test", b"b1", b"b")], ["a", "a", None])

    patterns = st.builds(
        HostPattern,
        st.sampled_from(["exact", "prefix", "suffix", "substring", "regex"]),
        st.text("abc.", min_size=1, max_size=3).map(lambda text: text.encode()),
    )

    @settings(max_examples=75, deadline=None)
    @given(st.lists(st.lists(patterns, max_size=3), min_size=1, max_size=6), st.text("abc.", max_size=4))
    def test_as_listed(self, listed: list[list[HostPattern]], text: str) -> None:
        """
        The same as going through the list from its beginning.
        """
        name = text.encode()
        wanted = None
        for number, patterns in enumerate(listed):
            if wanted is None and name and any(fits(pattern, name) for pattern in patterns):
                wanted = f"s{number}"
        found = table(*(service(f"s{number}", Stream(1, tuple(each))) for number, each in enumerate(listed)))
        self.assertEqual(found.named(name), wanted)


def fits(pattern: HostPattern, name: bytes) -> bool:
    value = pattern.value
    match pattern.form:
        case "exact":
            return name == value
        case "prefix":
            return name.startswith(value)
        case "suffix":
            return name.endswith(value)
        case "regex":
            return re.search(value, name) is not None
    return value in name
