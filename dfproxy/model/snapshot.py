"""
The whole wanted configuration at one revision, a step between two revisions, and who serves.

Definitions (services) are versioned, confirmed and durable. Memberships (the servers of a destination) are
not: the one with the highest epoch holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dfproxy.model.certificate import Certificate
from dfproxy.model.checks import Order, Orders
from dfproxy.model.service import Service


@dataclass(frozen=True, slots=True)
class Revision:
    """
    Names one set of definitions.

    Attributes:
        number: counts accepted changes, from 0 for nothing.
        digest: 32 hexadecimal digits over all definitions, whatever the order in which they came.
    """

    number: int = 0
    digest: str = "0" * 32


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """
    One server of a destination.

    Attributes:
        host: an IP address.
        port: 1 to 65535.
        weight: share relative to the others, 0 to 256.
        cell: where its shared counters are (see `dfproxy.observe.cells`); 0: nowhere.
        place: its number among the servers of the destination, which it keeps as long as it is there; -1: where it
            stands in the list.
    """

    host: str
    port: int
    weight: int = 1
    cell: int = 0
    place: int = -1


def server_names(service: str, servers: Sequence[ServerAddress]) -> list[str]:
    """
    What the servers of a destination are called: the service, and behind it their places if there are several.
    """
    if len(servers) == 1:
        return [service]
    return [f"{service}_{number if s.place < 0 else s.place}" for number, s in enumerate(servers)]


@dataclass(frozen=True, slots=True)
class Membership:
    """
    All servers of one destination. The whole list each time; a higher epoch replaces a lower one.

    Attributes:
        service: name of the service.
        index: index of the destination.
        epoch: grows with each list that the leader makes, for all destinations together.
        servers: sorted by address; empty: nobody to ask (503).
    """

    service: str
    index: int
    epoch: int
    servers: tuple[ServerAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """
    What an operator went back to wins over what a source says, until the source says something else.

    Attributes:
        name: of the service.
        against: the definition of the source that is not put in force while the hold lasts.
        revision: number of the revision that the operator went back from.
    """

    name: str
    against: Service
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """
    A step from one revision to the next: several services at once, all or none.

    Attributes:
        revision: what is reached with it.
        services: new definitions, or replacements of those of the same name.
        removed: names of services that go.
        memberships: servers of the new destinations, as far as known.
        cells: shared counter cell of each new destination, as `(service, index, cell)`.
        whole: this is everything there is (start, new worker): what it does not name goes, and a service that
            cannot be loaded is quarantined instead of refusing the change.
        certificates: new ones, or replacements of those of the same identity.
        removed_certificates: identities of certificates that go.
        holds: new holds, or replacements of those of the same name.
        released: names whose holds are over.
        orders: what an operator says of single servers from then on.
        lifted: names of services whose orders are over before that, as those of `removed` are.
    """

    revision: Revision
    services: tuple[Service, ...] = ()
    removed: tuple[str, ...] = ()
    memberships: tuple[Membership, ...] = ()
    cells: tuple[tuple[str, int, int], ...] = ()
    whole: bool = False
    certificates: tuple[Certificate, ...] = ()
    removed_certificates: tuple[str, ...] = ()
    holds: tuple[Hold, ...] = ()
    released: tuple[str, ...] = ()
    orders: tuple[Order, ...] = ()
    lifted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All definitions at one revision. Immutable: never change the mappings.

    Attributes:
        revision: which.
        services: by name.
        certificates: by identity.
        holds: by name of the service, which need not be in force.
        orders: by name of the service, which is in force.
    """

    revision: Revision = Revision()
    services: dict[str, Service] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    orders: Orders = field(default_factory=dict)
