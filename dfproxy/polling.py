"""
Watches very many sockets of ours at the price of one: an epoll instance of its own, which the reactor watches.

Reactors call through several layers for each event, and switching interest on and off is a system call each. Here a
socket is entered once, edge-triggered, for all that can happen to it, and what is called is the owner's own method. It
is the same on every reactor.

Source: epoll(7).
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

log = Logger()

READ, WRITE, ENDED = select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
"""
What is told of a socket: it can be read, it can be written to, the other side has ended or it is broken.
"""

BROKEN = select.EPOLLERR
"""
The part of `ENDED` that says that there is an error to be had.
"""

_ALL = READ | WRITE | select.EPOLLRDHUP | select.EPOLLET

AT_ONCE = 256
"""
Events handled in one turn of the reactor: a millisecond or two.
"""

Ready = Callable[[int], None]


@implementer(IReadDescriptor)
class Poller:
    """
    Tells owners what happens to their sockets. There is an epoll instance only while there is something to watch.

    Args:
        reactor: `IReactorFDSet` and `IReactorTime`; one with asyncio's `loop` is used more directly.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._owners: dict[int, Ready] = {}
        self._epoll: select.epoll | None = None
        self._later: list[Callable[[], None]] = []
        self._loop: Any = getattr(reactor, "loop", None)

    def watch(self, descriptor: int, ready: Ready) -> None:
        """
        Watch a socket from now on, once for each news (edge-triggered): who is told that it can be read reads until
        there is no more.

        Args:
            ready: called with a mask of `READ`, `WRITE` and `ENDED`. Now and then for nothing.

        Raises:
            OSError: the kernel will not have it.
        """
        if self._epoll is None:
            self._open()
        assert self._epoll is not None
        self._epoll.register(descriptor, _ALL)
        self._owners[descriptor] = ready

    def forget(self, descriptor: int) -> None:
        """
        Watch it no more; before it is closed, since a duplicate of it may live on. Unknown ones are fine.
        """
        if self._owners.pop(descriptor, None) is not None and self._epoll is not None:
            self._epoll.unregister(descriptor)
            if not self._owners:
                self._close()

    def later(self, call: Callable[[], None]) -> None:
        """
        Call this in the next turn of the reactor: others get theirs.
        """
        if not self._later:
            self._reactor.callLater(0, self._run_later)
        self._later.append(call)

    def _run_later(self) -> None:
        calls, self._later = self._later, []
        for call in calls:
            try:
                call()
            except Exception:  # noqa: BLE001  the others get their turn as well
                log.failure("going on with a connection failed")

    def _open(self) -> None:
        self._epoll = select.epoll(flags=select.EPOLL_CLOEXEC)
        if self._loop is not None:
            self._loop.add_reader(self._epoll.fileno(), self.doRead)
        else:
            self._reactor.addReader(self)

    def _close(self) -> None:
        epoll, self._epoll = self._epoll, None
        assert epoll is not None
        if self._loop is not None:
            self._loop.remove_reader(epoll.fileno())
        else:
            # Twisted's epoll reactor asks for the descriptor while it lets go of it.
            self._epoll = epoll
            self._reactor.removeReader(self)
            self._epoll = None
        epoll.close()

    def doRead(self) -> None:
        """
        Tell what has happened.
        """
        epoll, owners = self._epoll, self._owners
        if epoll is None:
            return
        for descriptor, mask in epoll.poll(0, AT_ONCE):
            ready = owners.get(descriptor)
            if ready is None:
                continue
            try:
                ready(mask)
            except Exception:  # noqa: BLE001  one connection's fault must not become another's
                log.failure("a connection failed")
                self.forget(descriptor)

    def fileno(self) -> int:
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        return "poller"

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has ended.
        """
        self._owners.clear()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
