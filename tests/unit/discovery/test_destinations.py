"""
Tests of `dfproxy.discovery.destinations`: the list of servers that parts make.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.discovery.destinations import Name, Part, placed, servers_of
from dfproxy.model.snapshot import ServerAddress


class ServersTests(SynchronousTestCase):
    """
    Parts become servers.
    """

    def test_sorted_by_address_as_text(self) -> None:
        """
        The order is DFP's, which numbers sticky servers by it: 10 comes before 9.
        """
        web = Name("web", ("10.0.0.9", "10.0.0.10"))
        self.assertEqual([server.host for server in servers_of((Part((), web, 80, 1),))], ["10.0.0.10", "10.0.0.9"])

    def test_each_once(self) -> None:
        """
        A server that is named twice is one, with its first weight; another port is another server.
        """
        parts = (Part(("10.0.0.1",), None, 80, 3), Part(("10.0.0.1",), None, 80, 5), Part(("10.0.0.1",), None, 79, 0))
        self.assertEqual(servers_of(parts), (ServerAddress("10.0.0.1", 79, 0), ServerAddress("10.0.0.1", 80, 3)))

    def test_name_without_addresses(self) -> None:
        """
        A name that is not known gives no server.
        """
        self.assertEqual(servers_of((Part((), Name("web"), 80, 1),)), ())


def addresses(*hosts: str) -> tuple[ServerAddress, ...]:
    return tuple(ServerAddress(host, 80) for host in sorted(hosts))


def places(servers: tuple[ServerAddress, ...]) -> dict[str, int]:
    return {s.host: position if s.place < 0 else s.place for position, s in enumerate(servers)}


class PlaceTests(SynchronousTestCase):
    """
    Numbered places, which cookies name.
    """

    def test_at_first(self) -> None:
        """
        In the order of addresses, so that all replicas of the proxy agree.
        """
        self.assertEqual(places(placed(addresses("b", "a", "c"), ())), {"a": 0, "b": 1, "c": 2})

    def test_one_is_replaced(self) -> None:
        """
        A task that goes leaves its place empty, the next new one takes it, the others never move.
        """
        three = placed(addresses("b", "d", "f"), ())
        two = placed(addresses("d", "f"), three)
        self.assertEqual(places(two), {"d": 1, "f": 2})
        again = placed(addresses("a", "d", "f"), two)
        self.assertEqual(places(again), {"a": 0, "d": 1, "f": 2})
        self.assertEqual(
            places(placed(addresses("a", "d", "e", "f", "z"), again)), {"a": 0, "d": 1, "f": 2, "e": 3, "z": 4}
        )

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sets(st.sampled_from("abcdefgh"), max_size=6), max_size=8))
    def test_whatever_comes_and_goes(self, lists: list[set[str]]) -> None:
        """
        No two share a place, nobody who stays moves, and no place is wasted on newcomers.
        """
        former: tuple[ServerAddress, ...] = ()
        for hosts in lists:
            now = placed(addresses(*hosts), former)
            before, after = places(former), places(now)
            self.assertEqual(len(set(after.values())), len(hosts))
            for host in hosts & before.keys():
                self.assertEqual(after[host], before[host])
            former = now
