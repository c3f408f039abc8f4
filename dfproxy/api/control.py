"""
What the API needs of the rest of the house: handed in once, at assembly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from dfproxy.api.distribute import Replicas
from dfproxy.control.certificates import Certificates
from dfproxy.control.revisions import Revisions
from dfproxy.control.servers import Servers
from dfproxy.interfaces import IDataPlane, IPublisher
from dfproxy.model.match import Condition
from dfproxy.model.pool import Pools
from dfproxy.model.service import Balance, Route, Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import ServerAddress
from dfproxy.observe.prometheus import Measure, Totals
from dfproxy.routing.shadows import Shadows


class Members(Protocol):
    """
    What the API asks of an `INames`.
    """

    def members_of(self, service: str, index: int) -> tuple[ServerAddress, ...]:
        """
        The servers of that destination as known now; empty also if it is unknown.
        """

    def first_servers(self, services: tuple[Any, ...]) -> Any:
        """
        See `INames`.
        """

    def forget(self, names: tuple[str, ...]) -> None:
        """
        See `INames`.
        """


class Strategies(Protocol):
    """
    What the API asks of whoever finds strategies.
    """

    def parse_balance(self, text: str) -> Balance:
        """
        What `balance=` means.

        Raises:
            InvalidBalance: unknown strategy, or arguments that it does not take.
        """

    def check_condition(self, condition: Condition) -> None:
        """
        See that there is such a condition.

        Raises:
            InvalidRoute: not known, or values that it does not take.
        """

    def describe(self) -> list[dict[str, Any]]:
        """
        All strategies found, each with its name and description; JSON-able.
        """


def _nothing() -> dict[str, str]:
    return {}


def _no_pools() -> Pools:
    return {}


def _never() -> bool:
    return False


def _nobody() -> Deferred[tuple[str, ...]]:
    return succeed(())


def _nothing_sourced(service: Service) -> bool:
    return False


def _no_revisions() -> Revisions:
    return Revisions(lambda: 0.0)


def _no_shadows(service: Service) -> Shadows:
    return Shadows()


def _none_shadowed(services: tuple[Service, ...], removed: tuple[str, ...]) -> list[str]:
    return []


def _no_measures() -> tuple[Measure, ...]:
    return ()


@dataclass(slots=True)
class Control:
    """
    Everything the API calls. All callables answer at once.

    Attributes:
        settings: options of the process; others when users in secrets have been read again.
        publisher: the one door through which definitions change.
        names: who the servers of a destination are.
        strategies: how `balance=` is read.
        routes: the effective routes in the order in which they are tried, each with its target, and the default one.
        totals: what was counted, of all workers together.
        data_plane: who is asked whether it is alive.
        clock: where time comes from.
        ready: what keeps us from serving well, by name; empty: nothing.
        quarantined: services that could not be loaded, with the reason.
        listener_fetched: whether a swarm listener's answer has been had since the start.
        notify: asks every swarm listener to announce all its services again; gives what went wrong, a text for each.
        replicas: the other replicas of the proxy; None: `distribute=true` cannot be carried out.
        measures: what parts of the control plane tell of themselves.
        shadows: which routes a service shadows, and which shadow its own, whether it is in force or not.
        shadowed: a sentence for each route that a change would shadow, for services and names that would go.
        certificates: where they are stored; None: nowhere.
        revisions: the last ones.
        is_sourced: whether a service is said again and again by a source: a listener, or what was declared at start.
        servers: single servers, and what an operator says of them; None: they are not known.
        upgrade: see `dfproxy.api.upgrade.Upgrade`; None: there is no such thing here.
        read_files: has certificates, error pages and users looked at again; gives what could not be used, a text for
            each.
    """

    settings: Settings
    publisher: IPublisher
    names: Members
    strategies: Strategies
    routes: Callable[[], tuple[Iterable[tuple[Route, object]], Route | None]]
    totals: Callable[[], Iterable[Totals]]
    data_plane: IDataPlane
    clock: IReactorTime
    ready: Callable[[], Mapping[str, str]] = _nothing
    quarantined: Callable[[], Mapping[str, str]] = _nothing
    listener_fetched: Callable[[], bool] = _never
    notify: Callable[[], Deferred[tuple[str, ...]]] = _nobody
    replicas: Replicas | None = None
    measures: Callable[[], Iterable[Measure]] = _no_measures
    shadows: Callable[[Service], Shadows] = _no_shadows
    shadowed: Callable[[tuple[Service, ...], tuple[str, ...]], list[str]] = _none_shadowed
    certificates: Certificates | None = None
    pools: Callable[[], Pools] = _no_pools
    read_files: Callable[[], Deferred[tuple[str, ...]]] = _nobody
    revisions: Revisions = field(default_factory=_no_revisions)
    is_sourced: Callable[[Service], bool] = _nothing_sourced
    servers: Servers | None = None
    upgrade: Callable[[int | None], Deferred[Any]] | None = None
