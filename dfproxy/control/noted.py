"""
The door for calls of the API, where others are told what is called about.

A swarm listener's full answer that was asked for before a call must not undo that call, however late it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from dfproxy.control.publishing import Publishing
from dfproxy.interfaces import IPublisher
from dfproxy.model.certificate import Certificate
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Hold, Revision, Snapshot


@implementer(IPublisher)
class NotedPublisher(Publishing):
    """
    The door that calls of the API use: listeners are told what is called about.

    Args:
        publisher: the real one.
        noted: told the names of services, before anything else happens.
    """

    def __init__(self, publisher: IPublisher, noted: Callable[[Iterable[str]], None]) -> None:
        self._publisher = publisher
        self._noted = noted

    @property
    def snapshot(self) -> Snapshot:
        """
        See `IPublisher`.
        """
        snapshot: Snapshot = self._publisher.snapshot
        return snapshot

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
        self._noted([*(service.name for service in services), *removed])
        changed: Deferred[Revision] = self._publisher.change(services, removed, certificates, origin, cause, holds)
        return changed
