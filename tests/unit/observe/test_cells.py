"""
Shared numbers: what one worker writes, what the others and the leader read.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.observe.cells import FRONTEND, GRACE_S, WORDS, CellDirectory, Cells, size
from dfproxy.observe.metrics import FIELDS, GAUGE, GAUGES

CELLS = 16


def values(first: int, gauge: int = 0) -> tuple[int, ...]:
    row = [first] * WORDS
    for place in GAUGES:
        row[place] = gauge
    return tuple(row)


class CellsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.memory = memoryview(bytearray(size(4, CELLS)))
        self.now = 1000.0
        self.directory = CellDirectory(self.memory, lambda: self.now, CELLS)

    def worker(self) -> Cells:
        return Cells(self.memory, self.directory.join(), CELLS)


class WriterTests(CellsCase):
    """
    A worker's side.
    """

    def test_elsewhere(self) -> None:
        """
        Each worker sees what the others have under way, not what it has itself.
        """
        one, two, three = self.worker(), self.worker(), self.worker()
        one.write(5, values(9, 1))
        two.write(5, values(9, 20))
        three.write(5, values(9, 300))
        self.assertEqual([w.elsewhere(5) for w in (one, two, three)], [320, 301, 21])
        self.assertEqual(one.elsewhere(6), 0)

    def test_claim(self) -> None:
        """
        A claim is seen by the others at once, and leaves what else is counted there alone.
        """
        one, two = self.worker(), self.worker()
        one.write(5, values(9, 1))
        two.write(5, values(7, 2))
        self.assertEqual(one.claim(5, 3), 2)
        self.assertEqual((two.elsewhere(5), self.directory.totals(5)[0]), (3, 16))
        self.assertEqual((one.claim(0, 3), one.claim(CELLS, 3)), (0, 0))

    def test_nowhere(self) -> None:
        """
        Cell 0, and one that does not exist, are written and read without effect.
        """
        one, two = self.worker(), self.worker()
        before = bytes(self.memory)
        one.write(0, values(1, 1))
        one.write(CELLS, values(1, 1))
        self.assertEqual(bytes(self.memory), before)
        self.assertEqual((two.elsewhere(0), two.elsewhere(CELLS)), (0, 0))

    def test_totals(self) -> None:
        """
        Any worker knows the sums over all, also of those that have ended, as the leader does.
        """
        one, two = self.worker(), self.worker()
        cell = self.directory.allot(("a", 0))
        one.write(cell, values(10, 3))
        two.write(cell, values(5, 1))
        self.assertEqual(two.totals(cell), values(15, 4))
        self.directory.fold(1)
        self.assertEqual(two.totals(cell), values(15, 1))
        self.assertEqual(two.totals(cell), self.directory.totals(cell))
        self.assertEqual((two.totals(0), two.totals(CELLS)), (None, None))

    def test_only_the_living(self) -> None:
        """
        Blocks of nobody are not read (their pages would get memory), and a worker that comes later is seen.
        """
        one = self.worker()
        self.memory.cast("q")[(3 * CELLS + 5) * WORDS + GAUGE] = 7
        self.assertEqual(one.elsewhere(5), 0)
        two, three = self.worker(), self.worker()
        self.assertEqual((one.elsewhere(5), two.elsewhere(5), three.elsewhere(5)), (7, 7, 0))
        self.directory.fold(2)
        self.memory.cast("q")[(2 * CELLS + 5) * WORDS + GAUGE] = 9
        self.assertEqual((one.elsewhere(5), three.elsewhere(5)), (7, 0))

    def test_foreign_block(self) -> None:
        """
        Nobody can be given the leader's block, or one that is not there.
        """
        self.assertRaises(ValueError, Cells, self.memory, 0, CELLS)
        self.assertRaises(ValueError, Cells, self.memory, 4, CELLS)


class DirectoryTests(CellsCase):
    """
    The leader's side.
    """

    def test_sums(self) -> None:
        """
        The sum over all workers, for the frontend and whatever else.
        """
        one, two = self.worker(), self.worker()
        one.write(FRONTEND, tuple(range(WORDS)))
        two.write(FRONTEND, tuple(range(100, 100 + WORDS)))
        self.assertEqual(self.directory.totals(FRONTEND), tuple(100 + 2 * n for n in range(len(FIELDS))))
        self.assertEqual(self.directory.totals(0), (0,) * WORDS)

    def test_folded(self) -> None:
        """
        What a dead worker has counted stays, what it had under way goes, and its heir begins with nothing.
        """
        one, two = self.worker(), self.worker()
        cell = self.directory.allot(("a", 0))
        one.write(cell, values(10, 3))
        two.write(cell, values(5, 1))
        self.directory.fold(1)
        self.assertEqual(self.directory.totals(cell), values(15, 1))
        self.assertEqual(two.elsewhere(cell), 0)
        self.assertEqual(self.directory.join(), 1)
        self.assertEqual(self.directory.totals(cell), values(15, 1))
        self.directory.fold(3)
        self.assertEqual(self.directory.totals(cell), values(15, 1))

    def test_blocks_run_out(self) -> None:
        """
        With all blocks taken there is none.
        """
        self.assertEqual([self.directory.join() for _ in range(5)], [1, 2, 3, 0, 0])

    def test_cells(self) -> None:
        """
        Each key has a cell of its own, never 0 and never the frontend's, and keeps it.
        """
        keys = [("a", 0), ("a", 1), ("a", 0, "10.0.0.1", 80)]
        numbers = [self.directory.allot(key) for key in keys]
        self.assertEqual(len({*numbers, 0, FRONTEND}), 5)
        self.assertEqual([self.directory.allot(key) for key in keys], numbers)
        self.assertEqual(dict(self.directory.items()), dict(zip(keys, numbers)))

    def test_comes_back(self) -> None:
        """
        A server that comes back within the grace goes on counting where it stopped.
        """
        one = self.worker()
        cell = self.directory.allot(("a", 0))
        one.write(cell, values(7))
        self.directory.free(("a", 0))
        self.assertEqual(self.directory.number(("a", 0)), 0)
        self.now += GRACE_S - 1
        self.assertNotEqual(self.directory.allot(("b", 0)), cell)
        self.assertEqual(self.directory.allot(("a", 0)), cell)
        self.assertEqual(self.directory.totals(cell), values(7))

    def test_reused(self) -> None:
        """
        After the grace another gets the cell, empty.
        """
        one = self.worker()
        cell = self.directory.allot(("a", 0))
        one.write(cell, values(7, 1))
        self.directory.free(("a", 0))
        self.now += GRACE_S
        self.assertEqual(self.directory.allot(("b", 0)), cell)
        self.assertEqual(self.directory.totals(cell), values(0))

    def test_cells_run_out(self) -> None:
        """
        With all cells taken further keys are counted nowhere.
        """
        numbers = [self.directory.allot((f"s{n}", 0)) for n in range(CELLS)]
        self.assertEqual(numbers, [*range(3, CELLS), 0, 0, 0])

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(1, 3), st.integers(2, CELLS - 1), st.integers(0, 2**40), st.integers(0, 9)),
            max_size=20,
        ),
        st.sets(st.integers(1, 3)),
    )
    def test_nothing_is_lost(self, writes: list[tuple[int, int, int, int]], dead: set[int]) -> None:
        """
        Whichever workers die, counters add up over all, gauges over the living.
        """
        self.setUp()
        workers = {n: self.worker() for n in (1, 2, 3)}
        for n in range(CELLS - 2):
            self.directory.allot((f"s{n}", 0))
        last: dict[tuple[int, int], tuple[int, int]] = {}
        for worker, cell, count, gauge in writes:
            workers[worker].write(cell, values(count, gauge))
            last[worker, cell] = (count, gauge)
        for worker in dead:
            self.directory.fold(worker)
        for cell in range(2, CELLS):
            count = sum(c for (_, at), (c, _) in last.items() if at == cell)
            gauge = sum(g for (w, at), (_, g) in last.items() if at == cell and w not in dead)
            self.assertEqual(self.directory.totals(cell), values(count, gauge))


class TrafficTests(CellsCase):
    """
    Where requests came since the last look.
    """

    def look(self) -> set[tuple[str, int]]:
        return {key for piece in self.directory.traffic() for key in piece}

    def test_traffic(self) -> None:
        """
        Requests at a destination or one of its servers, counted by any worker, are noticed once.
        """
        own, server = self.directory.allot(("a", 0)), self.directory.allot(("b", 3, "10.0.0.1", 80))
        self.directory.allot(("idle", 0))
        one, two = self.worker(), self.worker()
        self.assertEqual(self.look(), set())
        one.write(own, values(1))
        two.write(server, values(1))
        self.assertEqual(self.look(), {("a", 0), ("b", 3)})
        self.assertEqual(self.look(), set())
        two.write(own, values(1))
        self.assertEqual(self.look(), {("a", 0)})

    def test_long_ones(self) -> None:
        """
        What is under way or waits is seen at its most, although it is counted as a request when it ends.
        """
        cell = self.directory.allot(("a", 0))
        one, two = self.worker(), self.worker()
        at = {name: FIELDS.index(name) for name in ("in_flight", "waiting", "peak", "waiting_peak")}

        def now(in_flight: int, waiting: int) -> tuple[int, ...]:
            return tuple({"in_flight": in_flight, "waiting": waiting}.get(name, 0) for name in FIELDS)

        self.look()
        for first, second, wanted in (
            ((2, 0), (0, 0), (2, 0)),
            ((2, 3), (1, 1), (3, 4)),
            ((0, 0), (0, 0), (3, 4)),
        ):
            one.write(cell, now(*first))
            two.write(cell, now(*second))
            self.assertEqual(self.look(), set())
            totals = self.directory.totals(cell)
            self.assertEqual((totals[at["peak"]], totals[at["waiting_peak"]]), wanted)

    def test_requests_of_the_frontend(self) -> None:
        """
        Requests of all workers in a second, beside connections, and the most of them.
        """
        one, two = self.worker(), self.worker()
        at = {name: FIELDS.index(name) for name in ("rate", "request_rate", "request_rate_peak")}

        def counted(requests: int, connections: int) -> tuple[int, ...]:
            return tuple({"requests": requests, "connections": connections}.get(name, 0) for name in FIELDS)

        self.look()
        for first, second, wanted in ((30, 10, (2, 20, 20)), (34, 10, (0, 2, 20)), (34, 10, (0, 0, 20))):
            one.write(FRONTEND, counted(first, 2))
            two.write(FRONTEND, counted(second, 2))
            self.now += 2
            self.look()
            totals = self.directory.totals(FRONTEND)
            self.assertEqual(tuple(totals[place] for place in at.values()), wanted)

    def test_worker_that_ends(self) -> None:
        """
        That a worker ends is no traffic, nor is a cell that nobody has any more.
        """
        cell = self.directory.allot(("a", 0))
        one = self.worker()
        one.write(cell, values(5))
        self.look()
        self.directory.fold(one.block)
        self.assertEqual(self.look(), set())
        two = self.worker()
        self.directory.free(("a", 0))
        two.write(cell, values(1))
        self.assertEqual(self.look(), set())

    def test_pieces(self) -> None:
        """
        Ten thousand cells are looked at in pieces, each found again in the next look.
        """
        directory = CellDirectory(memoryview(bytearray(size(2, 4096))), lambda: 0.0, 4096)
        cells = [directory.allot((f"s{number}", 0)) for number in range(3000)]
        writer = Cells(directory._memory, directory.join(), 4096)
        self.assertEqual([len(piece) for piece in directory.traffic()], [0, 0, 0])
        for cell in (cells[0], cells[1500], cells[2999]):
            writer.write(cell, values(1))
        self.assertEqual([len(piece) for piece in directory.traffic()], [1, 1, 1])
