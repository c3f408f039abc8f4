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

    def publish(self, services: tuple[Any, ...], certificates: tuple[Any, ...] = ()) -> Deferred[Revision]:
        """
        See `IPublisher`.
        """
        self._noted([service.name for service in services])
        published: Deferred[Revision] = (
            self._publisher.publish(services, certificates) if certificates else self._publisher.publish(services)
        )
        return published

    def withdraw(self, names: tuple[str, ...], origin: str = "dfp") -> Deferred[Revision]:
        """
        See `IPublisher`.
        """
        self._noted(names)
        withdrawn: Deferred[Revision] = self._publisher.withdraw(names, origin)
        return withdrawn
