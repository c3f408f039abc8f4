"""
Whether we serve well: what `ready` says to load balancers, and the watchdog to systemd.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Phase(Enum):
    """
    Where the life of the daemon is. Each begins once, in this order; the second may be left out.
    """

    STARTING = "the services given at start are not published yet"
    SERVING = ""
    ENDING = "told to end; connections are still served"


class Serving(Protocol):
    """
    What is asked of the data plane.
    """

    @property
    def degraded(self) -> str:
        """
        Why it may serve less than it should; empty: all is well.
        """

    @property
    def is_alive(self) -> bool:
        """
        Somebody accepts connections.
        """


class Replicas(Protocol):
    """
    What is asked of who asks other replicas.
    """

    asking_now: bool


class Listeners(Protocol):
    """
    What is asked of who asks swarm listeners.
    """

    def missing(self) -> str:
        """
        What has not been had of them; empty: nothing.
        """


class Names(Protocol):
    """
    What is asked of who asks for addresses.
    """

    @property
    def unasked(self) -> int:
        """
        Names that have never been asked.
        """


class Readiness:
    """
    Judges.

    Args:
        plane: the data plane.
        replicas: may be asking others for certificates.
        listeners: swarm listeners.
        names: who the servers are.

    Attributes:
        phase: set by who starts and ends.
    """

    def __init__(self, plane: Serving, replicas: Replicas, listeners: Listeners, names: Names) -> None:
        self._plane = plane
        self._replicas = replicas
        self._listeners = listeners
        self._names = names
        self._names_asked = False
        self.phase = Phase.STARTING

    def problems(self) -> dict[str, str]:
        """
        What keeps us from serving well, by what it is about; empty: nothing.
        """
        found = {}
        if self.phase is not Phase.SERVING:
            found["ending" if self.phase is Phase.ENDING else "start"] = self.phase.value
        if self._plane.degraded:
            found["workers"] = self._plane.degraded
        if self._replicas.asking_now:
            found["certificates"] = "other replicas are being asked for theirs"
        if missing := self._listeners.missing():
            found["listener"] = missing
        if not self._names_asked and not found:
            # Only at the start: names that are published later are nobody's reason to send clients elsewhere.
            unasked = self._names.unasked
            if unasked:
                found["names"] = f"{unasked} names have not been asked yet"
            self._names_asked = not unasked
        return found

    def is_well(self) -> bool:
        """
        For the watchdog: we are asked, so we run; and before the start is over and at the end that is all.
        """
        return self.phase is not Phase.SERVING or self._plane.is_alive
