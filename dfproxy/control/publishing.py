"""
What every door for definitions has in common: publishing and withdrawing are changes.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from dfproxy.model.certificate import Certificate
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Hold, Revision


class Publishing:
    """
    Base of an `IPublisher`, which writes only `change`.
    """

    def publish(
        self, services: tuple[Service, ...], certificates: tuple[Certificate, ...] = (), cause: str = ""
    ) -> Deferred[Revision]:
        """
        See `IPublisher`.
        """
        return self.change(services, (), certificates, cause=cause)

    def withdraw(self, names: tuple[str, ...], origin: str = "dfp", cause: str = "") -> Deferred[Revision]:
        """
        See `IPublisher`.
        """
        return self.change((), names, origin=origin, cause=cause)

    def change(
        self,
        services: tuple[Service, ...],
        removed: tuple[str, ...] = (),
        certificates: tuple[Certificate, ...] = (),
        origin: str = "dfp",
        cause: str = "",
        holds: tuple[Hold, ...] | None = None,
    ) -> Deferred[Revision]:
        """
        See `IPublisher`.
        """
        raise NotImplementedError  # each door has its own
