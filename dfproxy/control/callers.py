"""
Who waits at the door, and what each wants.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from dfproxy.model.certificate import Certificate
from dfproxy.model.checks import Order
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Hold, Membership, Revision


@dataclass(eq=False)
class Caller:
    """
    Somebody who waits for an answer.

    Attributes:
        services: what is to be put in force, by name.
        removed: names of services and identities of certificates that are to go.
        certificates: as `services`, by identity.
        origin: on whose behalf something goes.
        cause: why, for people.
        holds: an operator goes back to something: what is to hold from then on, by name; other holds of what is
            changed end, and names may be anybody's. None: an ordinary change.
        answer: fires with the revision.
        place: grows with each caller; 0 once answered.
        memberships: first servers of the services.
        lost: names that a later caller's change has been put in force for.
        held: names for which a hold keeps out what it wants.
        orders: what an operator says of single servers, by key.
    """

    services: dict[str, Service]
    removed: tuple[str, ...] = ()
    certificates: dict[str, Certificate] = field(default_factory=dict)
    origin: str = "dfp"
    cause: str = ""
    holds: dict[str, Hold] | None = None
    answer: Deferred[Revision] = field(default_factory=Deferred)
    place: int = 0
    memberships: tuple[Membership, ...] = ()
    lost: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    orders: dict[str, Order] = field(default_factory=dict)

    def names(self) -> Iterable[str]:
        """
        Every name it changes, of services, of certificates, and keys of orders; the second have a slash, the last
        blanks, the first neither.
        """
        yield from self.services
        yield from self.certificates
        yield from self.removed
        yield from self.orders

    def counts(self, name: str) -> bool:
        """
        Whether what it wants for a name is to be put in force.
        """
        return name not in self.lost and name not in self.held

    def wants(self, name: str) -> Service | Certificate | Order | None:
        """
        What it wants to be in force under that name.
        """
        return self.services.get(name) or self.certificates.get(name) or self.orders.get(name)

    def has_won(self, name: str, winner: Caller | None) -> bool:
        """
        Whether what it wants for a name is in force, or kept out by a hold: either way its change is over.

        Args:
            winner: whose change of that name was put in force; None: nobody's.
        """
        if name in self.held:
            return True
        return winner is not None and (winner is self or winner.wants(name) == self.wants(name))

    def hold(self, name: str) -> Hold | None:
        """
        What is to hold for that name from then on.
        """
        return None if self.holds is None else self.holds.get(name)

    def meet(self, holds: dict[str, Hold]) -> None:
        """
        Come after these holds: what they are against is kept out, anything else ends them.

        Args:
            holds: by name; changed as this caller changes them.
        """
        self.held.clear()
        for name in self.names():
            hold = holds.get(name)
            if self.holds is None and hold is not None and self.services.get(name) == hold.against:
                self.held.add(name)
            elif self.holds is not None and name in self.holds:
                holds[name] = self.holds[name]
            else:
                holds.pop(name, None)


def named(memberships: tuple[Membership, ...]) -> dict[str, list[Membership]]:
    """
    Memberships by the name of their service.
    """
    found: dict[str, list[Membership]] = {}
    for membership in memberships:
        found.setdefault(membership.service, []).append(membership)
    return found
