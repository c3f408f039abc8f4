"""
Checks very many servers, each at its pace, all together at no more than so many a second.

The first check of a server comes at a moment of its interval that chance decides, so that servers published together
are not checked together. If more is asked for than the budget has, intervals stretch for all alike: who is longest due
is checked first. How one check is made, and what becomes of its result, is up to others.

Source: HAProxy `spread-checks`; `design.md` 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from random import Random
from typing import Generic, Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from dfproxy.observe.prometheus import Measure, counter, gauge

log = Logger()

TURN_S = 0.01
"""
Least time between two turns in which checks are begun, in seconds: ten at a thousand a second, half a millisecond.
"""

AT_ONCE = 500
"""
Checks under way at once: each has a descriptor. Healthy servers answer in milliseconds, so only if hundreds are silent
does this stretch intervals as well.
"""

JITTER = 0.1
"""
Share of each interval that is left to chance, half of it earlier and half later.
"""

JUDGE_S = 5.0
"""
Between two looks at whether the budget is enough, in seconds: services come one after the other.
"""

STALL_S = 0.2
"""
So late a turn means that this process stood still, in seconds.
"""

LATE_S = 1.0
"""
A check that begins so much too late is counted as late, in seconds.
"""


class Running(Protocol):
    """
    A check under way.
    """

    def cancel(self) -> None:
        """
        Nobody wants it any more.
        """


T = TypeVar("T")
Begin = Callable[[T, Callable[["str | None"], None]], Running]
"""
Begins one check; what it is told is why it failed, empty if it did not, None if it could not be made; perhaps at once.
"""


class Subject(Generic[T]):
    """
    A server that is checked.

    Attributes:
        what: for who begins the check.
        interval_s: from one check to the next, in seconds.
        timeout_s: how long one may take, in seconds.
        due: when the next one is.
        began: when the one under way, or the last one, began.
        running: the one under way.
        is_dropped: it is checked no more.
    """

    __slots__ = ("began", "due", "interval_s", "is_dropped", "is_over", "running", "timeout_s", "what")

    def __init__(self, what: T, interval_s: float, timeout_s: float) -> None:
        self.what = what
        self.interval_s = interval_s
        self.timeout_s = timeout_s
        self.due = 0.0
        self.began = 0.0
        self.running: Running | None = None
        self.is_over = True
        self.is_dropped = False


class Prober(Generic[T]):
    """
    Has all servers checked.

    Args:
        clock: where time comes from.
        begin: begins one check.
        result: told what, why it failed (empty: it did not) and how many seconds it took.
        per_s: checks a second at most.
        random: the only source of chance.
    """

    def __init__(
        self,
        clock: IReactorTime,
        begin: Begin[T],
        result: Callable[[T, str, float], None],
        per_s: float,
        random: Random,
    ) -> None:
        self._clock = clock
        self._begin = begin
        self._result = result
        self._per_s = per_s
        self._random = random
        self._burst = max(2.0, per_s * TURN_S * 2)
        self._tokens = self._burst
        self._tokens_at = clock.seconds()
        self._due: list[tuple[float, int, Subject[T]]] = []
        self._deadlines: list[tuple[float, int, Subject[T]]] = []
        self._number = 0
        self._dropped = 0
        self._under_way = 0
        self._wake: IDelayedCall | None = None
        self._stopped = False
        self._turning = False
        self._demand_per_s = 0.0
        self._subjects = 0
        self._is_stretched = False
        self._judged_at = clock.seconds()
        self._checks = self._failures = self._late = self._unmade = 0
        self._wake_at = 0.0
        self._late_s = 0.0

    def add(self, what: T, interval_s: float, timeout_s: float) -> Subject[T]:
        """
        Check this from now on.
        """
        subject = Subject(what, interval_s, timeout_s)
        self._subjects += 1
        self._demand_per_s += 1 / interval_s
        self._push(subject, self._clock.seconds() + self._random.random() * interval_s)
        self._arm()
        return subject

    def drop(self, subject: Subject[T]) -> None:
        """
        Check it no more; what is under way comes to nothing.
        """
        if subject.is_dropped:
            return
        subject.is_dropped = True
        self._subjects -= 1
        self._demand_per_s -= 1 / subject.interval_s
        if not subject.is_over:
            self._over(subject)
        self._dropped += 1
        if self._dropped > 100 + len(self._due) // 2:
            self._due = [entry for entry in self._due if not entry[2].is_dropped]
            heapify(self._due)
            self._dropped = 0

    def stop(self) -> None:
        """
        Check nothing any more.
        """
        self._stopped = True
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        for _, _, subject in self._deadlines:
            if not subject.is_over:
                self._over(subject)
        self._due.clear()
        self._deadlines.clear()

    # --- turns

    def _push(self, subject: Subject[T], at: float) -> None:
        subject.due = at
        self._number += 1
        heappush(self._due, (at, self._number, subject))

    def _turn(self) -> None:
        self._wake = None
        now = self._clock.seconds()
        self._tokens = min(self._burst, self._tokens + (now - self._tokens_at) * self._per_s)
        self._tokens_at = now
        self._turning = True
        # After we have stood still ourselves answers wait to be read: these come first.
        stalled = now > self._wake_at + STALL_S
        while self._deadlines and self._deadlines[0][0] <= now and not stalled:
            at, _, subject = heappop(self._deadlines)
            if not subject.is_over and subject.began + subject.timeout_s <= at:
                self._ended(subject, subject.began, f"no answer within {subject.timeout_s:g} s")
        while self._due and self._due[0][0] <= now and self._tokens >= 1 and self._under_way < AT_ONCE:
            _, _, subject = heappop(self._due)
            if subject.is_dropped:
                self._dropped -= 1
                continue
            self._tokens -= 1
            self._start(subject, now)
        self._turning = False
        self._judge_budget()
        self._arm()

    def _start(self, subject: Subject[T], now: float) -> None:
        late_s = now - subject.due
        self._checks += 1
        self._late_s += late_s
        self._late += late_s >= LATE_S
        subject.began = now
        subject.is_over = False
        self._under_way += 1
        self._number += 1
        heappush(self._deadlines, (now + subject.timeout_s, self._number, subject))
        running = self._begin(subject.what, lambda reason: self._ended(subject, now, reason))
        if not subject.is_over:
            subject.running = running

    def _ended(self, subject: Subject[T], began: float, reason: str | None) -> None:
        if subject.is_over or subject.began != began:
            return  # it was late, or it is dropped
        self._over(subject)
        now = self._clock.seconds()
        self._failures += bool(reason)
        spread = subject.interval_s * JITTER * (self._random.random() - 0.5)
        self._push(subject, max(began + subject.interval_s + spread, now))
        if reason is None:
            self._unmade += 1
        else:
            self._result(subject.what, reason, now - began)
        if not self._turning:
            self._arm()

    def _over(self, subject: Subject[T]) -> None:
        subject.is_over = True
        self._under_way -= 1
        running, subject.running = subject.running, None
        if running is not None:
            running.cancel()

    def _arm(self) -> None:
        """
        Wake up when something is due.
        """
        if self._stopped or self._turning:
            return
        now = self._clock.seconds()
        wait: float | None = None
        if self._due and self._under_way < AT_ONCE:
            wait = max(self._due[0][0] - now, TURN_S)
            if self._tokens < 1:
                wait = max(wait, (1 - self._tokens) / self._per_s)
        if self._deadlines:
            until = max(self._deadlines[0][0] - now, TURN_S)
            wait = until if wait is None else min(wait, until)
        if wait is None:
            return
        if self._wake is not None and self._wake.active():
            if self._wake.getTime() <= now + wait:
                return
            self._wake.cancel()
        self._wake_at = now + wait
        self._wake = self._clock.callLater(wait, self._turn)

    # --- the budget

    @property
    def stretch(self) -> float:
        """
        How many times longer than asked for intervals are, for the budget.
        """
        return max(1.0, self._demand_per_s / self._per_s)

    def _judge_budget(self) -> None:
        is_stretched, now = self._demand_per_s > self._per_s, self._clock.seconds()
        if is_stretched is self._is_stretched or now < self._judged_at + JUDGE_S:
            return
        self._is_stretched, self._judged_at = is_stretched, now
        if is_stretched:
            log.warn(
                "{count} servers want {demand} checks a second and --check-budget allows {budget}: each is checked "
                "{stretch} times less often than asked for",
                count=self._subjects,
                demand=round(self._demand_per_s),
                budget=round(self._per_s),
                stretch=round(self.stretch, 1),
            )
        else:
            log.info("the budget of checks is enough again: {count} servers", count=self._subjects)

    def measures(self) -> Iterable[Measure]:
        """
        How checking goes, for `/metrics`.
        """
        late = (("_sum", round(self._late_s, 3)), ("_count", float(self._checks)))
        overdue = max(0.0, self._clock.seconds() - self._due[0][0]) if self._due else 0.0
        return (
            gauge("dfproxy_check_servers", "Servers that are checked.", self._subjects),
            gauge("dfproxy_check_under_way", "Checks under way.", self._under_way),
            counter("dfproxy_checks_total", "Checks begun.", self._checks),
            counter("dfproxy_check_failures_total", "Checks that failed.", self._failures),
            counter("dfproxy_checks_unmade_total", "Checks that could not be made here.", self._unmade),
            gauge("dfproxy_check_budget", "Checks a second that are allowed.", self._per_s),
            gauge("dfproxy_check_demand", "Checks a second that are asked for.", round(self._demand_per_s, 3)),
            gauge("dfproxy_check_stretch", "How many times longer intervals are than asked for.", self.stretch),
            Measure("dfproxy_check_lateness_seconds", "summary", "From when a check was due to its begin.", late),
            counter("dfproxy_checks_late_total", "Checks that began more than a second late.", self._late),
            gauge("dfproxy_check_overdue_seconds", "How long the longest-waiting check is due.", round(overdue, 3)),
        )
