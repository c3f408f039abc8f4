"""
The data plane in workers, as the leader sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from dfproxy.control.counting import EJECTED
from dfproxy.control.ports import Doors
from dfproxy.control.publisher import Publisher
from dfproxy.control.servers import Key, Members, Servers
from dfproxy.daemon.overview import Order, Overview
from dfproxy.daemon.plane import Figures
from dfproxy.descriptors import connections, raised
from dfproxy.model.checks import Address, Verdicts
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change
from dfproxy.observe.cells import CLIENTS
from dfproxy.workers.heritage import Heritage, Left
from dfproxy.workers.leader import WorkerSet


class InWorkers:
    """
    See `dfproxy.daemon.plane.Plane`.

    Args:
        reactor: with processes, descriptors and time.
        settings: options.
        order: by which routes are tried, the lowest first.
        wants: called with service name and index when a worker could not connect to a server of that destination.
        heritage: what is open already.
    """

    not_upgradable = ""

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        order: Order,
        wants: Callable[[str, int], None],
        heritage: Heritage,
    ) -> None:
        self._limit = settings.workers * connections(settings.limits.client_connections, settings.workers, raised())
        self._order = order
        self._workers = workers = WorkerSet(reactor, settings, wants=wants, heritage=heritage)
        self.data_plane = workers
        self.doors = Doors(workers.open_port, workers.serve_ports, workers.close_ports)

    def open(self) -> None:
        """
        See `WorkerSet`.
        """
        self._workers.open()

    def begin_with(self, change: Change) -> None:
        """
        See `WorkerSet`.
        """
        self._workers.begin_with(change)

    def start(self) -> Deferred[None]:
        """
        See `WorkerSet`.
        """
        return self._workers.start()

    def stop(self) -> Deferred[None]:
        """
        See `WorkerSet`.
        """
        return self._workers.stop()

    def pids(self) -> tuple[int, ...]:
        """
        See `WorkerSet`.
        """
        return self._workers.pids()

    @property
    def degraded(self) -> str:
        """
        See `WorkerSet`.
        """
        return self._workers.degraded

    @property
    def is_alive(self) -> bool:
        """
        See `WorkerSet`.
        """
        return self._workers.is_alive

    def verdicts(self, verdicts: Verdicts) -> None:
        """
        See `WorkerSet`.
        """
        self._workers.verdicts(verdicts)

    def figures(self, publisher: Publisher, names: Members, servers: Servers) -> Figures:
        """
        What the leader knows of what is in force, with the counters that workers share with it.
        """
        return Overview(self._workers, self._order, self._limit, publisher, names, servers)

    def clients(self) -> tuple[int, ...]:
        """
        See `Plane`.
        """
        return self._workers.totals(CLIENTS)

    def left_out(self, key: Key, address: Address) -> int:
        """
        See `Plane`.
        """
        return self._workers.totals(self._workers.cells.number((*key, *address)))[EJECTED]

    def traffic(self) -> Iterator[Iterable[Key]]:
        """
        See `Plane`.
        """
        return self._workers.cells.traffic()

    def left(self, left: Left) -> Left:
        """
        See `Plane`.
        """
        slots = self._workers.slots
        doors, programs = (*left.doors, *slots.doors()), slots.programs()
        return msgspec.structs.replace(left, doors=doors, workers=self._workers.left(), programs=programs)
