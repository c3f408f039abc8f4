"""
The routes of one moment: immutable, looked up once for each request.

Knows neither services nor what a target is. Built by `dfproxy.routing.compile`.

Source: contract of DFP's route choice (sort order, default backend).
"""

from __future__ import annotations

from collections.abc import Iterator

from zope.interface import implementer

from dfproxy.interfaces import ILookup, IRequest
from dfproxy.model.service import Route
from dfproxy.routing.index import NOTHING, Check, PathIndex, Prefixes, Rank
from dfproxy.routing.matcher import host_parts, without_port


class Placement:
    """
    A compiled route: where the indexes have it.

    Attributes:
        route: what it was compiled from.
        rank: its order.
        target: what the lookup returns.
        hosts: the host places, each `(kind, value)`.
        paths: the path places, each `(kind, value, check)`; in every host place.
    """

    __slots__ = ("hosts", "paths", "rank", "route", "target")

    def __init__(
        self,
        route: Route,
        rank: Rank,
        target: object,
        hosts: tuple[tuple[str, bytes, Check | None], ...],
        paths: tuple[tuple[str, bytes, Check | None], ...],
    ) -> None:
        self.route = route
        self.rank = rank
        self.target = target
        self.hosts = hosts
        self.paths = paths


@implementer(ILookup)
class RouteTable:
    """
    Immutable; made by `TableBuilder.build`, or `EMPTY`.

    Attributes:
        default: the target of what no route takes, or None.
        everywhere: the routes without an indexed host.
        exact: by whole host.
        prefixes: by how the host begins.
        suffixes: by how the host ends, written backwards.
        bare_suffixes: the same for the host without its port.
        services: by name, the compiled routes.
    """

    __slots__ = ("bare_suffixes", "default", "everywhere", "exact", "prefixes", "services", "suffixes")

    def __init__(self) -> None:
        self.default: object | None = None
        self.everywhere = PathIndex()
        self.exact: dict[bytes, PathIndex] = {}
        self.prefixes: Prefixes[PathIndex] = Prefixes()
        self.suffixes: Prefixes[PathIndex] = Prefixes()
        self.bare_suffixes: Prefixes[PathIndex] = Prefixes()
        self.services: dict[str, tuple[Placement, ...]] = {}

    def lookup(self, request: IRequest) -> object | None:
        """
        The target of the first route that takes this request; else the default; else None.
        """
        path = request.path
        found = self.everywhere.best(path, request, NOTHING)
        for host in host_parts(request.host):
            if self.exact and (paths := self.exact.get(host)) is not None:
                found = paths.best(path, request, found)
            for prefixes, text in (
                (self.prefixes, host),
                (self.suffixes, host[::-1]),
                (self.bare_suffixes, without_port(host)[::-1]),
            ):
                key = prefixes.deepest(text)
                while key:
                    found = prefixes.values[key].best(path, request, found)
                    key = prefixes.parents[key]
        if found is NOTHING:
            return self.default
        return found.target

    def routes(self) -> Iterator[tuple[Route, object]]:
        """
        Every route and its target, in winning order. Sorts when called: for showing, not for requests.
        """
        every = [placement for placements in self.services.values() for placement in placements]
        every.sort(key=lambda placement: placement.rank)
        return iter([(placement.route, placement.target) for placement in every])


EMPTY = RouteTable()


class Current:
    """
    The one pointer to the table in force. Who reads it, reads once and keeps what it got.
    """

    __slots__ = ("table",)

    def __init__(self, table: RouteTable = EMPTY) -> None:
        self.table = table
