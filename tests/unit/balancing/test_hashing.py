"""
The same goes to the same.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.hashing import Header, Ring, Source, Uri, points_of
from dfproxy.errors import InvalidBalance
from dfproxy.interfaces import IServer
from dfproxy.testing import FakeRequest, FakeServer, fake_servers

KEYS = [b"key-%d" % number for number in range(1500)]


def owners(ring: Ring) -> dict[bytes, FakeServer]:
    """
    Whose each key is.
    """
    return {key: cast(FakeServer, ring.owner(key)) for key in KEYS}


def ring_of(servers: tuple[IServer, ...]) -> Ring:
    ring = Ring()
    ring.update(servers)
    return ring


class RingTests(SynchronousTestCase):
    """
    Consistency.
    """

    def test_only_its_share_moves(self) -> None:
        """
        A tenth of the keys moves when one of ten servers goes, all of them its own; they come back with it.
        """
        servers = fake_servers([1] * 10)
        ring = ring_of(servers)
        before = owners(ring)
        ring.update(servers[:4] + servers[5:])
        after = owners(ring)
        moved = [key for key in KEYS if before[key] is not after[key]]
        self.assertEqual({before[key] for key in moved}, {servers[4]})
        self.assertLess(len(moved), 0.15 * len(KEYS))
        ring.update(servers)
        self.assertEqual(owners(ring), before)

    @settings(max_examples=40, deadline=None)
    @given(
        st.sets(st.integers(1, 8), min_size=1),
        st.sets(st.integers(1, 8), min_size=1),
        st.lists(st.integers(5, 8), min_size=9, max_size=9),
    )
    def test_nothing_moves_between_those_that_stay(self, one: set[int], other: set[int], weights: list[int]) -> None:
        """
        Whoever comes and goes: a key only leaves a server that goes, and only moves to one that comes.
        """
        servers = fake_servers(weights)
        first = tuple(servers[i] for i in sorted(one | {0}))
        second = tuple(servers[i] for i in sorted(other | {0}))
        ring = ring_of(first)
        before = owners(ring)
        ring.update(second)
        after = owners(ring)
        for key in KEYS:
            if before[key] is not after[key]:
                self.assertTrue(before[key] not in second or after[key] not in first)
        # The way there does not matter: one who starts now agrees.
        self.assertEqual(after, owners(ring_of(second)))

    def test_shares_follow_weights(self) -> None:
        """
        Keys are dealt out by weight.
        """
        servers = fake_servers([1, 2, 4, 8])
        got = Counter(owners(ring_of(servers)).values())
        for server in servers:
            due = len(KEYS) * server.weight / 15
            self.assertLess(abs(got[server] - due), 0.4 * due, f"{server} got {got[server]}, due were {due}")

    def test_changed_weight_moves_its_difference(self) -> None:
        """
        Slow start from 8 to 16 moves keys only to the server that gets heavier.
        """
        servers = fake_servers([16, 16, 8])
        ring = ring_of(servers)
        before = owners(ring)
        servers[2].weight = 16
        ring.update(servers)
        after = owners(ring)
        moved = [key for key in KEYS if before[key] is not after[key]]
        self.assertEqual({after[key] for key in moved}, {servers[2]})
        self.assertLess(len(moved), 0.25 * len(KEYS))

    def test_lightest_has_a_place(self) -> None:
        """
        Weight 1 beside 256 is little, not nothing.
        """
        servers = fake_servers([256, 1])
        points = {ring_of(servers).owner(b"%d" % i) for i in range(5000)}
        self.assertEqual(points, set(servers))

    def test_one_address_twice(self) -> None:
        """
        Servers given twice by hand share, and one takes over when the other goes.
        """
        one, other = FakeServer("web_0"), FakeServer("web_1")
        ring = ring_of((one, other))
        self.assertEqual(set(owners(ring).values()), {one, other})
        ring.update((other,))
        self.assertEqual(set(owners(ring).values()), {other})

    def test_neighbours_are_spread(self) -> None:
        """
        Addresses of one network differ in a digit only, and yet go to all servers.
        """
        servers = fake_servers([1] * 4)
        ring = ring_of(servers)
        got = Counter(ring.owner(b"10.0.0.%d" % i) for i in range(256))
        self.assertGreater(min(got[server] for server in servers), 35)

    def test_empty(self) -> None:
        """
        Nobody owns anything on an empty ring.
        """
        ring = Ring()
        self.assertIsNone(ring.owner(b"key"))
        ring.update(fake_servers([1]))
        ring.update(())
        self.assertIsNone(ring.owner(b"key"))

    def test_points_are_the_same_everywhere(self) -> None:
        """
        Replicas of any version and machine must agree: these values are for ever.
        """
        self.assertEqual(points_of(b"192.0.2.1:80", 3), [376052213510107799, 690069686459592729, 960717450764015186])
        self.assertEqual(points_of(b"192.0.2.1:80", 100)[:20], points_of(b"192.0.2.1:80", 20))

    def test_picks_are_the_same_everywhere(self) -> None:
        """
        The same for keys: clients 10.0.0.0 to 10.0.0.39 over servers a to d, of which d has weight 2.
        """
        servers = fake_servers([1, 1, 1, 2])
        ring = ring_of(servers)
        picked = "".join("abcd"[servers.index(cast(FakeServer, ring.owner(b"10.0.0.%d" % i)))] for i in range(40))
        self.assertEqual(picked, "cbccdacbdbdcbbdbacdcdcadbaacdbdbbdddabdd")


class KeyTests(SynchronousTestCase):
    """
    What decides.
    """

    def test_source(self) -> None:
        """
        The client's address, whatever it asks for.
        """
        self.assertEqual(Source().key(FakeRequest(target=b"/a", client_host="2001:db8::7")), b"2001:db8::7")

    def test_uri_as_haproxy(self) -> None:
        """
        The path without its query, or the part of it that the arguments leave.
        """
        for arguments, target, expected in (
            ((), b"/a/b/c?x=1", b"/a/b/c"),
            ((), b"http://other.example/a?x", b"/a"),
            (("path-only",), b"/a?x", b"/a"),
            (("whole",), b"/a/b?x=1/2", b"/a/b?x=1/2"),
            (("depth", "1"), b"/a/b/c?x", b"/a"),
            (("depth", "2"), b"/a/b/c", b"/a/b"),
            (("depth", "9"), b"/a/b/c", b"/a/b/c"),
            (("depth", "1"), b"/", b"/"),
            (("len", "4"), b"/article/1", b"/art"),
            (("len", "99"), b"/article/1", b"/article/1"),
            (("depth", "2", "len", "6"), b"/a/bcdefgh/i", b"/a/bcd"),
            (("whole", "depth", "1"), b"/a?x=/y", b"/a?x="),
            (("depth", "1"), b"*", b""),
        ):
            self.assertEqual(Uri(arguments).key(FakeRequest(target=target)), expected, f"{arguments} {target!r}")

    def test_header(self) -> None:
        """
        The first value of the field; its name in any case, the value as it is.
        """
        request = FakeRequest(headers=[(b"x-user", b" Ann"), (b"X-USER", b"Bob")])
        self.assertEqual(Header(("X-User",)).key(request), b"Ann")
        self.assertEqual(Header(("X-Other",)).key(request), b"")

    def test_without_key_in_turn(self) -> None:
        """
        Requests without the header go round, while the others stay where they belong.
        """
        balancer, servers = Header(("X-User",), None, Random(1)), fake_servers([1, 1, 1])
        balancer.update(servers)
        ann = FakeRequest(headers=[(b"X-User", b"ann")])
        at = balancer.pick(ann)
        got: Counter[IServer | None] = Counter()
        for _ in range(30):
            got[balancer.pick(FakeRequest())] += 1
            self.assertIs(balancer.pick(ann), at)
        self.assertEqual(set(got.values()), {10})

    def test_bad_arguments(self) -> None:
        """
        What makes no sense is refused, with what would.
        """
        for maker, arguments, words in (
            (Header, (), "hdr(X-User)"),
            (Header, ("a", "b"), "'a b'"),
            (Uri, ("depth",), "uri depth 3"),
            (Uri, ("depth", "0"), "above 0"),
            (Uri, ("len", "-1"), "'-1'"),
            (Uri, ("deep", "1"), "whole, depth N and len N"),
            (Source, ("x",), "no arguments"),
        ):
            error = self.assertRaises(InvalidBalance, maker, arguments)
            self.assertIn(words, str(error))
