"""
What an upgrade needs of the daemon: whether there can be one, what the next version must not lose, how this one comes
to rest before it, and what it leaves. How the next version is proved and executed is in `dfproxy.workers.succession`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dfproxy import __version__
from dfproxy.control.publisher import Publisher
from dfproxy.control.statefolder import StateFolder
from dfproxy.daemon.apiport import ApiPort
from dfproxy.daemon.plane import Plane
from dfproxy.daemon.readiness import Phase
from dfproxy.discovery.remembered import Remembered
from dfproxy.workers.heritage import Command, Left
from dfproxy.workers.succession import Proof

log = Logger()

SETTLE_S = 10.0
"""
How long calls of the API and changes under way may hold up an upgrade, in seconds.
"""

SETTLE_LOOK_S = 0.01
"""
How often they are looked at meanwhile, in seconds.
"""

NAMED = 10
"""
Names that a refusal lists.
"""

WHY_NOT = {
    Phase.STARTING: "the start is not over yet",
    Phase.SERVING: "",
    Phase.ENDING: "it was told to end",
}


class Upgrading:
    """
    The daemon as `dfproxy.workers.succession.Succession` sees it.

    Args:
        clock: where time comes from.
        plane: the data plane.
        api: the port of the API.
        publisher: the one door.
        state: what is durable; None: nothing is.
        remembered: what is written down besides; None: nothing is.
        phase: where our life is.
        quarantined: services that could not be loaded, with the reason.
    """

    def __init__(
        self,
        clock: IReactorTime,
        plane: Plane,
        api: ApiPort,
        publisher: Publisher,
        state: StateFolder | None,
        remembered: Remembered | None,
        phase: Callable[[], Phase],
        quarantined: Callable[[], Mapping[str, str]],
    ) -> None:
        self._clock = clock
        self._plane = plane
        self._api = api
        self._publisher = publisher
        self._state = state
        self._remembered = remembered
        self._phase = phase
        self._quarantined = quarantined

    def impossible(self) -> str:
        """
        Why there can be no upgrade now; empty: there can.
        """
        if self._plane.not_upgradable:
            return self._plane.not_upgradable
        if self._state is None:
            return "without --state-dir what was published would be lost"
        return WHY_NOT[self._phase()]

    def missing(self, proof: Proof) -> str:
        """
        What the new version would not serve although we do; empty: nothing.
        """
        snapshot = self._publisher.snapshot
        lost = sorted(snapshot.services.keys() - set(proof.services))
        lost += sorted(proof.quarantined.keys() & snapshot.services.keys() - self._quarantined().keys())
        if lost:
            why = next((f": {proof.quarantined[name]}" for name in lost if name in proof.quarantined), "")
            return f"the new version cannot take up {', '.join(lost[:NAMED])}{why}"
        hidden = sorted(snapshot.certificates.keys() - set(proof.certificates))
        return f"certificates cannot be read any more: {', '.join(hidden[:NAMED])}" if hidden else ""

    @inlineCallbacks
    def settle(self) -> Generator[Deferred[Any], Any, None]:
        """
        No new call is taken: the successor does, from the same queue. Calls and changes under way have some time.
        """
        self._api.pause()
        until = self._clock.seconds() + SETTLE_S
        while (self._api.is_busy or self._publisher.is_busy) and self._clock.seconds() < until:
            yield deferLater(self._clock, SETTLE_LOOK_S)
        self._api.close_connections()
        if self._remembered is not None:
            yield self._remembered.stop()

    def resume(self) -> None:
        """
        Nothing came of it: go on.
        """
        self._api.resume()
        if self._remembered is not None:
            self._remembered.start()

    def left(self, command: Command) -> Left:
        """
        All that the successor gets.
        """
        lock = -1 if self._state is None else self._state.folder.lock_handle
        return self._plane.left(Left(os.getpid(), __version__, command, self._api.doors(), lock))


def give_log(file: str, owner: tuple[int, int]) -> None:
    """
    Let a log of ours belong to whom we shall be: twistd has opened it as root, and an upgrade opens it again.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid():
                os.fchown(descriptor, *owner)
        finally:
            os.close(descriptor)
    except OSError as error:
        log.warn("{file} stays as it is, so there can be no upgrade: {why}", file=file, why=error.strerror)


def remove_pid_file(left: Left | None) -> None:
    """
    At the end, remove the pid file of the version that began: after an upgrade twistd does not know of it.

    Args:
        left: what the version before has left; None: there was none, and twistd sees to it.
    """
    if left is None or not left.command.pid_file:
        return
    try:
        # As twistd does: it cannot be another one's, since nobody starts with ours there.
        Path(left.command.pid_file).unlink(missing_ok=True)
    except OSError as error:
        log.warn("{file} is not removed: {why}", file=left.command.pid_file, why=error.strerror)
