"""
Why a request takes the route it takes: each condition of a route asked again, one by one.

The table itself says who wins. Here the conditions of others are made by the same functions that compiled them
(`dfproxy.routing.matcher`), and asked on their own. For showing, never for requests: whoever asks goes through all
routes, in pieces as small as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dfproxy.errors import InvalidRoute
from dfproxy.interfaces import IRequest
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Route
from dfproxy.routing.index import Rank
from dfproxy.routing.matcher import (
    Check,
    agent_check,
    header_check,
    host_check,
    path_check,
    plugin_check,
    shown,
)
from dfproxy.routing.table import Compiled, RouteTable

ALL = 200
"""
So many routes that were passed over are all told of.
"""

LISTED = 50
"""
Of more than `ALL` only the closest ones are told of, and how many the others are.
"""

ALTERNATIVES = 5
"""
Values of one condition that are shown.
"""

SHOWN_CHARS = 200
"""
Longest text that is shown of a condition, or of what the request has.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    One condition of a route, asked of a request.

    Attributes:
        condition: such as `path` or `header x-version`.
        wanted: what it asks for.
        found: what the request has.
        holds: whether that will do.
        specific: few requests will do, so one that does is close.
    """

    condition: str
    wanted: str
    found: str
    holds: bool
    specific: bool = True


def replay(match: Match, request: IRequest, known: Mapping[str, object]) -> list[Verdict]:
    """
    Every condition of a match, asked of a request.

    Args:
        known: every `IRouteConditionFactory`, by name.
    """
    found: list[Verdict] = []

    def ask(condition: str, wanted: str, has: str, check: Check | None, specific: bool = True) -> None:
        # None: nothing can match
        found.append(Verdict(condition, wanted, _cut(has), check is not None and check(request), specific))

    path = shown(request.path)
    if match.paths:
        everything = all(pattern.form == "prefix" and pattern.value == b"/" for pattern in match.paths)
        ask("path", _any_of(match.paths), path, path_check(match.paths), not everything)
    excluded = path_check(match.excluded)
    if excluded is not None:
        hit = excluded
        ask("excluded path", f"not {_any_of(match.excluded)}", path, lambda request: not hit(request), False)
    if match.hosts:
        ask("host", _any_of(match.hosts), shown(request.host), host_check(match.hosts))
    for name, value in match.headers:
        has = ", ".join(shown(given) for given in request.values(name.lower())) or "no such header"
        ask(f"header {shown(name)}", shown(value), has, header_check(name, value))
    if match.user_agents:
        has = ", ".join(shown(given) for given in request.values(b"user-agent")) or "no such header"
        ask("user agent", _listed([shown(agent) for agent in match.user_agents]), has, agent_check(match.user_agents))
    if port := match.local_port:
        ask("port", str(port), str(request.local_port), lambda request: request.local_port == port, False)
    for condition in match.conditions:
        try:
            check = plugin_check(condition, known)
        except InvalidRoute:
            check = None
        ask(f"condition {condition.name}", _listed(list(condition.values)), "", check, False)
    return found


def _any_of(patterns: Sequence[PathPattern] | Sequence[HostPattern]) -> str:
    return _listed(
        [f"{shown(pattern.value)} ({pattern.form})" for pattern in patterns[: ALTERNATIVES + 1]], len(patterns)
    )


def _listed(values: list[str], count: int = 0) -> str:
    text = _cut(" or ".join(values[:ALTERNATIVES]))
    more = max(count, len(values)) - ALTERNATIVES
    return f"{text} or {more} more" if more > 0 else text


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."


@dataclass(slots=True)
class Passed:
    """
    A route that does not take the request.

    Attributes:
        route: which.
        rank: its place in the order.
        failed: the conditions that did not hold.
        close: how many specific ones did.
    """

    route: Route
    rank: Rank
    failed: list[Verdict]
    close: int

    def distance(self) -> tuple[Any, ...]:
        """
        Sorts the closest ones first.
        """
        return -self.close, len(self.failed), self.rank


@dataclass(slots=True)
class PassedOver:
    """
    The routes that come before the winner.

    Attributes:
        listed: the closest of them, in the order of routes.
        total: how many there are.
        looked_at: how many were asked.
    """

    listed: list[Passed] = field(default_factory=list)
    total: int = 0
    looked_at: int = 0


def winner_of(
    table: RouteTable, target: object, service: str, request: IRequest, known: Mapping[str, object]
) -> Compiled | None:
    """
    The route by which the table has found a target; None if it is the default, which takes what no route does.

    Args:
        service: whose target it is.
    """
    for compiled in table.services.get(service, ()):
        if compiled.target is target and all(
            verdict.holds for verdict in replay(compiled.route.destination.match, request, known)
        ):
            return compiled
    return None


def passed_over(
    table: RouteTable, request: IRequest, before: Rank | None, known: Mapping[str, object], result: PassedOver
) -> Iterator[None]:
    """
    Ask every route that would have come before the one that was taken.

    Args:
        before: the rank of that; None: none was, so all would have.
        result: filled; complete when the iterator is at its end, good for what was looked at otherwise.

    Yields:
        None after each route, so that the caller may do something else meanwhile.
    """
    earlier = [
        compiled
        for routes in table.services.values()
        for compiled in routes
        if before is None or compiled.rank < before
    ]
    result.total = len(earlier)
    closest: list[Passed] = []
    for compiled in earlier:
        verdicts = replay(compiled.route.destination.match, request, known)
        failed = [verdict for verdict in verdicts if not verdict.holds]
        close = sum(verdict.holds and verdict.specific for verdict in verdicts)
        result.looked_at += 1
        if failed and (close or result.total <= ALL):
            closest.append(Passed(compiled.route, compiled.rank, failed, close))
            if len(closest) > max(ALL, 4 * LISTED):
                closest = sorted(closest, key=Passed.distance)[:LISTED]
            result.listed = closest
        yield None
    result.listed = in_order(closest, result.total)


def in_order(closest: list[Passed], total: int) -> list[Passed]:
    """
    Those that are told of, in the order of routes.
    """
    kept = closest if total <= ALL else sorted(closest, key=Passed.distance)[:LISTED]
    return sorted(kept, key=lambda passed: passed.rank)
