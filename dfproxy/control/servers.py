"""
Single servers, as an operator sees them: which there are, how each stands and why, and orders about them.

Orders go through the one door for changes, so every worker has applied them and they are on the disk before their
caller is told. One about a server that has been gone for a minute is taken back, so that a stranger who gets its
address later is not switched off.

Source: HAProxy's runtime API, `set server`, `show servers state`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.control.checks import CheckingDataPlane
from dfproxy.errors import DfproxyError
from dfproxy.health.status import why_unused
from dfproxy.model.checks import READY, Address, Order
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Revision, ServerAddress, Snapshot, server_names

log = Logger()

GONE_S = 60.0
"""
How long an order outlives its server, in seconds.
"""

LOOK_S = 10.0
"""
How often it is looked for such orders, in seconds.
"""

LISTED = 50
"""
Servers named to who gave an unknown one.
"""

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Look:
    """
    How a server stands, for statistics.

    Attributes:
        word: HAProxy's: `UP`, `UP 2/3`, `DOWN`, `DOWN 1/2`, `DRAIN`, `MAINT`.
        is_up: new requests may go there.
        weight: its share.
        columns: HAProxy's columns about its checks.
    """

    word: str
    is_up: bool
    weight: int
    columns: Mapping[str, str] = field(default_factory=dict, compare=False)


class UnknownServer(DfproxyError):
    """
    There is no such service or server; the text says which there are.
    """


class Members(Protocol):
    """
    Who knows the servers of destinations.
    """

    def members_of(self, service: str, index: int) -> tuple[ServerAddress, ...]:
        """
        Those of one; empty also if it is unknown.
        """


class Door(Protocol):
    """
    What is asked of the publisher.
    """

    snapshot: Snapshot

    def order(self, orders: tuple[Order, ...], cause: str = "") -> Deferred[Revision]:
        """
        Have single servers treated so everywhere.
        """


class Servers:
    """
    All servers of this proxy.

    Args:
        door: puts orders in force.
        names: knows who the servers are.
        checks: knows what checks have found.
        left_out: how many processes leave a server out for what they have seen of it.
        clock: where time comes from.
    """

    def __init__(
        self,
        door: Door,
        names: Members,
        checks: CheckingDataPlane,
        left_out: Callable[[Key, Address], int],
        clock: IReactorTime,
    ) -> None:
        self._door = door
        self._names = names
        self._checks = checks
        self._left_out = left_out
        self._clock = clock
        self._missing: dict[str, float] = {}
        self._turns: dict[str, DeferredLock] = {}
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    def start(self) -> None:
        """
        Take back orders whose servers are gone, from now on.
        """
        self._looking.start(LOOK_S, now=False)

    def stop(self) -> None:
        """
        Stop doing so.
        """
        if self._looking.running:
            self._looking.stop()

    # --- orders

    def find(self, service: str, text: str) -> tuple[Address, ...]:
        """
        The servers that somebody means.

        Args:
            service: name of the service.
            text: `host:port`, a name as statistics have it, or an IP address.

        Returns:
            Several if the service has destinations with servers of that name, or of that address.

        Raises:
            UnknownServer: there is none.
        """
        known = self._door.snapshot.services
        if service not in known:
            raise UnknownServer(f"there is no service {service[:100]}; there are: {_listed(sorted(known))}")
        found: dict[Address, None] = {}
        names: dict[str, None] = {}
        for destination, name, server in self._of(known[service]):
            address = (server.host, server.port)
            names[f"{shown_address(address)} ({name})"] = None
            if _means(text, destination, name, server):
                found[address] = None
        if not found:
            raise UnknownServer(f"{service} has no server {text[:100]}; there are: {_listed(list(names))}")
        return tuple(found)

    def order(
        self, service: str, addresses: Iterable[Address], standing: str | None, weight: int | None, reset: bool
    ) -> Deferred[Revision]:
        """
        Have servers treated so; what is not said stays. Orders about one service are carried out one after the other:
        of two that come at once, a state and a weight, neither undoes the other.

        Args:
            standing: `ready`, `drain` or `maint`; None: as it is.
            weight: None: as it is.
            reset: the weight is again the one that they have.
        """
        turn = self._turns.setdefault(service, DeferredLock())
        done: Deferred[Revision] = turn.run(self._order, service, tuple(addresses), standing, weight, reset)

        def over(result: Any) -> Any:
            if not turn.locked and not turn.waiting:
                self._turns.pop(service, None)
            return result

        return done.addBoth(over)

    def _order(
        self, service: str, addresses: tuple[Address, ...], standing: str | None, weight: int | None, reset: bool
    ) -> Deferred[Revision]:
        present = self._door.snapshot.orders.get(service, {})
        orders = []
        for address in addresses:
            former = present.get(address) or Order(service, *address)
            kept = None if reset else former.weight
            orders.append(Order(service, *address, standing or former.standing, kept if weight is None else weight))
        return self._door.order(tuple(orders), "server")

    def _look(self) -> None:
        """
        Take back what is about servers that are gone. While a service has none at all nothing is known: its name may
        not resolve just now.
        """
        now = self._clock.seconds()
        over = []
        snapshot = self._door.snapshot
        missing: dict[str, float] = {}
        for name, orders in snapshot.orders.items():
            service = snapshot.services.get(name)
            present = {(s.host, s.port) for _, _, s in self._of(service)} if service is not None else set()
            for address, order in orders.items():
                if present and address not in present:
                    since = missing[order.key] = self._missing.get(order.key, now)
                    if now - since >= GONE_S:
                        over.append(Order(name, *address))
        self._missing = missing
        if over:
            log.info(
                "servers are gone, and so is what was said of them: {servers}",
                servers=_listed([f"{order.service} {shown_address(order.address)}" for order in over]),
            )
            self._door.order(tuple(over), "server gone").addErrback(_not_taken_back)

    # --- seeing

    def _of(self, service: Service) -> Iterator[tuple[Destination, str, ServerAddress]]:
        for destination in service.destinations:
            servers = self._names.members_of(service.name, destination.index)
            for name, server in zip(server_names(service.name, servers), servers):
                yield destination, name, server

    def look(self, key: Key, server: ServerAddress, left_out: int) -> Look:
        """
        How a server stands, for statistics.

        Args:
            left_out: how many processes leave it out for what they have seen of it.
        """
        address = (server.host, server.port)
        order = self._door.snapshot.orders.get(key[0], {}).get(address)
        weight = server.weight if order is None or order.weight is None else order.weight
        said = READY if order is None else order.standing
        checked = self._checks.look(key, address)
        columns = {} if checked is None else checked.columns(self._clock.seconds())
        if said != READY:
            return Look(said.upper(), False, weight, columns)
        if checked is not None and not checked.status.is_up:
            return Look(checked.words, False, weight, columns)
        if left_out:
            return Look("DOWN", False, weight, columns)
        return Look("UP" if checked is None else checked.words, True, weight, columns)

    def rows(self, services: Iterable[Service], text: str = "") -> Iterator[dict[str, Any]]:
        """
        Each server, JSON-able.

        Args:
            services: whose.
            text: only those that it means, as for `find`; empty: all.
        """
        now = self._clock.seconds()
        orders = self._door.snapshot.orders
        for service in services:
            said = orders.get(service.name, {})
            for destination, name, server in self._of(service):
                address = (server.host, server.port)
                if text and not _means(text, destination, name, server):
                    continue
                yield self._row(service, destination, name, server, said.get(address), now)

    def _row(
        self,
        service: Service,
        destination: Destination,
        name: str,
        server: ServerAddress,
        order: Order | None,
        now: float,
    ) -> dict[str, Any]:
        key, address = (service.name, destination.index), (server.host, server.port)
        said = READY if order is None else order.standing
        weight = server.weight if order is None or order.weight is None else order.weight
        checked, left_out = self._checks.look(key, address), self._left_out(key, address)
        why = why_unused(said, weight, None if checked is None else checked.status.state)
        if checked is not None and not checked.status.is_up:
            why += f": {checked.reason}" if checked.reason else ""
        last_resort = bool(why) and self._checks.is_last_resort(key) and said != "maint" and weight > 0
        if not why and left_out:
            why = f"left out by {left_out} worker{'s' * (left_out > 1)} for what was seen of it in traffic"
        row: dict[str, Any] = {
            "ServiceName": service.name,
            "Backend": destination.backend_name,
            "Index": destination.index,
            "Server": name,
            "Address": shown_address(address),
            "State": said,
            "Weight": weight,
            "Ordered": order is not None,
            "Used": not why or last_resort,
            "Why": f"{why}; used all the same, since no other may be" if last_resort else why,
            "Check": None,
        }
        if checked is not None:
            row["Check"] = {
                "Kind": "http" if checked.check.path else "tcp",
                "State": checked.status.state.value,
                "Status": checked.words,
                "Last": checked.reason or ("" if checked.took_s is None else "succeeded"),
                "TookSeconds": None if checked.took_s is None else round(checked.took_s, 4),
                "SinceSeconds": None if checked.since_s is None else round(now - checked.since_s, 1),
            }
        return row


def _means(text: str, destination: Destination, name: str, server: ServerAddress) -> bool:
    address = shown_address((server.host, server.port))
    return text in (name, address, server.host, f"{destination.backend_name}/{name}")


def shown_address(address: Address) -> str:
    """
    As `host:port`.
    """
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    further = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {further} more" if further > 0 else "")


def _not_taken_back(failure: Failure) -> None:
    log.warn("what was said of servers that are gone stays for now: {why}", why=failure.getErrorMessage())
