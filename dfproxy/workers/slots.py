"""
The leader's listening sockets: opened once, early, while we may, and never closed before the address goes.

Each address has a fixed number of slots (sockets with SO_REUSEPORT that share it). A worker serves one or more of
them; when it dies its connections still queue here and another worker takes them. Closing a slot would reset what
waits in its queue, and after a change of user a port below 1024 cannot be opened again.

After an upgrade those of the leader before are taken up. There may be more of them than workers, then a worker serves
several; or fewer, then further ones are opened if that can be had, else workers share one queue.

Source: `socket(7)` SO_REUSEPORT; HAProxy `expose-fd listeners`, nginx `reuseport`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count

from twisted.logger import Logger

from dfproxy.errors import InvalidSettings, Problem
from dfproxy.frontend.listeners import BACKLOG, Slot, cannot_bind
from dfproxy.model.listener import Listener
from dfproxy.workers import spread
from dfproxy.workers.heritage import FRONT, Door, Heritage

log = Logger()

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
        each: seats, as many as workers; each gets a slot of each address.
        pause: waits so many seconds. Blocks, at start, before anything is served.
        heritage: sockets that are open already; None: none.

    Attributes:
        by_hash: why connections are dealt out by the kernel's hash and not in turn; empty: they are dealt out in turn,
            or there is only one slot, or none is open yet.
    """

    def __init__(
        self,
        listeners: tuple[Listener, ...],
        each: int,
        pause: Callable[[float], None] = time.sleep,  # noqa: TID251  before the reactor runs there is nothing to block
        heritage: Heritage | None = None,
    ) -> None:
        self._listeners = listeners
        self._each = each
        self._pause = pause
        self._sockets: dict[int, socket.socket] = {}
        self._seats: list[list[Slot]] = []
        self._numbers = count()
        self._added: dict[Listener, tuple[tuple[Slot, ...], ...]] = {}
        self._heritage = heritage or Heritage()
        self._programs = self._heritage.programs()
        self._origins: dict[int, Listener] = {}
        self._deaf: set[int] = set()
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
        self._added[listener] = tuple(map(tuple, seats))

    def hand_out(self, listener: Listener) -> tuple[tuple[Slot, ...], ...]:
        """
        The slots of an added address belong to the seats from now on: those of each.
        """
        slots = self._added[listener]
        for seat, of_seat in zip(self._seats, slots):
            seat.extend(of_seat)
        return slots

    def take_back(self, listener: Listener) -> tuple[Slot, ...]:
        """
        Those of an added address belong to no seat any more; they stay open until `drop`. Unknown addresses are fine.
        """
        slots = tuple(slot for of_seat in self._added.pop(listener, ()) for slot in of_seat)
        for seat in self._seats:
            seat[:] = [slot for slot in seat if slot not in slots]
        return slots

    def drop(self, slots: tuple[Slot, ...]) -> None:
        """
        Close these. What waits in a queue is reset, unless a worker still has it.
        """
        for slot in slots:
            opened = self._sockets.pop(slot.number, None)
            self._origins.pop(slot.number, None)
            if opened is not None:
                opened.close()

    def of_seat(self, seat: int) -> tuple[Slot, ...]:
        """
        The slots that one worker serves.
        """
        return tuple(self._seats[seat])

    def descriptor(self, slot: Slot) -> int:
        """
        The open socket of a slot, for somebody who accepts; stays ours.
        """
        opened = self._sockets[slot.number]
        if slot.number in self._deaf:
            self._deaf.discard(slot.number)
            opened.listen(BACKLOG)
            listener = self._origins[slot.number]
            if all(self._origins[number] != listener for number in self._deaf):
                self._deal_out(opened, self._members(listener))
        return opened.fileno()

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """
        Address and real port of each listener, in their order.
        """
        slots = self._seats[0] if self._seats else ()
        return tuple(dict.fromkeys((slot.listener.address, slot.listener.port) for slot in slots))

    def doors(self) -> tuple[Door, ...]:
        """
        All sockets, for the leader after us. Those that are several times here are one.
        """
        found: dict[int, Door] = {}
        for number, opened in self._sockets.items():
            if number in self._deaf:
                continue
            origin = self._origins[number]
            door = Door(FRONT, origin.address, origin.port, opened.fileno())
            found.setdefault(os.fstat(door.descriptor).st_ino, door)
        return tuple(found.values())

    def close(self) -> None:
        """
        Give up all addresses. What waits in a queue is reset.
        """
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()
        self._origins.clear()
        self._added.clear()
        self._seats = []
        while self._programs:
            os.close(self._programs.popitem()[1])

    def _open(self, listener: Listener, seats: list[list[Slot]], wait: bool = True) -> None:
        inherited = self._heritage.claim(FRONT, listener.address, listener.port)
        if inherited:
            self._take_up(listener, inherited, seats)
            return
        self._must_be_free(_family(listener), listener, wait)
        port = listener.port
        for seat in seats:
            opened = self._bound(listener, port)
            slot = self._add(listener, opened)
            opened.listen(BACKLOG)
            port = slot.listener.port
            seat.append(slot)
        self._deal_out(opened, len(seats))

    def _take_up(self, listener: Listener, inherited: list[socket.socket], seats: list[list[Slot]]) -> None:
        """
        Give the seats what is open already: several sockets each, or if there are too few, one socket to several.
        """
        port, why = inherited[0].getsockname()[1], "it was opened for one only"
        opened = [self._add(listener, one) for one in inherited]
        try:
            shared = inherited[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            while shared and len(opened) < len(seats):
                # It listens once somebody accepts: until then the workers of before have all connections.
                opened.append(self._add(listener, self._bound(listener, port)))
                self._deaf.add(opened[-1].number)
        except OSError as error:
            # Another user opened them, or a port below 1024 is not ours to open any more.
            why = error.strerror or str(error)
        if len(opened) < len(seats):
            address = listener.address or "*"
            log.info("{address}:{port}: workers share a queue: {why}", address=address, port=port, why=why)
        for place, slot in enumerate(opened):
            seats[place % len(seats)].append(slot)
        for place in range(len(opened), len(seats)):
            seats[place].append(self._add(listener, inherited[place % len(inherited)].dup()))

    def _bound(self, listener: Listener, port: int) -> socket.socket:
        """
        One more socket on an address, that does not listen yet. `OSError`: it cannot be had.
        """
        opened = socket.socket(_family(listener), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if opened.family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            opened.bind((listener.address, port))
        except BaseException:
            opened.close()
            raise
        return opened

    def _add(self, listener: Listener, opened: socket.socket) -> Slot:
        number = next(self._numbers)
        self._sockets[number] = opened
        self._origins[number] = listener
        return Slot(number, replace(listener, port=opened.getsockname()[1]))

    def _members(self, listener: Listener) -> int:
        """
        How many sockets share an address.
        """
        numbers = (number for number, origin in self._origins.items() if origin == listener)
        return len({os.fstat(self._sockets[number].fileno()).st_ino for number in numbers})

    def _deal_out(self, opened: socket.socket, count: int) -> None:
        """
        Have each of so many sockets of an address get its connections in turn, if that can be had.
        """
        if count < 2:
            return
        try:
            if count not in self._programs:
                # Kept: once we are nobody special any more no other one can be loaded.
                self._programs[count] = spread.load(count)
            spread.attach(opened, self._programs[count])
        except OSError as error:
            self.by_hash = str(error)
            # One for fewer sockets would never choose the others.
            with suppress(OSError):
                spread.detach(opened)

    def programs(self) -> dict[int, int]:
        """
        Descriptors of what deals connections out, by the number of sockets, for the leader after us.
        """
        return dict(self._programs)

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


def _family(listener: Listener) -> int:
    return socket.AF_INET6 if ":" in listener.address else socket.AF_INET
