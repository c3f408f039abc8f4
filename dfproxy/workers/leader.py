"""
All workers together, seen as one data plane.

Starts the processes, keeps as many of them alive as asked for, hands out the listening sockets, and takes each change
through its two phases in all of them. What a change is and whether it is wanted is decided elsewhere
(`dfproxy.control.publisher`); what one worker is, in `dfproxy.workers.child`.

A round is one change on its way: asked of all ready workers, then committed or aborted. A worker that comes meanwhile
is told what was in force when it came, then what was committed since, and takes part from the next round on.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.errors import NotReady, Refused
from dfproxy.interfaces import IDataPlane
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change, Membership, Revision
from dfproxy.observe.cells import CELLS, CellDirectory, size
from dfproxy.workers.child import LATE_S, Child, State
from dfproxy.workers.definitions import Definitions, merged, parts_of
from dfproxy.workers.messages import (
    Abort,
    Answer,
    Begin,
    Commit,
    Drain,
    Members,
    Message,
    Part,
    Prepare,
    Query,
    Refusal,
    build_id,
    encode,
)
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

PER_SERVICE_S = 0.001
"""
What a confirmation may take longer for each service of its change, in seconds: compiling one takes a tenth of it.
"""

REPLACEMENTS = 3
"""
Workers replaced in `REPLACEMENTS_S` before the cause is taken to be none of theirs: then no late worker is killed,
and new ones are started with growing pauses.
"""

REPLACEMENTS_S = 60.0
"""
See `REPLACEMENTS`.
"""

BACK_OFF_S = 1.0
"""
First pause before a replacement when there were too many; doubles with each further one.
"""

BACK_OFF_LIMIT_S = 30.0
"""
Longest such pause.
"""

SPARE_BLOCKS = 16
"""
Blocks of shared cells beyond one per wanted worker: for those that end slowly beside their replacements.
"""

QUERY_S = 0.25
"""
How long a question waits for a worker, in seconds.
"""

UNSENT_BYTES = 4 * 1024 * 1024
"""
A new worker is told more only when it has taken all but so much.
"""

PAUSE_S = 0.01
"""
Until it is looked at again whether it has, in seconds.
"""

NOBODY_S = 5.0
"""
How long a change waits for a worker when there is none, in seconds: about ten times what one takes to start.
"""


@dataclass(eq=False)
class Round:
    """
    One change on its way.

    Attributes:
        change: with its cells.
        parts: its encoded pieces.
        question: the encoded `Prepare`.
        asked: workers that owe an answer.
        ready: workers that are ready.
        reasons: of those that refused.
        done: fires once all have answered.
        members: memberships of its destinations that came meanwhile.
        committing: it is being committed.
    """

    change: Change
    parts: list[bytes]
    question: bytes
    done: Deferred[None]
    asked: set[Child] = field(default_factory=set)
    ready: set[Child] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)
    members: dict[tuple[str, int], Membership] = field(default_factory=dict)
    committing: bool = False

    @property
    def within_s(self) -> float:
        """
        How long a worker may take for it.
        """
        return LATE_S + PER_SERVICE_S * len(self.change.services)


@implementer(IDataPlane)
class WorkerSet:
    """
    All workers together.

    Args:
        reactor: with processes, descriptors and time.
        settings: sent to each worker; `workers` is how many there are.
        environment: variables of the workers; None: our own.
        wants: called with service name and index when a worker could not connect to a server of that destination.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        environment: Mapping[str, str] | None = None,
        wants: Callable[[str, int], None] = lambda service, index: None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        inherited = os.environ if environment is None else environment  # noqa: TID251  handed on, not read
        # Workers must find what we found, also from a checkout and with a changed directory.
        self._environment = {**inherited, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._wants = wants
        self._build = build_id()
        count = max(1, settings.workers)
        self._count = count
        # With one worker nobody could take over its sockets while a new one starts: keep one that only lacks sockets.
        self._wanted = count + 1 if count == 1 else count
        self.slots = Slots(settings.listeners, count)
        self._seats = Seats(self.slots)
        blocks = 1 + self._wanted + SPARE_BLOCKS
        self._cells_fd = os.memfd_create("dfproxy-cells")
        os.ftruncate(self._cells_fd, size(blocks))
        self._null_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._memory = memoryview(mmap.mmap(self._cells_fd, size(blocks)))
        self.cells = CellDirectory(self._memory, reactor.seconds)
        self._known = Definitions(self.cells)
        self._children: set[Child] = set()
        self._round: Round | None = None
        self._replaced: deque[float] = deque()
        self._starting: Deferred[None] | None = None
        self._stopping: Deferred[None] | None = None
        self._refilling: Any = None
        self._nobody: Any = None
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
        Accept nothing more, let what is under way end within `limits.drain_s`, kill what then still lives.

        Returns:
            Deferred: fires when no process is left. Never fails.
        """
        if self._stopping is not None:
            waiting: Deferred[None] = Deferred()
            self._stopping.chainDeferred(waiting)
            return waiting
        stopped: Deferred[None] = Deferred()
        result: Deferred[None] = Deferred()
        self._stopping = stopped
        stopped.chainDeferred(result)
        for timer in (self._refilling, self._nobody):
            if timer is not None and timer.active():
                timer.cancel()
        now = self._reactor.seconds()
        for child in list(self._children):
            if child.state is not State.ENDING:
                self._end(child)
            child.kill_at = min(child.kill_at or now + 1e9, now + self._settings.limits.drain_s + 1.0)
        self._gone_all()
        return result

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
        return tuple(child.pid for child in ordered if child.pid is not None)

    # --- IDataPlane

    def prepare(self, change: Change) -> Deferred[None]:
        """
        See `IDataPlane`. Fails with `NotReady` when there is no worker to ask.
        """
        if self._stopping is not None:
            return fail(NotReady("dfproxy is stopping"))
        if self._round is not None:
            return fail(NotReady("another change is under way"))
        equipped = self._known.equipped(change)
        self._round = current = Round(
            equipped,
            [encode(part) for part in parts_of(equipped)],
            encode(Prepare(equipped.revision, equipped.whole)),
            Deferred(),
        )
        for child in self._children:
            if child.state is State.LOADING and child.loaded and child.told and not child.backlog:
                child.state = State.READY
        self._ask_all(current)
        self._settle()
        return current.done

    def commit(self, revision: Revision) -> Deferred[None]:
        """
        See `IDataPlane`.
        """
        current = self._round
        if current is None or current.change.revision != revision or current.committing:
            return fail(RuntimeError(f"revision {revision.number} is not prepared"))
        current.committing = True
        current.done = Deferred()
        self._known.commit(current.change)
        for child in self._children:
            if child.state is State.LOADING:
                child.backlog.append(current.change)
        current.asked, current.ready = current.ready, set()
        payload = encode(Commit(revision))
        for child in list(current.asked):
            self._hear(child, child.ask(payload, current.within_s), current)
        self._settle()
        return current.done

    def abort(self, revision: Revision) -> None:
        """
        See `IDataPlane`.
        """
        current = self._round
        if current is not None and current.change.revision == revision and not current.committing:
            self._abort(current)

    def members(self, membership: Membership) -> None:
        """
        See `IDataPlane`.
        """
        place = (membership.service, membership.index)
        current = self._round
        if current is not None and any(service.name == membership.service for service in current.change.services):
            # Workers know the destination only once it is committed.
            former = current.members.get(place)
            if former is None or former.epoch < membership.epoch:
                current.members[place] = membership
            return
        counted = self._known.counted(membership)
        if not self._known.remember(counted):
            return
        payload = encode(Members(counted))
        for child in self._children:
            if child.state is State.READY or (child.state is State.LOADING and child.told):
                child.send(payload)
            elif child.state is State.LOADING:
                child.missed[place] = counted

    def query(self, what: str, argument: object) -> Deferred[list[object]]:
        """
        See `IDataPlane`. One answer for each worker that serves.
        """
        question = encode(Query(what, argument))
        answers = []
        for child in sorted(self._seats.serving(), key=lambda child: child.number):
            answer = child.ask_idly(question)
            answer.addTimeout(QUERY_S, self._reactor)
            answers.append(answer.addCallbacks(_value, lambda _: None))
        return gatherResults(answers)

    # --- rounds

    def _ask_all(self, current: Round) -> None:
        for child in self._children:
            if child.state is State.READY and child not in current.asked:
                current.asked.add(child)
                for part in current.parts:
                    child.send(part)
        for child in list(current.asked):
            self._hear(child, child.ask(current.question, current.within_s), current)

    def _hear(self, child: Child, answer: Deferred[Message], current: Round) -> None:
        def heard(message: Message) -> None:
            if child not in current.asked:
                return
            current.asked.discard(child)
            if isinstance(message, Refusal):
                current.reasons.append(message.reason)
            else:
                current.ready.add(child)
            self._settle()

        # A channel that is lost is followed by the end of its process, which settles the round.
        answer.addCallbacks(heard, lambda _: None)
        answer.addErrback(_unexpected)

    def _settle(self) -> None:
        """
        Go on with the round if nobody owes an answer any more.
        """
        current = self._round
        if current is None or current.asked or current.done.called:
            return
        if current.committing:
            self._round = None
            for child in self._children:
                self._advance(child)
            for membership in current.members.values():
                self.members(membership)
            self._seat()
            current.done.callback(None)
        elif current.reasons:
            self._abort(current)
            current.done.errback(Refused(current.reasons[0]))
        elif current.ready:
            current.done.callback(None)
        elif self._nobody is None or not self._nobody.active():
            self._nobody = self._reactor.callLater(NOBODY_S, self._nobody_came, current)

    def _nobody_came(self, current: Round) -> None:
        if self._round is current and not current.asked and not current.done.called:
            self._abort(current)
            current.done.errback(NotReady("no worker is up"))

    def _abort(self, current: Round) -> None:
        self._round = None
        payload = encode(Abort(current.change.revision))
        for child in current.ready | current.asked:
            child.send(payload)
        current.asked.clear()
        self._known.dropped(current.change)
        for membership in current.members.values():
            self.members(membership)
        for child in self._children:
            self._advance(child)
        self._seat()

    # --- workers that come

    def _refill(self) -> None:
        """
        Start as many workers as are missing.
        """
        if self._stopping is not None:
            return
        while sum(child.state in (State.LOADING, State.READY) for child in self._children) < self._wanted:
            if self._refilling is not None and self._refilling.active():
                return
            if self._too_many():
                excess = len(self._replaced) - REPLACEMENTS
                pause = min(BACK_OFF_LIMIT_S, BACK_OFF_S * 2.0**excess)
                log.warn("next worker in {pause} s: {why}", pause=pause, why=self.degraded)
                self._refilling = self._reactor.callLater(pause, self._refill_one)
                return
            if not self._spawn():
                return

    def _refill_one(self) -> None:
        if self._spawn():
            self._refill()

    def _spawn(self) -> bool:
        block = self.cells.join()
        if not block:
            log.error("no worker can be started: too many old ones have not ended yet")
            return False
        child = Child(block, self._reactor, self, self._build)
        try:
            child.spawn(self._cells_fd, self._null_fd, self._environment)
        except OSError as error:
            log.error("worker {number} cannot be started: {error}", number=block, error=error)
            self.cells.fold(block)
            self._replaced.append(self._reactor.seconds())
            self._refilling = self._reactor.callLater(BACK_OFF_S, self._refill_one)
            return False
        self._children.add(child)
        begun = child.ask(Begin(self._settings, block, CELLS), START_S)
        begun.addCallback(lambda _: self._load(child))
        begun.addErrback(_lost_meanwhile)
        return True

    def _load(self, child: Child) -> None:
        """
        Tell a new worker all there is, piece by piece so that others are served between.
        """
        services = self._known.whole()
        revision = self._known.revision
        self._tell(child, self._known.parts(services), len(services), encode(Prepare(revision, True)), revision)

    def _tell(self, child: Child, parts: Iterator[Part], services: int, prepare: bytes, revision: Revision) -> None:
        if child.state is not State.LOADING:
            return
        child.told = False
        for part in parts:
            child.send(encode(part))
            if services > len(part.services):
                room = child.unsent_bytes < UNSENT_BYTES
                self._reactor.callLater(0.0 if room else PAUSE_S, self._tell, child, parts, services, prepare, revision)
                return
        child.told = True
        child.owed += 1
        within_s = START_S + PER_SERVICE_S * services
        prepared = child.ask(prepare, within_s)
        applied = child.ask(encode(Commit(revision)), within_s)
        for membership in child.missed.values():
            child.send(encode(Members(membership)))
        child.missed.clear()
        both = gatherResults([prepared, applied], consumeErrors=True)
        both.addCallback(lambda answers: self._told(child, answers))
        both.addErrback(_lost_meanwhile)

    def _told(self, child: Child, answers: list[Message]) -> None:
        child.owed -= 1
        refusals = [answer.reason for answer in answers if isinstance(answer, Refusal)]
        if refusals:
            # Others have applied it, so the fault is in this process.
            log.warn("worker {number} cannot take over: {why}", number=child.number, why=refusals[0])
            child.fault = refusals[0]
            child.signal("KILL")
            return
        child.loaded = True
        self._advance(child)
        self._seat()
        self._join_round(child)

    def _advance(self, child: Child) -> None:
        """
        Bring a new worker up to what was committed since it came.
        """
        if child.state is not State.LOADING or not child.loaded or not child.told:
            return
        if child.backlog:
            change = merged(child.backlog)
            child.backlog = []
            services = len(change.services)
            prepare = encode(Prepare(change.revision, change.whole))
            self._tell(child, parts_of(change), services, prepare, change.revision)
        elif self._round is None:
            child.state = State.READY

    def _join_round(self, child: Child) -> None:
        """
        A round that found nobody to ask takes the first worker that comes.
        """
        current = self._round
        if current is None or current.committing or current.asked or current.ready or current.done.called:
            return
        if child.state is State.LOADING and child.told and not child.backlog:
            child.state = State.READY
            self._ask_all(current)

    # --- sockets

    def _seat(self) -> None:
        """
        See that each slot is served by somebody.
        """
        if self._stopping is not None:
            return
        ready = [child for child in self._children if child.state is State.READY and not child.owed]
        self._seats.fill(sorted(ready, key=lambda child: child.number))
        if self._starting is not None and self._seats.taken() == self._count and len(ready) >= self._wanted:
            starting, self._starting = self._starting, None
            self._seats.settled().addCallback(lambda _: starting.callback(None)).addErrback(_unexpected)

    # --- workers that go

    def child_wants(self, child: Child, service: str, index: int) -> None:
        """
        See `Ears`.
        """
        self._wants(service, index)

    def child_lost(self, child: Child, reason: str) -> None:
        """
        See `Ears`.
        """
        expected = child.state is State.ENDING
        child.state = State.GONE
        self._children.discard(child)
        self.cells.fold(child.number)
        self._leave(child)
        if expected or self._stopping is not None:
            log.info("worker {number} has ended", number=child.number)
        else:
            log.warn("worker {number} has ended: {why}", number=child.number, why=reason)
            self._count_replacement(reason)
        self._refill()
        self._gone_all()

    def _leave(self, child: Child) -> None:
        """
        It takes part in nothing any more: slots to others, and no round waits for it.
        """
        self._seats.leave(child)
        self._seat()
        current = self._round
        if current is not None:
            current.asked.discard(child)
            current.ready.discard(child)
            self._settle()

    def _count_replacement(self, reason: str) -> None:
        self._replaced.append(self._reactor.seconds())
        if self._starting is not None and self._too_many():
            starting, self._starting = self._starting, None
            why = NotReady(f"workers do not come up: {reason}")
            self.stop().addCallback(lambda _: starting.errback(why)).addErrback(_unexpected)

    def _too_many(self) -> bool:
        now = self._reactor.seconds()
        while self._replaced and self._replaced[0] < now - REPLACEMENTS_S:
            self._replaced.popleft()
        return len(self._replaced) >= REPLACEMENTS

    def _tick(self) -> None:
        now = self._reactor.seconds()
        stalled = now - self._ticked > 2 * TICK_S
        self._ticked = now
        for child in list(self._children):
            if stalled:
                # We were not running ourselves, and what they said meanwhile is still unread.
                child.excuse(now)
            elif child.state in (State.LOADING, State.READY):
                why = child.overdue(now)
                if why:
                    self._late(child, why)
            elif child.kill_at is not None and child.kill_at <= now:
                if child.drained and now - child.heard < LATE_S and self._stopping is None:
                    # It is alive after all and drains: it has the time that draining has.
                    child.kill_at = child.heard + self._settings.limits.drain_s
                    child.heard = now - LATE_S
                else:
                    log.warn("worker {number} does not end: killed", number=child.number)
                    child.signal("KILL")

    def _late(self, child: Child, why: str) -> None:
        log.warn("worker {number} {why}: replaced", number=child.number, why=why)
        self._count_replacement(why)
        if self._stopping is None:
            self._end(child)
            self._refill()

    def _end(self, child: Child) -> None:
        """
        Tell it to let go of everything and to end.
        """
        child.state = State.ENDING
        child.drained = True
        child.kill_at = self._reactor.seconds() + KILL_S
        child.ask_idly(Drain(self._settings.limits.drain_s)).addErrback(_lost_meanwhile)
        child.signal("TERM")
        self._leave(child)

    def _gone_all(self) -> None:
        if self._stopping is None or self._stopping.called or self._children:
            return
        if self._ticks.running:
            self._ticks.stop()
        self.slots.close()
        os.close(self._cells_fd)
        os.close(self._null_fd)
        self._stopping.callback(None)


def _value(message: Message) -> object:
    return message.value if isinstance(message, Answer) else None


def _lost_meanwhile(failure: Failure) -> None:
    """
    The worker went while it was being told; its end is reported elsewhere.
    """
    log.debug("not heard: {why}", why=failure.getErrorMessage())


def _unexpected(failure: Failure) -> None:
    log.failure("a round went wrong", failure)
