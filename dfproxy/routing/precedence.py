"""
Which of several matching routes is first.

Decides the order only; the table breaks ties by the service's name and the destination's index.

Source: DFP `proxy/types.go` (sort of services); `dfp` is that order, `specific` is ours.
"""

from __future__ import annotations

from typing import cast

from zope.interface import implementer

from dfproxy.interfaces import IRouteOrderFactory
from dfproxy.model.match import PathPattern
from dfproxy.model.service import Route, Service

WELL_KNOWN = b"/.well-known"


def service_class(service: Service) -> int:
    """
    Where DFP puts a whole service before it compares names.

    One destination decides for all: a single `/` drags every route of its service to the end.

    Returns:
        0: some path starts with `/.well-known`, in any case; 2: some path is exactly `/`; 1: neither.
    """
    found = 1
    for destination in service.destinations:
        for pattern in destination.match.paths:
            if pattern.value[: len(WELL_KNOWN)].lower() == WELL_KNOWN:
                return 0
            if pattern.value == b"/":
                found = 2
    return found


@implementer(IRouteOrderFactory)
class DfpOrder:
    """
    DFP's own order: well-known paths, then everything else by `aclName`, then services with a path `/`.

    Neither the length of a path nor a domain counts: `/digital` shadows `/digitalproduct` when its name is lower.
    """

    name = "dfp"
    description = "as Docker Flow Proxy: /.well-known first, services with the path / last, between them by aclName"

    def key(self, route: object) -> tuple[object, ...]:
        """
        Class of the service, then its `order_name` (code points sort as their UTF-8 bytes do).
        """
        service = cast(Route, route).service
        return (service_class(service), service.order_name)


@implementer(IRouteOrderFactory)
class SpecificOrder:
    """
    The narrower route first: host before no host, longer before shorter, then the same for the path.

    A route is as narrow as the widest of its alternatives, so one with the paths `/` and `/very/long` is wide.
    Well-known paths stay first, or a certificate challenge would go to the service of its domain.
    """

    name = "specific"
    description = "narrower routes first: with a domain, longest domain, exact or longest path, most conditions"

    def key(self, route: object) -> tuple[object, ...]:
        """
        Well-known, host's width, path's width, number of further conditions (more is first), `order_name`.
        """
        service, destination = cast(Route, route).service, cast(Route, route).destination
        match = destination.match
        conditions = len(match.headers) + len(match.conditions) + bool(match.user_agents) + bool(match.local_port)
        return (
            0 if service_class(service) == 0 else 1,
            max((_width(p.form, p.value) for p in match.hosts), default=_EVERYTHING),
            max((_path_width(p) for p in match.paths), default=_EVERYTHING),
            -(conditions + bool(match.excluded)),
            service.order_name,
        )


_EVERYTHING = (3, 0)


def _path_width(pattern: PathPattern) -> tuple[int, int]:
    return _width(pattern.form, pattern.value)


def _width(form: str, value: bytes) -> tuple[int, int]:
    """
    Sorts by how much a pattern lets in: the whole value, then text in it (longest first), then a length.
    """
    if form == "exact":
        return (0, 0)
    if form == "length":
        return (2, 0)
    return (1, -len(value))
