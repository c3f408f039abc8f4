"""
Has the servers of destinations checked that ask for it, and tells every data plane which are down.

Stands before a data plane and sees what passes: definitions say what is to be checked, memberships who. Nothing waits
for a check. A server begins up; one that leaves and comes back within a minute keeps its state. In the leader only,
so each server is checked once, however many workers there are.

Source: `design.md` 4 and 8; contract 4.11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from dfproxy.control.checked import PREFACES, Checked, Key
from dfproxy.errors import InvalidRoute
from dfproxy.health.status import State, Status, usable
from dfproxy.interfaces import IDataPlane
from dfproxy.model.checks import READY, Address, Check, Order, Orders, Verdicts, with_orders
from dfproxy.model.pool import Pool
from dfproxy.model.service import Destination, Route, Service
from dfproxy.model.snapshot import Change, Membership, ServerAddress, server_names
from dfproxy.observe.prometheus import Measure, counter, gauge
from dfproxy.tls.servers import ServerSides
from dfproxy.upstream.probe import Goal
from dfproxy.upstream.prober import Begin, Prober

log = Logger()

REMEMBER_S = 60.0
"""
How long the state of a server that left is kept, in seconds.
"""

TELL_S = 0.02
"""
How long results are gathered before they are told, in seconds.
"""

SLICE_S = 0.005
"""
How long one turn may be spent on finding out who is to be checked, in seconds.
"""

TOLD_AT_ONCE = 50
"""
Destinations told of in one turn; a hundred workers' worth of messages a millisecond.
"""

LINES_PER_S = 100
"""
Lines of the log a second; of more only the number is told.
"""


class _Known:
    """
    A server, as far as it is known whether it may be used.
    """

    unreachable = suspended = False

    def __init__(self, server: ServerAddress, order: Order | None, down: bool) -> None:
        self.standing = READY if order is None else order.standing
        self.weight = server.weight if order is None or order.weight is None else order.weight
        self.down = down


@implementer(IDataPlane)
class CheckingDataPlane:
    """
    A data plane with checks.

    Args:
        inner: carries the traffic.
        tell: tells every data plane of verdicts.
        clock: where time comes from.
        begin: begins a check of a goal.
        sides: how servers are spoken to with TLS.
        per_s: checks a second at most.
        random: the only source of chance.
        pools: what whole connections go to, by port: members of a group are checked as its first one says.
    """

    def __init__(
        self,
        inner: IDataPlane,
        tell: Callable[[Verdicts], None],
        clock: IReactorTime,
        begin: Begin[Goal],
        sides: ServerSides,
        per_s: float,
        random: Random,
        pools: Callable[[], Mapping[int, tuple[Pool, ...]]] = dict,
    ) -> None:
        self._pools = pools
        self._inner: Any = inner
        self._tell = tell
        self._clock = clock
        self._sides = sides
        self._prober: Prober[Checked] = Prober(
            clock, lambda checked, done: begin(checked.goal, done), self._result, per_s, random
        )
        self._prepared: Change | None = None
        self._services: dict[str, Service] = {}
        self._orders: Orders = {}
        self._memberships: dict[Key, Membership] = {}
        self._checked: dict[Key, dict[Address, Checked]] = {}
        self._departed: dict[tuple[Key, Address], tuple[float, Status]] = {}
        self._told: dict[Key, tuple[Address, ...]] = {}
        self._untold: dict[Key, None] = {}
        self._telling: Any = None
        self._unseen: dict[Key, None] = {}
        self._looking: Any = None
        self._epoch = 0
        self._last_resort: set[Key] = set()
        self._last_resorts = 0
        self._second = 0
        self._lines = 0
        self._stopped = False

    # --- IDataPlane

    def prepare(self, change: Change) -> Deferred[None]:
        """
        See `IDataPlane`.
        """
        self._prepared = change
        ready: Deferred[None] = self._inner.prepare(change)
        return ready

    def commit(self, revision: Any) -> Deferred[None]:
        """
        See `IDataPlane`. Checks begin once every data plane knows the servers.
        """
        change, self._prepared = self._prepared, None
        committed: Deferred[None] = self._inner.commit(revision)
        if change is not None and change.revision == revision:
            committed.addCallback(lambda _: self._in_force(change))
        return committed

    def abort(self, revision: Any) -> None:
        """
        See `IDataPlane`.
        """
        self._prepared = None
        self._inner.abort(revision)

    def members(self, membership: Membership) -> None:
        """
        See `IDataPlane`.
        """
        self._inner.members(membership)
        if self._remember(membership):
            self._look_soon({(membership.service, membership.index): None})

    def query(self, what: str, argument: Any) -> Deferred[list[Any]]:
        """
        See `IDataPlane`.
        """
        answers: Deferred[list[Any]] = self._inner.query(what, argument)
        return answers

    # --- who is checked

    def _in_force(self, change: Change) -> None:
        before = self._services
        names = {service.name for service in change.services}
        gone = [name for name in before if name not in names] if change.whole else change.removed
        touched: dict[Key, None] = {}
        names.update(gone)
        former_ones = [before[name] for name in names if name in before]
        for name in gone:
            former = before.pop(name, None)
            for destination in former.destinations if former is not None else ():
                self._forget((name, destination.index))
        self._orders = with_orders(
            {} if change.whole else self._orders, (*change.removed, *change.lifted), change.orders
        )
        for service in change.services:
            former = before.get(service.name)
            before[service.name] = service
            indexes = {destination.index for destination in service.destinations}
            for destination in former.destinations if former is not None else ():
                if destination.index not in indexes:
                    self._forget((service.name, destination.index))
            touched.update(((service.name, index), None) for index in indexes)
        for membership in change.memberships:
            self._remember(membership)
        for order in change.orders:
            touched.update((key, None) for key in self._keys(order.service))
        if any(map(_is_grouped, (*change.services, *former_ones))):
            touched.update(((each.service.name, each.destination.index), None) for each in self._grouped())
        self._look_soon(touched)

    def _keys(self, name: str) -> list[Key]:
        service = self._services.get(name)
        return [] if service is None else [(name, destination.index) for destination in service.destinations]

    def _remember(self, membership: Membership) -> bool:
        key = (membership.service, membership.index)
        if self._destination(key) is None:
            return False
        former = self._memberships.get(key)
        if former is not None and former.epoch >= membership.epoch:
            return False
        self._memberships[key] = membership
        return True

    def _destination(self, key: Key) -> Destination | None:
        service = self._services.get(key[0])
        if service is None:
            return None
        return next((each for each in service.destinations if each.index == key[1]), None)

    def _servers(self, key: Key) -> tuple[ServerAddress, ...]:
        membership = self._memberships.get(key)
        return () if membership is None else membership.servers

    def _forget(self, key: Key) -> None:
        """
        The destination is gone.
        """
        for checked in self._checked.pop(key, {}).values():
            self._leave(checked)
        self._memberships.pop(key, None)
        self._told.pop(key, None)
        self._untold.pop(key, None)
        self._last_resort.discard(key)

    def _leave(self, checked: Checked) -> None:
        if checked.subject is not None:
            self._prober.drop(checked.subject)
        now = self._clock.seconds()
        if not checked.status.is_up:
            self._departed[checked.key, checked.address] = (now, checked.status)
            if len(self._departed) % 1000 == 0:
                self._departed = {at: kept for at, kept in self._departed.items() if now - kept[0] < REMEMBER_S}

    def _look_soon(self, keys: dict[Key, None]) -> None:
        self._unseen.update(keys)
        if self._looking is None and self._unseen and not self._stopped:
            self._looking = self._clock.callLater(0, self._look_at_some)

    def _look_at_some(self) -> None:
        """
        In slices: at a start there are ten thousand.
        """
        self._looking = None
        end = self._clock.seconds() + SLICE_S
        while self._unseen:
            key = next(iter(self._unseen))
            del self._unseen[key]
            self._look_at(key)
            if self._clock.seconds() >= end:
                break
        self._look_soon({})

    def _look_at(self, key: Key) -> None:
        """
        Have the right servers of a destination checked.
        """
        destination, here = self._destination(key), self._checked.get(key)
        check = None if destination is None else self._check_of(destination)
        if destination is None or check is None:
            if here is not None:
                for checked in self._checked.pop(key).values():
                    self._leave(checked)
            self._news(key)
            return
        wanted = {(server.host, server.port): None for server in self._servers(key)}
        here = self._checked.setdefault(key, {})
        for address in [address for address in here if address not in wanted]:
            self._leave(here.pop(address))
        secured, check = self._secured(destination, check)
        for address in wanted:
            goal = Goal(*address, check, secured, PREFACES[destination.announce])
            known = here.get(address)
            if known is not None and known.goal == goal:
                continue
            if known is None:
                checked = here[address] = Checked(key, address, check, goal, self._returned(key, address))
            else:
                checked, known.check, known.goal = known, check, goal
                if known.subject is not None:
                    self._prober.drop(known.subject)
            if not self._stopped:
                checked.subject = self._prober.add(checked, check.interval_s, check.timeout_s)
        self._news(key)

    def _grouped(self) -> Iterator[Route]:
        for pools in self._pools().values():
            for pool in pools:
                if pool.stream.group:
                    yield from pool.members

    def _check_of(self, destination: Destination) -> Check | None:
        if destination.stream is None or not destination.stream.group:
            return destination.check
        for pools in self._pools().values():
            for pool in pools:
                if pool.stream.group == destination.stream.group:
                    return pool.first.destination.check
        return destination.check

    def _secured(self, destination: Destination, check: Check) -> tuple[Any, Check]:
        """
        How TLS is spoken in checks; where that is not possible they only connect.
        """
        if destination.tls is None or not check.path:
            return None, check
        try:
            return self._sides.make(destination.tls), check
        except InvalidRoute as error:
            log.error(
                "servers of {backend} are checked by connecting only: {reason}",
                backend=destination.backend_name,
                reason=str(error),
            )
            connecting = Check(interval_s=check.interval_s, timeout_s=check.timeout_s, rise=check.rise, fall=check.fall)
            return None, connecting

    def _returned(self, key: Key, address: Address) -> Status:
        left_at, status = self._departed.pop((key, address), (0.0, Status()))
        return status if self._clock.seconds() - left_at < REMEMBER_S else Status()

    # --- results

    def _result(self, checked: Checked, reason: str, took_s: float) -> None:
        if not checked.result(reason, took_s, self._clock.seconds()):
            return
        self._say(checked)
        self._news(checked.key)

    def _say(self, checked: Checked) -> None:
        second = int(self._clock.seconds())
        if second != self._second:
            if self._lines > LINES_PER_S:
                log.warn("{count} more servers came up or went down", count=self._lines - LINES_PER_S)
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > LINES_PER_S:
            return
        destination = self._destination(checked.key)
        about = {
            "server": self.name_of(checked.key, checked.address),
            "host": checked.address[0],
            "port": checked.address[1],
            "backend": "" if destination is None else destination.backend_name,
        }
        if checked.status.is_up:
            log.info("server {server} ({host}:{port}) of {backend} is up: checks succeed", **about)
        else:
            text = "server {server} ({host}:{port}) of {backend} is down: {reason}, {fall} checks in a row"
            log.warn(text, **about, reason=checked.reason, fall=checked.check.fall)

    def name_of(self, key: Key, address: Address) -> str:
        """
        What statistics call a server.
        """
        servers = self._servers(key)
        for name, server in zip(server_names(key[0], servers), servers):
            if (server.host, server.port) == address:
                return name
        return f"{address[0]}:{address[1]}"

    def look(self, key: Key, address: Address) -> Checked | None:
        """
        What checks have found of a server; None: it is not checked.
        """
        return self._checked.get(key, {}).get(address)

    def seen(self, key: Key, address: Address) -> State | None:
        """
        The same, in a word.
        """
        checked = self.look(key, address)
        return None if checked is None else checked.status.state

    def is_last_resort(self, key: Key) -> bool:
        """
        Whether the operator and checks leave no server of a destination that has some.
        """
        return key in self._last_resort

    # --- telling

    def _news(self, key: Key) -> None:
        """
        Its servers may stand otherwise than was told.
        """
        self._untold[key] = None
        if self._telling is None and not self._stopped:
            self._telling = self._clock.callLater(TELL_S, self._tell_some)

    def _tell_some(self) -> None:
        self._telling = None
        for key in list(self._untold)[:TOLD_AT_ONCE]:
            del self._untold[key]
            down = tuple(sorted(each.address for each in self._checked.get(key, {}).values() if not each.status.is_up))
            if down != self._told.get(key, ()):
                self._told[key] = down
                self._epoch += 1
                self._tell(Verdicts(*key, self._epoch, down))
            self._judge_last_resort(key, set(down))
        if self._untold:
            self._telling = self._clock.callLater(0, self._tell_some)

    def _judge_last_resort(self, key: Key, down: set[Address]) -> None:
        orders = self._orders.get(key[0], {})
        if not down and not orders:
            self._last_resort.discard(key)
            return
        servers = self._servers(key)
        known = [_Known(each, orders.get((each.host, each.port)), (each.host, each.port) in down) for each in servers]
        if not usable(known)[1]:
            self._last_resort.discard(key)
        elif key not in self._last_resort:
            self._last_resort.add(key)
            self._last_resorts += 1
            destination = self._destination(key)
            log.warn(
                "{backend} has no server that the operator and checks allow: all but those in maint are used",
                backend="" if destination is None else destination.backend_name,
            )

    # --- the end, and metrics

    def stop(self) -> None:
        """
        Check nothing any more.
        """
        self._stopped = True
        self._prober.stop()
        for call in (self._telling, self._looking):
            if call is not None and call.active():
                call.cancel()

    def measures(self) -> Iterator[Measure]:
        """
        How checking goes, for `/metrics`.
        """
        yield from self._prober.measures()
        yield gauge("dfproxy_check_servers_down", "Servers that checks have found down.", self._count_down())
        yield gauge(
            "dfproxy_panic_backends",
            "Backends of which all servers but those in maint are used, since none is allowed.",
            len(self._last_resort),
        )
        yield counter("dfproxy_panics_total", "Times that a backend came to that.", self._last_resorts)

    def _count_down(self) -> int:
        return sum(map(len, self._told.values()))


def _is_grouped(service: Service) -> bool:
    return any(each.stream is not None and each.stream.group for each in service.destinations)
