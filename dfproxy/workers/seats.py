"""
Who accepts on which listening sockets.

A seat is one slot of each address, as much as one worker serves. Each seat has an owner; while it has none, a worker
that lives stands in, so that no connection waits for a process to start. The new one accepts before the other lets
go: two acceptors on one queue are harmless, none is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.frontend.listeners import Slot
from dfproxy.workers.child import Child
from dfproxy.workers.messages import Adopt, Message, Release
from dfproxy.workers.slots import Slots

log = Logger()

ACCEPTED, LET_GO = "begun to accept on its sockets", "let go of its sockets"
"""
What workers are told to do, as it is said of one that is late.
"""


@dataclass(eq=False)
class Seat:
    """
    Attributes:
        number: which one.
        owner: the worker whose seat it is.
        stand_in: serves it until there is an owner that accepts.
        adopting: fires when the last one that was told to accept does.
    """

    number: int
    owner: Child | None = None
    stand_in: Child | None = None
    adopting: Deferred[None] | None = None


class Seats:
    """
    All seats.

    Args:
        slots: the open sockets.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._seats = [Seat(number) for number in range(slots.seats)]

    def taken(self) -> int:
        """
        Seats that have an owner.
        """
        return sum(seat.owner is not None for seat in self._seats)

    def serving(self) -> set[Child]:
        """
        Workers that accept connections, or are about to.
        """
        return {child for seat in self._seats for child in (seat.owner, seat.stand_in) if child is not None}

    def fill(self, ready: list[Child]) -> None:
        """
        Give seats without an owner to workers without a seat, and the rest to stand-ins.

        Args:
            ready: workers that have all there is applied.
        """
        free = [child for child in ready if all(seat.owner is not child for seat in self._seats)]
        for seat in self._seats:
            if seat.owner is None and free:
                seat.owner = free.pop(0)
                self._adopt(seat, seat.owner)
        for seat in self._seats:
            if seat.owner is None and seat.stand_in is None and ready:
                seat.stand_in = min(ready, key=self._load)
                self._adopt(seat, seat.stand_in)

    def leave(self, child: Child) -> None:
        """
        This worker serves nothing any more.
        """
        for seat in self._seats:
            if seat.owner is child:
                seat.owner = None
            if seat.stand_in is child:
                seat.stand_in = None

    def open(self, slots: tuple[tuple[Slot, ...], ...]) -> Deferred[None]:
        """
        Accept on these as well.

        Args:
            slots: those of each seat.

        Returns:
            Deferred: fires when all who serve a seat do so, or are gone.
        """
        asked = [
            child.ask(Adopt(of_seat), ACCEPTED, descriptors=tuple(map(self._slots.descriptor, of_seat)))
            for seat, of_seat in zip(self._seats, slots)
            for child in _of(seat)
        ]
        return _over(asked)

    def close(self, slots: tuple[Slot, ...]) -> Deferred[None]:
        """
        Accept on these no more.

        Returns:
            Deferred: fires when nobody does, or who did is gone.
        """
        served = [(slot, child) for seat, slot in zip(self._seats, slots) for child in _of(seat)]
        return _over([child.ask(Release((slot.number,)), LET_GO) for slot, child in served])

    def settled(self) -> Deferred[None]:
        """
        Fires when all who were told to accept do, or are gone.
        """
        waiting = []
        for seat in self._seats:
            if seat.adopting is not None:
                done: Deferred[None] = Deferred()
                seat.adopting.addBoth(_pass_on, done)
                waiting.append(done)
        over: Deferred[None] = Deferred()
        DeferredList(waiting).addCallback(lambda _: over.callback(None))
        return over

    def _load(self, child: Child) -> int:
        return sum((seat.owner is child) + (seat.stand_in is child) for seat in self._seats)

    def _adopt(self, seat: Seat, child: Child) -> None:
        slots = self._slots.of_seat(seat.number)
        descriptors = tuple(self._slots.descriptor(slot) for slot in slots)
        answer = child.ask(Adopt(slots), ACCEPTED, descriptors=descriptors)
        seat.adopting = answer.addCallbacks(
            lambda _: self._adopted(seat, child), lambda failure: _not_adopted(failure, child)
        )

    def _adopted(self, seat: Seat, child: Child) -> None:
        if seat.owner is child and seat.stand_in is not None:
            former, seat.stand_in = seat.stand_in, None
            if former is not child:
                numbers = tuple(slot.number for slot in self._slots.of_seat(seat.number))
                former.ask(Release(numbers), LET_GO).addErrback(_not_adopted, former)


def _of(seat: Seat) -> set[Child]:
    return {child for child in (seat.owner, seat.stand_in) if child is not None}


def _over(asked: list[Deferred[Message]]) -> Deferred[None]:
    """
    Fires when all have answered, or are gone: that is reported elsewhere.
    """
    return DeferredList(asked, consumeErrors=True).addCallback(lambda _: None)


def _pass_on(result: None, done: Deferred[None]) -> None:
    done.callback(None)


def _not_adopted(failure: Failure, child: Child) -> None:
    """
    It went meanwhile; its end is reported elsewhere, and gives its seats to others.
    """
    log.debug("worker {number} went: {why}", number=child.number, why=failure.getErrorMessage())
