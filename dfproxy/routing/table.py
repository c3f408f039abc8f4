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
from dfproxy.routing.index import NOTHING, Entry, Exact, HostIndex, Labels, PathIndex, Prefixes, Rank
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
    Immutable; made by `TableBuilder.build`, or `EMPTY`.

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
            host = request.host.lower()
            if b"," not in host:
                if host:
                    found = self._best_of_host(host, path, request, found)
            else:
                for part in host_parts(host):
                    found = self._best_of_host(part, path, request, found)
        # what must be tried comes last: by now most of it is behind what is found
        if everywhere is not None and everywhere.least < found[0]:
            found = everywhere.best_tried(path, request, found)
        if found is NOTHING:
            return self.default
        return found[2]

    def _best_of_host(self, host: bytes, path: bytes, request: IRequest, found: Entry) -> Entry:
        """
        The first route of a host that takes the request, if it is before `found`; else `found`.

        Args:
            host: one part of the Host field, in lower case.
        """
        if self.exact is not None and (paths := self.exact.get(host)) is not None:
            found = _best(paths, path, request, found)
        prefixes = self.prefixes
        if prefixes is not None:
            key = prefixes.deepest(host)
            while key:
                key, paths = prefixes.nodes[key]
                found = _best(paths, path, request, found)
        suffixes = self.bare_suffixes
        if suffixes is not None:
            bare = without_port(host) if b":" in host else host
            key = suffixes.deepest(bare[::-1])
            while key:
                key, paths = suffixes.nodes[key]
                found = _best(paths, path, request, found)
        suffixes = self.suffixes
        if suffixes is not None:
            key = suffixes.deepest(host[::-1])
            while key:
                key, paths = suffixes.nodes[key]
                found = _best(paths, path, request, found)
        if self.labels is not None:
            for paths in self.labels.found_in(host):
                found = _best(paths, path, request, found)
        if self.containing is not None:
            for paths in self.containing.found_in(host):
                found = _best(paths, path, request, found)
        return found

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


def _best(paths: PathIndex, path: bytes, request: IRequest, found: Entry) -> Entry:
    """
    The first of these routes that takes the request, if it is before `found`; else `found`.
    """
    found = paths.best(path, request, found)
    if paths.least < found[0]:
        found = paths.best_tried(path, request, found)
    return found


EMPTY = RouteTable()


class Current:
    """
    The one pointer to the table in force. Who reads it, reads once and keeps what it got.
    """

    __slots__ = ("table",)

    def __init__(self, table: RouteTable = EMPTY) -> None:
        self.table = table
