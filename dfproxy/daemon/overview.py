"""
Routes and figures of a proxy with workers, put together by the leader: from what is published, who the servers are, and
what workers have counted in the cells that they share.

Without workers the data plane of the process answers by itself (`dfproxy.control.apply`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from dfproxy.control.apply import FRONTEND_CELL
from dfproxy.control.counting import EJECTED
from dfproxy.control.servers import Look, Members
from dfproxy.model.service import Destination, Route, Service
from dfproxy.model.snapshot import ServerAddress, Snapshot, server_names
from dfproxy.observe.prometheus import Totals

Order = Callable[[Route], Any]


class Published(Protocol):
    """
    Who knows what is in force.
    """

    snapshot: Snapshot


class Counters(Protocol):
    """
    Who knows what workers have counted.
    """

    cells: Any

    def totals(self, cell: int) -> tuple[int, ...]:
        """
        Of all workers together.
        """


class Looks(Protocol):
    """
    Who knows how servers are.
    """

    def look(self, key: tuple[str, int], server: ServerAddress, left_out: int) -> Look:
        """
        How one is, which so many workers leave out.
        """


class Overview:
    """
    See `dfproxy.daemon.plane.Figures`.

    Args:
        workers: who has counted.
        order: by which routes are tried, the lowest first.
        limit: client connections at most.
        publisher: knows what is in force.
        names: knows who the servers are.
        servers: knows how they are.
    """

    def __init__(
        self,
        workers: Counters,
        order: Order,
        limit: int,
        publisher: Published,
        names: Members,
        servers: Looks,
    ) -> None:
        self._workers = workers
        self._order = order
        self._limit = limit
        self._publisher = publisher
        self._names = names
        self._servers = servers

    def routes(self) -> tuple[Iterable[tuple[Route, object]], Route | None]:
        """
        The effective routes in the order in which they are tried, each with the name of its backend, and the default
        one.
        """
        routes = [
            Route(service, destination)
            for service in self._publisher.snapshot.services.values()
            for destination in service.destinations
            if destination.stream is None
        ]
        routes.sort(key=lambda route: (self._order(route), route.service.name, route.destination.place))
        default = next((route.service for route in reversed(routes) if route.service.is_default), None)
        return [(route, route.destination.backend_name) for route in routes], _last_route(default)

    def totals(self) -> Iterator[Totals]:
        """
        What was counted, in all workers together.
        """
        yield Totals("frontend", "", "", "", self._workers.totals(FRONTEND_CELL), limit=self._limit)
        for service in list(self._publisher.snapshot.services.values()):
            for destination in service.destinations:
                yield from self._of(service, destination)

    def _of(self, service: Service, destination: Destination) -> Iterator[Totals]:
        """
        A backend, then its servers.
        """
        counted, number = self._workers.totals, self._workers.cells.number
        place, backend = (service.name, destination.index), destination.backend_name
        members = self._names.members_of(*place)
        rows = [counted(number((*place, server.host, server.port))) for server in members]
        looks = [self._servers.look(place, server, row[EJECTED]) for server, row in zip(members, rows)]
        usable = [look for look in looks if look.is_up and look.weight]
        yield Totals(
            "backend",
            backend,
            service.name,
            "",
            tuple(map(sum, zip(counted(number(place)), *rows))),
            up=bool(usable),
            weight=sum(look.weight for look in usable),
            active=len(usable),
        )
        for name, look, row in zip(server_names(service.name, members), looks, rows):
            yield Totals(
                "server",
                backend,
                service.name,
                name,
                row,
                up=look.is_up,
                weight=look.weight,
                state=look.word,
                checked=look.columns,
            )


def _last_route(service: Service | None) -> Route | None:
    """
    Of a service, the route that is tried last; of the default service it takes what nobody else does.
    """
    if service is None:
        return None
    return Route(service, [each for each in service.destinations if each.stream is None][-1])
