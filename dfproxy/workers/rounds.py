"""
Who is told what: each change through its two phases in all workers, and new workers up to where the others are.

A round is one change on its way: asked of all ready workers, then committed or aborted. A worker that comes meanwhile
is told what was in force when it came, then what was committed since, and takes part from the next round on. Starting
and ending workers, and their sockets, are the business of `dfproxy.workers.leader`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.errors import NotReady, Refused
from dfproxy.model.checks import Verdicts
from dfproxy.model.snapshot import Change, Membership, Revision
from dfproxy.workers.channel import FRAME_BYTES
from dfproxy.workers.child import LATE_S, Child, State
from dfproxy.workers.definitions import Definitions, merged, parts_of, payloads
from dfproxy.workers.messages import Abort, Commit, Judged, Members, Message, Part, Prepare, Refusal, encode

log = Logger()

PER_SERVICE_S = 0.001
"""
What a confirmation may take longer for each service of its change, in seconds: compiling one takes a tenth of it.
"""

PER_CERTIFICATE = 4
"""
As many services as a certificate counts for: making its context takes a little more than half a millisecond.
"""

LOAD_S = 30.0
"""
How long a new worker may take to load all there is, in seconds, besides `PER_SERVICE_S`.
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

ATTEMPTS = 2
"""
Times that a change is asked of workers when all who were asked have died of it, or meanwhile.
"""


@dataclass(eq=False)
class Round:
    """
    One change on its way.

    Attributes:
        change: with its cells.
        parts: its encoded pieces.
        done: fires once all have answered; another one for each phase.
        asked: workers that owe an answer.
        ready: workers that have given it.
        reasons: of those that refused.
        members: memberships of its destinations that came meanwhile.
        attempts: how often workers were asked.
        committing: it is being committed.
    """

    change: Change
    parts: list[bytes]
    done: Deferred[None] = field(default_factory=Deferred)
    asked: set[Child] = field(default_factory=set)
    ready: set[Child] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)
    members: dict[tuple[str, int], Membership] = field(default_factory=dict)
    attempts: int = 0
    committing: bool = False

    @property
    def within_s(self) -> float:
        """
        How long a worker may take for it.
        """
        return LATE_S + PER_SERVICE_S * _weight(self.change.services, self.change.certificates)


class Rounds:
    """
    What all workers are told.

    Args:
        clock: `IReactorTime`.
        known: what is in force.
        children: all workers, kept up to date by the caller.
        caught_up: called when a worker may have become one that has all there is.
        frame_bytes: longest message to a worker.
    """

    def __init__(
        self,
        clock: Any,
        known: Definitions,
        children: set[Child],
        caught_up: Callable[[], None],
        frame_bytes: int = FRAME_BYTES,
    ) -> None:
        self._clock = clock
        self._frame_bytes = frame_bytes
        self._known = known
        self._children = children
        self._caught_up = caught_up
        self._round: Round | None = None
        self._nobody: Any = None

    def begin_with(self, change: Change) -> None:
        """
        This is in force from the start. Before there is any worker.
        """
        self._known.commit(self._known.equipped(change))

    def prepare(self, change: Change) -> Deferred[None]:
        """
        See `IDataPlane`. Fails with `NotReady` when there is no worker to ask.
        """
        if self._round is not None:
            return fail(NotReady("another change is under way"))
        equipped = self._known.equipped(change)
        encoded = [payload for part in parts_of(equipped) for payload in payloads(part, self._frame_bytes)]
        if any(len(payload) > self._frame_bytes for payload in encoded):
            self._known.dropped(equipped)
            return fail(Refused(f"a service is larger than {self._frame_bytes} bytes"))
        self._round = current = Round(equipped, encoded)
        for child in self._children:
            if child.loaded and self._all_sent(child):
                # Its last confirmation is under way; what we send now comes after.
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
        payload, what = encode(Commit(revision)), f"put revision {revision.number} in force"
        for child in list(current.asked):
            self._hear(child, child.ask(payload, what, current.within_s), current)
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
            if child.state is State.READY or self._all_sent(child):
                child.send(payload)
            elif child.state is State.LOADING:
                child.missed[place] = counted

    def verdicts(self, verdicts: Verdicts) -> None:
        """
        Tell everybody which servers of a destination are down; who is still being told what there is hears it after
        that.
        """
        if not self._known.judged(verdicts):
            return
        payload = encode(Judged(verdicts))
        for child in self._children:
            if child.state is State.READY or (child.state is State.LOADING and child.told):
                child.send(payload)

    def load(self, child: Child) -> None:
        """
        Tell a new worker all there is, piece by piece so that others are served between.
        """
        services = self._known.whole()
        certificates = tuple(self._known.certificates)
        weight = _weight(services, certificates)
        self._tell(child, self._known.parts(services), Prepare(self._known.revision, True), weight)

    def leave(self, child: Child) -> None:
        """
        This worker takes part in nothing any more.
        """
        current = self._round
        if current is not None:
            current.asked.discard(child)
            current.ready.discard(child)
            self._settle()

    def stop(self) -> None:
        """
        There will be no worker any more.
        """
        current = self._round
        if self._nobody is not None and self._nobody.active():
            self._nobody.cancel()
        if current is not None and not current.done.called and not current.committing:
            self._abort(current)
            current.done.errback(NotReady("dfproxy is stopping"))

    # --- rounds

    def _ask_all(self, current: Round) -> None:
        current.asked = {child for child in self._children if child.state is State.READY}
        if not current.asked:
            return
        current.attempts += 1
        revision = current.change.revision
        question, what = encode(Prepare(revision, current.change.whole)), f"prepared revision {revision.number}"
        for child in list(current.asked):
            for part in current.parts:
                child.send(part)
            self._hear(child, child.ask(question, what, current.within_s), current)

    def _hear(self, child: Child, answer: Deferred[Message], current: Round) -> None:
        def heard(message: Message) -> None:
            if child not in current.asked:
                return
            current.asked.discard(child)
            if not isinstance(message, Refusal):
                current.ready.add(child)
            elif current.committing:
                # It was ready, so nothing is known of it now.
                child.give_up(message.reason)
            else:
                current.reasons.append(message.reason)
            self._settle()

        # The end of its process, which settles the round, follows.
        answer.addCallbacks(heard, lambda failure: child.give_up(failure.getErrorMessage()))
        answer.addErrback(_unexpected)

    def _settle(self) -> None:
        """
        Go on with the round if nobody owes an answer any more.
        """
        current = self._round
        if current is None or current.asked or current.done.called:
            return
        if current.committing:
            self._over(current)
            current.done.callback(None)
        elif current.reasons:
            self._abort(current)
            current.done.errback(Refused(current.reasons[0]))
        elif current.ready or (current.change.whole and not self._children):
            # A whole change before the first worker has been started: each is told all there is when it comes, and
            # puts in quarantine what it cannot load. So none serves before it knows all.
            current.done.callback(None)
        elif current.attempts >= ATTEMPTS:
            self._abort(current)
            current.done.errback(NotReady("workers ended while they prepared it"))
        elif self._nobody is None or not self._nobody.active():
            self._nobody = self._clock.callLater(NOBODY_S, self._nobody_came, current)

    def _nobody_came(self, current: Round) -> None:
        if self._round is current and not current.asked and not current.done.called:
            self._abort(current)
            current.done.errback(NotReady("no worker is up"))

    def _abort(self, current: Round) -> None:
        payload = encode(Abort(current.change.revision))
        for child in current.ready | current.asked:
            child.send(payload)
        current.asked.clear()
        self._known.dropped(current.change)
        self._over(current)

    def _over(self, current: Round) -> None:
        self._round = None
        for membership in current.members.values():
            self.members(membership)
        for child in self._children:
            self._advance(child)
        self._caught_up()

    # --- workers that come

    @staticmethod
    def _all_sent(child: Child) -> bool:
        """
        It is new, and all there is to tell has been sent.
        """
        return child.state is State.LOADING and child.told and not child.backlog

    def _tell(self, child: Child, parts: Iterator[Part], prepare: Prepare, weight: int) -> None:
        if child.state is not State.LOADING:
            return
        child.told = False
        for part in parts:
            for payload in payloads(part, self._frame_bytes):
                child.send(payload)
            if len(part.services) < weight:
                pause = 0.0 if child.unsent_bytes < UNSENT_BYTES else PAUSE_S
                self._clock.callLater(pause, self._tell, child, parts, prepare, weight)
                return
        child.told = True
        child.owed += 1
        within_s = LOAD_S + PER_SERVICE_S * weight
        what = f"loaded revision {prepare.revision.number}"
        both = gatherResults(
            [child.ask(encode(each), what, within_s) for each in (prepare, Commit(prepare.revision))],
            consumeErrors=True,
        )
        both.addCallbacks(lambda answers: self._told(child, answers), _lost_meanwhile)
        both.addErrback(_unexpected)
        missed, child.missed = child.missed, {}
        for membership in missed.values():
            child.send(encode(Members(membership)))
        for verdicts in self._known.verdicts.values():
            if verdicts.down:
                child.send(encode(Judged(verdicts)))

    def _told(self, child: Child, answers: list[Message]) -> None:
        child.owed -= 1
        refusals = [answer.reason for answer in answers if isinstance(answer, Refusal)]
        if refusals:
            # Others have applied it, so the fault is in this process.
            child.give_up(refusals[0])
            return
        child.loaded = True
        self._advance(child)
        self._join(child)
        self._caught_up()

    def _advance(self, child: Child) -> None:
        """
        Bring a new worker up to what was committed since it came.
        """
        if child.state is not State.LOADING or not child.loaded or not child.told:
            return
        if child.backlog:
            change = merged(child.backlog)
            child.backlog = []
            weight = _weight(change.services, change.certificates)
            self._tell(child, parts_of(change), Prepare(change.revision, change.whole), weight)
        elif self._round is None:
            child.state = State.READY

    def _join(self, child: Child) -> None:
        """
        A round that found nobody to ask takes the first worker that comes.
        """
        current = self._round
        if current is None or current.committing or current.asked or current.ready or current.done.called:
            return
        if self._all_sent(child):
            child.state = State.READY
            self._ask_all(current)


def _weight(services: Sized, certificates: Sized) -> int:
    """
    How much work a change is, in services.
    """
    return len(services) + PER_CERTIFICATE * len(certificates)


def _lost_meanwhile(failure: Failure) -> None:
    """
    The worker went while it was being told; its end is reported elsewhere.
    """
    log.debug("not told: {why}", why=failure.getErrorMessage())


def _unexpected(failure: Failure) -> None:
    log.failure("a round went wrong", failure)
