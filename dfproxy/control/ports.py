"""
Ports that services ask for themselves: open before a change is in force, closed when nobody wants them any more.

Stands before a data plane. A port that cannot be had refuses the change, and nothing has changed; at the start, where
refusing would lose a service that was in force, it is tried again until it can be had.

Source: contract 5.1; DFP `srcPort`; HAProxy `bind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.control.holders import holder_of
from dfproxy.control.streams import split
from dfproxy.errors import InvalidRoute, Refused
from dfproxy.interfaces import IDataPlane
from dfproxy.model.listener import Listener
from dfproxy.model.pool import Pools
from dfproxy.model.service import Route, Service
from dfproxy.model.snapshot import Change
from dfproxy.routing.streams import pools_of

log = Logger()

RETRY_S = 2.0
"""
Between two attempts to have a port that a restored service wants, in seconds.
"""


@dataclass(frozen=True, slots=True)
class Doors:
    """
    What can be done with sockets, by who has them. Only `open` can fail, with `OSError`.

    Attributes:
        open: binds an address, and accepts nothing there yet.
        serve: accepts on these, which are open; fires when everybody does who is to.
        close: lets these go, served or not; what was accepted stays. Fires when nobody has them any more.
    """

    open: Callable[[Listener], None]
    serve: Callable[[tuple[Listener, ...]], Deferred[Any]]
    close: Callable[[tuple[Listener, ...]], Deferred[Any]]


class _Prepared:
    """
    What `commit` puts in place.
    """

    def __init__(self, services: dict[str, Service], pools: Pools, fixed: frozenset[int]) -> None:
        self.services = services
        self.pools = pools
        self.wanted = pools.keys() - fixed
        self.opened: list[Listener] = []


@implementer(IDataPlane)
class OpeningDataPlane:
    """
    A data plane with doors.

    Args:
        inner: carries the traffic.
        doors: has the sockets.
        addresses: where ports are bound, each on all of them.
        fixed: ports that are open anyway, and shared.
        key: an `IRouteOrderFactory`'s `key`.
        clock: for trying again.

    Attributes:
        pools: what whole connections go to, by port.
    """

    def __init__(
        self,
        inner: IDataPlane,
        doors: Doors,
        addresses: Iterable[str],
        fixed: Iterable[int],
        key: Callable[[Route], tuple[object, ...]],
        clock: IReactorTime,
    ) -> None:
        self._inner: Any = inner
        self._doors = doors
        self._addresses = tuple(addresses)
        self._fixed = frozenset(fixed)
        self._key = key
        self._clock = clock
        self._services: dict[str, Service] = {}
        self._open: dict[int, tuple[Listener, ...]] = {}
        self._wanted: Set[int] = frozenset()
        self.pools: Pools = {}
        self._prepared: _Prepared | None = None
        self._again: Any = None

    def prepare(self, change: Change) -> Deferred[None]:
        """
        See `IDataPlane`.
        """
        services = {} if change.whole else dict(self._services)
        for name in change.removed:
            services.pop(name, None)
        for service in change.services:
            services.pop(service.name, None)
            if split(service)[1]:
                services[service.name] = service
        if services == self._services:
            ready: Deferred[None] = self._inner.prepare(change)
            return ready
        try:
            pools = pools_of(services.values(), self._key)
        except InvalidRoute as error:
            return fail(Refused(str(error)))
        self._prepared = prepared = _Prepared(services, pools, self._fixed)
        for port in sorted(prepared.wanted - self._open.keys()):
            try:
                prepared.opened += self._bound(port)
            except OSError as error:
                reason = self._reason(port, error)
                if not change.whole:
                    self._undo()
                    return fail(Refused(reason))
                log.error("{reason}; tried again every {retry} s", reason=reason, retry=RETRY_S)
        ready = self._inner.prepare(change)
        return ready.addErrback(self._refused, prepared)

    def _bound(self, port: int) -> list[Listener]:
        """
        Bind a port on all addresses, or on none.
        """
        opened: list[Listener] = []
        try:
            for address in self._addresses:
                listener = Listener(address, port, stream=True)
                self._doors.open(listener)
                opened.append(listener)
        except OSError:
            self._doors.close(tuple(opened))
            raise
        return opened

    def _reason(self, port: int, error: OSError) -> str:
        """
        Why a port cannot be had, for an operator.
        """
        services = [name for name, service in (self._prepared or self).services.items() if _wants(service, port)]
        text = f"srcPort={port} of {', '.join(sorted(services))} cannot be bound: {error.strerror or error}"
        if isinstance(error, PermissionError):
            return (
                f"{text}; ports below net.ipv4.ip_unprivileged_port_start need root or CAP_NET_BIND_SERVICE, "
                "or name it in --bind-ports, which are bound before the user changes"
            )
        holder = holder_of(port)
        return f"{text} (held by {holder})" if holder else text

    @property
    def services(self) -> dict[str, Service]:
        """
        Services in force that have streams, by name.
        """
        return self._services

    def _refused(self, failure: Failure, prepared: _Prepared) -> Failure:
        if self._prepared is prepared:  # else it was aborted, and another one may be under way
            self._undo()
        return failure

    def _undo(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared.opened:
            self._doors.close(tuple(prepared.opened))

    def commit(self, revision: Any) -> Deferred[None]:
        """
        See `IDataPlane`. Ports accept once every data plane knows what to do there, and close before this is over, so
        that the next change can have them.
        """
        prepared, self._prepared = self._prepared, None
        committed: Deferred[None] = self._inner.commit(revision)
        if prepared is None:
            return committed
        self._services, self._wanted, self.pools = prepared.services, prepared.wanted, prepared.pools
        gone = tuple(each for port in self._open.keys() - prepared.wanted for each in self._open.pop(port))
        for listener in prepared.opened:
            self._open[listener.port] = (*self._open.get(listener.port, ()), listener)
        committed.addCallback(lambda _: self._doors.serve(tuple(prepared.opened)))
        committed.addCallback(lambda _: self._doors.close(gone))
        committed.addCallback(lambda _: self._later())
        return committed

    def _later(self) -> None:
        if self._wanted - self._open.keys() and self._again is None:
            self._again = self._clock.callLater(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._again = None
        if self._prepared is None:
            for port in sorted(self._wanted - self._open.keys()):
                try:
                    opened = tuple(self._bound(port))
                except OSError as error:
                    log.debug("{reason}", reason=self._reason(port, error))
                    continue
                self._open[port] = opened
                log.info("port {port} is open now", port=port)
                self._doors.serve(opened).addErrback(lambda failure: log.failure("a port is not served", failure))
        self._later()

    def abort(self, revision: Any) -> None:
        """
        See `IDataPlane`.
        """
        self._inner.abort(revision)
        self._undo()

    def members(self, membership: Any) -> None:
        """
        See `IDataPlane`.
        """
        self._inner.members(membership)

    def query(self, what: str, argument: Any) -> Deferred[list[Any]]:
        """
        See `IDataPlane`.
        """
        answers: Deferred[list[Any]] = self._inner.query(what, argument)
        return answers

    def stop(self) -> None:
        """
        Try nothing again. The doors are let go of by who has them.
        """
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._wanted = frozenset()


def _wants(service: Service, port: int) -> bool:
    return any(each.stream is not None and each.stream.port == port for each in service.destinations)
