"""
What the leader has told its workers, so that it can tell a new one.

Definitions that are committed, the latest memberships, and the shared cells that both are counted in. Knows no
process and no channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dfproxy.model.certificate import Certificate
from dfproxy.model.checks import Order, Orders, Verdicts, with_orders
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change, Membership, Revision
from dfproxy.observe.cells import CellDirectory
from dfproxy.workers.messages import Part, Prepare, encode

PART_ITEMS = 128
"""
Services in one part of a change: about 100 KiB, encoded in a quarter of a millisecond. Certificates: five times that.
"""

Destination = tuple[str, int]
"""
Name of a service and index of the destination.
"""


class Definitions:
    """
    The committed definitions and the memberships that go with them.

    Args:
        cells: allots the cells that services and servers are counted in.
    """

    def __init__(self, cells: CellDirectory) -> None:
        self.revision = Revision()
        self.services: dict[str, Service] = {}
        self.certificates: dict[str, Certificate] = {}
        self.memberships: dict[Destination, Membership] = {}
        self.orders: Orders = {}
        self.verdicts: dict[Destination, Verdicts] = {}
        self._cells = cells

    def equipped(self, change: Change) -> Change:
        """
        The same change with cells for its destinations and servers. Undone by `dropped`, made lasting by `commit`.
        """
        cells = tuple(
            (service.name, destination.index, self._cells.allot((service.name, destination.index)))
            for service in change.services
            for destination in service.destinations
        )
        return replace(change, cells=cells, memberships=tuple(map(self.counted, change.memberships)))

    def counted(self, membership: Membership) -> Membership:
        """
        The same membership with a cell for each server.
        """
        place = (membership.service, membership.index)
        return replace(
            membership,
            servers=tuple(
                replace(server, cell=self._cells.allot((*place, server.host, server.port)))
                for server in membership.servers
            ),
        )

    def dropped(self, change: Change) -> None:
        """
        An equipped change is not to be: free the cells that only it would have used.
        """
        for membership in change.memberships:
            self._free_servers(membership, self.memberships.get((membership.service, membership.index)))
        for service in change.services:
            self._free_destinations(service, self.services.get(service.name))

    def commit(self, change: Change) -> None:
        """
        An equipped change is in force.
        """
        self.revision = change.revision
        names = {service.name for service in change.services}
        gone = [name for name in self.services if name not in names] if change.whole else change.removed
        for name in gone:
            former = self.services.pop(name, None)
            if former is not None:
                self._free_destinations(former, None)
        self.orders = with_orders({} if change.whole else self.orders, (*change.removed, *change.lifted), change.orders)
        for service in change.services:
            former = self.services.get(service.name)
            self.services[service.name] = service
            if former is not None:
                self._free_destinations(former, service)
        for membership in change.memberships:
            self.remember(membership)
        if change.whole:
            self.certificates.clear()
        for identity in change.removed_certificates:
            self.certificates.pop(identity, None)
        for certificate in change.certificates:
            self.certificates[certificate.identity] = certificate

    def remember(self, membership: Membership) -> bool:
        """
        Keep a membership with its cells.

        Returns:
            Whether it is news: false when its destination is unknown or a newer one is known.
        """
        service = self.services.get(membership.service)
        if service is None or all(d.index != membership.index for d in service.destinations):
            self._free_servers(membership, None)
            return False
        place = (membership.service, membership.index)
        former = self.memberships.get(place)
        if former is not None:
            if former.epoch >= membership.epoch:
                self._free_servers(membership, former)
                return False
            self._free_servers(former, membership)
        self.memberships[place] = membership
        return True

    def judged(self, verdicts: Verdicts) -> bool:
        """
        Keep which servers are down.

        Returns:
            Whether it is news: false when its destination is unknown or a newer one is known.
        """
        service, place = self.services.get(verdicts.service), (verdicts.service, verdicts.index)
        former = self.verdicts.get(place)
        if service is None or all(destination.index != verdicts.index for destination in service.destinations):
            return False
        if former is not None and former.epoch >= verdicts.epoch:
            return False
        self.verdicts[place] = verdicts
        return True

    def whole(self) -> tuple[Service, ...]:
        """
        All services, for `parts`.
        """
        return tuple(self.services.values())

    def parts(self, services: tuple[Service, ...]) -> Iterator[Part]:
        """
        Pieces of a change that brings all certificates and these services, with what is known of their servers when
        each piece is made.
        """
        yield from _certificates(tuple(self.certificates.values()))
        for start in range(0, len(services), PART_ITEMS):
            some = services[start : start + PART_ITEMS]
            places = [(service.name, destination.index) for service in some for destination in service.destinations]
            yield Part(
                services=some,
                memberships=tuple(self.memberships[place] for place in places if place in self.memberships),
                cells=tuple((*place, self._cells.number(place)) for place in places),
            )
        yield from _orders(tuple(order for of_one in self.orders.values() for order in of_one.values()))

    def _free_destinations(self, former: Service, now: Service | None) -> None:
        kept = {d.index for d in now.destinations} if now is not None else set()
        for destination in former.destinations:
            if destination.index not in kept:
                place = (former.name, destination.index)
                self._cells.free(place)
                self.verdicts.pop(place, None)
                membership = self.memberships.pop(place, None)
                if membership is not None:
                    self._free_servers(membership, None)

    def _free_servers(self, former: Membership, now: Membership | None) -> None:
        kept = {(s.host, s.port) for s in now.servers} if now is not None else set()
        for server in former.servers:
            if (server.host, server.port) not in kept:
                self._cells.free((former.service, former.index, server.host, server.port))


def parts_of(change: Change) -> Iterator[Part]:
    """
    A change in bounded pieces.
    """
    yield from _certificates(change.certificates)
    if change.removed_certificates:
        yield Part(removed_certificates=change.removed_certificates)
    for start in range(0, len(change.lifted), PART_ITEMS):
        yield Part(lifted=change.lifted[start : start + PART_ITEMS])
    yield from _orders(change.orders)
    for start in range(0, len(change.removed), PART_ITEMS):
        yield Part(removed=change.removed[start : start + PART_ITEMS])
    memberships: dict[str, list[Membership]] = {}
    for membership in change.memberships:
        memberships.setdefault(membership.service, []).append(membership)
    cells: dict[str, list[tuple[str, int, int]]] = {}
    for cell in change.cells:
        cells.setdefault(cell[0], []).append(cell)
    for start in range(0, len(change.services), PART_ITEMS):
        some = change.services[start : start + PART_ITEMS]
        yield Part(
            services=some,
            memberships=tuple(m for service in some for m in memberships.get(service.name, ())),
            cells=tuple(c for service in some for c in cells.get(service.name, ())),
        )


def _certificates(certificates: tuple[Certificate, ...]) -> Iterator[Part]:
    for start in range(0, len(certificates), PART_ITEMS):
        yield Part(certificates=certificates[start : start + PART_ITEMS])


def _orders(orders: tuple[Order, ...]) -> Iterator[Part]:
    for start in range(0, len(orders), PART_ITEMS):
        yield Part(orders=orders[start : start + PART_ITEMS])


def payloads(part: Part, frame_bytes: int) -> Iterator[bytes]:
    """
    A part as messages that fit into a frame each, unless a single service does not.
    """
    payload = encode(part)
    if len(payload) > frame_bytes and len(part.certificates) > 1:
        half = len(part.certificates) // 2
        yield from payloads(Part(certificates=part.certificates[:half]), frame_bytes)
        yield from payloads(Part(certificates=part.certificates[half:]), frame_bytes)
        return
    if len(payload) <= frame_bytes or len(part.services) < 2:
        yield payload
        return
    middle = len(part.services) // 2
    for some in (part.services[:middle], part.services[middle:]):
        names = {service.name for service in some}
        yield from payloads(
            Part(
                some,
                (),
                tuple(m for m in part.memberships if m.service in names),
                tuple(c for c in part.cells if c[0] in names),
            ),
            frame_bytes,
        )


def gathered(parts: list[Part], prepare: Prepare) -> Change:
    """
    One change from its parts.
    """
    services: list[Service] = []
    removed: list[str] = []
    memberships: list[Membership] = []
    cells: list[tuple[str, int, int]] = []
    certificates: list[Certificate] = []
    removed_certificates: list[str] = []
    orders: list[Order] = []
    lifted: list[str] = []
    for part in parts:
        services += part.services
        removed += part.removed
        memberships += part.memberships
        cells += part.cells
        certificates += part.certificates
        removed_certificates += part.removed_certificates
        orders += part.orders
        lifted += part.lifted
    return Change(
        prepare.revision,
        tuple(services),
        tuple(removed),
        tuple(memberships),
        tuple(cells),
        prepare.whole,
        tuple(certificates),
        tuple(removed_certificates),
        orders=tuple(orders),
        lifted=tuple(lifted),
    )


def merged(changes: Iterable[Change]) -> Change:
    """
    One change with the effect of several in a row.
    """
    revision = Revision()
    whole = False
    services: dict[str, Service] = {}
    removed: dict[str, None] = {}
    memberships: dict[Destination, Membership] = {}
    cells: dict[Destination, int] = {}
    certificates: dict[str, Certificate] = {}
    removed_certificates: dict[str, None] = {}
    orders: dict[str, Order] = {}
    lifted: dict[str, None] = {}
    for change in changes:
        revision = change.revision
        if change.whole:
            whole = True
            services.clear()
            removed.clear()
            certificates.clear()
            removed_certificates.clear()
            orders.clear()
            lifted.clear()
        for name in (*change.removed, *change.lifted):
            # A service of that name may come again: then the former orders must not hold for it.
            orders = {key: order for key, order in orders.items() if order.service != name}
            lifted[name] = None
        orders.update((order.key, order) for order in change.orders)
        for identity in change.removed_certificates:
            certificates.pop(identity, None)
            removed_certificates[identity] = None
        for certificate in change.certificates:
            certificates[certificate.identity] = certificate
            removed_certificates.pop(certificate.identity, None)
        for name in change.removed:
            services.pop(name, None)
            removed[name] = None
        for service in change.services:
            services[service.name] = service
            removed.pop(service.name, None)
        for membership in change.memberships:
            memberships[membership.service, membership.index] = membership
        for name, index, cell in change.cells:
            cells[name, index] = cell
    return Change(
        revision,
        tuple(services.values()),
        tuple(removed),
        tuple(m for m in memberships.values() if m.service in services),
        tuple((name, index, cell) for (name, index), cell in cells.items() if name in services),
        whole,
        tuple(certificates.values()),
        tuple(removed_certificates),
        orders=tuple(orders.values()),
        lifted=tuple(lifted),
    )
