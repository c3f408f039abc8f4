"""
What the leader remembers for workers to come.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.certificate import Certificate
from dfproxy.model.checks import DRAIN, Order, Verdicts, with_orders
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Change, Membership, Revision, ServerAddress
from dfproxy.observe.cells import CellDirectory, size
from dfproxy.workers.channel import FRAME_BYTES
from dfproxy.workers.definitions import PART_ITEMS, Definitions, gathered, merged, parts_of, payloads
from dfproxy.workers.messages import Part, Prepare, decode


def service(name: str, *indexes: int, port: int = 80) -> Service:
    return Service(name, name, tuple(Destination(n, port, Match(), "host", name) for n in indexes or (0,)))


def members(name: str, epoch: int, *hosts: str) -> Membership:
    return Membership(name, 0, epoch, tuple(ServerAddress(host, 80) for host in hosts))


def certificate(file: str, digest: str = "", size: int = 0) -> Certificate:
    return Certificate(file, "folder", bytes(size), b"", "ec", (), digest, 0.0)


class DefinitionsTests(SynchronousTestCase):
    """
    Definitions, memberships and cells.
    """

    def setUp(self) -> None:
        self.cells = CellDirectory(memoryview(bytearray(size(2, 64))), lambda: 0.0, 64)
        self.known = Definitions(self.cells)

    def commit(self, change: Change) -> Change:
        equipped = self.known.equipped(change)
        self.known.commit(equipped)
        return equipped

    def test_cells(self) -> None:
        """
        Each destination and server of a change has a cell; those that go with a later change are freed.
        """
        change = self.commit(Change(Revision(1), (service("a", 0, 1),), memberships=(members("a", 1, "h1", "h2"),)))
        numbers = [cell for _, _, cell in change.cells] + [s.cell for s in change.memberships[0].servers]
        self.assertEqual(len({*numbers, 0}), 5)
        self.known.remember(self.known.counted(members("a", 2, "h2", "h3")))
        self.assertEqual(
            {key for key, _ in self.cells.items() if len(key) == 4}, {("a", 0, "h2", 80), ("a", 0, "h3", 80)}
        )
        self.commit(Change(Revision(2), (service("a", 0),)))
        self.assertEqual(self.cells.number(("a", 1)), 0)
        self.commit(Change(Revision(3), removed=("a",)))
        self.assertEqual((len(self.cells), self.known.memberships, self.known.services), (0, {}, {}))

    def test_certificates(self) -> None:
        """
        A new worker is told all certificates in force, in pieces, before the services.
        """
        self.commit(Change(Revision(1), (service("a"),), certificates=(certificate("x"), certificate("y"))))
        self.commit(Change(Revision(2), certificates=(certificate("x", "new"),), removed_certificates=("folder/y",)))
        first, second = self.known.parts(self.known.whole())
        self.assertEqual((first, second.services), (Part(certificates=(certificate("x", "new"),)), (service("a"),)))
        self.commit(Change(Revision(3), whole=True))
        self.assertEqual(self.known.certificates, {})

    def test_dropped(self) -> None:
        """
        A change that is not to be leaves no cells behind, and takes none from what is in force.
        """
        self.commit(Change(Revision(1), (service("a"),), memberships=(members("a", 1, "h1"),)))
        before = dict(self.cells.items())
        change = Change(Revision(2), (service("a", 0, 2), service("b")), memberships=(members("a", 2, "h1", "h9"),))
        self.known.dropped(self.known.equipped(change))
        self.assertEqual(dict(self.cells.items()), before)

    def test_epochs(self) -> None:
        """
        Only a newer membership of a known destination is news.
        """
        self.commit(Change(Revision(1), (service("a"),)))
        for membership, news in (
            (members("a", 5, "h1"), True),
            (members("a", 5, "h2"), False),
            (members("a", 4, "h3"), False),
            (members("a", 6), True),
            (members("unknown", 9, "h1"), False),
            (replace(members("a", 9, "h1"), index=7), False),
        ):
            self.assertEqual(self.known.remember(self.known.counted(membership)), news, membership)
        self.assertEqual([key for key, _ in self.cells.items()], [("a", 0)])

    def test_whole(self) -> None:
        """
        A new worker is told everything in bounded parts, with the servers known when each is made.
        """
        count = PART_ITEMS * 2 + 1
        self.commit(Change(Revision(1), tuple(service(f"s{n}") for n in range(count)), whole=True))
        parts = self.known.parts(self.known.whole())
        self.assertEqual(next(parts).memberships, ())
        last = f"s{count - 1}"
        self.known.remember(self.known.counted(members(last, 1, "h1")))
        rest = list(parts)
        self.assertEqual([len(part.services) for part in rest], [PART_ITEMS, 1])
        self.assertEqual([m.service for m in rest[-1].memberships], [last])


class PartsTests(SynchronousTestCase):
    """
    Changes in pieces.
    """

    def test_nothing_is_lost(self) -> None:
        """
        All parts together are the change.
        """
        names = [f"s{n}" for n in range(PART_ITEMS + 5)]
        change = Change(
            Revision(1),
            tuple(service(name) for name in names),
            tuple(f"r{n}" for n in range(PART_ITEMS + 5)),
            tuple(members(name, 1, "h") for name in names),
            tuple((name, 0, 7) for name in names),
        )
        parts = list(parts_of(change))
        for field in ("services", "removed", "memberships", "cells"):
            self.assertEqual(tuple(one for part in parts for one in getattr(part, field)), getattr(change, field))

    def test_large_services(self) -> None:
        """
        Services that are too large for one frame together travel alone.
        """
        large = tuple(replace(service(name), parameters=(("x", "y" * (FRAME_BYTES // 3)),)) for name in "abcd")
        sent = list(payloads(Part(large, cells=(("d", 0, 4),)), FRAME_BYTES))
        self.assertTrue(all(len(payload) <= FRAME_BYTES for payload in sent))
        parts = [decode(payload) for payload in sent]
        self.assertEqual(tuple(one for part in parts for one in part.services), large)
        self.assertEqual(parts[-1].cells, (("d", 0, 4),))

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=3), max_size=6))
    def test_merged(self, steps: list[list[tuple[str, int]]]) -> None:
        """
        Several changes in one have the effect of all in a row; port 0 stands for a removal.
        """
        changes = []
        one_by_one: dict[str, Service] = {"a": service("a", port=9)}
        for number, step in enumerate(steps):
            wanted = dict(step)
            services = tuple(service(name, port=port) for name, port in wanted.items() if port)
            removed = tuple(name for name, port in wanted.items() if not port)
            changes.append(Change(Revision(number), services, removed))
            for name in removed:
                one_by_one.pop(name, None)
            one_by_one.update({one.name: one for one in services})
        change = merged(changes)
        at_once = {"a": service("a", port=9)}
        for name in change.removed:
            at_once.pop(name, None)
        at_once.update({one.name: one for one in change.services})
        self.assertEqual(at_once, one_by_one)
        self.assertFalse(set(change.removed) & {one.name for one in change.services})


class CertificatePartsTests(SynchronousTestCase):
    """
    Certificates on their way to workers.
    """

    def test_pieces(self) -> None:
        """
        A thousand are sent in bounded pieces; large ones in pieces that fit into a frame.
        """
        many = tuple(certificate(str(n)) for n in range(1000))
        parts = list(parts_of(Change(Revision(1), certificates=many, removed_certificates=("folder/z",))))
        self.assertEqual(tuple(c for part in parts for c in part.certificates), many)
        self.assertEqual(max(len(part.certificates) for part in parts), PART_ITEMS)
        self.assertEqual(parts[-1].removed_certificates, ("folder/z",))
        large = Part(certificates=tuple(certificate(str(n), size=1 << 20) for n in range(20)))
        pieces = list(payloads(large, FRAME_BYTES))
        self.assertLessEqual(max(map(len, pieces)), FRAME_BYTES)
        found = [decode(piece) for piece in pieces]
        self.assertEqual(
            tuple(c for part in found if isinstance(part, Part) for c in part.certificates), large.certificates
        )

    def test_merged(self) -> None:
        """
        Of several changes in a row the last word about each certificate counts.
        """
        changes = (
            Change(Revision(1), certificates=(certificate("x"), certificate("y"))),
            Change(Revision(2), certificates=(certificate("x", "new"),), removed_certificates=("folder/y", "folder/z")),
            Change(Revision(3), certificates=(certificate("z"),)),
        )
        found = merged(changes)
        self.assertEqual(found.certificates, (certificate("x", "new"), certificate("z")))
        self.assertEqual(found.removed_certificates, ("folder/y",))


class OrderTests(DefinitionsTests):
    """
    What an operator says, and what checks say.
    """

    order = Order("a", "h1", 80, DRAIN)

    def told(self) -> tuple[Order, ...]:
        """
        What a new worker is told.
        """
        parts = list(self.known.parts(self.known.whole()))
        return gathered(parts, Prepare(Revision(9), True)).orders

    def test_new_workers(self) -> None:
        """
        A new worker is told of orders in force, once.
        """
        self.commit(Change(Revision(1), tuple(service(f"s{n}") for n in range(PART_ITEMS + 1))))
        self.commit(Change(Revision(2), (service("a"),), orders=(self.order,)))
        self.assertEqual(self.told(), (self.order,))
        self.commit(Change(Revision(3), (service("a", 0, 1),)))
        self.assertEqual(self.told(), (self.order,), "a new definition leaves them")
        self.commit(Change(Revision(4), removed=("a",)))
        self.assertEqual(self.told(), ())

    def test_through_parts(self) -> None:
        """
        They travel with a change.
        """
        change = Change(Revision(1), orders=tuple(Order("a", f"h{n}", 80, DRAIN) for n in range(300)), lifted=("b",))
        parts = [decode(payload) for part in parts_of(change) for payload in payloads(part, FRAME_BYTES)]
        found = gathered([part for part in parts if isinstance(part, Part)], Prepare(Revision(1)))
        self.assertEqual((found.orders, found.lifted), (change.orders, ("b",)))

    def test_merged(self) -> None:
        """
        Who comes late is told the outcome: orders of a service that went and came again do not come back, whoever
        knew them.
        """
        changes = [
            Change(Revision(1), orders=(self.order,)),
            Change(Revision(2), removed=("a",)),
            Change(Revision(3), (service("a"),)),
        ]
        one = merged(changes)
        before = with_orders({}, (), (Order("a", "h9", 80, DRAIN),))
        self.assertEqual(with_orders(before, (*one.removed, *one.lifted), one.orders), {})
        again = merged([*changes, Change(Revision(4), orders=(self.order,))])
        self.assertEqual(
            with_orders(before, (*again.removed, *again.lifted), again.orders)["a"], {("h1", 80): self.order}
        )

    def test_verdicts(self) -> None:
        """
        The latest verdicts on known destinations are kept, until these go.
        """
        self.assertFalse(self.known.judged(Verdicts("a", 0, 1, (("h1", 80),))))
        self.commit(Change(Revision(1), (service("a"),)))
        self.assertTrue(self.known.judged(Verdicts("a", 0, 2, (("h1", 80),))))
        self.assertFalse(self.known.judged(Verdicts("a", 0, 1)))
        self.assertFalse(self.known.judged(Verdicts("a", 7, 3)))
        self.assertEqual(self.known.verdicts["a", 0].epoch, 2)
        self.commit(Change(Revision(2), removed=("a",)))
        self.assertEqual(self.known.verdicts, {})
