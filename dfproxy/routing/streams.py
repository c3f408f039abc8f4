"""
Which pool takes a connection that is not looked into: by the port it came to, and by the name it asks for.

Decides who shares a port or a group, and in which order; the first of a port says how its connections are kept, the
first of a group describes it. Values and tests only, no sockets.

Source: contract 5; DFP `srcPort`, `serviceGroup`, `proxy/types.go` (order of services).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dfproxy.errors import InvalidRoute, said_of
from dfproxy.model.match import HostPattern
from dfproxy.model.pool import Pool
from dfproxy.model.service import Route, Service
from dfproxy.model.stream import Stream
from dfproxy.routing.matcher import Test, text_test


def pools_of(services: Iterable[Service], key: Callable[[Route], tuple[object, ...]]) -> dict[int, tuple[Pool, ...]]:
    """
    Arrange the streams of these services by port.

    Args:
        services: any; those without streams do not matter.
        key: an `IRouteOrderFactory`'s `key`.

    Raises:
        InvalidRoute: the route order fails.
    """
    routes = [Route(service, destination) for service in services for destination in service.destinations]
    routes = [route for route in routes if route.destination.stream is not None]
    try:
        routes.sort(key=lambda route: (key(route), route.service.name, route.destination.place))
    except Exception as error:  # foreign code: whatever it raises is an answer to the operator
        raise InvalidRoute(f"the route order failed: {said_of(error)}") from error
    grouped: dict[object, list[Route]] = {}
    for number, route in enumerate(routes):
        stream = route.destination.stream
        assert stream is not None
        grouped.setdefault(stream.group or number, []).append(route)
    found: dict[int, list[Pool]] = {}
    for members in grouped.values():
        stream = members[0].destination.stream
        assert stream is not None
        found.setdefault(stream.port, []).append(Pool(stream, tuple(members)))
    return {port: tuple(pools) for port, pools in found.items()}


class PortTable:
    """
    Who takes the connections of one port. Never changes.

    Args:
        pools: in their order, at least one, each with its target, which is not looked at.

    Attributes:
        stream: of the first pool: how connections are kept.
        default: takes what nobody is named for; None: nobody. The last one of several.
        is_named: somebody is chosen by name, so the client has to speak first.
    """

    __slots__ = ("_exact", "_tests", "default", "is_named", "stream")

    def __init__(self, pools: Iterable[tuple[Pool, object]]) -> None:
        self._exact: dict[bytes, tuple[int, object]] = {}
        self._tests: list[tuple[int, Test, object]] = []
        self.default: object | None = None
        self.stream: Stream | None = None
        for rank, (pool, target) in enumerate(pools):
            if self.stream is None:
                self.stream = pool.stream
            if not pool.stream.names:
                self.default = target
            for pattern in pool.stream.names:
                self._add(rank, pattern, target)
        self.is_named = bool(self._exact or self._tests)

    def _add(self, rank: int, pattern: HostPattern, target: object) -> None:
        if pattern.form == "exact":
            self._exact.setdefault(pattern.value.lower(), (rank, target))
            return
        test = text_test(pattern.form, pattern.value, True)
        if test is not None:
            self._tests.append((rank, test, target))

    def named(self, name: bytes) -> object | None:
        """
        The first target for this name.

        Args:
            name: that the client asks for, in lower case; b"": it does not say.

        Returns:
            None: no name fits. Whether the default takes it then is the caller's business.
        """
        if not name:
            return None
        rank, found = self._exact.get(name, (len(self._tests) + len(self._exact), None))
        for other, test, target in self._tests:
            if found is not None and other >= rank:
                break
            if test(name):
                return target
        return found
