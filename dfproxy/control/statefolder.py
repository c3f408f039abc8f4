"""
The state folder of one leader: made, locked, its journal read at start and written from then on.

A folder that cannot be used is a fault of the options: said in one line at start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from dfproxy import __version__
from dfproxy.control.journal import JOURNAL, Journal
from dfproxy.control.passwords import Passwords
from dfproxy.control.records import Reader, Replayed, replay
from dfproxy.control.storage import Folder
from dfproxy.errors import InvalidSettings, JournalError, Problem
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change
from dfproxy.observe.prometheus import Measure

log = Logger()

OPTION = "--state-dir"

STOP_S = 5.0
"""
How long the end waits for a step that is under way, in seconds: a disk that hangs must not keep us from ending.
"""


class StateFolder:
    """
    What must survive a restart.

    Args:
        path: of the folder.
        reactor: with threads and time.
        read: makes a service of its parameters and origin.
        owner: user and group that we shall be once we serve; None: those that we are.

    Attributes:
        folder: its files.
    """

    def __init__(self, path: str, reactor: Any, read: Reader, owner: tuple[int, int] | None = None) -> None:
        self._path = path
        self._reactor = reactor
        self._owner = owner
        self._read = read
        self.folder = Folder(path)
        self._passwords = Passwords(self.in_thread)
        self._journal = Journal(
            self.folder, reactor, self.in_thread, f"dfproxy {__version__}", read, kept=self._passwords.hashed
        )

    def in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        """
        Do something that may block.
        """
        done: Deferred[Any] = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)
        return done

    def claim(self) -> None:
        """
        Make the folder and lock it. To be called while privileged.

        Raises:
            InvalidSettings: it cannot be used, or another leader uses it.
        """
        try:
            self.folder.prepare(self._owner)
            self.folder.lock(self._owner)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        except JournalError as error:
            raise self._unusable(str(error)) from error

    def take_over(self, lock: int) -> None:
        """
        The leader before us in this process has the folder locked; instead of `claim`.
        """
        try:
            self.folder.take_over(lock)
        except OSError as error:
            log.warn("the lock of {folder} is not taken over: {why}", folder=self._path, why=error.strerror)

    def look(self) -> Replayed:
        """
        Read what would be in force if we started now; nothing is touched or mended.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return replay(self.folder.read(JOURNAL), self._read)
        except FileNotFoundError:
            return Replayed()

    def open(self) -> Replayed:
        """
        Read what was in force. To be called as the user who serves, before the reactor runs.

        Raises:
            InvalidSettings: it cannot be used.
        """
        self.claim()
        try:
            found = self._journal.open()
            private = self.folder.is_private
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        except JournalError as error:
            raise self._unusable(f"the journal cannot be used: {error}") from error
        if not private:
            log.warn("{folder} is open to others: its files are not, but chmod 700 is better", folder=self._path)
        if found.revision:
            log.info(
                "revision {number} with {count} services is taken up again",
                number=found.revision,
                count=len(found.services),
            )
        return found

    def record(self, change: Change) -> Deferred[None]:
        """
        See `Journal.record`. Passwords given in plain are written as hashes.
        """
        return self._passwords.kept(change).addCallback(self._journal.record)

    def recognise(self, pairs: list[tuple[Service, Service]]) -> Deferred[list[bool]]:
        """
        Which services are those that were kept, given again with plain passwords: see `Passwords.recognised`.
        """
        return self._passwords.recognised(pairs)

    def measures(self) -> Iterable[Measure]:
        """
        See `Journal.measures`.
        """
        return self._journal.measures()

    def stop(self) -> Deferred[None]:
        """
        Close the journal and let others use the folder. Never fails.
        """
        stopped = self._journal.stop()
        stopped.addTimeout(STOP_S, self._reactor)
        stopped.addErrback(lambda _: log.error("the disk does not answer: the journal is left open"))
        return stopped.addCallback(lambda _: self.folder.unlock())

    def _unusable(self, reason: str) -> InvalidSettings:
        return InvalidSettings((Problem(OPTION, self._path, reason),))
