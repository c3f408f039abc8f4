"""
Which services some data plane could not load: looked at again and again, since it is known where they are loaded.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dfproxy.interfaces import IDataPlane

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
        services: names as of the last look, with the reason.
    """

    def __init__(self, data_plane: IDataPlane, clock: IReactorTime) -> None:
        self._data_plane = data_plane
        self.services: Mapping[str, str] = {}
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
        answers = yield self._data_plane.query("quarantine", None)
        self.services = {name: reason for answer in answers if answer for name, reason in answer.items()}
