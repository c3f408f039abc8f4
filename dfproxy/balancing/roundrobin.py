"""
`roundrobin`: each server in turn, as often as its weight says, evenly spread over the round.

Each server has a due time on a common scale on which a server of weight w is due every 1/w. The one that is due
first is picked and put back. A heap holds them, so a pick costs O(log n), all of it in C.
Weights 5, 1, 1 give `a a a b c a a`, not `a a a a a b c`: a server is first due after half its interval.

Source: HAProxy `balance roundrobin` (`lb_fwrr.c`), which keeps a tree of the same kind.
"""

from __future__ import annotations

from heapq import heapify, heapreplace
from random import Random
from typing import Any

from twisted.internet.interfaces import IReactorTime

from dfproxy.balancing.base import Balancer
from dfproxy.interfaces import IRequest, IServer

DUE, ORDER, INTERVAL, SERVER = range(4)
"""
Places in a turn: when it is due; what decides between equals (unique, so that a server is never compared);
1/weight; the server. A plain list, since these are compared in C.
"""


class RoundRobin(Balancer):
    """
    Weighted round robin that goes on where it was when servers come and go.

    The first round begins at a server chosen by chance: many workers, each new to a backend, would otherwise all
    send their first request to the same one.
    """

    __slots__ = ("_next_order", "_now", "_turns")

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        clock: IReactorTime | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__(arguments, clock, random)
        # Any stands for float, int, float, IServer; see DUE and its neighbours.
        self._turns: list[list[Any]] = []
        self._next_order = 0
        self._now = 0.0

    def update(self, servers: tuple[IServer, ...]) -> None:
        """
        Servers that stay keep their due time (what is left of it scaled, if their weight has changed); new ones are
        due after half their interval, so that coming back again and again gains a server nothing.
        """
        super().update(servers)
        known = {turn[SERVER]: turn for turn in self._turns}
        first = self.random.randrange(len(servers)) if self.random and servers and not known else 0
        turns = []
        for server in servers[first:] + servers[:first]:
            interval = 1 / server.weight
            turn = known.get(server)
            if turn is None:
                turns.append([interval / 2, self._next_order, interval, server])
                self._next_order += 1
            else:
                left = (turn[DUE] - self._now) * interval / turn[INTERVAL]
                turns.append([left, turn[ORDER], interval, server])
        heapify(turns)
        self._turns = turns
        self._now = 0.0

    def pick(self, request: IRequest) -> IServer | None:
        """
        The server that is due first.
        """
        turns = self._turns
        if not turns:
            return None
        turn = turns[0]
        due = turn[DUE]
        self._now = due
        turn[DUE] = due + turn[INTERVAL]
        heapreplace(turns, turn)
        server: IServer = turn[SERVER]
        return server

    def peek(self, request: IRequest) -> IServer | None:
        """
        What `pick` would answer now (`dfproxy.balancing.preview`).
        """
        return self._turns[0][SERVER] if self._turns else None
