"""
Services to a table, beside the table that runs; work grows with the change.

What must be refused is refused here, before anything of the builder is touched.

Source: contract of DFP's route choice; `dfproxy.routing.precedence` for the order.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from dfproxy.errors import InvalidRoute
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Route, Service
from dfproxy.routing.index import Check, Entries, Entry, PathIndex, Prefixes, Rank
from dfproxy.routing.matcher import all_of, host_check, path_check, rest_checks
from dfproxy.routing.table import Placement, RouteTable

_by_rank = itemgetter(0)


class TableBuilder:
    """
    Makes the next table from the previous one, which stays as it is.

    Args:
        previous: the table to start from; `EMPTY` for a full compile.
        key: an `IRouteOrderFactory`'s `key`; the same for all tables of a line.
        conditions: every known `IRouteConditionFactory`, by name.
    """

    def __init__(
        self,
        previous: RouteTable,
        key: Callable[[Route], tuple[object, ...]],
        conditions: Mapping[str, object],
    ) -> None:
        self._key = key
        self._conditions = conditions
        self._table = _copy(previous)
        self._own: set[PathIndex] = set()  # by identity; kept alive, or an id might come again

    def remove(self, name: str) -> None:
        """
        Take the routes of a service out; an unknown name is fine.
        """
        for placement in self._table.services.pop(name, ()):
            self._take_out(placement)

    def add(self, service: Service, targets: Sequence[object]) -> None:
        """
        Put the routes of a service in, instead of a former definition of that name.

        Args:
            service: what to route to.
            targets: one for each destination.

        Raises:
            InvalidRoute: it cannot be compiled; the builder is as it was.
        """
        if len(targets) != len(service.destinations):
            raise InvalidRoute(
                f"service {service.name} has {len(service.destinations)} destinations but {len(targets)} targets"
            )
        placements = tuple(
            self._compile(Route(service, destination), target)
            for destination, target in zip(service.destinations, targets, strict=True)
        )
        self.remove(service.name)
        self._table.services[service.name] = placements
        for placement in placements:
            self._put_in(placement)

    def build(self) -> RouteTable:
        """
        The table; the builder may go on and build the next one.
        """
        table = self._table
        self._table = _copy(table)
        self._own = set()
        defaults = [p[-1] for p in table.services.values() if p and p[-1].route.service.is_default]
        table.default = max(defaults, key=lambda placement: placement.rank).target if defaults else None
        return table

    # --- one route -------------------------------------------------------------------------------------------

    def _compile(self, route: Route, target: object) -> Placement:
        match = route.destination.match
        rank = self._rank(route)
        rest = rest_checks(match, self._conditions)
        return Placement(route, rank, target, _host_places(match), _path_places(match, rest))

    def _rank(self, route: Route) -> Rank:
        return (0, self._key(route), route.service.name, route.destination.index)

    # --- places ----------------------------------------------------------------------------------------------

    def _put_in(self, placement: Placement) -> None:
        for kind, value, host_test in placement.hosts:
            paths = self._paths(kind, value)
            for path_kind, path, path_test in placement.paths:
                check = all_of([c for c in (host_test, path_test) if c is not None])
                entry = Entry(placement.rank, check, placement.target)
                _set(paths, path_kind, path, _with(_get(paths, path_kind, path), entry))

    def _take_out(self, placement: Placement) -> None:
        for kind, value, _ in placement.hosts:
            paths = self._paths(kind, value)
            for path_kind, path, _ in placement.paths:
                _set(paths, path_kind, path, _without(_get(paths, path_kind, path), placement.rank))
            if kind != "any" and not (paths.slash or paths.exact or paths.others or paths.prefixes):
                if kind == "exact":
                    del self._table.exact[value]
                else:
                    _prefixes(self._table, kind).drop(value)

    def _paths(self, kind: str, value: bytes) -> PathIndex:
        """
        The paths of a host place, as this builder's own copy.
        """
        table = self._table
        if kind == "any":
            paths = table.everywhere
        elif kind == "exact":
            paths = table.exact.get(value) or PathIndex()
        else:
            paths = _prefixes(table, kind).values.get(value) or PathIndex()
        if paths not in self._own:
            paths = paths.copy()
            self._own.add(paths)
            if kind == "any":
                table.everywhere = paths
            elif kind == "exact":
                table.exact[value] = paths
            else:
                _prefixes(table, kind).put(value, paths)
        return paths


def _copy(table: RouteTable) -> RouteTable:
    other = RouteTable()
    other.everywhere = table.everywhere
    other.exact = table.exact.copy()
    other.prefixes = table.prefixes.copy()
    other.suffixes = table.suffixes.copy()
    other.bare_suffixes = table.bare_suffixes.copy()
    other.services = table.services.copy()
    return other


def _prefixes(table: RouteTable, kind: str) -> Prefixes[PathIndex]:
    if kind == "prefix":
        return table.prefixes
    return table.suffixes if kind == "suffix" else table.bare_suffixes


def _host_places(match: Match) -> tuple[tuple[str, bytes, Check | None], ...]:
    if not match.hosts:
        return (("any", b"", None),)
    places: dict[tuple[str, bytes], Check | None] = {}
    tried: list[HostPattern] = []
    for pattern in match.hosts:
        value = pattern.value.lower()
        if not value:
            continue
        if pattern.form == "suffix":
            places["bare" if pattern.without_port else "suffix", value[::-1]] = None
        elif pattern.form in ("exact", "prefix") and not pattern.without_port:
            places[pattern.form, value] = None
        else:
            tried.append(pattern)
    if (check := host_check(tried)) is not None:
        places["any", b""] = check
    return tuple((kind, value, check) for (kind, value), check in places.items())


def _path_places(match: Match, rest: list[Check]) -> tuple[tuple[str, bytes, Check | None], ...]:
    if not match.paths:
        return (("other", b"", all_of(rest)),)
    places: dict[tuple[str, bytes], Check | None] = {}
    tried: list[PathPattern] = []
    plain = all_of(rest)
    for pattern in match.paths:
        if pattern.form in ("exact", "prefix") and not pattern.ignore_case and not pattern.whole_target:
            if pattern.value:
                kind = "slash" if pattern.form == "prefix" and pattern.value == b"/" else pattern.form
                places[kind, pattern.value] = plain
        else:
            tried.append(pattern)
    if (check := path_check(tried)) is not None:
        places["other", b""] = all_of([check, *rest])
    return tuple((kind, value, check) for (kind, value), check in places.items())


def _get(paths: PathIndex, kind: str, value: bytes) -> Entries:
    if kind == "slash":
        return paths.slash
    if kind == "other":
        return paths.others
    if kind == "exact":
        return paths.exact.get(value, ())
    return () if paths.prefixes is None else paths.prefixes.values.get(value, ())


def _set(paths: PathIndex, kind: str, value: bytes, entries: Entries) -> None:
    if kind == "slash":
        paths.slash = entries
    elif kind == "other":
        paths.others = entries
    elif kind == "exact":
        if entries:
            paths.exact[value] = entries
        else:
            paths.exact.pop(value, None)
    elif entries:
        if paths.prefixes is None:
            paths.prefixes = Prefixes()
        paths.prefixes.put(value, entries)
    elif paths.prefixes is not None:
        paths.prefixes.drop(value)
        if not paths.prefixes.values:
            paths.prefixes = None


def _with(entries: Entries, entry: Entry) -> Entries:
    changed = list(entries)
    insort(changed, entry, key=_by_rank)
    return tuple(changed)


def _without(entries: Entries, rank: Rank) -> Entries:
    return tuple(entry for entry in entries if entry[0] != rank)
