"""
What all exchanges of one process share: reactor, limits, clocks, counters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTCP, IReactorTime

from dfproxy.deadlines import Deadlines
from dfproxy.model.ending import Ending
from dfproxy.model.settings import Limits
from dfproxy.observe.metrics import Tally
from dfproxy.upstream.connector import Connector
from dfproxy.wire.h1 import RequestHead


class Finished(Protocol):
    """
    What an access line is made from: an exchange that is over.

    Attributes:
        request: its head.
        backend_name: which backend, or `-`.
        server_name: which server, or `-`.
        status: what the client was told; 0 if nothing.
        bytes_in: bytes of the request's body.
        bytes_out: bytes of the answer towards the client, heads included as far as known.
        started: when the head was complete, in seconds of the monotonic clock.
        answered: when the answer's head came; 0.0 if never.
        attempts: connections and sends that were tried.
    """

    request: RequestHead
    status: int
    bytes_in: int
    bytes_out: int
    started: float
    answered: float
    attempts: int

    @property
    def backend_name(self) -> str: ...

    @property
    def server_name(self) -> str: ...


class AccessLog(Protocol):
    """
    Takes note of each exchange that is over.
    """

    def add(self, exchange: Finished, ending: Ending, now: float) -> None:
        """
        Args:
            now: seconds of the monotonic clock.
        """


class Traffic:
    """
    Shared by all sessions and exchanges of one process.

    Args:
        reactor: what connects and tells the time.
        limits: every bound.
        monotonic: a precise clock in seconds; only differences matter.
        access_log: None for none.

    Attributes:
        deadlines: the wheel.
        connector: makes connections to servers.
        frontend: counters of what belongs to no server: client connections, refusals of our own.
        dirty: tallies that changed since the last flush, each once.
        splice: large bodies may go from socket to socket in the kernel.
        draining: no new request on connections; answers close them.
    """

    __slots__ = (
        "access_log",
        "clock",
        "connector",
        "deadlines",
        "dirty",
        "draining",
        "frontend",
        "limits",
        "monotonic",
        "reactor",
        "splice",
    )

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        limits: Limits,
        monotonic: Callable[[], float],
        access_log: AccessLog | None = None,
    ) -> None:
        self.reactor = reactor
        self.clock = clock
        self.limits = limits
        self.monotonic = monotonic
        self.access_log = access_log
        self.deadlines = Deadlines(clock)
        self.connector = Connector(reactor, limits, self.deadlines)
        self.frontend = Tally()
        self.dirty: list[Tally] = []
        self.splice = True
        self.draining = False

    def touch(self, tally: Tally) -> None:
        """
        This tally has changed.
        """
        if not tally.dirty:
            tally.dirty = True
            self.dirty.append(tally)
