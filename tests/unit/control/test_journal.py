"""
Nothing acknowledged is lost: whatever step of writing fails, and whichever is the last before the power goes.

Long, but one thing: every case needs the same script of changes and the same disk.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.digests import digest
from dfproxy.control.journal import AGAIN_S, CHANGE_BYTES, DAMAGED, GROWTH_BYTES, JOURNAL, NEW, REFUSED_BYTES, Journal
from dfproxy.control.publisher import RECORD_S, Publisher
from dfproxy.errors import JournalError
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change, Hold, Revision
from tests.unit.control.disk import SURVIVALS, Disk, PowerCut
from tests.unit.control.test_publisher import Names, Plane, service

State = dict[str, Service]

BY = "dfproxy test"


def change(number: int, *services: Service, removed: tuple[str, ...] = ()) -> Change:
    return Change(Revision(number, f"{number:032x}"), services, removed)


SCRIPT = (
    change(1, service("a")),
    change(2, service("b"), service("c")),
    change(3, service("a", 81), removed=("b",)),
    change(4, removed=("a",)),
    change(5, service("d"), service("a", 82)),
    change(6, service("c", 83)),
    change(7, service("e")),
    change(8, service("e", 84), removed=("d",)),
)
"""
Eight changes, of which some make others obsolete.
"""


def after(changes: int) -> State:
    """
    What is in force after so many changes of the script.
    """
    state: State = {}
    for one in SCRIPT[:changes]:
        for name in one.removed:
            del state[name]
        state.update({each.name: each for each in one.services})
    return state


STATES = [after(count) for count in range(len(SCRIPT) + 1)]


class JournalCase(SynchronousTestCase):
    """
    Journals on a disk in memory; steps are done at once.
    """

    def setUp(self) -> None:
        self.clock = Clock()

    def journal(self, disk: Disk, growth_bytes: int = GROWTH_BYTES, by: str = BY) -> Journal:
        return Journal(disk, self.clock, lambda work: maybeDeferred(work), by, growth_bytes=growth_bytes)

    def opened(self, disk: Disk, growth_bytes: int = GROWTH_BYTES) -> Journal:
        journal = self.journal(disk, growth_bytes)
        journal.open()
        return journal

    def record(self, journal: Journal, one: Change) -> str:
        """
        Record a change.

        Returns:
            Why it was not recorded; empty: it was.
        """
        results: list[Any] = []
        journal.record(one).addBoth(results.append)
        (result,) = results
        if result is None:
            return ""
        result.trap(JournalError)
        return str(result.value)

    def survivors(self, disk: Disk, kept: tuple[State, ...], number: int | None = None) -> None:
        """
        Whatever a crash leaves of what was not synced, the next start has one of these states, and goes on from it.
        """
        for survival in SURVIVALS:
            left = disk.crashed(survival)
            journal = self.journal(left)
            found = journal.open()
            self.assertIn(found.services, kept, survival)
            self.assertEqual(found.damaged, 0, survival)
            if number is not None:
                self.assertEqual(found.revision, number)
            self.assertEqual(self.record(journal, change(found.revision + 1, service("later"))), "")
            again = self.opened(left.crashed("synced")).replayed
            self.assertEqual(again.services, {**found.services, "later": service("later")})


class PlainTests(JournalCase):
    """
    What everybody expects.
    """

    def test_survives(self) -> None:
        """
        What was recorded is there after a start, with the number and the digest of its revision.
        """
        disk = Disk()
        journal = self.opened(disk)
        for count, one in enumerate(SCRIPT, 1):
            self.assertEqual(self.record(journal, one), "")
            found = self.opened(disk.crashed("synced")).replayed
            self.assertEqual(found.services, STATES[count])
            self.assertEqual((found.revision, found.digest), (count, f"{count:032x}"))

    def test_holds(self) -> None:
        """
        Holds survive a start and that the file is written anew, until they end.
        """
        disk, hold = Disk(), Hold("a", service("a", 9), 4)
        journal = self.opened(disk, growth_bytes=1)
        held = Change(Revision(1, "1"), (service("a"),), holds=(hold, Hold("b", service("b"), 4)))
        self.assertEqual(self.record(journal, held), "")
        self.assertEqual(self.record(journal, Change(Revision(2, "2"), released=("b",))), "")
        for number in range(3, 20):
            self.assertEqual(self.record(journal, change(number, service("c", number))), "")
        self.assertGreater(disk.taken.count("rename"), 1)
        self.assertEqual(self.opened(disk.crashed("synced")).replayed.holds, {"a": hold})
        self.assertEqual(self.record(journal, Change(Revision(20, "20"), released=("a",))), "")
        self.assertEqual(self.opened(disk.crashed("synced")).replayed.holds, {})

    def test_what_may_not_be_written(self) -> None:
        """
        What a former version has written and this one may not is gone from the file with the first start.
        """
        disk = Disk()
        self.record(self.opened(disk), change(1, service("a", 1111), service("b")))
        allowed = lambda one: service(one.name, 80)  # noqa: E731  short
        self.assertIn(b"1111", disk.names_[JOURNAL].synced)
        for port in (1111, 80):
            journal = Journal(disk, self.clock, maybeDeferred, BY, kept=allowed)
            self.assertEqual(journal.open().services["a"], service("a", port))
        self.assertEqual(disk.taken.count("rename"), 2)
        self.assertNotIn(b"1111", disk.names_[JOURNAL].synced)
        self.assertEqual(self.opened(disk.crashed("synced")).replayed.services, {"a": service("a"), "b": service("b")})

    def test_one_write(self) -> None:
        """
        A batch costs one write and one sync, however many services it has.
        """
        disk = Disk()
        journal = self.opened(disk)
        disk.taken.clear()
        self.assertEqual(self.record(journal, change(1, *(service(f"s{n}") for n in range(500)))), "")
        self.assertEqual(disk.taken, ["write", "sync"])

    def test_synced_before_answer(self) -> None:
        """
        The answer waits for the sync: it is not there while the sync is under way.
        """
        waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

        def run(work: Callable[[], Any]) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            waiting.append((work, done))
            return done

        disk = Disk()
        journal = Journal(disk, self.clock, run, BY)
        journal.open()
        answer = journal.record(SCRIPT[0])
        self.assertNoResult(answer)
        ((work, done),) = waiting
        work()
        self.assertEqual(disk.taken[-1], "sync")
        self.assertNoResult(answer)
        done.callback(None)
        self.successResultOf(answer)

    def test_mark(self) -> None:
        """
        A change of what is kept elsewhere, such as certificates, counts on the revision.
        """
        disk = Disk()
        journal = self.opened(disk)
        self.assertEqual(self.record(journal, SCRIPT[0]), "")
        self.assertEqual(self.record(journal, change(2)), "")
        self.survivors(disk, (STATES[1],), 2)

    def test_too_large(self) -> None:
        """
        A change that is larger than any can be is refused, and the journal is as before.
        """
        disk = Disk()
        journal = self.opened(disk)
        huge = service("x" * (CHANGE_BYTES // 2))
        self.assertIn("the limit is", self.record(journal, change(1, huge)))
        self.assertEqual(self.record(journal, SCRIPT[0]), "")

    def test_stop(self) -> None:
        """
        After the end nothing is recorded any more, and no file is open.
        """
        disk = Disk()
        journal = self.opened(disk)
        self.record(journal, SCRIPT[0])
        self.successResultOf(journal.stop())
        self.successResultOf(journal.stop())
        self.assertEqual(disk.open_files, {})
        self.assertIn("stopping", self.record(journal, SCRIPT[1]))

    def test_removed_file(self) -> None:
        """
        Somebody removes the file of a running proxy: the next change writes all of it again.
        """
        disk = Disk()
        journal = self.opened(disk)
        for one in SCRIPT[:3]:
            self.record(journal, one)
        disk.names_.clear()
        disk.synced_names.clear()
        self.assertEqual(self.record(journal, SCRIPT[3]), "")
        self.survivors(disk, (STATES[4],), 4)

    def test_measures(self) -> None:
        """
        Its size, how often and how long it recorded, and what went wrong stand in the metrics.
        """
        disk = Disk()
        journal = self.opened(disk)
        self.record(journal, SCRIPT[0])
        disk.fails = lambda number, what: errno.ENOSPC
        self.record(journal, SCRIPT[1])
        found = {measure.name: dict(measure.samples) for measure in journal.measures()}
        self.assertEqual(found["dfproxy_journal_bytes"][""], len(disk.names_[JOURNAL].synced))
        self.assertEqual(found["dfproxy_journal_failures_total"][""], 1)
        self.assertEqual(found["dfproxy_journal_trouble"][""], 1)
        self.assertEqual(found["dfproxy_journal_record_seconds"]["_count"], 1)


class PowerTests(JournalCase):
    """
    Each step is once the last one.
    """

    def run_until_dark(self, disk: Disk, growth_bytes: int) -> int:
        """
        Returns:
            How many changes were acknowledged.
        """
        acknowledged = 0
        journal = self.journal(disk, growth_bytes)
        try:
            journal.open()
        except PowerCut:
            return 0
        for one in SCRIPT:
            results: list[Any] = []
            journal.record(one).addBoth(results.append)
            if results != [None]:
                break
            acknowledged += 1
        self.flushLoggedErrors(PowerCut)
        return acknowledged

    def test_every_step(self) -> None:
        """
        The power goes during any step of starting, recording or writing anew, with or without the effect of that step:
        the next start has all that was acknowledged, and at most the one change more that was under way.
        """
        for growth_bytes in (GROWTH_BYTES, 400):
            whole = Disk()
            self.assertEqual(self.run_until_dark(whole, growth_bytes), len(SCRIPT))
            self.assertEqual("rename" in whole.taken[6:], growth_bytes == 400)
            for last in range(1, len(whole.taken) + 1):
                for happens in (False, True):
                    disk = Disk(last=last, last_happens=happens)
                    acknowledged = self.run_until_dark(disk, growth_bytes)
                    self.survivors(disk, tuple(STATES[acknowledged : acknowledged + 2]))

    def test_killed(self) -> None:
        """
        A process that is killed loses nothing that it has written, and its successor syncs it before building on it.
        """
        disk = Disk(last=10)
        self.run_until_dark(disk, GROWTH_BYTES)
        left = Disk(disk.names_, disk.synced_names)
        found = self.opened(left).replayed
        self.assertEqual(self.opened(left.crashed("synced")).replayed.services, found.services)


class FailureTests(JournalCase):
    """
    Steps that fail, while the process lives on.
    """

    def test_every_step(self) -> None:
        """
        Any step fails, alone or with those after it: the caller is told, what is in force stays, the next call works
        when there is room again, and a start finds exactly what was acknowledged.
        """
        for growth_bytes in (GROWTH_BYTES, 400):
            whole = Disk()
            journal = self.opened(whole, growth_bytes)
            opening = len(whole.taken)
            for one in SCRIPT:
                self.record(journal, one)
            for first in range(opening + 1, len(whole.taken) + 1):
                for count in (1, 2, 3, 5):
                    self.fail_steps(range(first, first + count), growth_bytes)

    def fail_steps(self, steps: range, growth_bytes: int) -> None:
        disk = Disk(fails=lambda number, what: errno.ENOSPC if number in steps else 0)
        journal = self.opened(disk, growth_bytes)
        state: State = {}
        number = 0
        for one in SCRIPT:
            wanted = Change(Revision(number + 1, one.revision.digest), one.services, one.removed)
            for _ in range(len(steps) + 1):
                refused = self.record(journal, wanted)
                if not refused:
                    break
                self.assertIn("the disk is full", refused)
                if disk.crashed("synced").names_:
                    self.assertEqual(self.opened(disk.crashed("synced")).replayed.services, state)
            self.assertEqual(refused, "", steps)
            self.assertEqual(journal.trouble, "")
            number += 1
            for name in one.removed:
                del state[name]
            state.update({each.name: each for each in one.services})
            self.clock.advance(AGAIN_S)
        self.survivors(disk, (state,), number)

    def test_failed_change_is_gone(self) -> None:
        """
        A change that was refused since its sync failed does not come back by a start, though its bytes were written.
        """
        for failing in ("write", "sync"):
            disk = Disk()
            journal = self.opened(disk)
            self.record(journal, SCRIPT[0])
            once = [failing]
            disk.fails = lambda number, what, once=once: errno.EIO if what in once and once.pop() else 0  # type: ignore[misc]  # mypy knows no lambda with a bound default
            self.assertIn("the disk is broken", self.record(journal, SCRIPT[1]))
            self.survivors(disk, (STATES[1],), 1)

    def test_failed_sync_is_not_believed(self) -> None:
        """
        After a failed sync nobody knows what of the file is on the disk: it is written anew as soon as that works.
        """
        disk = Disk()
        journal = self.opened(disk)
        self.record(journal, SCRIPT[0])
        once = ["sync"]
        disk.fails = lambda number, what: errno.EIO if what in once and once.pop() else 0
        self.record(journal, SCRIPT[1])
        before = disk.names_[JOURNAL]
        self.assertEqual(self.record(journal, SCRIPT[1]), "")
        self.assertIsNot(disk.names_[JOURNAL], before)
        self.survivors(disk, (STATES[2],), 2)

    def test_words(self) -> None:
        """
        The operator reads what is wrong with the disk.
        """
        for number, words in ((errno.ENOSPC, "is full"), (errno.EROFS, "read-only"), (errno.EPERM, "not permitted")):
            disk = Disk()
            journal = self.opened(disk)
            disk.fails = lambda _, what, number=number: number  # type: ignore[misc]  # mypy knows no lambda with a bound default
            self.assertIn(words, self.record(journal, SCRIPT[0]))
            self.assertIn(words, journal.trouble)

    def test_start_fails(self) -> None:
        """
        A folder in which no journal can be begun is an error at start; the next start is as if nothing had been.
        """
        whole = Disk()
        self.opened(whole)
        for failing in range(1, len(whole.taken) + 1):
            disk = Disk(fails=lambda number, what, failing=failing: errno.ENOSPC if number == failing else 0)  # type: ignore[misc]  # mypy knows no lambda with a bound default
            with self.assertRaises(JournalError):
                self.journal(disk).open()
            self.survivors(disk, ({},), 0)


class HangingTests(JournalCase):
    """
    A disk that does not answer.
    """

    def setUp(self) -> None:
        super().setUp()
        self.disk = Disk()
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.hangs = False

        def run(work: Callable[[], Any]) -> Deferred[Any]:
            if not self.hangs:
                return maybeDeferred(work)
            done: Deferred[Any] = Deferred()
            self.waiting.append((work, done))
            return done

        self.log = Journal(self.disk, self.clock, run, BY)
        self.log.open()
        self.plane = Plane()
        self.publisher = Publisher(self.plane, Names(), self.clock, self.log.record)

    def answer(self) -> None:
        """
        The disk answers after all.
        """
        self.hangs = False
        work, done = self.waiting.pop()
        work()
        done.callback(None)

    def test_time_limit(self) -> None:
        """
        The change is refused after some seconds, what is in force stays, and those who come then are refused at once;
        when the disk answers the refused change is taken out again, and the next one goes through.
        """
        self.successResultOf(self.publisher.publish((service("a"),)))
        self.hangs = True
        answer = self.publisher.publish((service("b"),))
        self.clock.advance(RECORD_S - 0.1)
        self.assertNoResult(answer)
        self.clock.advance(0.2)
        error = self.failureResultOf(answer, JournalError).value
        self.assertIn("has not answered within 10 s", str(error))
        self.assertEqual(list(self.publisher.snapshot.services), ["a"])
        self.assertEqual(self.plane.calls[-1], "abort 2")
        self.clock.advance(1)
        self.failureResultOf(self.publisher.publish((service("c"),)), JournalError)
        self.assertEqual(len(self.waiting), 1)
        self.answer()
        self.assertEqual(list(self.opened(self.disk.crashed("written")).replayed.services), ["a"])
        self.assertEqual(self.successResultOf(self.publisher.publish((service("d"),))).number, 2)
        self.assertEqual(list(self.opened(self.disk.crashed("synced")).replayed.services), ["a", "d"])

    def test_never_begun(self) -> None:
        """
        A change that waited for a hanging step of something else is simply not made.
        """
        self.hangs = True
        self.log._steps.add(lambda: None)
        answer = self.publisher.publish((service("a"),))
        self.clock.advance(RECORD_S + 0.1)
        self.failureResultOf(answer, JournalError)
        self.answer()
        self.assertEqual(self.opened(self.disk.crashed("written")).replayed.services, {})
        self.successResultOf(self.publisher.publish((service("b"),)))


class RenewalTests(JournalCase):
    """
    The file is written anew when it has grown.
    """

    def test_bounded(self) -> None:
        """
        However often one service changes, the file stays small, and holds the last definition.
        """
        disk = Disk()
        journal = self.opened(disk, 2000)
        largest = 0
        for number in range(1, 301):
            self.assertEqual(self.record(journal, change(number, service("a", number))), "")
            largest = max(largest, len(disk.names_[JOURNAL].written))
        self.assertLess(largest, 3000)
        self.assertNotIn(NEW, disk.names_)
        self.survivors(disk, ({"a": service("a", 300)},), 300)

    def test_goes_on_recording(self) -> None:
        """
        Changes that come while it is written anew are in the new file, too; each waits for one slice at most.
        """
        waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

        def run(work: Callable[[], Any]) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            waiting.append((work, done))
            return done

        def one_step() -> None:
            work, done = waiting.pop(0)
            done.callback(work())

        disk = Disk()
        journal = Journal(disk, self.clock, run, BY, growth_bytes=1000)
        journal.open()
        many = tuple(service(f"s{number}") for number in range(1000))
        first = journal.record(change(1, *many))
        one_step()
        self.successResultOf(first)
        self.assertEqual(len(waiting), 1)
        number = 1
        while waiting:
            one_step()
            if number < 6 and waiting:
                number += 1
                answer = journal.record(change(number, service(f"new{number}")))
                one_step()  # the slice that was under way
                if not answer.called:
                    one_step()
                self.successResultOf(answer)
        self.assertEqual(number, 6)
        found = self.opened(disk.crashed("synced")).replayed
        self.assertEqual(len(found.services), 1005)
        self.assertEqual((found.revision, found.damaged, found.lines), (6, 0, 1 + 1000 + 5))

    def test_refused_when_never_renewed(self) -> None:
        """
        A file that cannot be written anew for so long that it would fill the disk takes nothing more.
        """
        disk = Disk()
        journal = self.opened(disk, 1000)
        disk.fails = lambda number, what: errno.EACCES if what == "create" else 0
        big = "x" * (REFUSED_BYTES // 16)  # stands four times in its record
        refusals = [self.record(journal, change(n, service("a" + big, n))) for n in range(1, 6)]
        self.assertEqual(refusals[0], "")
        self.assertIn("has grown", refusals[-1])
        disk.fails = lambda number, what: 0
        self.clock.advance(AGAIN_S)
        self.record(journal, change(4, service("b")))
        self.assertEqual(self.record(journal, change(4, service("b"))), "")


class DamageTests(JournalCase):
    """
    What is wrong with a file that is found.
    """

    def setUp(self) -> None:
        super().setUp()
        disk = Disk()
        journal = self.opened(disk)
        for one in SCRIPT[:3]:
            self.record(journal, one)
        self.content = disk.names_[JOURNAL].written

    def found(self, content: bytes) -> tuple[Journal, Disk]:
        disk = Disk()
        handle = disk.create(JOURNAL)
        disk.write(handle, content)
        disk.close(handle)
        return self.opened(disk), disk

    def test_damaged(self) -> None:
        """
        One record that is not as it was written is named, kept aside, and the others count; the new file is whole.
        """
        lines = self.content.splitlines(keepends=True)
        lines[3] = lines[3].replace(b"80", b"88", 1)
        journal, disk = self.found(b"".join(lines))
        ((damage),) = journal.replayed.damages
        self.assertEqual((damage.line, damage.reason), (4, "its checksum does not match"))
        self.assertEqual(set(journal.replayed.services), {"a"})
        self.assertEqual(disk.names_[DAMAGED].written, b"".join(lines))
        self.survivors(disk, (journal.replayed.services,), 3)

    def test_torn(self) -> None:
        """
        Cut anywhere, what is whole is taken up, and recorded on behind it.
        """
        for size in range(len(self.content)):
            _, disk = self.found(self.content[:size])
            if disk.names_.get(DAMAGED) is not None:
                continue  # cut within its beginning: no write of ours can be cut short there
            self.survivors(disk, tuple(STATES[:4]))

    def test_not_ours(self) -> None:
        """
        A file that is no journal is kept aside, not overwritten.
        """
        for content in (b"something else", b"something else\n", b"\0" * 5000):
            journal, disk = self.found(content)
            self.assertEqual(journal.replayed.services, {})
            self.assertEqual(disk.names_[DAMAGED].written, content)
            self.survivors(disk, ({},))

    def test_full_disk_at_start(self) -> None:
        """
        Where there is a journal a full disk does not keep us from serving it, damaged or not.
        """
        lines = self.content.splitlines(keepends=True)
        for content in (self.content, self.content[:-3], b"".join(lines[:1] + lines[2:])):
            disk = Disk()
            handle = disk.create(JOURNAL)
            disk.write(handle, content)
            disk.close(handle)
            disk.fails = lambda number, what: errno.ENOSPC if what in ("create", "write", "link") else 0
            self.assertTrue(self.opened(disk).replayed.services)

    def test_other_version(self) -> None:
        """
        Another version of dfproxy writes the file anew, in its own form.
        """
        _, disk = self.found(self.content)
        self.journal(disk, by="dfproxy next").open()
        self.assertIn(b"dfproxy next", disk.names_[JOURNAL].synced)
        self.assertNotIn(DAMAGED, disk.names_)
        self.survivors(disk, (STATES[3],), 3)


class TogetherTests(JournalCase):
    """
    The publisher with a journal.
    """

    def test_restart(self) -> None:
        """
        Number and digest go on where they were; a full disk refuses a change and the one in force stays.
        """
        disk = Disk()
        plane = Plane()
        publisher = Publisher(plane, Names(), self.clock, self.opened(disk).record)
        for number in range(1, 6):
            self.successResultOf(publisher.publish((service(f"s{number}"), service("same", number + 10))))
        self.successResultOf(publisher.withdraw(("s3",)))
        before = publisher.snapshot
        disk.fails = lambda number, what: errno.ENOSPC
        error = self.failureResultOf(publisher.publish((service("s9"),)), JournalError).value
        self.assertEqual(str(error), "cannot be made durable: the disk is full")
        self.assertEqual(publisher.snapshot, before)
        self.assertEqual(plane.calls[-1], "abort 7")

        journal = self.opened(disk.crashed("synced"))
        found = journal.replayed
        again = Publisher(Plane(), Names(), self.clock, journal.record)
        self.successResultOf(again.restore(tuple(found.services.values()), found.revision, ()))
        self.assertEqual(again.snapshot, before)
        self.assertEqual(found.digest, before.revision.digest)
        self.assertEqual(self.successResultOf(again.publish((service("s9"),))).number, 7)

    def test_digest_is_of_what_is_recorded(self) -> None:
        """
        A service read back is the service that was written, to the last field.
        """
        disk = Disk()
        one = service("a")
        self.record(self.opened(disk), change(1, one))
        (back,) = self.opened(disk.crashed("synced")).replayed.services.values()
        self.assertEqual(digest(back), digest(one))
