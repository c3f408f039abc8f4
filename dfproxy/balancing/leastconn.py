"""
`leastconn`: the server with the fewest exchanges under way for its weight; among equals, weighted round robin.

For long exchanges: WebSockets, databases, queries of unequal length.

A heap is kept by what is told of each exchange, so no pick looks at all servers. Three numbers make a load:
exchanges here (`in_flight`), those of the other workers (`elsewhere`), and picks whose connection is still being
made: without these a new server would get every request that comes in before its first connection stands.
`elsewhere` changes without a call; so each fourth pick also looks at one further server in turn, and all are seen
again within four times as many picks as there are servers.

Source: HAProxy `balance leastconn` (`lb_fwlc.c`).
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from random import Random

from twisted.internet.interfaces import IReactorTime

from dfproxy.balancing.base import Balancer
from dfproxy.interfaces import IRequest, IServer

PENDING_LIMIT_S = 1.0
"""
How long picks may wait for their connection before they are forgotten, in seconds. Failed ones are never reported;
a connection in a data centre takes milliseconds.
"""

LOOK_BITS = 2
"""
One pick in 2**2 looks at a further server: this costs a quarter of looking at each pick.
"""

SLACK = 64
"""
How many outdated heap entries are kept beyond three for each server before the heap is made anew.
"""


class Seat:
    """
    What is known of one server.

    Attributes:
        load: exchanges it was last seen with, the pending ones included.
        pending: picks that were not followed by `taken` yet.
        pending_since: clock when pending ones were first noticed; None: not noticed.
        due: decides among equals, as in `roundrobin`.
        interval: 1/weight.
        entry: its valid entry in the heap; all others of this seat are outdated.
    """

    __slots__ = ("due", "entry", "interval", "load", "pending", "pending_since", "server", "weight")

    def __init__(self, server: IServer, due: float) -> None:
        self.server = server
        self.weight: int = server.weight
        self.interval = 1 / self.weight
        self.due = due
        self.load = 0
        self.pending = 0
        self.pending_since: float | None = None
        self.entry: Entry | None = None

    def seen(self) -> int:
        """
        Its load now.
        """
        server = self.server
        load: int = server.in_flight + server.elsewhere + self.pending
        return load


Entry = tuple[float, float, int, Seat]
"""
Load for its weight, due time, a unique number (so that seats are never compared), the seat.
"""


class LeastConn(Balancer):
    """
    Fewest exchanges first.
    """

    __slots__ = ("_heap", "_look", "_now", "_number", "_row", "_seats")

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        clock: IReactorTime | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__(arguments, clock, random)
        self._seats: dict[IServer, Seat] = {}
        self._row: list[Seat] = []
        self._heap: list[Entry] = []
        self._number = count()
        self._now = 0.0
        self._look = 0

    def update(self, servers: tuple[IServer, ...]) -> None:
        """
        Servers that stay keep their seat; a new one starts with the exchanges it has, which may be none.
        """
        super().update(servers)
        known = self._seats
        first = self.random.randrange(len(servers)) if self.random and servers and not known else 0
        self._seats = {}
        for server in servers[first:] + servers[:first]:
            seat = known.get(server)
            if seat is None:
                seat = Seat(server, self._now + 0.5 / server.weight)
            elif seat.weight != server.weight:
                seat.due = self._now + max(seat.due - self._now, 0.0) * seat.weight / server.weight
                seat.weight = server.weight
                seat.interval = 1 / server.weight
            self._seats[server] = seat
        self._row = list(self._seats.values())
        self._look = len(servers) << LOOK_BITS
        self._rebuild()

    def pick(self, request: IRequest) -> IServer | None:
        """
        The server with the lowest load for its weight.
        """
        heap = self._heap
        if not heap:
            return None
        look = self._look = self._look - 1
        if not look & (1 << LOOK_BITS) - 1:
            self._look_at(look >> LOOK_BITS)
            heap = self._heap
        while True:
            entry = heap[0]
            seat = entry[3]
            if entry is not seat.entry:
                heappop(heap)  # outdated; each seat has a valid one, so this ends
                continue
            server = seat.server
            load = server.in_flight + server.elsewhere + seat.pending
            if load <= seat.load:
                break
            seat.load = load  # busier than it was: down with it, and look again
            seat.entry = (load / seat.weight, seat.due, next(self._number), seat)
            heapreplace(heap, seat.entry)
        due = entry[1]
        if due > self._now:
            self._now = due
        else:
            due = self._now
        load += 1
        seat.load = load
        seat.pending += 1
        seat.due = due = due + seat.interval
        seat.entry = entry = (load / seat.weight, due, next(self._number), seat)
        heapreplace(heap, entry)
        return server

    def peek(self, request: IRequest) -> IServer | None:
        """
        What `pick` would answer now (`dfproxy.balancing.preview`).
        """
        seats = [
            (seat, seat.load, seat.pending, seat.pending_since, seat.due, seat.entry) for seat in self._seats.values()
        ]
        heap, now, look = self._heap.copy(), self._now, self._look
        server = self.pick(request)
        for seat, load, pending, pending_since, due, entry in seats:
            seat.load, seat.pending, seat.pending_since, seat.due, seat.entry = load, pending, pending_since, due, entry
        self._heap, self._now, self._look = heap, now, look
        return server

    def taken(self, server: IServer) -> None:
        """
        What was pending is now in flight: the load is the same.
        """
        seat = self._seats.get(server)
        if seat is not None and seat.pending:
            seat.pending -= 1
            if not seat.pending:
                seat.pending_since = None

    def released(self, server: IServer, latency_s: float, failed: bool) -> None:
        """
        One less: the server moves up.
        """
        seat = self._seats.get(server)
        if seat is not None:
            self._see(seat)

    def _look_at(self, place: int) -> None:
        """
        See one server again, and forget picks of it that came to nothing.
        """
        if place == 0:
            self._look = len(self._row) << LOOK_BITS
        seat = self._row[place]
        if seat.pending and self.clock is not None:
            now = self.clock.seconds()
            if seat.pending_since is None:
                seat.pending_since = now
            elif now - seat.pending_since > PENDING_LIMIT_S:
                seat.pending = 0
                seat.pending_since = None
        self._see(seat)

    def _see(self, seat: Seat) -> None:
        """
        Put a seat where its present load belongs.
        """
        load = seat.seen()
        if load == seat.load:
            return
        seat.load = load
        seat.entry = (load / seat.weight, seat.due, next(self._number), seat)
        heappush(self._heap, seat.entry)
        if len(self._heap) > 4 * len(self._row) + SLACK:
            self._rebuild()

    def _rebuild(self) -> None:
        """
        Make the heap of valid entries only. Costs O(n), but only once in more than n calls.
        """
        heap = []
        for seat in self._row:
            seat.load = seat.seen()
            seat.entry = (seat.load / seat.weight, seat.due, next(self._number), seat)
            heap.append(seat.entry)
        heapify(heap)
        self._heap = heap
