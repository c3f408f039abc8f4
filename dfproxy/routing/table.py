"""
The routes of one moment: immutable, looked up once for each request.

Knows neither services nor what a target is. Built by `dfproxy.routing.compile`.

Source: contract of DFP's route choice (sort order, default backend).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zope.interface import implementer

from dfproxy.interfaces import ILookup, IRequest
from dfproxy.model.service import Route
from dfproxy.routing.index import NOTHING, Exact, HostIndex, Labels, PathIndex, Prefixes, Rank
from dfproxy.routing.literals import Literals
from dfproxy.routing.matcher import Check, host_parts, without_port


class Place:
    """
    Where one alternative of a host or path condition is indexed.

    Attributes:
        kind: which index: a key of `HOST_INDEXES`, or a kind of `PathIndex.put`.
        value: key in it.
        runs: literals of what must be tried.
        check: what the index does not answer.
    """

    __slots__ = ("check", "kind", "runs", "value")

    def __init__(self, kind: str, value: bytes = b"", check: Check | None = None, runs: tuple[bytes, ...] = ()) -> None:
        self.kind = kind
        self.value = value
        self.check = check
        self.runs = runs


EVERYWHERE = Place("everywhere")
"""
The place by host of what asks for no host, or for one that no index knows.
"""

HOST_INDEXES: Mapping[str, tuple[str, type[HostIndex[PathIndex]]]] = {
    "exact": ("exact", Exact),
    "prefix": ("prefixes", Prefixes),
    "suffix": ("suffixes", Prefixes),
    "bare suffix": ("bare_suffixes", Prefixes),
    "label": ("labels", Labels),
    "containing": ("containing", Literals),
}
"""
Kind of a place by host, to the attribute of the table and how to make one.
"""


SEEN_LIMIT = 16384
"""
Hosts that a table remembers, so that the domains of 10,000 services fit; some 4 MB when full. Forgotten all at once:
who sends ever new names costs others a look into the indexes, not more.
"""

SEEN_HOST_LIMIT_BYTES = 128
"""
Longest Host that is remembered; names in use are shorter, and memory stays bounded.
"""


class Compiled:
    """
    A compiled route.

    Attributes:
        route: what it was compiled from.
        rank: its order.
        target: what the lookup returns.
        hosts: its places by host; empty: no host can match.
        paths: its places by path, within each place by host.
    """

    __slots__ = ("hosts", "paths", "rank", "route", "target")

    def __init__(
        self, route: Route, rank: Rank, target: object, hosts: tuple[Place, ...], paths: tuple[Place, ...]
    ) -> None:
        self.route = route
        self.rank = rank
        self.target = target
        self.hosts = hosts
        self.paths = paths


@implementer(ILookup)
class RouteTable:
    """
    Immutable, but for what it remembers of hosts; made by `TableBuilder.build`, or `EMPTY`.

    An index that holds nothing is None, so that a lookup pays only for the forms that exist.

    Attributes:
        default: the target of what no route takes, or None.
        everywhere: the routes without an indexed host.
        exact: by whole host.
        prefixes: by how the host begins.
        suffixes: by how the host ends, written backwards.
        bare_suffixes: the same for the host without its port.
        labels: by labels of the host.
        containing: by bytes that the host must contain.
        by_host: whether there is anything but `everywhere`.
        services: by name, the compiled routes.
        defaults: by name, what each service with `is_default` would have as the default.
        shape: types of the longest route order key so far.
    """

    __slots__ = (
        "_seen",
        "bare_suffixes",
        "by_host",
        "containing",
        "default",
        "defaults",
        "everywhere",
        "exact",
        "labels",
        "prefixes",
        "services",
        "shape",
        "suffixes",
    )

    def __init__(self) -> None:
        self.default: object | None = None
        self.everywhere: PathIndex | None = None
        self.exact: Exact[PathIndex] | None = None
        self.prefixes: Prefixes[PathIndex] | None = None
        self.suffixes: Prefixes[PathIndex] | None = None
        self.bare_suffixes: Prefixes[PathIndex] | None = None
        self.labels: Labels[PathIndex] | None = None
        self.containing: Literals[PathIndex] | None = None
        self.by_host = False
        self._seen: dict[bytes, tuple[PathIndex, ...]] = {}
        self.services: dict[str, tuple[Compiled, ...]] = {}
        self.defaults: dict[str, Compiled] = {}
        self.shape: tuple[object, ...] = ()

    def lookup(self, request: IRequest) -> object | None:
        """
        The target of the first route that takes this request; else the default; else None.
        """
        path = request.path
        found = NOTHING
        everywhere = self.everywhere
        if everywhere is not None:
            found = everywhere.best(path, request, found)
        if self.by_host:
            host = request.host
            indexes = self._seen.get(host)
            if indexes is None:
                indexes = self._indexes_of(host)
            for paths in indexes:
                found = paths.best(path, request, found)
                if paths.least < found[0]:
                    found = paths.best_tried(path, request, found)
        # what must be tried comes last: by now most of it is behind what is found
        if everywhere is not None and everywhere.least < found[0]:
            found = everywhere.best_tried(path, request, found)
        if found is NOTHING:
            return self.default
        return found[2]

    def _indexes_of(self, host: bytes) -> tuple[PathIndex, ...]:
        """
        What has routes for a Host, remembered: the same few names come again and again, and a dictionary answers in
        0.05 us where the indexes below take 0.9 at 10,000 domains.

        Args:
            host: value of the field, as it came.
        """
        found: list[PathIndex] = []
        for part in host_parts(host):
            if self.exact is not None and (paths := self.exact.get(part)) is not None:
                found.append(paths)
            if self.prefixes is not None:
                found += self.prefixes.found_in(part)
            if self.suffixes is not None:
                found += self.suffixes.found_in(part[::-1])
            if self.bare_suffixes is not None:
                found += self.bare_suffixes.found_in(without_port(part)[::-1])
            if self.labels is not None:
                found += self.labels.found_in(part)
            if self.containing is not None:
                found += self.containing.found_in(part)
        indexes = tuple(dict.fromkeys(found))
        if len(host) <= SEEN_HOST_LIMIT_BYTES:
            if len(self._seen) >= SEEN_LIMIT:
                self._seen.clear()
            self._seen[host] = indexes
        return indexes

    def routes(self) -> Iterator[tuple[Route, object]]:
        """
        Every route and its target, in winning order. Sorts when called: for showing, not for requests.
        """
        every = [compiled for service in self.services.values() for compiled in service]
        every.sort(key=lambda compiled: compiled.rank)
        return iter([(compiled.route, compiled.target) for compiled in every])

    # --- for the builder -------------------------------------------------------------------------------------

    def copy(self) -> RouteTable:
        """
        One that may be changed, index by index, without changing this one.
        """
        other = RouteTable()
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other._seen = {}
        return other

    def paths_at(self, kind: str, value: bytes) -> PathIndex | None:
        """
        What is at a place by host.
        """
        if kind == EVERYWHERE.kind:
            return self.everywhere
        index: HostIndex[PathIndex] | None = getattr(self, HOST_INDEXES[kind][0])
        return None if index is None else index.get(value)

    def replace(self, changes: Mapping[tuple[str, bytes], PathIndex]) -> None:
        """
        Put these at their places; only for a table that nobody has yet.

        Args:
            changes: by kind and key of the place by host; an empty one takes the place away.
        """
        fresh: dict[str, HostIndex[PathIndex]] = {}
        for (kind, value), paths in changes.items():
            if kind == EVERYWHERE.kind:
                self.everywhere = paths or None
                continue
            index = fresh.get(kind)
            if index is None:
                name, make = HOST_INDEXES[kind]
                before: HostIndex[PathIndex] | None = getattr(self, name)
                index = fresh[kind] = make() if before is None else before.copy()
            if paths:
                index.put(value, paths)
            else:
                index.drop(value)
        for kind, index in fresh.items():
            index.settle()
            setattr(self, HOST_INDEXES[kind][0], index or None)
        self.by_host = any(getattr(self, name) is not None for name, _ in HOST_INDEXES.values())


EMPTY = RouteTable()


class Current:
    """
    The one pointer to the table in force. Who reads it, reads once and keeps what it got.

    Attributes:
        table: a `RouteTable`, or one with something before it.
    """

    __slots__ = ("table",)

    def __init__(self, table: ILookup = EMPTY) -> None:
        self.table = table
