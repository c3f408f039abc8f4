"""
The last revisions: what each changed, on whose behalf, when and why; and what would bring an earlier one back.

Kept in memory, by reference to the definitions that were in force anyway. Bounded in number and in definitions, so
that a listener which announces thousands of services again and again does not fill the memory with former ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dfproxy.errors import DfproxyError
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change, Hold, Revision, Snapshot

REVISIONS = 100
"""
Revisions kept.
"""

DEFINITIONS = 20_000
"""
Definitions in them, about 2 KiB each: two changes of all of 5,000 services, before and after.
"""


class Forgotten(DfproxyError):
    """
    A revision that is not known any more, or not yet; the text says which are.
    """


@dataclass(frozen=True, slots=True)
class Step:
    """
    How one revision came about.

    Attributes:
        revision: which.
        time_s: when, in seconds since 1970.
        causes: why, each with the origin on whose behalf; several if several callers came at once.
        before: of each service that it changed, what was in force; None: nothing was.
        after: the same, from then on.
        certificates: identities of certificates that it brought or took.
        holds: names of services that are held since then.
        released: names of services that are not held any more.
    """

    revision: Revision
    time_s: float
    causes: tuple[tuple[str, str], ...]
    before: Mapping[str, Service | None]
    after: Mapping[str, Service | None]
    certificates: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    released: tuple[str, ...] = ()


class Revisions:
    """
    The last ones.

    Args:
        time: seconds since 1970.

    Attributes:
        since: the oldest revision that can be gone back to.
        since_s: from when on revisions are kept, in seconds since 1970.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._steps: deque[Step] = deque()
        self._definitions = 0
        self.since = Revision()
        self.since_s = time()

    def begin(self, revision: Revision) -> None:
        """
        This is in force from the start; how it came about is not known.
        """
        self._steps.clear()
        self._definitions = 0
        self.since, self.since_s = revision, self._time()

    def add(self, before: Snapshot, change: Change, causes: Iterable[tuple[str, str]]) -> None:
        """
        A change is in force.

        Args:
            before: what was in force.
            change: to what it was changed.
            causes: why, and on whose behalf.
        """
        names = (*change.removed, *(service.name for service in change.services))
        after = {**dict.fromkeys(change.removed), **{service.name: service for service in change.services}}
        step = Step(
            change.revision,
            self._time(),
            tuple(dict.fromkeys(causes)),
            {name: before.services.get(name) for name in names},
            after,
            (*(each.identity for each in change.certificates), *change.removed_certificates),
            tuple(hold.name for hold in change.holds),
            change.released,
        )
        self._steps.append(step)
        self._definitions += 2 * len(names)
        while len(self._steps) > 1 and (len(self._steps) > REVISIONS or self._definitions > DEFINITIONS):
            oldest = self._steps.popleft()
            self._definitions -= 2 * len(oldest.after)
            self.since, self.since_s = oldest.revision, oldest.time_s

    def steps(self) -> tuple[Step, ...]:
        """
        The latest first.
        """
        return tuple(reversed(self._steps))

    def back_to(self, number: int) -> dict[str, Service | None]:
        """
        What has to be put in force so that the definitions are those of that revision: of each service that has
        changed since then what it was; None: it was not there.

        Raises:
            Forgotten: it is not kept.
        """
        latest = self._steps[-1].revision.number if self._steps else self.since.number
        if not self.since.number <= number <= latest:
            raise Forgotten(f"revision {number} is not kept; there are {self.since.number} to {latest}")
        found: dict[str, Service | None] = {}
        for step in reversed(self._steps):
            if step.revision.number <= number:
                break
            found.update(step.before)
        return found


def holds_of(
    back: Mapping[str, Service | None], present: Snapshot, is_sourced: Callable[[Service], bool], number: int
) -> tuple[Hold, ...]:
    """
    Holds that are needed so that sources do not undo an undo.

    Args:
        back: from `Revisions.back_to`.
        present: what is in force now.
        is_sourced: whether a service belongs to a source that says the same again.
        number: of the revision in force now.
    """
    holds = []
    for name, wanted in back.items():
        former = present.holds.get(name)
        now = present.services.get(name)
        # What a source says now is what an earlier hold keeps out, if there is one.
        against = former.against if former is not None else now
        if against is not None and against != wanted and is_sourced(against):
            holds.append(Hold(name, against, number))
    return tuple(holds)
