"""
Routes that never get a request are found, whatever the services and the order in which they came.
"""

from __future__ import annotations

from dataclasses import replace
from time import process_time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Route, Service
from dfproxy.model.stream import Stream
from dfproxy.routing.covering import covers_host, covers_path, covers_rest
from dfproxy.routing.precedence import DfpOrder, SpecificOrder
from dfproxy.routing.shadows import FOUND, ShadowIndex, Shadows
from tests.unit.routing.naive import Request, holds, service
from tests.unit.routing.strategies import requests, services
from tests.unit.routing.test_covering import PLAIN_HOSTS, PLAIN_PATHS
from tests.unit.routing.test_table import PLUGINS

plain_matches = st.builds(
    Match,
    paths=st.lists(PLAIN_PATHS, min_size=1, max_size=3).map(tuple),
    hosts=st.one_of(st.just(()), st.lists(PLAIN_HOSTS, max_size=3).map(tuple)),
    headers=st.sampled_from(((), (), ((b"x-a", b"1"),))),
    local_port=st.sampled_from((0, 0, 443)),
)
plain_services = st.builds(
    lambda name, matches: service(name, *matches),
    st.sampled_from("abcdefgh"),
    st.lists(plain_matches, min_size=1, max_size=3),
)


def index_of(*all_services: Service) -> ShadowIndex:
    """
    Of these services.
    """
    index = ShadowIndex(DfpOrder().key)
    for one in all_services:
        index.put(one)
    return index


def at(path: bytes, *hosts: bytes) -> Match:
    """
    A path, and perhaps domains, as Docker Flow Proxy compares them.
    """
    return Match((PathPattern("prefix", path),), hosts=tuple(HostPattern("prefix", host) for host in hosts))


def pairs(found: Shadows) -> set[tuple[str, str]]:
    """
    Names of backends, who wins first.
    """
    return {
        (shadow.winner.destination.backend_name, shadow.loser.destination.backend_name)
        for shadow in (*found.over, *found.under)
    }


class ExampleTests(SynchronousTestCase):
    """
    What operators run into.
    """

    def test_digital(self) -> None:
        """
        `/digital` takes what `/digitalproduct` was published for, told from both sides.
        """
        digital, product = service("digital", at(b"/digital")), service("digitalproduct", at(b"/digitalproduct"))
        from_product = index_of(digital, product).of(product)
        [shadow] = from_product.over
        self.assertEqual((), from_product.under)
        self.assertTrue(shadow.whole)
        self.assertEqual(
            "digitalproduct-be8080_0 never gets a request: digital-be8080_0 (/digital) is before it and takes them",
            shadow.text(),
        )
        self.assertEqual((shadow,), index_of(digital, product).of(digital).under)

    def test_specific_order(self) -> None:
        """
        With the other order nothing is lost.
        """
        index = ShadowIndex(SpecificOrder().key)
        digital, product = service("digital", at(b"/digital")), service("digitalproduct", at(b"/digitalproduct"))
        index.put(digital)
        self.assertEqual(Shadows(), index.of(product))

    def test_one_of_several_paths(self) -> None:
        """
        Only the lost path is named.
        """
        loser = service("b", Match((PathPattern("prefix", b"/ab"), PathPattern("prefix", b"/x"))))
        [shadow] = index_of(service("a", at(b"/a"))).of(loser).over
        self.assertFalse(shadow.whole)
        self.assertIn("never gets requests for /ab:", shadow.text())

    def test_same_route_twice(self) -> None:
        """
        Two versions of a service with the same path: the second gets nothing.
        """
        blue, green = service("shop-blue", at(b"/shop", b"acme.com")), service("shop-green", at(b"/shop", b"acme.com"))
        self.assertEqual({("shop-blue-be8080_0", "shop-green-be8080_0")}, pairs(index_of(blue).of(green)))

    def test_a_domain_is_no_shadow(self) -> None:
        """
        A path on one domain takes nothing from the same path on all domains, nor a path from a whole domain.
        """
        index = index_of(service("a", at(b"/x", b"acme.com")), service("b", at(b"/y")))
        self.assertEqual(Shadows(), index.of(service("c", at(b"/x"))))
        self.assertEqual(Shadows(), index.of(service("d", at(b"/", b"acme.org"))))

    def test_replaced_and_dropped(self) -> None:
        """
        What a service was before, or one that is gone, shadows nothing.
        """
        index = index_of(service("a", at(b"/a")))
        index.put(service("a", at(b"/other")))
        self.assertEqual(Shadows(), index.of(service("b", at(b"/ab"))))
        index.put(service("a", at(b"/a")))
        index.drop("a")
        index.drop("a")
        self.assertEqual(Shadows(), index.of(service("b", at(b"/ab"))))

    def test_streams(self) -> None:
        """
        A destination that takes whole connections takes no requests, and nothing takes it requests.
        """
        whole = service("a", at(b"/"))
        [destination] = whole.destinations
        tcp = replace(whole, destinations=(replace(destination, stream=Stream("tcp", 5432)),))
        self.assertEqual(Shadows(), index_of(tcp).of(service("b", at(b"/"))))
        self.assertEqual(Shadows(), index_of(service("b", at(b"/"))).of(tcp))

    def test_its_own_routes(self) -> None:
        """
        A destination that is hidden by an earlier one of its service is named, too.
        """
        both = service("a", at(b"/x"), at(b"/x/y"))
        self.assertEqual({("a-be8080_0", "a-be8080_1")}, pairs(index_of(both).of(both)))

    def test_many(self) -> None:
        """
        Who takes everything from thousands is told of some of them, and that there are more, in little time.
        """
        index = index_of(*(service(f"s{number:05}", at(b"/", b"h%d.test" % number)) for number in range(6000)))
        began = process_time()
        found = index.of(service("a", at(b"/")))
        took = process_time() - began
        self.assertFalse(found.complete)
        self.assertGreaterEqual(len(found.under), FOUND)
        self.assertLess(len(found.under), 2 * FOUND)
        self.assertLess(took, 0.5)
        self.assertEqual(Shadows(), index.of(service("z", at(b"/x"))))
        behind = index.of(service("zz", at(b"/")))
        self.assertTrue(behind.complete)

    def test_nobody_is_asked_who_cannot_be_concerned(self) -> None:
        """
        A service with a domain and path of its own is compared with nobody, however many others there are.
        """
        index = index_of(
            *(service(f"d{number}", at(b"/", b"h%d.test" % number)) for number in range(300)),
            *(service(f"p{number}", at(b"/p%d" % number)) for number in range(300)),
        )
        for one in (at(b"/", b"mine.test"), at(b"/mine"), at(b"/p", b"mine.test"), at(b"/p1", b"h1.test")):
            [placed] = index._placed(service("s", one))
            looked_at = {other.route.service.name for other in (*index._around(placed), *index._within(placed))}
            self.assertLess(len(looked_at), 4, (one, looked_at))


class GeneratedTests(SynchronousTestCase):
    """
    Many services that overlap.
    """

    @settings(max_examples=75, deadline=None)
    @given(st.lists(services, max_size=6), services, st.lists(requests, max_size=12))
    def test_what_is_said_to_be_lost_is_lost(self, others: list[Service], mine: Service, asked: list[Request]) -> None:
        """
        No request that a wholly shadowed route would take is without the one that shadows it.
        """
        found = index_of(*others).of(mine)
        for shadow in (*found.over, *found.under):
            if shadow.whole:
                for request in asked:
                    if holds(shadow.loser.destination.match, request, PLUGINS):
                        self.assertTrue(holds(shadow.winner.destination.match, request, PLUGINS), shadow)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(plain_services, max_size=8), plain_services, st.sampled_from("abcdefgh"))
    def test_nobody_is_overlooked(self, others: list[Service], mine: Service, dropped: str) -> None:
        """
        The index finds what comparing each with each finds; the same after changes.
        """
        index = index_of(*others, mine)
        index.drop(dropped)
        present = {one.name: one for one in (*others, mine) if one.name != dropped}
        present.pop(mine.name, None)
        expected = set()
        for other in present.values():
            alone = index_of(other).of(mine)  # one against one
            expected |= pairs(alone)
            key = DfpOrder().key
            for one in mine.destinations:
                for another in other.destinations:
                    mine_first = (key(Route(mine, one)), mine.name) < (key(Route(other, another)), other.name)
                    winner, loser = (one, another) if mine_first else (another, one)
                    if _plainly_covers(winner.match, loser.match):
                        expected.add((winner.backend_name, loser.backend_name))
        expected |= pairs(index_of().of(mine))  # within the service itself
        found = index.of(mine)
        if found.complete:
            self.assertEqual(expected, pairs(found))
        else:  # it stopped looking, which it may after so many
            self.assertGreater(len(found.over) + len(found.under), FOUND)
            self.assertEqual(set(), pairs(found) - expected)


def _plainly_covers(one: Match, other: Match) -> bool:
    """
    Whether some path and host of the second are taken by the first: straight from the definition.
    """
    return (
        covers_rest(one, other)
        and any(covers_path(a, b) for a in one.paths for b in other.paths)
        and (not one.hosts or any(covers_host(a, b) for a in one.hosts for b in other.hosts))
    )
