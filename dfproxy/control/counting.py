"""
The counters of one process: each tenth of a second what changed goes to the shared cells, and what the others have
under way comes from there.

Nothing here is on the path of requests: those bump plain integers (`dfproxy.observe.metrics`).
"""

from __future__ import annotations

from dfproxy.exchange.traffic import Traffic
from dfproxy.observe.cells import Cells
from dfproxy.observe.metrics import FIELDS, Sampling, Tally
from dfproxy.upstream.live import LiveServer

EJECTED = FIELDS.index("ejected")
"""
Place of the number of processes that leave a server out.
"""


class Counting:
    """
    Writes and reads shared numbers.

    Args:
        traffic: whose tallies they are.
        cells: the shared numbers; None: this process is alone.
    """

    def __init__(self, traffic: Traffic, cells: Cells | None) -> None:
        self._traffic = traffic
        self._cells = cells
        self._active: set[LiveServer] = set()
        self._watched: set[LiveServer] = set()
        self._sampling = Sampling(traffic.frontend)

    def flush(self) -> set[LiveServer]:
        """
        Write what changed, and read what the other workers have in flight at the servers that were busy here.

        Returns:
            Servers whose counters have changed.
        """
        traffic, cells = self._traffic, self._cells
        frontend = traffic.frontend
        for tally in traffic.dirty:
            if tally is not frontend:
                tally.pass_on(frontend)
        if traffic.dirty:
            traffic.touch(frontend)
        self._look_at_servers()
        if cells is None:
            self._sampling.look(traffic.clock.seconds(), traffic.dirty)
        dirty, traffic.dirty = traffic.dirty, []
        for tally in dirty:
            tally.dirty = False
            if cells is not None and tally.cell:
                cells.write(tally.cell, tally.values())
        servers = {tally for tally in dirty if isinstance(tally, LiveServer)}
        if cells is not None:
            shared = {server for server in servers if server.cell}
            for server in shared | self._active:
                server.elsewhere = cells.elsewhere(server.cell)
            self._active = shared
        return servers

    def of(self, tally: Tally) -> tuple[int, ...]:
        """
        What all processes together have counted there, in the order of `FIELDS`.
        """
        shared = self._cells.totals(tally.cell) if self._cells is not None else None
        return tally.values() if shared is None else shared

    def _look_at_servers(self) -> None:
        """
        Count what nobody counts as it happens: which servers are left out, and how many exchanges wait for one.
        """
        traffic = self._traffic
        looked = {tally for tally in traffic.dirty if isinstance(tally, LiveServer)} | self._watched
        self._watched = set()
        for server in looked:
            ejected = int((server.unreachable or server.suspended) and server.present)
            backend, tally = server.backend, server.backend.tally
            if server.ejected != ejected:
                server.ejected = ejected
                traffic.touch(server)
            waiting = len(backend.waiting) + (0 if backend.places is None else len(backend.places.waiting))
            if tally.waiting != waiting:
                tally.waiting = waiting
                traffic.touch(tally)
            if ejected or tally.waiting:
                self._watched.add(server)
