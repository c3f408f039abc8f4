"""
What differs between two sets of definitions, in the JSON of the API: routes, and the parameters that made them.

Secrets are never shown; of long values a beginning.
"""

from __future__ import annotations

from collections.abc import Mapping

from dfproxy.dfp.parameters import BY_NAME
from dfproxy.model.match import HostPattern, PathPattern
from dfproxy.model.service import Destination, Service

LISTED = 100
"""
Services, and routes of each kind, listed in one difference; of more only the number is told.
"""

SHOWN_CHARS = 200
"""
How much of a value is shown.
"""

HIDDEN = "(not shown)"

_USUAL = {"prefix", "exact"}


def difference(before: Mapping[str, Service | None], after: Mapping[str, Service | None]) -> dict[str, object]:
    """
    Args:
        before: what was in force under each name; None: nothing.
        after: the same names afterwards.
    """
    added: list[object] = []
    removed: list[object] = []
    changed: list[object] = []
    parameters: dict[str, object] = {}
    for name, now in after.items():
        former = before.get(name)
        if former == now:
            continue
        old, new = _routes(former), _routes(now)
        added += [route_object(name, new[index]) for index in new if index not in old]
        removed += [route_object(name, old[index]) for index in old if index not in new]
        if former is not None and now is not None:
            all_of_them = (former.balance, former.order_name, former.is_default, former.origin) != (
                now.balance,
                now.order_name,
                now.is_default,
                now.origin,
            )
            changed += [
                route_object(name, new[index])
                for index in new
                if index in old and (all_of_them or old[index] != new[index])
            ]
            if len(parameters) < LISTED:
                parameters[name] = parameters_changed(former, now)
    found: dict[str, object] = {}
    more = 0
    for key, routes in (("RoutesAdded", added), ("RoutesRemoved", removed), ("RoutesChanged", changed)):
        found[key] = routes[:LISTED]
        more += max(0, len(routes) - LISTED)
    return found | {"Parameters": parameters, "More": more}


def _routes(service: Service | None) -> dict[int, Destination]:
    return {} if service is None else {destination.index: destination for destination in service.destinations}


def route_object(name: str, destination: Destination) -> dict[str, object]:
    """
    One route: how statistics call it, and what it takes.
    """
    match = destination.match
    found: dict[str, object] = {
        "Backend": destination.backend_name,
        "ServiceName": name,
        "Domains": [_pattern(host) for host in match.hosts[:LISTED]],
        "Paths": [_pattern(path) for path in match.paths[:LISTED]],
    }
    return found | ({"SrcPort": match.local_port} if match.local_port else {})


def _pattern(pattern: HostPattern | PathPattern) -> str:
    text = _short(pattern.value.decode("utf-8", "replace"))
    return text if pattern.form in _USUAL else f"{pattern.form} {text}"


def parameters_changed(former: Service, now: Service) -> dict[str, list[str | None]]:
    """
    Each parameter that differs, before and after; None: it was, or is, not given.
    """
    old, new = dict(former.parameters), dict(now.parameters)
    found: dict[str, list[str | None]] = {}
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            row = BY_NAME.get(name.partition(".")[0])
            hidden = row is None or row.secret
            found[name] = [
                None if value is None else HIDDEN if hidden else _short(value)
                for value in (old.get(name), new.get(name))
            ]
    return found


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."
