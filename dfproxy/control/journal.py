"""
What was accepted, durable: a change is on the disk before it is in force and its caller is told.

All steps on files are taken one after the other in another thread, so that a slow disk delays changes and nothing else.
A step that fails leaves the file as it was before; if even that cannot be had, nothing is recorded until it can. When
the file has grown to twice what is in force it is written anew beside itself, slice by slice, with recording going on
between the slices; only a whole new file takes the name of the old one.

Longer than most modules, but one thing: the file, and all that may go wrong with it.

What the lines mean is decided in `dfproxy.control.records`, what a step on a file is in `dfproxy.control.storage`.

Source: `design.md` 4 and 9; `fsync(2)` and what PostgreSQL learned of it in 2018: after a failed fsync nothing that was
not yet on the disk may be believed to be there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.control.records import Reader, Replayed, base, lines_of, replay
from dfproxy.control.steps import Run, Step, Steps
from dfproxy.control.storage import Storage
from dfproxy.errors import JournalError
from dfproxy.model.checks import Orders, with_orders
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change, Hold
from dfproxy.observe.prometheus import Measure, counter, gauge

log = Logger()

JOURNAL = "journal"
"""
The file.
"""

NEW = "journal.new"
"""
A new one while it is written.
"""

DAMAGED = "journal.damaged"
"""
The last one in which something was wrong, kept for whoever wants to look.
"""

GROWTH_BYTES = 1 << 20
"""
What a file may grow to whatever it holds, in bytes: a thousand definitions.
"""

GROWTH = 2
"""
How many times what is in force a file may grow to. Two means that each byte is written twice at most, on average.
"""

REFUSED_BYTES = 64 << 20
"""
Beyond `GROWTH`: from here on nothing more is recorded until the file could be written anew. A disk on which that fails
for so long needs somebody to look.
"""

CHANGE_BYTES = 64 << 20
"""
Largest change: four times the largest frame that a worker is sent.
"""

SLICE = 128
"""
Services in one step of writing anew: about 130 KiB, encoded in a millisecond.
"""

AGAIN_S = 30.0
"""
Pause in seconds after writing anew has failed.
"""

WORDS = {
    errno.ENOENT: "the state folder (--state-dir) is not there any more",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk is broken",
}
"""
What an operator is told; the system's own words for all others.
"""


class Journal:
    """
    The journal of one leader.

    Args:
        storage: the folder.
        clock: `IReactorTime`.
        run: how things that may block are done.
        by: which dfproxy this is, for the file.
        read: makes a service of its parameters and origin, for definitions that another version has written.
        growth_bytes: what a file may grow to whatever it holds.
        kept: a service as it may be written, should the file have another one; None: as it is.

    Attributes:
        replayed: what the file said when it was opened.
        trouble: why the last change could not be recorded; empty: it could.
    """

    def __init__(
        self,
        storage: Storage,
        clock: IReactorTime,
        run: Run,
        by: str = "",
        read: Reader | None = None,
        growth_bytes: int = GROWTH_BYTES,
        kept: Callable[[Service], Service] | None = None,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._run = run
        self._by = by
        self._read = read
        self._growth_bytes = growth_bytes
        self._kept = kept
        self.replayed = Replayed()
        self.trouble = ""
        self._services: dict[str, Service] = {}
        self._holds: dict[str, Hold] = {}
        self._orders: Orders = {}
        self._number = 0
        self._digest = ""
        self._handle: int | None = None
        self._size = 0  # up to here the file is what was acknowledged
        self._begun_size = 0  # of its base
        self._before = 0  # what it was before the last change
        self._suspect = False  # a sync has failed: nobody knows what of this file is on the disk
        self._unsound = False  # behind `_size` there may be something, or the name may not be on the disk
        self._steps = Steps(clock, run)
        self._since: list[bytes] | None = None  # recorded while the file is written anew
        self._again_at = 0.0
        self._stopped = False
        self._recorded = self._failed = self._renewed = 0
        self._took_s = 0.0

    # --- start -----------------------------------------------------------------------------------------------

    def open(self) -> Replayed:
        """
        Read what is there, mend it, and be ready to record. Blocks; to be called before the reactor runs.

        Raises:
            JournalError: it cannot be used.
        """
        try:
            return self._open()
        except OSError as error:
            raise JournalError(_words(error)) from error

    def _open(self) -> Replayed:
        storage = self._storage
        storage.remove(NEW)
        try:
            content = storage.read(JOURNAL)
        except FileNotFoundError:
            content = b""
        found = self.replayed = replay(content, self._read)
        self._services, self._holds, self._orders = dict(found.services), dict(found.holds), found.orders
        rewritten = self._rewrite()
        self._number, self._digest = found.revision, found.digest
        torn = len(content) - found.good_bytes
        if torn and found.good_bytes:
            log.warn("journal: the last {torn} bytes are a write that was cut short: left out", torn=torn)
        elif torn:
            # No journal begins with a write that was cut short: only a whole file gets its name.
            found.report(1, "is no journal")
        if content:
            self._handle = storage.append_to(JOURNAL)
            self._size, self._begun_size = found.good_bytes, found.live_bytes
            if torn and found.good_bytes:
                storage.cut(self._handle, self._size)
            # What is there now is what everything else is added to. Who wrote it may have died before its own sync.
            storage.sync(self._handle)
            storage.sync_folder()
        if found.damaged:
            self._keep_damaged(found)
        if not found.good_bytes:
            self._write_anew()
        elif found.damaged or found.by != self._by or rewritten:
            try:
                self._write_anew()
            except OSError as error:
                # The old one will do: it is read in the same way the next time.
                log.error("journal: it cannot be written anew: {reason}", reason=_words(error))
        return found

    def _rewrite(self) -> bool:
        """
        Have services as they may be written; whether the file has something that may not.
        """
        before = dict(self._services), dict(self._holds)
        if self._kept is None:
            return False
        self._services = {name: self._kept(service) for name, service in self._services.items()}
        self._holds = {name: replace(hold, against=self._kept(hold.against)) for name, hold in self._holds.items()}
        return before != (self._services, self._holds)

    def _keep_damaged(self, found: Replayed) -> None:
        """
        Say what is wrong, and keep the file for whoever wants to look.
        """
        for damage in found.damages:
            log.error("journal line {line}: {reason}; all others count", line=damage.line, reason=damage.reason)
        log.error("journal: {count} records are damaged; kept as {name}", count=found.damaged, name=DAMAGED)
        try:
            self._storage.link(JOURNAL, DAMAGED)
        except OSError as error:
            log.error("journal: the damaged one cannot be kept: {reason}", reason=_words(error))

    # --- recording -------------------------------------------------------------------------------------------

    def record(self, change: Change) -> Deferred[None]:
        """
        Make a change durable. One at a time, in the order of their revisions.

        Returns:
            Deferred: None once it is on the disk. Fails with `JournalError`; then it is not in the journal, unless it
            was cancelled while the disk did not answer and the process ends before it does.
        """
        if self._stopped:
            return fail(JournalError("dfproxy is stopping"))
        stuck_s = self._steps.stuck_s()
        if stuck_s:
            return self._not_recorded(JournalError(f"the disk has not answered for {stuck_s:.0f} s"))
        lines = lines_of(change)
        if len(lines) > CHANGE_BYTES:
            return fail(JournalError(f"the change has {len(lines)} bytes, the limit is {CHANGE_BYTES}"))
        if self._size + len(lines) > self._growth() + REFUSED_BYTES:
            self._renew_if_grown()
            return self._not_recorded(JournalError(f"the journal has grown to {self._size} bytes"))
        began = self._clock.seconds()
        step = self._steps.add(lambda: self._append(lines), first=True)

        def recorded(_: None) -> None:
            if step.left:
                # Who asked for it was told that it did not happen, so it must not have happened.
                self._size, self._unsound = self._before, True
                self._steps.add(self._mend, first=True).done.addErrback(self._unmended)
                return
            self._services.update({service.name: service for service in change.services})
            for name in change.removed:
                self._services.pop(name, None)
            self._orders = with_orders(self._orders, (*change.removed, *change.lifted), change.orders)
            for name in change.released:
                self._holds.pop(name, None)
            self._holds.update({hold.name: hold for hold in change.holds})
            self._number, self._digest = change.revision.number, change.revision.digest
            if self._since is not None:
                self._since.append(lines)
            self._recorded += 1
            self._took_s += self._clock.seconds() - began
            if self.trouble:
                log.info("journal: changes are recorded again")
                self.trouble = ""

        answer: Deferred[None] = Deferred(lambda _: self._leave(step))
        step.done.addCallback(recorded)
        step.done.addCallbacks(lambda _: self._renew_if_grown(), self._translated)
        step.done.addCallbacks(_unless_called(answer.callback, answer), _unless_called(answer.errback, answer))
        return answer

    def _leave(self, step: Step) -> None:
        """
        The caller does not wait any more.
        """
        self._steps.leave(step)
        self._failed += 1
        self._say("the disk does not answer")

    def _translated(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, OSError | JournalError):
            log.failure("recording broke", failure)
        reason = _words(error) if isinstance(error, OSError) else str(error)
        self._failed += 1
        self._say(reason)
        raise JournalError(f"cannot be made durable: {reason}") from error

    def _not_recorded(self, error: JournalError) -> Deferred[None]:
        self._failed += 1
        self._say(str(error))
        return fail(error)

    def _say(self, reason: str) -> None:
        """
        Each trouble is logged once, until it is over or another one.
        """
        if reason != self.trouble and not self.trouble:
            log.error("journal: changes are refused: {reason}", reason=reason)
        self.trouble = reason

    def _append(self, lines: bytes) -> None:
        """
        In the other thread.
        """
        self._storage.keep_locked()
        if self._unsound:
            self._mend()
        handle, storage = self._open_handle(), self._storage
        if not storage.names(handle, JOURNAL):
            self._unsound = True
            self._write_anew()
            handle = self._open_handle()
        self._before = self._size
        try:
            storage.write(handle, lines)
            self._sync(handle)
        except OSError:
            self._unsound = True
            try:
                self._mend()
            except OSError:  # the next one begins with it
                log.debug("the journal is not mended yet")
            raise
        self._size += len(lines)

    def _mend(self) -> None:
        """
        In the other thread: nothing is behind what was acknowledged, and all of that is on the disk.
        """
        handle, storage = self._open_handle(), self._storage
        storage.cut(handle, self._size)
        self._sync(handle)
        storage.sync_folder()
        self._unsound = False

    def _sync(self, handle: int) -> None:
        try:
            self._storage.sync(handle)
        except OSError:
            self._suspect = True
            raise

    def _unmended(self, failure: Failure) -> None:
        """
        The next change begins with it.
        """
        log.error("journal: not mended yet: {reason}", reason=failure.getErrorMessage())

    def _open_handle(self) -> int:
        if self._handle is None:
            raise JournalError("it is closed")
        return self._handle

    # --- writing anew ----------------------------------------------------------------------------------------

    def _growth(self) -> int:
        return max(self._growth_bytes, GROWTH * self._begun_size)

    def _renew_if_grown(self) -> None:
        if self._since is not None or self._clock.seconds() < self._again_at:
            return
        if self._suspect or self._size > self._growth():
            self._renew().addErrback(lambda failure: log.failure("writing the journal anew broke", failure))

    @inlineCallbacks
    def _renew(self) -> Generator[Deferred[Any], Any, None]:
        """
        Write the file anew, recording going on.
        """
        self._since = []
        pieces = self._base()
        written: list[int] = []  # the handle
        sizes: list[int] = []

        def write(piece: bytes) -> None:
            if not written:
                written.append(self._storage.create(NEW))
            self._storage.write(written[0], piece)
            # Little by little: a sync of everything at the end would hold up those who record meanwhile.
            self._storage.sync(written[0])
            sizes.append(len(piece))

        def finish() -> None:
            since = b"".join(self._since or ())
            if since:
                write(since)
            self._take_over(written.pop(), sum(sizes), sum(sizes) - len(since))

        def give_up() -> None:
            if written:
                self._storage.close(written.pop())
            self._storage.remove(NEW)

        try:
            for piece in pieces:
                if self._stopped:
                    raise JournalError("dfproxy is stopping")
                yield self._steps.add(partial(write, piece)).done
            yield self._steps.add(finish).done
            self._renewed += 1
        except (OSError, JournalError) as error:
            self._again_at = self._clock.seconds() + AGAIN_S
            log.warn("journal: it cannot be written anew: {reason}", reason=_words(error))
            yield self._steps.add(give_up).done.addErrback(lambda _: None)
        finally:
            self._since = None

    def _base(self) -> Iterable[bytes]:
        services, holds = tuple(self._services.values()), tuple(self._holds.values())
        orders = tuple(order for of_one in self._orders.values() for order in of_one.values())
        return base(services, self._number, self._digest, self._by, SLICE, holds, orders)

    def _write_anew(self) -> None:
        """
        Write the file anew, all at once.
        """
        storage = self._storage
        content = b"".join(self._base())
        handle = storage.create(NEW)
        try:
            storage.write(handle, content)
            storage.sync(handle)
        except OSError:
            storage.close(handle)
            raise
        self._take_over(handle, len(content), len(content))

    def _take_over(self, handle: int, size: int, begun_size: int) -> None:
        """
        A new file, all on the disk, becomes the journal.
        """
        try:
            self._storage.rename(NEW, JOURNAL)
        except OSError:
            self._storage.close(handle)
            raise
        former, self._handle, self._suspect = self._handle, handle, False
        self._size, self._begun_size = size, begun_size
        # Until the name is on the disk the former file may come back, so nothing may be added before.
        self._unsound = True
        if former is not None:
            self._storage.close(former)
        self._storage.sync_folder()
        self._unsound = False

    # --- the end ---------------------------------------------------------------------------------------------

    def stop(self) -> Deferred[None]:
        """
        Let what is under way end, and close the file.

        Returns:
            Deferred: None when no step is under way. Never fails.
        """
        self._stopped = True
        return self._steps.idle().addCallback(self._close)

    def _close(self, _: None) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            try:
                self._storage.close(handle)
            except OSError as error:
                log.warn("journal: {reason}", reason=_words(error))

    # --- metrics ---------------------------------------------------------------------------------------------

    def measures(self) -> Iterable[Measure]:
        """
        How recording goes, for `/metrics`.
        """
        took = (("_sum", round(self._took_s, 4)), ("_count", float(self._recorded)))
        return (
            gauge("dfproxy_journal_bytes", "Size of the journal.", self._size),
            gauge("dfproxy_journal_damaged_records", "Records damaged when it was read.", self.replayed.damaged),
            gauge("dfproxy_journal_trouble", "1: changes cannot be recorded.", float(bool(self.trouble))),
            counter("dfproxy_journal_failures_total", "Changes that could not be recorded.", self._failed),
            counter("dfproxy_journal_rewrites_total", "Times it was written anew.", self._renewed),
            Measure("dfproxy_journal_record_seconds", "summary", "From a change to its fsync.", took),
        )


def _words(error: BaseException) -> str:
    """
    Why, for an operator.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return WORDS.get(error.errno, os.strerror(error.errno))
    return str(error)


def _unless_called(call: Callable[[Any], None], answer: Deferred[None]) -> Callable[[Any], None]:
    def told(result: Any) -> None:
        if not answer.called:
            call(result)

    return told
