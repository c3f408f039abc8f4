"""
The leader's listening sockets: opened once, early, while we may, and never closed before the address goes.

Each address has a fixed number of slots (sockets with SO_REUSEPORT that share it). A worker serves one or more of
them; when it dies its connections still queue here and another worker takes them. Closing a slot would reset what
waits in its queue, and after a change of user a port below 1024 cannot be opened again.

Source: `socket(7)` SO_REUSEPORT; HAProxy `expose-fd listeners`, nginx `reuseport`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from dfproxy.errors import InvalidSettings, Problem
from dfproxy.frontend.listeners import BACKLOG, Slot, cannot_bind
from dfproxy.model.listener import Listener
from dfproxy.workers import spread

TAKEN_S = 1.0
"""
How long we wait for an address that is taken, in seconds: workers of a leader that was killed let go of it within
some milliseconds, and we may have been started again sooner.
"""

PAUSE_S = 0.02
"""
Between two looks at a taken address, in seconds.
"""


class Slots:
    """
    All slots of all addresses.

    Args:
        listeners: the addresses.
        each: slots of each address, as many as workers.
        pause: waits so many seconds. Blocks, at start, before anything is served.

    Attributes:
        by_hash: why connections are dealt out by the kernel's hash and not in turn; empty: they are dealt out in turn,
            or there is only one slot, or none is open yet.
    """

    def __init__(
        self,
        listeners: tuple[Listener, ...],
        each: int,
        pause: Callable[[float], None] = time.sleep,  # noqa: TID251  before the reactor runs there is nothing to block
    ) -> None:
        self._listeners = listeners
        self._each = each
        self._pause = pause
        self._sockets: dict[int, socket.socket] = {}
        self._seats: list[list[Slot]] = []
        self._numbers = count()
        self._added: dict[Listener, tuple[Slot, ...]] = {}
        self._program = -1
        self.by_hash = ""

    @property
    def seats(self) -> int:
        """
        How many workers the slots are for: each gets one of every address.
        """
        return self._each

    def open(self) -> None:
        """
        Bind and listen on every slot. Does nothing the second time.

        Raises:
            InvalidSettings: one line for each address that cannot be bound; then none is open.
        """
        if self._seats:
            return
        seats: list[list[Slot]] = [[] for _ in range(self._each)]
        problems: list[Problem] = []
        for listener in self._listeners:
            try:
                self._open(listener, seats)
            except (OSError, OverflowError, ValueError) as error:
                problems.append(cannot_bind(listener, error))
        if problems:
            self.close()
            raise InvalidSettings(tuple(problems))
        self._seats = seats

    def add(self, listener: Listener) -> None:
        """
        Bind and listen on one more address while all runs. Nobody is given its slots before `hand_out`.

        Raises:
            OSError: it cannot be bound; nothing is open then.
        """
        seats: list[list[Slot]] = [[] for _ in range(self._each)]
        before = set(self._sockets)
        try:
            self._open(listener, seats, wait=False)
        except BaseException:
            for number in self._sockets.keys() - before:
                self._sockets.pop(number).close()
            raise
        self._added[listener] = tuple(seat[0] for seat in seats)

    def hand_out(self, listener: Listener) -> tuple[Slot, ...]:
        """
        The slots of an added address, one for each seat, belong to the seats from now on.
        """
        slots = self._added[listener]
        for seat, slot in zip(self._seats, slots):
            seat.append(slot)
        return slots

    def take_back(self, listener: Listener) -> tuple[Slot, ...]:
        """
        Those of an added address belong to no seat any more; they stay open until `drop`. Unknown addresses are fine.
        """
        slots = self._added.pop(listener, ())
        for seat in self._seats:
            seat[:] = [slot for slot in seat if slot not in slots]
        return slots

    def drop(self, slots: tuple[Slot, ...]) -> None:
        """
        Close these. What waits in a queue is reset, unless a worker still has it.
        """
        for slot in slots:
            opened = self._sockets.pop(slot.number, None)
            if opened is not None:
                opened.close()

    def of_seat(self, seat: int) -> tuple[Slot, ...]:
        """
        The slots that one worker serves.
        """
        return tuple(self._seats[seat])

    def descriptor(self, slot: Slot) -> int:
        """
        The open socket of a slot; stays ours.
        """
        return self._sockets[slot.number].fileno()

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """
        Address and real port of each listener, in their order.
        """
        return tuple((slot.listener.address, slot.listener.port) for slot in self._seats[0]) if self._seats else ()

    def close(self) -> None:
        """
        Give up all addresses. What waits in a queue is reset.
        """
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()
        self._added.clear()
        self._seats = []
        if self._program >= 0:
            os.close(self._program)
            self._program = -1

    def _open(self, listener: Listener, seats: list[list[Slot]], wait: bool = True) -> None:
        family = socket.AF_INET6 if ":" in listener.address else socket.AF_INET
        self._must_be_free(family, listener, wait)
        port = listener.port
        for seat in seats:
            opened = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            number = next(self._numbers)
            self._sockets[number] = opened
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            opened.bind((listener.address, port))
            opened.listen(BACKLOG)
            port = opened.getsockname()[1]
            seat.append(Slot(number, replace(listener, port=port)))
        if self._each > 1 and not self.by_hash:
            self._deal_out(opened)

    def _deal_out(self, opened: socket.socket) -> None:
        """
        Have each slot of an address get its connections in turn, if that can be had.
        """
        try:
            if self._program < 0:
                # Kept: once we are nobody special any more no other one can be loaded.
                self._program = spread.load(self._each)
            spread.attach(opened, self._program)
        except OSError as error:
            self.by_hash = str(error)

    def _must_be_free(self, family: int, listener: Listener, wait: bool) -> None:
        """
        SO_REUSEPORT would let a second proxy of the same user share the address unseen, so ask without it first.
        """
        waited = 0.0
        while True:
            with socket.socket(family, socket.SOCK_STREAM) as asked:
                if family == socket.AF_INET6:
                    asked.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    asked.bind((listener.address, listener.port))
                    # Linux lets two sockets with SO_REUSEADDR bind; only listening tells that another one does.
                    asked.listen(1)
                except OSError:
                    if not wait or waited >= TAKEN_S or listener.port == 0:
                        raise
                else:
                    return
            self._pause(PAUSE_S)
            waited += PAUSE_S
