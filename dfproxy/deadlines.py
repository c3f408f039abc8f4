"""
Coarse deadlines for very many connections: setting one costs an attribute write.

A connection owns a number, its `deadline`, which it moves as often as it likes; the wheel looks at each connection
about once a second and tells it when its time has passed. So a deadline is met late by up to `STEP_S` plus `LOOK_S`,
never early. Nothing here knows what a connection is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

log = Logger()

NEVER = float("inf")
"""
A deadline that never comes.
"""

STEP_S = 0.1
"""
How often the wheel turns, in seconds: half of the lateness that a person would notice in a 408.
"""

LOOK_S = 1.0
"""
A deadline that was moved nearer is noticed after this many seconds at the latest. Each watched connection costs one
look in that time: 10,000 connections about a millisecond.
"""


class Expiring(Protocol):
    """
    Something with a deadline.

    Attributes:
        deadline: when `expired` is to be called, in seconds of the wheel's clock; `NEVER` for not at all.
        watched: true while it wants to be looked at (the wheel's ticket for it, see `Deadlines.forget`).
    """

    deadline: float
    watched: object

    def expired(self) -> None:
        """
        The deadline has passed. Called at each look until the deadline is moved or `watched` is false.
        """


Ticket = list[Expiring | None]
"""
What the wheel holds of something with a deadline: emptied when that is forgotten.
"""


class Deadlines:
    """
    The timer wheel of one process.

    Args:
        clock: what tells the time and calls later.

    Attributes:
        now: the time of the last turn, in seconds: good enough for setting deadlines, free to read.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._buckets: dict[int, list[Ticket]] = {}
        self.now = clock.seconds()
        self._turned = int(self.now / STEP_S)
        self._loop = LoopingCall(self._turn)
        self._loop.clock = clock

    def start(self) -> None:
        """
        Begin to turn.
        """
        self.now = self._clock.seconds()
        self._turned = int(self.now / STEP_S)
        self._loop.start(STEP_S, now=False)

    def stop(self) -> None:
        """
        Stop turning; nothing expires any more.
        """
        if self._loop.running:
            self._loop.stop()

    def soon(self, call: Callable[[], None]) -> None:
        """
        Call in the reactor's next turn: whoever had much to do in this one lets others come first.
        """
        self._clock.callLater(0, call)

    def watch(self, holder: Expiring) -> None:
        """
        Look at this one from now on, until it is forgotten or its `watched` is false.
        """
        ticket: Ticket = [holder]
        holder.watched = ticket
        self._put(ticket, holder)

    def forget(self, holder: Expiring) -> None:
        """
        Look at it no more, and let go of it now: closed connections would stay in memory until the next look, tens of
        megabytes where thousands come and go each second.
        """
        ticket, holder.watched = holder.watched, False
        if isinstance(ticket, list):
            ticket[0] = None

    def _put(self, ticket: Ticket, holder: Expiring) -> None:
        when = min(holder.deadline, self.now + LOOK_S)
        step = max(int(when / STEP_S) + 1, self._turned + 1)
        bucket = self._buckets.get(step)
        if bucket is None:
            self._buckets[step] = [ticket]
        else:
            bucket.append(ticket)

    def _turn(self) -> None:
        self.now = now = self._clock.seconds()
        until = int(now / STEP_S)
        while self._turned < until:
            self._turned += 1
            for ticket in self._buckets.pop(self._turned, ()):
                holder = ticket[0]
                if holder is None or not holder.watched:
                    continue
                if holder.deadline <= now:
                    try:
                        holder.expired()
                    except Exception:  # noqa: BLE001  the wheel turns for all the others as well
                        log.failure("{holder} failed when its time had passed", holder=holder)
                self._put(ticket, holder)  # one that is no longer watched is dropped at its next look
