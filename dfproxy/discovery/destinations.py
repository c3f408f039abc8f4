"""
What is known of destinations and of the names behind them: plain state of `dfproxy.discovery.dns`, its one owner.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from twisted.internet.defer import Deferred

from dfproxy.model.snapshot import Membership, ServerAddress

Key = tuple[str, int]
"""
A destination: name of its service and its index.
"""


@dataclass(eq=False, slots=True)
class Name:
    """
    One name that is asked, and who wants to know.

    Attributes:
        name: in its usual form.
        addresses: what is known.
        certain: whether that is the list that counts most (of tasks, where there are any).
        answered: whether there was ever an answer.
        reason: why there are no addresses, or why the last question failed; empty: all is well.
        users: destinations in force, by key.
        waiting: those that publish and wait for the first answer.
        hot_until: asked often until then.
        wanted_until: remembered until then even without users: what was published with it may still come into force.
        asked_at: when the last question began.
        absent_since: since when it is said not to exist; None: it exists, or nobody knows.
        due: when it is to be asked; None: it is being asked, or nobody cares.
        asking: whether a question is under way.
        again: ask once more when that is over.
    """

    name: str
    addresses: tuple[str, ...] = ()
    certain: bool = False
    answered: bool = False
    reason: str = "not asked yet"
    users: dict[Key, None] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    hot_until: float = 0.0
    wanted_until: float = 0.0
    asked_at: float = float("-inf")
    absent_since: float | None = None
    due: float | None = None
    asking: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """
    Where some servers of a destination come from: one endpoint, or the host of all.

    Attributes:
        fixed: addresses that never change; used if there is no name.
        name: a name that is asked; None: the addresses are fixed.
    """

    fixed: tuple[str, ...]
    name: Name | None
    port: int
    weight: int


@dataclass(eq=False, slots=True)
class Kept:
    """
    A destination in force.

    Attributes:
        parts: where its servers come from.
        told: what the data plane was told last.
    """

    parts: tuple[Part, ...]
    told: Membership


@dataclass(eq=False, slots=True)
class Waiting:
    """
    A publication that waits for names.
    """

    pending: set[str]
    done: Deferred[None]


def placed(servers: tuple[ServerAddress, ...], former: tuple[ServerAddress, ...]) -> tuple[ServerAddress, ...]:
    """
    The same servers with their places: who was there keeps its own, who is new takes the first that is empty.

    A cookie names a place, so that nobody's clients are moved when another server goes.

    Args:
        former: the servers that there were, with their places.
    """
    places = {
        (server.host, server.port): position if server.place < 0 else server.place
        for position, server in enumerate(former)
    }
    keys = [(server.host, server.port) for server in servers]
    taken = {places[key] for key in keys if key in places}
    empty = iter(place for place in range(len(servers) + len(former)) if place not in taken)
    mine = [places[key] if key in places else next(empty) for key in keys]
    return tuple(
        server if place == position else replace(server, place=place)
        for position, (server, place) in enumerate(zip(servers, mine))
    )


def servers_of(parts: tuple[Part, ...]) -> tuple[ServerAddress, ...]:
    """
    All servers, sorted by address as text (DFP numbers them so), each once.
    """
    found: dict[tuple[str, int], ServerAddress] = {}
    for part in parts:
        for host in part.fixed if part.name is None else part.name.addresses:
            found.setdefault((host, part.port), ServerAddress(host, part.port, part.weight))
    return tuple(found[key] for key in sorted(found))
