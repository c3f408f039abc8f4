"""
What discovery knew, kept in a file for the next start: addresses of names, and what swarm listeners have listed.

Best effort: nothing waits for it, it is written now and then and not synced, and one that cannot be read is as good as
none. What must not be lost is in the journal.

Source: `design.md` 4: the last known memberships are kept for a cold start without DNS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.control.steps import Run
from dfproxy.control.storage import Storage

log = Logger()

FILE = "names"
"""
The file.
"""

WRITE_S = 10.0
"""
Seconds between two looks whether there is something new to write.
"""

STOP_S = 2.0
"""
How long the end waits for the last writing, in seconds.
"""

LIMIT_BYTES = 16 << 20
"""
Largest file that is believed: twenty times the names of ten thousand services.
"""


class Known(msgspec.Struct, frozen=True):
    """
    What is kept.

    Attributes:
        addresses: of each name.
        listed: names that swarm listeners have listed.
    """

    addresses: dict[str, tuple[str, ...]] = {}
    listed: tuple[str, ...] = ()


class Remembered:
    """
    The file.

    Args:
        storage: the folder.
        clock: `IReactorTime`.
        run: how things that may block are done.
        version: grows when there may be something new.
        known: what is to be kept now.
    """

    def __init__(
        self, storage: Storage, clock: IReactorTime, run: Run, version: Callable[[], object], known: Callable[[], Known]
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._run = run
        self._version = version
        self._known = known
        self._written: object = None
        self._trouble = ""
        self._writing = False
        self._looking = LoopingCall(self._write)
        self._looking.clock = clock

    def read(self) -> Known:
        """
        What was kept; nothing if it cannot be read. Blocks; to be called before the reactor runs.
        """
        try:
            content = self._storage.read(FILE)
            if len(content) > LIMIT_BYTES:
                raise ValueError(f"it has {len(content)} bytes")
            return msgspec.json.decode(content, type=Known)
        except FileNotFoundError:
            return Known()
        except (OSError, ValueError) as error:
            log.warn("the last known names cannot be read: {reason}", reason=str(error))
            return Known()

    def start(self) -> None:
        """
        Write it now and then.
        """
        self._written = self._version()
        self._looking.start(WRITE_S, now=False)

    def stop(self) -> Deferred[None]:
        """
        Write it once more.

        Returns:
            Deferred: None when that is done. Never fails.
        """
        if not self._looking.running:
            return succeed(None)
        self._looking.stop()
        return self._write().addTimeout(STOP_S, self._clock).addErrback(self._failed)

    def _write(self) -> Deferred[None]:
        version = self._version()
        if version == self._written or self._writing:
            return succeed(None)
        content = msgspec.json.encode(self._known())

        def write() -> None:
            handle = self._storage.create(f"{FILE}.new")
            try:
                self._storage.write(handle, content)
            finally:
                self._storage.close(handle)
            self._storage.rename(f"{FILE}.new", FILE)

        def over(result: Any) -> Any:
            self._writing = False
            return result

        def written(_: Any) -> None:
            self._written, self._trouble = version, ""

        self._writing = True
        return self._run(write).addBoth(over).addCallbacks(written, self._failed)

    def _failed(self, failure: Failure) -> None:
        reason = failure.getErrorMessage()
        if reason != self._trouble:
            log.warn("the last known names cannot be kept: {reason}", reason=reason)
        self._trouble = reason
