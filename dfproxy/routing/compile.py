"""
Services to a table, beside the table that runs; work grows with the change.

What must be refused is refused here, before anything of the builder is touched. Decides also which conditions an
index answers, and leaves the rest to predicates.

Source: contract of DFP's route choice; `dfproxy.routing.precedence` for the order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from dfproxy.errors import InvalidRoute, said_of
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Route, Service
from dfproxy.routing.index import Entry, PathIndex, Rank
from dfproxy.routing.literals import LONGEST, SHORTEST, regex_literals
from dfproxy.routing.matcher import DIRECTORY, DOMAIN, Check, all_of, host_check, path_check, rest_checks
from dfproxy.routing.table import EVERYWHERE, Compiled, Place, RouteTable

PRODUCT_LIMIT = 1000
"""
Places that one route may take, its hosts times its paths; past it the paths are not indexed under each of its hosts
but tried. DFP's users have up to a few dozen of either.
"""


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
        self._start(previous)

    def _start(self, previous: RouteTable) -> None:
        self._previous = previous
        self._services = previous.services.copy()
        self._defaults = previous.defaults.copy()
        self._shape = previous.shape
        # what changes, by kind and key of its place by host: our own copies until `build`
        self._touched: dict[tuple[str, bytes], PathIndex] = {}

    def remove(self, name: str) -> None:
        """
        Take the routes of a service out; an unknown name is fine.
        """
        self._defaults.pop(name, None)
        for compiled in self._services.pop(name, ()):
            for host in compiled.hosts:
                paths = self._changeable(host)
                for path in compiled.paths:
                    paths.drop(path.kind, path.value, path.runs, compiled.rank)

    def add(self, service: Service, targets: Sequence[object]) -> None:
        """
        Put the routes of a service in, instead of a former definition of that name.

        Args:
            service: what to route to.
            targets: one for each destination.

        Raises:
            InvalidRoute: it cannot be compiled; the builder is as it was.
        """
        destinations = service.destinations
        if len(targets) != len(destinations):
            raise InvalidRoute(f"{service.name}: {len(destinations)} destinations but {len(targets)} targets")
        routes = []
        shape = self._shape
        for destination, target in zip(destinations, targets):
            route = Route(service, destination)
            rank, shape = self._rank(route, shape)
            match = destination.match
            routes.append(Compiled(route, rank, target, *_places(match, rest_checks(match, self._conditions))))
        self.remove(service.name)
        self._shape = shape
        self._services[service.name] = tuple(routes)
        if service.is_default and routes:
            self._defaults[service.name] = routes[-1]
        for compiled in routes:
            for host in compiled.hosts:
                paths = self._changeable(host)
                for path in compiled.paths:
                    check = all_of([check for check in (host.check, path.check) if check is not None])
                    paths.put(path.kind, path.value, path.runs, Entry(compiled.rank, check, compiled.target))

    def build(self) -> RouteTable:
        """
        The table; the builder may go on and build a further one.
        """
        table = self._previous.copy()
        table.services = self._services
        table.defaults = self._defaults
        table.shape = self._shape
        table.default = max(self._defaults.values(), key=lambda c: c.rank).target if self._defaults else None
        for paths in self._touched.values():
            paths.settle()
        table.replace(self._touched)
        self._start(table)
        return table

    def _changeable(self, host: Place) -> PathIndex:
        """
        The routes at a place by host, as our own copy.
        """
        place = (host.kind, host.value)
        paths = self._touched.get(place)
        if paths is None:
            before = self._previous.paths_at(*place)
            paths = self._touched[place] = PathIndex() if before is None else before.copy()
        return paths

    def _rank(self, route: Route, shape: tuple[object, ...]) -> tuple[Rank, tuple[object, ...]]:
        """
        What the route is sorted by; always comparable with all others, as a lookup must not raise.

        Args:
            shape: types in the longest key so far.

        Returns:
            The rank, and the shape from now on.

        Raises:
            InvalidRoute: the route order fails, or its keys do not sort.
        """
        try:
            key = self._key(route)
            mine = _shape(key)
            agrees = isinstance(mine, tuple) and _agree(mine, shape)
        except Exception as error:  # foreign code: whatever it raises is an answer to the operator
            raise InvalidRoute(f"the route order failed: {said_of(error)}") from error
        if not isinstance(mine, tuple) or not agrees:
            raise InvalidRoute(f"the route order gave {key!r}, which does not sort with others")
        rank = (0, key, route.service.name, route.destination.place)
        return rank, (mine if len(mine) > len(shape) else shape)


def _shape(key: object) -> object:
    """
    The types of a key: a tuple of shapes, or one of number, str, bytes.

    Raises:
        TypeError: something else, of which nothing is known.
    """
    if isinstance(key, tuple):
        return tuple(_shape(part) for part in key)
    if isinstance(key, int | float):
        return float
    if isinstance(key, str | bytes):
        return str if isinstance(key, str) else bytes
    raise TypeError(f"a key is made of tuples, numbers, str and bytes, not of {key!r}")


def _agree(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """
    Whether keys of these shapes can be compared: they agree as far as both go.
    """
    return all(_agree(a, b) if isinstance(a, tuple) and isinstance(b, tuple) else a == b for a, b in zip(one, other))


# --- which index answers what ----------------------------------------------------------------------------------


def _places(match: Match, rest: list[Check]) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
    """
    The places of a route by host, and its places by path within each of these.

    Args:
        rest: its other conditions.
    """
    hosts = _host_places(match)
    paths = _path_places(match, rest)
    if len(hosts) > 1 and len(hosts) * len(paths) > PRODUCT_LIMIT and (any_of := path_check(match.paths)):
        paths = (Place("loose", check=all_of([any_of, *rest])),)
    return hosts, paths


def _host_places(match: Match) -> tuple[Place, ...]:
    if not match.hosts:
        return (EVERYWHERE,)
    places: dict[object, Place] = {}
    for pattern in match.hosts:
        place = _host_place(pattern)
        if place is not None:
            places[pattern if place.check else (place.kind, place.value)] = place
    return tuple(places.values())


def _host_place(pattern: HostPattern) -> Place | None:
    """
    Where one host pattern is indexed; None if it matches nothing.
    """
    form, value = pattern.form, pattern.value.lower()
    check = host_check([pattern])
    if check is None:
        return None
    if form == "suffix":
        return Place("bare suffix" if pattern.without_port else "suffix", value[::-1])
    if form in ("exact", "prefix", "label") and not pattern.without_port:
        return Place(form, value.strip(DOMAIN) if form == "label" else value)
    if form == "regex":
        runs = regex_literals(pattern.value, re.IGNORECASE)
    else:
        runs = () if form == "length" else _literal(value.strip(DOMAIN) if form == "label" else value.strip(DIRECTORY))
    if not runs:
        return Place(EVERYWHERE.kind, check=check)
    return Place("containing", max(runs, key=len), check)


def _path_places(match: Match, rest: list[Check]) -> tuple[Place, ...]:
    plain = all_of(rest)
    if not match.paths:
        return (Place("loose", check=plain),)
    places: dict[object, Place] = {}
    for pattern in match.paths:
        form, value = pattern.form, pattern.value
        if form in ("exact", "prefix") and not pattern.ignore_case and not pattern.whole_target:
            if value:
                kind = "slash" if form == "prefix" and value == b"/" else form
                places[kind, value] = Place(kind, value, plain)
        elif (check := path_check([pattern])) is not None:
            runs = _path_runs(pattern)
            places[pattern] = Place("tried" if runs else "loose", check=all_of([check, *rest]), runs=runs)
    return tuple(places.values())


def _path_runs(pattern: PathPattern) -> tuple[bytes, ...]:
    """
    Literals, one of which will do: a path in lower case that matches contains each of them.
    """
    form, value = pattern.form, pattern.value
    if pattern.whole_target or form == "length":
        return ()  # the path may contain nothing of it
    if form == "regex":
        return regex_literals(value, re.IGNORECASE if pattern.ignore_case else 0)
    if form == "directory":
        value = value.strip(DIRECTORY)
    elif form == "domain":
        value = value.strip(DOMAIN)
    return _literal(value)


def _literal(value: bytes) -> tuple[bytes, ...]:
    return (value[:LONGEST].lower(),) if len(value) >= SHORTEST else ()
