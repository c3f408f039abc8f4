"""
Redirects that come before the choice of a route, whichever service has them.

They have a table of their own, made as that of routes, and looked up only if there is any. The challenges by which
certificate authorities see who owns a domain are not redirected away from a service that serves them.

Source: HAProxy `http-request redirect` in the frontend; DFP `redirectFromDomain`, `redirectWhenHttpProto`,
`redirectUnlessHttpsProto`; RFC 8555 8.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from zope.interface import implementer

from dfproxy.errors import InvalidRoute
from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.stepped import Answered, OwnAnswer
from dfproxy.exchange.steps import REASONS, redirect
from dfproxy.exchange.traffic import Traffic
from dfproxy.interfaces import ILookup, IRequest, IRouteConditionFactory
from dfproxy.model.match import Condition, Match
from dfproxy.model.service import Destination, Route, Service
from dfproxy.model.steps import Redirect
from dfproxy.routing.compile import TableBuilder
from dfproxy.routing.matcher import Check, header_check, without_port
from dfproxy.routing.table import RouteTable
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.h1 import RequestHead, is_https

CHALLENGES = b"/.well-known/acme-challenge/"

_WELL_KNOWN = b"/.well-known"
_ORDER = {"always": 0, "http": 1, "not-https": 2}


class Elsewhere(OwnAnswer):
    """
    What a matching redirect answers: the target of its route.

    Args:
        redirect: which.
        backend: of its destination, where it is counted.

    Raises:
        InvalidRoute: no such status of a redirect.
    """

    __slots__ = ("_backend", "_code", "_host", "_secure")

    def __init__(self, redirect: Redirect, backend: LiveBackend) -> None:
        if redirect.code not in REASONS:
            raise InvalidRoute(f"a redirect cannot have the status {redirect.code}")
        self._backend = backend
        self._code = redirect.code
        self._host = redirect.host.encode()
        self._secure = redirect.secure

    def exchange(self, traffic: Traffic, downstream: Downstream, request: RequestHead) -> Exchange:
        """
        The exchange that says so.
        """
        start = b""
        if self._host:
            start = (b"https://" if self._secure or is_https(request) else b"http://") + self._host
        return Answered(traffic, downstream, request, self._backend, redirect(request, self._code, start))


@implementer(ILookup)
class Redirecting:
    """
    A table of routes with redirects before it.

    Args:
        redirects: leads to `Elsewhere`.
        routes: leads to `LiveBackend`.
    """

    __slots__ = ("_redirects", "_routes")

    def __init__(self, redirects: RouteTable, routes: ILookup) -> None:
        self._redirects = redirects
        self._routes = routes

    def lookup(self, request: IRequest) -> object | None:
        """
        See `ILookup`.
        """
        found = self._redirects.lookup(request)
        if found is None:
            return self._routes.lookup(request)
        if request.path.startswith(CHALLENGES):
            served = self._routes.lookup(request)
            if isinstance(served, LiveBackend) and _serves_challenges(served):
                return served
        return found


def _serves_challenges(backend: LiveBackend) -> bool:
    paths = backend.destination.match.paths
    return any(path.value[: len(_WELL_KNOWN)].lower() == _WELL_KNOWN for path in paths)


class RedirectBuilder:
    """
    Makes the next table of redirects from the previous one.

    Args:
        previous: the table to start from.
        key: an `IRouteOrderFactory`'s `key`: redirects are sorted as the services that have them.
    """

    def __init__(self, previous: RouteTable, key: Callable[[Route], tuple[object, ...]]) -> None:
        services: dict[str, Service] = {}
        self._services = services  # not we: that would be a cycle, and keep the former table with it
        self._builder = TableBuilder(
            previous, lambda route: key(Route(services[route.service.name], route.destination)), CONDITIONS
        )

    def remove(self, name: str) -> None:
        """
        Take the redirects of a service out; an unknown name is fine.
        """
        self._builder.remove(name)

    def add(self, service: Service, backends: Sequence[LiveBackend]) -> None:
        """
        Put the redirects of a service in, instead of former ones.

        Args:
            backends: one for each destination.

        Raises:
            InvalidRoute: one cannot be compiled.
        """
        found = [
            (redirect, backend)
            for destination, backend in zip(service.destinations, backends)
            if destination.steps is not None
            for redirect in destination.steps.redirects
        ]
        if not found:
            self._builder.remove(service.name)
            return
        found.sort(key=lambda pair: (_ORDER[pair[0].when], pair[1].destination.place))
        self._services[service.name] = service
        destinations = tuple(
            Destination(number, 0, _match(redirect), "", "") for number, (redirect, _) in enumerate(found)
        )
        self._builder.add(
            Service(service.name, service.order_name, destinations),
            [Elsewhere(redirect, backend) for redirect, backend in found],
        )

    def build(self) -> RouteTable:
        """
        The table.
        """
        return self._builder.build()


def _match(redirect: Redirect) -> Match:
    conditions = [Condition(redirect.when)] if redirect.when != "always" else []
    if redirect.host:
        conditions.append(Condition("elsewhere", (redirect.host,)))
    return replace(redirect.match, conditions=(*redirect.match.conditions, *conditions))


@implementer(IRouteConditionFactory)
class _Http:
    """
    X-Forwarded-Proto says `http`.
    """

    name = "http"
    description = "X-Forwarded-Proto has a part http"

    def compile(self, values: tuple[str, ...]) -> Check:
        return header_check(b"x-forwarded-proto", b"http")


@implementer(IRouteConditionFactory)
class _NotHttps:
    """
    Neither the connection nor X-Forwarded-Proto is `https`.
    """

    name = "not-https"
    description = "no TLS, and X-Forwarded-Proto has no part https"

    def compile(self, values: tuple[str, ...]) -> Check:
        says_https = header_check(b"x-forwarded-proto", b"https")
        return lambda request: not is_https(request) and not says_https(request)


@implementer(IRouteConditionFactory)
class _Elsewhere:
    """
    The host is not where the redirect leads: it would go round in a circle.
    """

    name = "elsewhere"
    description = "the host is another one"

    def compile(self, values: tuple[str, ...]) -> Check:
        there = without_port(values[0].lower().encode())
        return lambda request: without_port(request.host.lower()) != there


CONDITIONS: dict[str, object] = {condition.name: condition for condition in (_Http(), _NotHttps(), _Elsewhere())}
"""
Conditions of redirects.
"""
