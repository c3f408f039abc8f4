"""
How many requests a server gets at once, and who waits for a place.

The limit holds over all workers: a place is first claimed in the shared cell, then the others' cells are read, so two
workers can never both take the last one. Who finds no place waits in order, not too many and not too long; a place
that comes free in another worker is found by looking again after a moment.

Source: HAProxy `maxconn` of servers, `timeout queue`.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dfproxy.model.resilience import Resilience

LOOK_S = 0.02
"""
How often it is looked whether another worker has let go of a place, in seconds.
"""


class Limited(Protocol):
    """
    A server as far as it matters here (`dfproxy.upstream.live.LiveServer`).

    Attributes:
        cell: where it is counted for all workers.
        in_flight: requests under way at it here.
        elsewhere: those under way from other workers, as last heard.
    """

    cell: int
    in_flight: int
    elsewhere: int


Server = TypeVar("Server", bound=Limited)

Claim = Callable[[Limited, int], int]
"""
Shows the others that so many requests are under way here at a server; returns how many are elsewhere.
"""


def claim_alone(server: Limited, count: int) -> int:
    """
    The `Claim` of a process that shares servers with nobody.
    """
    return 0


class Queued(Protocol):
    """
    A request that waits for a place.
    """

    @property
    def is_bound(self) -> bool:
        """
        It has to go to the server that was picked for it; others do not wait for it.
        """

    def place_free(self) -> bool:
        """
        There may be one: try again.

        Returns:
            Whether it waits no more. If there was no place after all it stays the first.
        """

    def waited_long(self) -> None:
        """
        It has waited for too long.
        """


class Places:
    """
    The places at the servers of one destination.

    Args:
        clock: for the time-out.
        claim: how places are claimed.
        each: places at each server.
        timeout_s: longest wait, in seconds.
        limit: most that wait.
    """

    __slots__ = ("_claim", "_clock", "_first", "_look", "each", "limit", "timeout_s", "waiting")

    def __init__(self, clock: IReactorTime, claim: Claim, each: int, timeout_s: float, limit: int) -> None:
        self._clock = clock
        self._claim = claim
        self._look: IDelayedCall | None = None
        self._first: Queued | None = None  # who is just trying
        self.each = each
        self.timeout_s = timeout_s
        self.limit = limit
        self.waiting: deque[tuple[float, Queued]] = deque()

    def find(self, queued: Queued, picked: Server, usable: Iterable[Server]) -> Server | None:
        """
        Claim a place: at the server that was picked, else at the one with the fewest requests.

        Args:
            queued: who asks. Others wait behind those who wait already.

        Returns:
            The server; None: there is no place, or others wait for one already.
        """
        if self.waiting and queued is not self._first:
            return None
        if self._take(picked):
            return picked
        others = [] if queued.is_bound else [server for server in usable if server is not picked]
        for server in sorted(others, key=lambda server: server.in_flight + server.elsewhere):
            if self._take(server):
                return server
        return None

    def _take(self, server: Limited) -> bool:
        here = server.in_flight + 1
        if here <= self.each and here + self._claim(server, here) <= self.each:
            return True
        self._claim(server, server.in_flight)
        return False

    def wait(self, queued: Queued) -> bool:
        """
        Wait for a place.

        Returns:
            Whether there was room in the queue.
        """
        if queued is self._first:
            return True  # it is the first, and stays it
        if len(self.waiting) >= self.limit:
            return False
        self.waiting.append((self._clock.seconds() + self.timeout_s, queued))
        if self._look is None:
            self._look = self._clock.callLater(LOOK_S, self._looking)
        return True

    def leave(self, queued: Queued) -> None:
        """
        It does not wait any more.
        """
        self.waiting = deque(entry for entry in self.waiting if entry[1] is not queued)

    def released(self, server: Limited) -> None:
        """
        A place has come free here.
        """
        self._claim(server, server.in_flight)
        if self.waiting:
            self.serve()

    def serve(self) -> None:
        """
        Let those who wait try in order, until one who may go anywhere finds no place.
        """
        if self._first is not None:
            return
        for entry in tuple(self.waiting):
            self._first = entry[1]
            try:
                placed = self._first.place_free()
            finally:
                self._first = None
            if placed:
                self.leave(entry[1])
            elif not entry[1].is_bound:
                return

    def _looking(self) -> None:
        self._look = None
        now = self._clock.seconds()
        while self.waiting and self.waiting[0][0] <= now:
            self.waiting.popleft()[1].waited_long()
        self.serve()
        if self.waiting:
            self._look = self._clock.callLater(LOOK_S, self._looking)


def places_for(
    policy: Resilience, former: Places | None, clock: IReactorTime, claim: Claim, general_timeout_s: float
) -> Places | None:
    """
    The places that a policy asks for.

    Args:
        former: those of the policy before; they go on with their queue.
        general_timeout_s: longest wait where the policy has none of its own, in seconds.

    Returns:
        None: there is no limit.
    """
    timeout_s = general_timeout_s if policy.queue_timeout_s is None else policy.queue_timeout_s
    if not policy.max_connections:
        if former is not None:
            former.each = sys.maxsize
            former.serve()
        return None
    if former is None:
        return Places(clock, claim, policy.max_connections, timeout_s, policy.queue_limit)
    former.each, former.timeout_s, former.limit = policy.max_connections, timeout_s, policy.queue_limit
    former.serve()
    return former
