"""
Numbers that all processes share: who counts writes its own cells, who asks adds them up.

One shared file holds blocks, one for each worker and block 0 for what ended workers have counted and what the leader
has found out (`SAMPLED`); a block holds cells, a cell the words of `dfproxy.observe.metrics.FIELDS`. Only its worker
writes a block while it lives, so no lock is needed; words are 8 bytes and aligned, so none is seen half written. The
file is sparse: cells that nobody uses cost no memory.

Nothing here opens a file or knows a process: callers bring the memory.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator

from dfproxy.observe.metrics import FIELDS, GAUGE, GAUGES, SAMPLED

REQUESTS = FIELDS.index("requests")
CONNECTIONS = FIELDS.index("connections")

_WAITING = FIELDS.index("waiting")
_PEAK, _WAITING_PEAK, _RATE, _RATE_PEAK, _REQUEST_RATE, _REQUEST_RATE_PEAK = SAMPLED

WORDS = len(FIELDS)
"""
Words of a cell.
"""

CELL_BYTES = 8 * WORDS
"""
Bytes of a cell.
"""

CELLS = 1 << 18
"""
Cells of a block: 10,000 services with 25 servers each. 48 MiB of address space per worker, used only where counted.
"""

LIVING = 0
"""
The word in which the leader says whose blocks are in use: bit n for block n. It is the first of cell 0 of block 0,
which counts nothing.
"""

FRONTEND = 1
"""
The cell of the frontend; 0 is no cell at all.
"""

CLIENTS = 2
"""
The cell of what else is counted of clients' connections (`dfproxy.observe.clients`).
"""

GRACE_S = 900.0
"""
How long a freed cell is kept for its key, in seconds. Requests that outlive their server still write it, and a
server that comes back goes on counting where it stopped. After it the cell may serve another.
"""

FOLD_CELLS = 4096
"""
Cells folded in one step (some 800 KiB).
"""

TRAFFIC_CELLS = 1024
"""
Cells compared in one step when looking for traffic: well below a millisecond.
"""

ServiceKey = tuple[str, int]
"""
A destination: name of the service and index.
"""

ServerKey = tuple[str, int, str, int]
"""
A server: its destination, IP address and port.
"""

Key = ServiceKey | ServerKey

_CELL = struct.Struct(f"@{WORDS}q")


def size(blocks: int, cells: int = CELLS) -> int:
    """
    Bytes of the shared file for so many blocks (one more than workers that can be alive at once).
    """
    return blocks * cells * CELL_BYTES


class Cells:
    """
    A worker's side: writes its own block, reads the gauges of the others.

    Args:
        memory: the whole shared file.
        block: which block is ours; 1 or more.
        cells: cells of a block.

    Attributes:
        block: as given.
    """

    __slots__ = ("_base", "_cells", "_living", "_memory", "_others", "_words", "block")

    def __init__(self, memory: memoryview, block: int, cells: int = CELLS) -> None:
        blocks = len(memory) // (cells * CELL_BYTES)
        if not 0 < block < blocks:
            raise ValueError(f"block {block} is not one of the {blocks} that workers may write")
        self.block = block
        self._memory = memory
        self._words = memory.cast("q")
        self._cells = cells
        self._base = block * cells * CELL_BYTES
        self._living = 0
        self._others: tuple[int, ...] = ()

    def write(self, cell: int, values: tuple[int, ...]) -> None:
        """
        Show these numbers to the others.

        Args:
            cell: from the leader; 0 is ignored.
            values: as `Tally.values`.
        """
        if 0 < cell < self._cells:
            _CELL.pack_into(self._memory, self._base + cell * CELL_BYTES, *values)

    def totals(self, cell: int) -> tuple[int, ...] | None:
        """
        The sum over all workers, living and ended, in the order of `FIELDS`; None for cell 0.

        While the leader puts away what an ended worker has counted, some microseconds, that may be seen twice.
        """
        if not 0 < cell < self._cells:
            return None
        step, at, living = self._cells * CELL_BYTES, cell * CELL_BYTES, self._words[LIVING]
        blocks = [block for block in range(1, living.bit_length()) if living >> block & 1]
        rows = [_CELL.unpack_from(self._memory, block * step + at) for block in (*blocks, 0)]
        return tuple(map(sum, zip(*rows, strict=True)))

    def claim(self, cell: int, in_flight: int) -> int:
        """
        Show the others at once that so many exchanges are under way here; the rest of the cell is left as it is.

        Returns:
            How many are under way in the other workers.
        """
        if 0 < cell < self._cells:
            self._words[self._base // 8 + cell * WORDS + GAUGE] = in_flight
        return self.elsewhere(cell)

    def elsewhere(self, cell: int) -> int:
        """
        Exchanges under way in the other workers at whatever this cell counts; 0 for cell 0.
        """
        if not 0 < cell < self._cells:
            return 0
        words = self._words
        if words[LIVING] != self._living:
            self._look(words[LIVING])
        offset = cell * WORDS
        return sum([words[other + offset] for other in self._others])

    def _look(self, living: int) -> None:
        """
        Other workers live now. Blocks of nobody are not read: even that would give their pages memory.
        """
        self._living = living
        step = self._cells * WORDS
        blocks = [block for block in range(1, living.bit_length()) if living >> block & 1 and block != self.block]
        self._others = tuple(block * step + GAUGE for block in blocks)


class CellDirectory:
    """
    The leader's side: which cell counts what, and the sums over all workers.

    Args:
        memory: the whole shared file, zero when new.
        now: seconds that only grow.
        cells: cells of a block.
    """

    def __init__(self, memory: memoryview, now: Callable[[], float], cells: int = CELLS) -> None:
        self.cells = cells
        self.blocks = len(memory) // (cells * CELL_BYTES)
        self._memory = memory
        self._words = memory.cast("q")
        self._now = now
        self._live: set[int] = set()
        self._numbers: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._requests: dict[int, list[int]] = {}
        self._looked_at = now()
        self._clients = self._asked = 0
        self._rated: set[int] = set()
        self._resting: dict[Key, tuple[float, int]] = {}
        self._free: deque[int] = deque()
        self._next = CLIENTS + 1

    def allot(self, key: Key) -> int:
        """
        The cell of a destination or server; the same as long as it is not freed, and within the grace after.

        Returns:
            Its number; 0 (counted nowhere) when all are taken.
        """
        number = self._numbers.get(key)
        if number is not None:
            return number
        rested = self._resting.pop(key, None)
        number = rested[1] if rested is not None else self._unused()
        if number:
            self._numbers[key] = number
            self._keys[number] = key
        return number

    def free(self, key: Key) -> None:
        """
        What this key counted is gone; unknown keys are fine.
        """
        number = self._numbers.pop(key, None)
        if number is not None:
            self._keys.pop(number, None)
            self._resting[key] = (self._now() + GRACE_S, number)

    def number(self, key: Key) -> int:
        """
        The cell of a key; 0: none.
        """
        return self._numbers.get(key, 0)

    def items(self) -> Iterator[tuple[Key, int]]:
        """
        Every key with its cell. Not to be held across a change.
        """
        return iter(self._numbers.items())

    def __len__(self) -> int:
        return len(self._numbers)

    def join(self) -> int:
        """
        A block for a new worker.

        Returns:
            Its number, 1 or more; 0 when all are taken.
        """
        for block in range(1, self.blocks):
            if block not in self._live:
                self._live.add(block)
                self._words[LIVING] |= 1 << block
                return block
        return 0

    def totals(self, cell: int) -> tuple[int, ...]:
        """
        The sum over all workers, living and ended, in the order of `FIELDS`.
        """
        if not 0 < cell < self.cells:
            return (0,) * WORDS
        rows = [_CELL.unpack_from(self._memory, self._at(block, cell)) for block in (0, *self._live)]
        return tuple(map(sum, zip(*rows, strict=True)))

    def traffic(self) -> Iterator[set[ServiceKey]]:
        """
        One pass over all cells: where the number of requests is another than in the last pass. How many there were
        in a second, and the most at once, is written down meanwhile.

        Yields:
            Destinations with traffic, at their own cell or at that of a server, for a stretch of cells each step.
        """
        now_s = self._now()
        past_s, self._looked_at = max(now_s - self._looked_at, 0.001), now_s
        counted_in_front = self.totals(FRONTEND)
        clients, asked = counted_in_front[CONNECTIONS], counted_in_front[REQUESTS]
        self._sample(FRONTEND, max(clients - self._clients, 0) / past_s)
        at = FRONTEND * WORDS
        self._words[at + _REQUEST_RATE] = rated = round(max(asked - self._asked, 0) / past_s)
        self._words[at + _REQUEST_RATE_PEAK] = max(self._words[at + _REQUEST_RATE_PEAK], rated)
        self._clients, self._asked = clients, asked
        still, self._rated = self._rated, set()
        for first in range(FRONTEND + 1, self._next, TRAFFIC_CELLS):
            end = min(first + TRAFFIC_CELLS, self._next)
            blocks = self._columns(REQUESTS, first, end)
            counted = [sum(column) for column in zip(*blocks, strict=True)]
            former = self._requests.get(first, [])
            self._requests[first] = counted
            former += [0] * (len(counted) - len(former))
            moved: list[int] = []
            if counted != former:
                for at, (now, then) in enumerate(zip(counted, former, strict=False), first):
                    if now != then:
                        moved.append(at)
                        self._sample(at, max(now - then, 0) / past_s)
            for place in (GAUGE, _WAITING):
                # What is under way counts as a request when it ends, and would not be seen before.
                for block in self._columns(place, first, end):
                    if any(block):
                        still.update(at for at, count in enumerate(block, first) if count)
            for at in [at for at in still if first <= at < end]:
                still.discard(at)
                if at not in self._rated:
                    self._sample(at, 0.0)
            yield {key[:2] for key in map(self._keys.get, moved) if key is not None}

    def _columns(self, place: int, first: int, end: int) -> list[list[int]]:
        """
        One word of a stretch of cells, for each block in use.
        """
        words, cells = self._words, self.cells
        return [
            words[(block * cells + first) * WORDS + place : (block * cells + end) * WORDS : WORDS].tolist()
            for block in (0, *self._live)
        ]

    def _sample(self, cell: int, rate: float) -> None:
        """
        Write down how many requests there were in a second, and what is the most so far.
        """
        words, at, seen = self._words, cell * WORDS, self.totals(cell)
        words[at + _RATE] = rated = round(rate)
        words[at + _RATE_PEAK] = max(words[at + _RATE_PEAK], rated)
        words[at + _PEAK] = max(words[at + _PEAK], seen[GAUGE])
        words[at + _WAITING_PEAK] = max(words[at + _WAITING_PEAK], seen[_WAITING])
        if cell != FRONTEND and (rate or seen[GAUGE] or seen[_WAITING]):
            self._rated.add(cell)

    def fold(self, worker: int) -> None:
        """
        That worker has ended: keep what it counted, forget what it had under way, and free its block.
        """
        if worker not in self._live:
            return
        for first in range(0, self._next, FOLD_CELLS):
            self._fold(worker, first, min(first + FOLD_CELLS, self.cells))
        self._live.discard(worker)
        self._words[LIVING] &= ~(1 << worker)

    def _fold(self, worker: int, first: int, end: int) -> None:
        source = self._memory[self._at(worker, first) : self._at(worker, end)]
        if not int.from_bytes(source, "little"):
            return
        start = (worker * self.cells + first) * WORDS
        for place in GAUGES:
            gauges = self._words[start + place : start + (end - first) * WORDS : WORDS]
            gauges[:] = memoryview(bytes(8 * (end - first))).cast("q")
        target = self._memory[self._at(0, first) : self._at(0, end)]
        # Counters are below 2**63, so no word carries into the next and one addition of the whole stretch as a
        # single number adds all its words: 10,000 cells in some milliseconds, where a loop takes a tenth of a second.
        both = int.from_bytes(source, "little") + int.from_bytes(target, "little")
        target[:] = both.to_bytes(len(target), "little")
        source[:] = bytes(len(source))

    def _unused(self) -> int:
        now = self._now()
        while self._resting:
            key, (until, number) = next(iter(self._resting.items()))
            if until > now:
                break
            del self._resting[key]
            self._free.append(number)
        if self._free:
            number = self._free.popleft()
            for block in (0, *self._live):
                at = self._at(block, number)
                self._memory[at : at + CELL_BYTES] = bytes(CELL_BYTES)
            return number
        if self._next >= self.cells:
            return 0
        self._next += 1
        return self._next - 1

    def _at(self, block: int, cell: int) -> int:
        return (block * self.cells + cell) * CELL_BYTES
