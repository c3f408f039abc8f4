"""
The door for calls of the API, where others are told what is called about.

A swarm listener's full answer that was asked for before a call must not undo that call, however late it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from dfproxy.interfaces import IPublisher
from dfproxy.model.snapshot import Revision, Snapshot


@implementer(IPublisher)
class NotedPublisher:
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

    def publish(
        self, services: tuple[Any, ...], certificates: tuple[Any, ...] = (), cause: str = ""
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
        services: tuple[Any, ...],
        removed: tuple[str, ...] = (),
        certificates: tuple[Any, ...] = (),
        origin: str = "dfp",
        cause: str = "",
        holds: tuple[Any, ...] | None = None,
    ) -> Deferred[Revision]:
        """
        See `IPublisher`.
        """
        self._noted([*(service.name for service in services), *removed])
        changed: Deferred[Revision] = self._publisher.change(services, removed, certificates, origin, cause, holds)
        return changed
