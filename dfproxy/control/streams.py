"""
Streams of this process: which pools there are, who is in a group, and the tables that the doors look into.

Work grows with the number of streams when one changes, and is none when only routes of HTTP do.

Source: contract 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dfproxy.frontend.streams import StreamDoors
from dfproxy.interfaces import IBalancer
from dfproxy.model.checks import READY, Address, Order
from dfproxy.model.pool import Pool
from dfproxy.model.service import Balance, Destination, Route, Service
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.observe.metrics import Tally
from dfproxy.routing.streams import PortTable, pools_of
from dfproxy.upstream.live import LiveBackend, LiveServer

Key = tuple[str, int]


def split(service: Service) -> tuple[tuple[Destination, ...], tuple[Destination, ...]]:
    """
    The destinations of a service that take requests, and those that take connections.
    """
    requests = tuple(each for each in service.destinations if each.stream is None)
    if len(requests) == len(service.destinations):
        return requests, ()
    return requests, tuple(each for each in service.destinations if each.stream is not None)


@dataclass
class Arranged:
    """
    Streams that are ready to be put in force.

    Attributes:
        services: those that have any, by name.
        tables: by port.
        groups: pools of several destinations, by name, each with the balancer that it is to have; None: its own.
    """

    services: dict[str, Service]
    tables: dict[int, PortTable] = field(default_factory=dict)
    groups: dict[str, tuple[Pool, LiveBackend, IBalancer | None]] = field(default_factory=dict)


class Streams:
    """
    The streams of one data plane.

    Args:
        doors: told which tables count.
        key: an `IRouteOrderFactory`'s `key`.
        build: makes a balancer; raises `InvalidBalance`.
        make: makes a backend of a service, a destination and a balancer.

    Attributes:
        on_ports: called with the ports that have streams, when they change; None: nobody to tell.
    """

    def __init__(
        self,
        doors: StreamDoors,
        key: Callable[[Route], tuple[object, ...]],
        build: Callable[[Balance], IBalancer],
        make: Callable[[Service, Destination, IBalancer], LiveBackend],
    ) -> None:
        self.doors = doors
        self._key = key
        self._build = build
        self._make = make
        self._services: dict[str, Service] = {}
        self._groups: dict[str, tuple[Pool, LiveBackend]] = {}
        self._group_of: dict[Key, str] = {}
        self._epoch = 0
        self.on_ports: Callable[[frozenset[int]], None] | None = None

    def prepare(
        self, services: Mapping[str, Service | None], whole: bool, backend_of: Callable[[Key], LiveBackend]
    ) -> Arranged | None:
        """
        Arrange the streams beside those that run.

        Args:
            services: those that change; None: it goes.
            whole: others than these go as well.
            backend_of: the backend of a destination.

        Returns:
            None: nothing changes.

        Raises:
            InvalidRoute, InvalidBalance: it cannot be.
        """
        after = {} if whole else dict(self._services)
        for name, service in services.items():
            after.pop(name, None)
            if service is not None and split(service)[1]:
                after[name] = service
        if after == self._services:
            return None
        arranged = Arranged(after)
        for port, pools in pools_of(after.values(), self._key).items():
            arranged.tables[port] = PortTable((pool, self._target(pool, arranged, backend_of)) for pool in pools)
        return arranged

    def _target(self, pool: Pool, arranged: Arranged, backend_of: Callable[[Key], LiveBackend]) -> LiveBackend:
        first = pool.first
        name = pool.stream.group
        if not name:
            return backend_of((first.service.name, first.destination.index))
        former = self._groups.get(name)
        if former is None:
            balancer = self._build(pool.stream.balance)
            backend = self._make(first.service, first.destination, balancer)
            arranged.groups[name] = pool, backend, None
        else:
            backend = former[1]
            changed = former[0].stream.balance != pool.stream.balance
            arranged.groups[name] = pool, backend, self._build(pool.stream.balance) if changed else None
        return backend

    def commit(self, arranged: Arranged, backend_of: Callable[[Key], LiveBackend | None]) -> None:
        """
        Put them in force; the backends of the destinations are as they are to be.
        """
        gone = self._groups.keys() - arranged.groups.keys()
        for name in gone:
            retired = self._groups.pop(name)[1]
            retired.tally = Tally()  # the other one goes on to count its first destination
            retired.retire()
        self._services = arranged.services
        self._group_of = {}
        for name, (pool, backend, balancer) in arranged.groups.items():
            self._groups[name] = pool, backend
            backend.define(pool.first.service, pool.first.destination)
            if balancer is not None:
                backend.use(balancer)
            first = backend_of((pool.first.service.name, pool.first.destination.index))
            if first is not None:
                backend.tally = first.tally  # one is counted as the other
                backend.places = first.places
            for route in pool.members:
                self._group_of[route.service.name, route.destination.index] = name
            self._gather(name, backend_of)
        before, after = frozenset(self.doors.tables), frozenset(arranged.tables)
        self.doors.tables = arranged.tables
        if before != after and self.on_ports is not None:
            self.on_ports(after)

    def members(self, key: Key, backend_of: Callable[[Key], LiveBackend | None]) -> None:
        """
        The servers of this destination have changed: so do those of the group that it is in.
        """
        name = self._group_of.get(key)
        if name is not None:
            self._gather(name, backend_of)

    def _gather(self, name: str, backend_of: Callable[[Key], LiveBackend | None]) -> None:
        pool, group = self._groups[name]
        found: dict[Address, ServerAddress] = {}
        down: set[Address] = set()
        orders: dict[Address, Order] = {}
        for route in pool.members:
            backend = backend_of((route.service.name, route.destination.index))
            for server in backend.servers if backend is not None else ():
                address = ServerAddress(server.host, server.port, server.base_weight, server.cell)
                place = (server.host, server.port)
                if place in found:
                    continue
                found[place] = address
                if server.down:
                    down.add(place)
                weight = None if server.full_weight == server.base_weight else server.full_weight
                if server.standing != READY or weight is not None:
                    orders[place] = Order(name, *place, server.standing, weight)
        self._epoch += 1
        servers = tuple(found[place] for place in sorted(found))
        group.members(Membership(pool.first.service.name, pool.first.destination.index, self._epoch, servers))
        group.judged(down, orders)

    def members_of(self, backend: LiveBackend) -> tuple[Key, ...]:
        """
        The destinations whose servers a backend has: of a group all of them.
        """
        for pool, group in self._groups.values():
            if group is backend:
                return tuple((route.service.name, route.destination.index) for route in pool.members)
        return ((backend.service.name, backend.destination.index),)

    def counted(self, key: Key, servers: tuple[LiveServer, ...]) -> Iterator[LiveServer]:
        """
        Where these servers of a destination are counted: in the group that it is in.
        """
        name = self._group_of.get(key)
        if name is None:
            yield from servers
            return
        pooled: dict[Any, LiveServer] = {(server.host, server.port): server for server in self._groups[name][1].servers}
        for server in servers:
            yield pooled.get((server.host, server.port), server)

    def owners(self) -> Iterator[tuple[int, LiveBackend]]:
        """
        Backends of groups, which are nobody's destination, each with its port.
        """
        for pool, backend in self._groups.values():
            yield pool.stream.port, backend
