"""
Which services some data plane could not load: looked at again and again, since it is known where they are loaded.

The log tells of each that comes, with the reason, and of each that goes.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dfproxy.interfaces import IDataPlane
from dfproxy.model.snapshot import Change

log = Logger()

ASK_S = 5.0
"""
Seconds between two looks.
"""


class Quarantine:
    """
    Asks the data plane.

    Args:
        data_plane: who is asked.
        clock: where time comes from.

    Attributes:
        services: names as of the last look, with the reason, but for those that have been published or removed since.
    """

    def __init__(self, data_plane: IDataPlane, clock: IReactorTime) -> None:
        self._data_plane = data_plane
        self.services: Mapping[str, str] = {}
        self._since: set[str] = set()
        self._asking = LoopingCall(self.look)
        self._asking.clock = clock

    def start(self) -> None:
        """
        Look at once, and again and again.
        """
        self._asking.start(ASK_S).addErrback(lambda failure: log.failure("asking the workers failed", failure))

    def stop(self) -> None:
        """
        Look no more.
        """
        if self._asking.running:
            self._asking.stop()

    @inlineCallbacks
    def look(self) -> Generator[Deferred[Any], Any, None]:
        """
        Ask everybody.
        """
        self._since = set()
        answers = yield self._data_plane.query("quarantine", None)
        found = {name: reason for answer in answers if answer for name, reason in answer.items()}
        self._are({name: reason for name, reason in found.items() if name not in self._since})

    def changed(self, change: Change) -> None:
        """
        This is in force: what it publishes has been loaded by everybody, or it had been refused. All there is
        may have something in it that could not be loaded: that is asked.
        """
        if change.whole:
            return
        names = {*change.removed, *(service.name for service in change.services)}
        self._since |= names
        self._are({name: reason for name, reason in self.services.items() if name not in names})

    def _are(self, services: Mapping[str, str]) -> None:
        before, self.services = self.services, services
        for name in sorted(services.keys() - before.keys()):
            log.error("service {name} is not served: {reason}", name=name, reason=services[name])
        for name in sorted(before.keys() - services.keys()):
            log.info("service {name} is no longer left out", name=name)
