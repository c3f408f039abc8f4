"""
The data plane in this process, with `--workers 0`: it binds its own addresses and counts by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dfproxy.control.ports import Doors
from dfproxy.control.publisher import Publisher
from dfproxy.control.servers import Key, Members, Servers
from dfproxy.daemon.plane import Figures
from dfproxy.frontend.listeners import Listeners
from dfproxy.model.checks import Address, Verdicts
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change
from dfproxy.service import make_data_plane
from dfproxy.tls.sni import pass_over_unreadable_names
from dfproxy.workers.heritage import Left

log = Logger()

COUNT_S = 0.1
"""
Seconds between two looks at changed counters; workers do it by themselves.
"""


class InProcess:
    """
    See `dfproxy.daemon.plane.Plane`.

    Args:
        reactor: the reactor that runs.
        settings: options.
        wants: called with service name and index when a server of that destination could not be connected to.
    """

    not_upgradable = "with --workers 0 connections live in this process: stop it and start it again"
    degraded = ""
    is_alive = True

    def __init__(self, reactor: Any, settings: Settings, wants: Callable[[str, int], None]) -> None:
        self._bound = settings.bound
        self._drain_s = settings.limits.drain_s
        self.data_plane = plane = make_data_plane(settings, reactor, None)
        plane.ask_names = wants
        self._listeners = listeners = Listeners(
            reactor, plane.site, plane.secure_site, plane.statistics_site, plane.streams.doors
        )
        plane.streams.on_ports = listeners.share
        plane.on_secure = listeners.secure
        self.doors = Doors(listeners.open, listeners.serve, listeners.close)
        pass_over_unreadable_names()
        self._counting = LoopingCall(plane.counters)
        self._counting.clock = reactor

    def open(self) -> None:
        """
        See `Plane`.
        """
        for listener in self._bound:
            self._listeners.bind(listener)

    def begin_with(self, change: Change) -> None:
        """
        See `Plane`. Not by way of the publisher: what is durable is not read yet.
        """
        if change.certificates:
            self.data_plane.prepare(change).addCallback(lambda _: self.data_plane.commit(change.revision)).addErrback(
                lambda failure: log.error("certificates are not used: {why}", why=failure.getErrorMessage())
            )

    def start(self) -> Deferred[None]:
        """
        See `Plane`.
        """
        self._counting.start(COUNT_S, now=False)
        return succeed(None)

    @inlineCallbacks
    def stop(self) -> Generator[Deferred[Any], Any, None]:
        """
        See `Plane`.
        """
        yield self._listeners.stop()
        yield self.data_plane.drain(self._drain_s)
        if self._counting.running:
            self._counting.stop()

    def pids(self) -> tuple[int, ...]:
        """
        None: all is in this process.
        """
        return ()

    def verdicts(self, verdicts: Verdicts) -> None:
        """
        See `Plane`.
        """
        self.data_plane.verdicts(verdicts)

    def figures(self, publisher: Publisher, names: Members, servers: Servers) -> Figures:
        """
        The data plane itself: it is here.
        """
        return self.data_plane

    def clients(self) -> tuple[int, ...]:
        """
        See `Plane`.
        """
        return self.data_plane.clients()

    def left_out(self, key: Key, address: Address) -> int:
        """
        See `Plane`.
        """
        return self.data_plane.left_out(key, *address)

    def traffic(self) -> Iterator[Iterable[Key]]:
        """
        See `Plane`.
        """
        busy, self.data_plane.busy = self.data_plane.busy, set()
        yield busy

    def left(self, left: Left) -> Left:
        """
        Nothing more: see `not_upgradable`.
        """
        return left
