"""
What all exchanges of one process share: reactor, limits, clocks, counters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTCP, IReactorTime

from dfproxy.deadlines import Deadlines
from dfproxy.exchange.relay import Relays
from dfproxy.exchange.splice import Pipes
from dfproxy.model.settings import Limits
from dfproxy.observe.accesslog import AccessLog
from dfproxy.observe.clients import ClientCounts
from dfproxy.observe.metrics import Tally
from dfproxy.polling import Poller
from dfproxy.upstream.connector import Connector

RECENT = 1000
"""
Heads of requests that a process keeps, to tell which of them a change would send elsewhere: some 1 MB.
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
        clients: what else is counted of clients' connections.
        dirty: tallies that changed since the last flush, each once.
        pipes: for splicing.
        poller: watches sockets that no transport has.
        relays: what connections that are not looked into share.
        splice: large bodies may go from socket to socket in the kernel.
        closing: answers close their connections: the process drains, or the operator wants it so (`httpclose`).
        pages: the operator's own error pages: status to head and body.
        recent: heads of the last requests, the latest behind.
        nested: answers of our own that are being given, one from within the other.
    """

    __slots__ = (
        "access_log",
        "clients",
        "clock",
        "closing",
        "connector",
        "deadlines",
        "dirty",
        "frontend",
        "limits",
        "monotonic",
        "nested",
        "pages",
        "pipes",
        "poller",
        "reactor",
        "recent",
        "relays",
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
        self.clients = ClientCounts()
        self.dirty: list[Tally] = []
        self.splice = True
        self.pipes = Pipes()
        self.poller = Poller(reactor)
        self.relays = Relays(self.poller, self.pipes)
        self.closing = False
        self.nested = 0
        self.pages: Mapping[int, tuple[bytes, bytes]] = {}
        self.recent: deque[object] = deque(maxlen=RECENT)

    def touch(self, tally: Tally) -> None:
        """
        This tally has changed.
        """
        if not tally.dirty:
            tally.dirty = True
            self.dirty.append(tally)
