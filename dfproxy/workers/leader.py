"""
All workers together, seen as one data plane.

Starts the processes, keeps as many of them alive as asked for, finds those that are late, and sees that somebody
accepts on each listening socket. What workers are told is the business of `dfproxy.workers.rounds`, what is published
that of `dfproxy.control.publisher`.

Longer than other modules, but one thing: the life of a set of processes.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.errors import NotReady
from dfproxy.interfaces import IDataPlane
from dfproxy.model.checks import Verdicts
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change, Membership, Revision
from dfproxy.observe.cells import CELLS, CellDirectory, size
from dfproxy.workers.child import LATE_S, Child, State
from dfproxy.workers.definitions import Definitions
from dfproxy.workers.former import Former
from dfproxy.workers.heritage import Heritage, Old
from dfproxy.workers.messages import Answer, Begin, Drain, Ejected, Message, Query, build_id, encode
from dfproxy.workers.rounds import Rounds
from dfproxy.workers.seats import Seats
from dfproxy.workers.slots import Slots

log = Logger()

TICK_S = 0.25
"""
How often lateness is judged, in seconds.
"""

KILL_S = 8.0
"""
From being found late (after 2 s) to SIGKILL: 10 s of silence in all.
"""

START_S = 30.0
"""
How long an interpreter may take to start and build its data plane, in seconds.
"""

REPLACEMENTS = 3
"""
Workers replaced in `REPLACEMENTS_S` before the cause is taken to be none of theirs: then no late worker is killed,
and new ones are started with growing pauses.
"""

REPLACEMENTS_S = 60.0
"""
See `REPLACEMENTS`, in seconds.
"""

BACK_OFF_S = 0.5
"""
First pause before a replacement when there were too many, in seconds; doubles with each further one.
"""

BACK_OFF_LIMIT_S = 30.0
"""
Longest such pause, in seconds.
"""

SPARE_BLOCKS = 16
"""
Blocks of shared cells beyond one per wanted worker: for those that end slowly beside their replacements.
"""

ASKED_OF_ONE = ("explain",)
"""
Questions that one worker answers for all.
"""

QUERY_S = 0.25
"""
How long a question waits for a worker, in seconds.
"""


@implementer(IDataPlane)
class WorkerSet:
    """
    All workers together.

    Args:
        reactor: with processes, descriptors and time.
        settings: sent to each worker; `workers` is how many there are.
        environment: variables of the workers; None: our own.
        wants: called with service name and index when a worker could not connect to a server of that destination.
        heritage: what the leader before has left; None: there was none.

    Attributes:
        slots: the listening sockets.
        cells: which shared cell counts what, for metrics.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        environment: Mapping[str, str] | None = None,
        wants: Callable[[str, int], None] = lambda service, index: None,
        heritage: Heritage | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        inherited = os.environ if environment is None else environment  # noqa: TID251  handed on, not read
        # Workers must find what we found, also from a checkout and with a changed directory.
        self._environment = {**inherited, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._wants = wants
        self._build = build_id()
        self._count = max(1, settings.workers)
        # With one worker nobody could take over its sockets while a new one starts: keep one that only lacks sockets.
        self._wanted = self._count + (1 if self._count == 1 else 0)
        self._heritage = heritage or Heritage()
        self.slots = Slots(settings.bound, self._count, heritage=self._heritage)
        left, limits = self._heritage.left, settings.limits
        drain_s = max(limits.drain_s, limits.tunnel_drain_s)
        self._former = Former(reactor, () if left is None else left.workers, drain_s)
        self._seats = Seats(self.slots)
        bytes_shared = size(1 + self._wanted + SPARE_BLOCKS)
        self._null_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._cells_fd = os.memfd_create("dfproxy-cells")
        os.ftruncate(self._cells_fd, bytes_shared)
        self.cells = CellDirectory(memoryview(mmap.mmap(self._cells_fd, bytes_shared)), reactor.seconds)
        self._children: set[Child] = set()
        known, frame_bytes = Definitions(self.cells), settings.limits.channel_frame_bytes
        self._rounds = Rounds(reactor, known, self._children, self._seat, frame_bytes)
        self._replaced: deque[float] = deque()
        self._starting: Deferred[None] | None = None
        self._stopped: Deferred[None] | None = None
        self._refilling: Any = None
        self._ticked = 0.0
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = reactor

    # --- life

    def open(self) -> None:
        """
        Open the listening sockets. To be called while privileged, before the reactor runs.

        Raises:
            InvalidSettings: one line for each address that cannot be bound.
        """
        self.slots.open()
        if self._count > 1:
            how = f"by the kernel's hash ({self.slots.by_hash})" if self.slots.by_hash else "in turn"
            log.info("connections are dealt out to {count} workers {how}", count=self._count, how=how)

    def begin_with(self, change: Change) -> None:
        """
        Every worker is told of this with the first it is told. Before `start`.
        """
        self._rounds.begin_with(change)

    def start(self) -> Deferred[None]:
        """
        Start the workers.

        Returns:
            Deferred: fires when all are up and serve. Fails with `NotReady` and the reason when they do not come up;
            then all is stopped.
        """
        self.slots.open()
        started: Deferred[None] = Deferred()
        self._starting = started
        self._ticked = self._reactor.seconds()
        self._ticks.start(TICK_S, now=False)
        self._refill()
        return started

    def stop(self) -> Deferred[None]:
        """
        Accept nothing more, let what is under way end within `limits.drain_s` (tunnels within
        `limits.tunnel_drain_s`), kill what then still lives.

        Returns:
            Deferred: fires when no process is left and all is closed. Never fails.
        """
        over: Deferred[None] = Deferred()
        if self._stopped is not None:
            self._stopped.chainDeferred(over)
            return over
        self._stopped = Deferred()
        self._stopped.chainDeferred(over)
        if self._refilling is not None and self._refilling.active():
            self._refilling.cancel()
        self._rounds.stop()
        self._relieve(None)
        self._former.look()
        for child in list(self._children):
            if child.state is not State.ENDING:
                self._end(child)
        self._close_if_empty()
        return over

    @property
    def degraded(self) -> str:
        """
        Why fewer workers than wanted may be serving; empty: all is well.
        """
        if self._too_many():
            return f"{len(self._replaced)} workers were replaced within {REPLACEMENTS_S:.0f} s"
        if not self._seats.taken():
            return "no worker is serving"
        return ""

    @property
    def is_alive(self) -> bool:
        """
        Some worker accepts connections, and has been heard of lately.
        """
        now = self._reactor.seconds()
        return any(child.state is State.READY and now - child.heard < LATE_S for child in self._seats.serving())

    def totals(self, cell: int) -> tuple[int, ...]:
        """
        Sum over all workers of one cell of `cells`, in the order of `dfproxy.observe.metrics.FIELDS`.
        """
        return self.cells.totals(cell)

    def pids(self) -> tuple[int, ...]:
        """
        Processes of workers that live, those that serve first.
        """
        serving = self._seats.serving()
        ordered = sorted(self._children, key=lambda child: (child not in serving, child.number))
        return (*(child.pid for child in ordered if child.pid is not None), *self._former.pids())

    def left(self) -> tuple[Old, ...]:
        """
        All workers, for the leader after us.
        """
        found = (child.left() for child in self._children)
        return (*(old for old in found if old is not None), *self._former.left())

    # --- IDataPlane

    def prepare(self, change: Change) -> Deferred[None]:
        """
        See `IDataPlane`. Fails with `NotReady` when there is no worker to ask.
        """
        if self._stopped is not None:
            return fail(NotReady("dfproxy is stopping"))
        return self._rounds.prepare(change)

    def commit(self, revision: Revision) -> Deferred[None]:
        """
        See `IDataPlane`.
        """
        return self._rounds.commit(revision)

    def abort(self, revision: Revision) -> None:
        """
        See `IDataPlane`.
        """
        self._rounds.abort(revision)

    def members(self, membership: Membership) -> None:
        """
        See `IDataPlane`.
        """
        self._rounds.members(membership)

    def verdicts(self, verdicts: Verdicts) -> None:
        """
        Tell all workers, now and later, which servers of a destination checks have found down.
        """
        self._rounds.verdicts(verdicts)

    def query(self, what: str, argument: Any) -> Deferred[list[Any]]:
        """
        See `IDataPlane`. One answer for each worker that serves; of what one answers for all only the first is asked.
        """
        question = encode(Query(what, argument))
        answers = []
        children = sorted(self._seats.serving(), key=lambda child: child.number)
        for child in children[:1] if what in ASKED_OF_ONE else children:
            answer = child.ask_idly(question)
            answer.addTimeout(QUERY_S, self._reactor)
            answers.append(answer.addCallbacks(_value, lambda _: None))
        return gatherResults(answers)

    # --- ports of services (`dfproxy.control.ports.Doors`)

    def open_port(self, listener: Listener) -> None:
        """
        Bind an address for all workers, and have nobody accept there yet.

        Raises:
            OSError: it cannot be bound.
        """
        self.slots.add(listener)

    def serve_ports(self, listeners: tuple[Listener, ...]) -> Deferred[None]:
        """
        Have every worker accept on these addresses.

        Returns:
            Deferred: fires when all do. Never fails.
        """
        if self._stopped is not None:
            return succeed(None)
        return _all([self._seats.open(self.slots.hand_out(listener)) for listener in listeners])

    def close_ports(self, listeners: tuple[Listener, ...]) -> Deferred[None]:
        """
        Have nobody accept on these addresses, and let them go.

        Returns:
            Deferred: fires when nobody has them any more. Never fails.
        """
        taken = [self.slots.take_back(listener) for listener in listeners]

        def drop(_: object) -> None:
            for slots in taken:
                self.slots.drop(slots)

        return _all([self._seats.close(slots) for slots in taken if slots]).addCallback(drop)

    # --- workers that come

    def _refill(self) -> None:
        """
        Start as many workers as are missing.
        """
        while self._stopped is None and self._missing():
            if self._refilling is not None and self._refilling.active():
                return
            if self._too_many():
                pause = min(BACK_OFF_LIMIT_S, BACK_OFF_S * 2.0 ** (len(self._replaced) - REPLACEMENTS))
                log.warn("the next worker is started in {pause} s: {why}", pause=pause, why=self.degraded)
                self._refilling = self._reactor.callLater(pause, self._refill_one)
                return
            if not self._spawn():
                return

    def _missing(self) -> bool:
        return sum(child.state in (State.LOADING, State.READY) for child in self._children) < self._wanted

    def _refill_one(self) -> None:
        if self._missing() and self._spawn():
            self._refill()

    def _spawn(self) -> bool:
        block = self.cells.join()
        if not block:
            # Tried again when one of them ends.
            log.error("no worker can be started: too many old ones have not ended yet")
            return False
        child = Child(block, self._reactor, self, self._build)
        try:
            child.spawn(self._cells_fd, self._null_fd, self._environment)
        except OSError as error:
            log.error("worker {number} cannot be started: {error}", number=block, error=error)
            self.cells.fold(block)
            self._count_replacement(str(error))
            if self._stopped is None:
                self._refilling = self._reactor.callLater(BACK_OFF_S, self._refill_one)
            return False
        self._children.add(child)
        begun = child.ask(Begin(self._settings, block, CELLS), "started", START_S)
        # Only now: the worker knows them once it has read that.
        child.limit(self._settings.limits)
        # One that does not begin ends, and that is reported by `child_lost`.
        begun.addCallbacks(lambda _: self._rounds.load(child), lambda failure: child.give_up(failure.getErrorMessage()))
        begun.addErrback(_unexpected)
        return True

    def _seat(self) -> None:
        """
        See that each slot is served by somebody.
        """
        if self._stopped is not None:
            return
        ready = [child for child in self._children if child.state is State.READY and not child.owed]
        self._seats.fill(sorted(ready, key=lambda child: child.number))
        if self._starting is not None and self._seats.taken() == self._count and len(ready) >= self._wanted:
            starting, self._starting = self._starting, None
            self._seats.settled().addCallback(self._relieve).addCallback(starting.callback).addErrback(_unexpected)

    def _relieve(self, _: None) -> None:
        """
        Ours accept everywhere: those of before need not any more.
        """
        self._former.let_go()
        self._heritage.close()

    # --- workers that go

    def child_wants(self, child: Child, service: str, index: int) -> None:
        """
        See `Ears`.
        """
        self._wants(service, index)

    def child_ejects(self, child: Child, ejected: Ejected) -> None:
        """
        See `Ears`. What one has seen the others need not suffer.
        """
        words = encode(ejected)
        for other in self._seats.serving():
            if other is not child:
                other.send(words)

    def child_leaves(self, child: Child) -> None:
        """
        See `Ears`.
        """
        if child.state in (State.LOADING, State.READY):
            log.info("worker {number} was told to end", number=child.number)
            self._part_with(child)
            self._end(child)
            self._refill()

    def child_lost(self, child: Child, reason: str) -> None:
        """
        See `Ears`.
        """
        expected = child.state is State.ENDING or self._stopped is not None
        self._children.discard(child)
        child.state = State.GONE
        # Sockets first: connections wait in their queues.
        self._part_with(child)
        self.cells.fold(child.number)
        if expected:
            log.info("worker {number} has ended", number=child.number)
        else:
            log.warn("worker {number} has ended: {why}", number=child.number, why=reason)
            self._count_replacement(reason)
        self._refill()
        self._close_if_empty()

    def _part_with(self, child: Child) -> None:
        """
        It takes part in nothing any more: its sockets to others, and no round waits for it.
        """
        if child.state is not State.GONE:
            child.state = State.ENDING
        self._seats.leave(child)
        self._seat()
        self._rounds.leave(child)

    def _end(self, child: Child) -> None:
        """
        Tell it to let go of everything and to end.
        """
        self._part_with(child)
        now, limits = self._reactor.seconds(), self._settings.limits
        child.kill_at = now + KILL_S
        child.drain_until = now + limits.drain_s + 1.0
        child.tunnels_until = now + max(limits.drain_s, limits.tunnel_drain_s) + 1.0
        child.send(encode(Drain(limits.drain_s)))
        child.signal("TERM")

    def _count_replacement(self, reason: str) -> None:
        self._replaced.append(self._reactor.seconds())
        if self._starting is not None and self._too_many():
            starting, self._starting = self._starting, None
            error = NotReady(f"workers do not come up: {reason}")
            self.stop().addCallback(lambda _: starting.errback(error)).addErrback(_unexpected)

    def _too_many(self) -> bool:
        now = self._reactor.seconds()
        while self._replaced and self._replaced[0] < now - REPLACEMENTS_S:
            self._replaced.popleft()
        return len(self._replaced) >= REPLACEMENTS

    def _tick(self) -> None:
        now = self._reactor.seconds()
        stalled = now - self._ticked > 2 * TICK_S
        self._ticked = now
        self._former.look()
        self._close_if_empty()
        for child in list(self._children):
            if stalled:
                # We were not running ourselves, and what they said meanwhile is still unread.
                child.excuse(now)
            elif child.state is not State.ENDING:
                why = child.overdue(now)
                if why:
                    self._late(child, why)
            elif child.kill_at is None:
                if not self._too_many() or self._seats.taken() == self._count:
                    self._end(child)
            elif child.kill_at <= now:
                self._kill(child, now)

    def _late(self, child: Child, why: str) -> None:
        spared = self._too_many()
        log.warn("worker {number} {why}: replaced", number=child.number, why=why)
        self._count_replacement(why)
        if spared:
            # Killing has not helped so far. It may go on serving until others do, or until there is calm.
            self._part_with(child)
        elif self._stopped is None:
            self._end(child)
        self._refill()

    def _kill(self, child: Child, now: float) -> None:
        if now - child.heard < LATE_S:
            # It lives and drains: it has the time that draining has.
            if now < child.drain_until:
                child.kill_at = child.drain_until
                return
            if child.tunnels and now < child.tunnels_until:
                # Looked at again and again: it has that long only while there are tunnels.
                child.kill_at = min(child.tunnels_until, now + KILL_S)
                return
        log.warn("worker {number} does not end: killed", number=child.number)
        child.signal("KILL")
        child.kill_at = now + KILL_S

    def _close_if_empty(self) -> None:
        if self._stopped is None or self._stopped.called or self._children or self._former.pids():
            return
        if self._ticks.running:
            self._ticks.stop()
        self.slots.close()
        os.close(self._cells_fd)
        os.close(self._null_fd)
        self._stopped.callback(None)


def _all(waited_for: list[Deferred[None]]) -> Deferred[None]:
    return gatherResults(waited_for).addCallback(lambda _: None)


def _value(message: Message) -> Any:
    return message.value if isinstance(message, Answer) else None


def _unexpected(failure: Failure) -> None:
    log.failure("starting or ending workers went wrong", failure)
