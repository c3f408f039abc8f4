"""
Tells when a route is published that never gets a request, or that takes all of another one's.

Keeps an index of the routes in step with what is in force. A change is compared with what it can concern only; of a
change of thousands of services the log tells little by little.

Source: DFP's alphabetical order, in which `/digital` takes what `/digitalproduct` was published for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change
from dfproxy.routing.shadows import Key, Shadow, ShadowIndex, Shadows

log = Logger()

SLICE_S = 0.005
"""
How long the reactor is kept for telling, in seconds.
"""

TOLD = 20
"""
Lines in the log for one change; the rest is counted. A change of everything would fill it otherwise.
"""


class Overlaps:
    """
    What shadows what, of all that is in force.

    Args:
        key: an `IRouteOrderFactory`'s `key`.
        clock: to tell of many services little by little.
    """

    def __init__(self, key: Key, clock: IReactorTime) -> None:
        self._key = key
        self._index = ShadowIndex(key)
        self._clock = clock
        self._untold: deque[str] = deque()
        self._services: dict[str, Service] = {}
        self._lines = 0
        self._more = 0
        self._failed = False

    def begin(self, services: Iterable[Service]) -> None:
        """
        These are in force from the start; nothing is told of them, it was when they were published.
        """
        for service in services:
            self._put(service)

    def changed(self, change: Change) -> None:
        """
        A change is in force: tell what its services shadow, and what shadows them.

        Args:
            change: what is other than before.
        """
        for name in change.removed:
            self._index.drop(name)
            self._services.pop(name, None)
        for service in change.services:
            self._put(service)
        if not change.services:
            return
        idle = not self._untold
        self._untold.extend(service.name for service in change.services)
        if idle:
            self._lines = self._more = 0
            self._tell()

    def of(self, service: Service) -> Shadows:
        """
        What shadows a service, and what it shadows; it may be in force or not. Never raises.
        """
        try:
            return self._index.of(service)
        except Exception:  # noqa: BLE001  a route order of somebody else: the table has had its word on it
            self._complain()
            return Shadows()

    def trial(self, services: tuple[Service, ...], removed: tuple[str, ...]) -> list[str]:
        """
        What would be shadowed if these were published and those withdrawn; a sentence for each.
        """
        changed = {*removed, *(service.name for service in services)}
        shadows: dict[Shadow, None] = {}
        try:
            among = ShadowIndex(self._key)
            for service in services:
                among.put(service)
            for service in services:
                found = self._index.of(service)
                for shadow in (*found.over, *found.under):
                    if ({shadow.winner.service.name, shadow.loser.service.name} - {service.name}).isdisjoint(changed):
                        shadows[shadow] = None
                shadows.update(dict.fromkeys(among.of(service).over))
        except Exception:  # noqa: BLE001  a route order of somebody else, as above
            self._complain()
        return [shadow.text() for shadow in shadows]

    def _put(self, service: Service) -> None:
        try:
            self._index.put(service)
        except Exception:  # noqa: BLE001  as above
            self._complain()
        self._services[service.name] = service

    def _complain(self) -> None:
        if not self._failed:
            self._failed = True
            log.failure("the route order failed: what shadows what is not known completely")

    def _tell(self) -> None:
        end = self._clock.seconds() + SLICE_S
        while self._untold:
            service = self._services.get(self._untold.popleft())
            for text in self.of(service).texts() if service is not None else ():
                self._lines += 1
                if self._lines <= TOLD:
                    log.warn("{text}", text=text)
                else:
                    self._more += 1
            if self._clock.seconds() >= end and self._untold:
                self._clock.callLater(0, self._tell)
                return
        if self._more:
            log.warn("{count} more routes are shadowed; explain tells of each request", count=self._more)
