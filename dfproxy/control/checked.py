"""
One server that is checked: what its checks have found so far, also in HAProxy's columns.

Source: HAProxy management guide 9.1 (`chkfail`, `check_status` and their neighbours); contract 9.3.
"""

from __future__ import annotations

from dfproxy.health.status import Status
from dfproxy.model.checks import Address, Check
from dfproxy.upstream.probe import Goal
from dfproxy.upstream.prober import Subject

Key = tuple[str, int]

PREFACES = (b"", b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")
"""
What a check sends first where servers expect the PROXY protocol, by its version: nobody's connection.

Source: HAProxy `send-proxy`, the PROXY protocol 2.1 and 2.2 (LOCAL).
"""

NO_ANSWER, ANSWERED = "no answer", "answered "
"""
How reasons of time-outs and of wrong statuses begin (`dfproxy.upstream.prober`, `dfproxy.upstream.probe`).
"""

_OF_ANSWERS = ("no valid answer", "closed ", "its answer ", "the head ")


class Checked:
    """
    One server of one destination, and what checks have found.

    Attributes:
        key: the destination.
        address: of the server.
        status: what checks have made of it.
        check: how it is checked.
        reason: why the last check failed; empty: it did not, or there was none.
        took_s: how long the last check took, in seconds; None: there was none.
        since_s: when it last came up or went down, in the clock's seconds; None: it has not.
        failures: checks that failed while it was up.
        downs: times that it went down.
        goal: what is checked.
        subject: what the prober knows it by.
    """

    __slots__ = (
        "_down_s",
        "address",
        "check",
        "downs",
        "failures",
        "goal",
        "key",
        "reason",
        "since_s",
        "status",
        "subject",
        "took_s",
    )

    def __init__(self, key: Key, address: Address, check: Check, goal: Goal, status: Status) -> None:
        self.key = key
        self.address = address
        self.check = check
        self.goal = goal
        self.status = status
        self.reason = ""
        self.took_s: float | None = None
        self.since_s: float | None = None
        self.failures = self.downs = 0
        self._down_s = 0.0
        self.subject: Subject[Checked] | None = None

    def result(self, reason: str, took_s: float, now: float) -> bool:
        """
        A check has ended.

        Args:
            reason: why it failed; empty: it did not.
            took_s: how long it took, in seconds.
            now: in the clock's seconds.

        Returns:
            Whether the server came up or went down with it.
        """
        self.reason, self.took_s = reason, took_s
        was_up = self.status.is_up
        self.failures += bool(reason) and was_up
        if not self.status.result(not reason, self.check.rise, self.check.fall):
            return False
        if was_up:
            self.downs += 1
        else:
            self._down_s += now - (now if self.since_s is None else self.since_s)
        self.since_s = now
        return True

    @property
    def words(self) -> str:
        """
        In HAProxy's words.
        """
        return self.status.words(self.check.rise, self.check.fall)

    def down_s(self, now: float) -> float:
        """
        How long it has been down in all, in seconds.
        """
        since_s = now if self.status.is_up or self.since_s is None else self.since_s
        return self._down_s + now - since_s

    def columns(self, now: float) -> dict[str, str]:
        """
        HAProxy's columns about checks.
        """
        found = {
            "chkfail": str(self.failures),
            "chkdown": str(self.downs),
            "downtime": str(int(self.down_s(now))),
            "check_rise": str(self.check.rise),
            "check_fall": str(self.check.fall),
            "check_status": self._result_word(),
        }
        if self.since_s is not None:
            found["lastchg"] = str(int(now - self.since_s))
        if self.took_s is not None:
            found["check_duration"] = str(int(self.took_s * 1000))
            if self.reason.startswith(ANSWERED):
                found["check_code"] = self.reason.removeprefix(ANSWERED)[:3]
        return found

    def _result_word(self) -> str:
        if self.took_s is None:
            return "INI"
        layer, reason = "L7" if self.check.path else "L4", self.reason
        if not reason:
            return f"{layer}OK"
        if reason.startswith(NO_ANSWER):
            return f"{layer}TOUT"
        if reason.startswith(ANSWERED):
            return "L7STS"
        if reason.startswith("TLS: "):
            return "L6RSP"
        return "L7RSP" if reason.startswith(_OF_ANSWERS) else "L4CON"
