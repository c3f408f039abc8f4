"""
States of a server: what checks make of it, what an operator says, and which servers may be used.

Pure: results go in, states come out. Who checks, and who is told, is up to the caller. docs/health.md has the tables
of this file: `python -m dfproxy.health.status` prints them.

Source: `design.md` 8; HAProxy `rise`, `fall`, `set server ... state`; Envoy's panic threshold for the last resort.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Protocol, TypeVar

from dfproxy.model.checks import DRAIN, MAINT, READY, STANDINGS


class State(Enum):
    """
    What checks have made of a server; the value is its word, for people.
    """

    UP = "up"
    FAILING = "failing"
    DOWN = "down"
    RECOVERING = "recovering"


class Event(Enum):
    """
    A check's result: alone, or the last one needed in a row.
    """

    PASSED = "a check succeeds"
    PASSED_ENOUGH = "the last of `checkRise` in a row succeeds"
    FAILED = "a check fails"
    FAILED_ENOUGH = "the last of `checkFall` in a row fails"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.UP, Event.PASSED): State.UP,
    (State.UP, Event.PASSED_ENOUGH): State.UP,
    (State.UP, Event.FAILED): State.FAILING,
    (State.UP, Event.FAILED_ENOUGH): State.DOWN,
    (State.FAILING, Event.PASSED): State.UP,
    (State.FAILING, Event.PASSED_ENOUGH): State.UP,
    (State.FAILING, Event.FAILED): State.FAILING,
    (State.FAILING, Event.FAILED_ENOUGH): State.DOWN,
    (State.DOWN, Event.PASSED): State.RECOVERING,
    (State.DOWN, Event.PASSED_ENOUGH): State.UP,
    (State.DOWN, Event.FAILED): State.DOWN,
    (State.DOWN, Event.FAILED_ENOUGH): State.DOWN,
    (State.RECOVERING, Event.PASSED): State.RECOVERING,
    (State.RECOVERING, Event.PASSED_ENOUGH): State.UP,
    (State.RECOVERING, Event.FAILED): State.DOWN,
    (State.RECOVERING, Event.FAILED_ENOUGH): State.DOWN,
}
"""
Every move there is.
"""

_USED = frozenset((State.UP, State.FAILING))


class Status:
    """
    What checks have made of one server. It begins up: nobody has found anything wrong with it.

    Attributes:
        state: now.
        in_a_row: results of the same kind as the last one, in a row; at most what is needed.
    """

    __slots__ = ("_passed", "in_a_row", "state")

    def __init__(self) -> None:
        self.state = State.UP
        self.in_a_row = 0
        self._passed = True

    @property
    def is_up(self) -> bool:
        """
        It may be used.
        """
        return self.state in _USED

    def result(self, passed: bool, rise: int, fall: int) -> bool:
        """
        A check has ended.

        Args:
            passed: how.
            rise: so many in a row bring it back.
            fall: so many in a row leave it out.

        Returns:
            Whether it may be used now and might not before, or the other way round.
        """
        needed = rise if passed else fall
        self.in_a_row = min(self.in_a_row + 1, needed) if passed is self._passed else 1
        self._passed = passed
        before = self.is_up
        self._move(_event(passed, self.in_a_row >= needed))
        return self.is_up is not before

    def _move(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state, event]

    def words(self, rise: int, fall: int) -> str:
        """
        In HAProxy's words: `UP`, `UP 2/3` with two more failures to go, `DOWN`, `DOWN 1/2` after one success of two.
        """
        if self.state is State.FAILING:
            return f"UP {max(fall - self.in_a_row, 1)}/{fall}"
        if self.state is State.RECOVERING:
            return f"DOWN {self.in_a_row}/{rise}"
        return self.state.name


def _event(passed: bool, enough: bool) -> Event:
    if passed:
        return Event.PASSED_ENOUGH if enough else Event.PASSED
    return Event.FAILED_ENOUGH if enough else Event.FAILED


class Judged(Protocol):
    """
    A server, as far as it is judged.
    """

    @property
    def weight(self) -> int:
        """
        Its share; 0: it gets nothing new.
        """

    @property
    def standing(self) -> str:
        """
        What the operator says.
        """

    @property
    def down(self) -> bool:
        """
        Checks have found it down.
        """

    @property
    def unreachable(self) -> bool:
        """
        Connections to it have failed here.
        """

    @property
    def suspended(self) -> bool:
        """
        It is left out here for its answers.
        """


S = TypeVar("S", bound=Judged)


def usable(servers: Iterable[S]) -> tuple[tuple[S, ...], bool]:
    """
    The servers that new requests may go to.

    Args:
        servers: all there are.

    Returns:
        Those, and whether that is the last resort: the operator and checks leave none.
    """
    serving = tuple(server for server in servers if server.weight > 0 and server.standing != MAINT)
    allowed = tuple(server for server in serving if server.standing == READY and not server.down)
    if not allowed:
        return serving, bool(serving)
    reachable = tuple(server for server in allowed if not server.unreachable)
    good = tuple(server for server in reachable if not server.suspended)
    return good or reachable or allowed, False


def bound(servers: Iterable[S]) -> tuple[S, ...]:
    """
    Servers that get the requests of those clients that are bound to them by a cookie, and no others.
    """
    return tuple(
        server
        for server in servers
        if (server.standing == DRAIN or (server.standing == READY and server.weight == 0))
        and not (server.down or server.unreachable or server.suspended)
    )


def why_unused(standing: str, weight: int, checked: State | None) -> str:
    """
    Why the operator and checks keep a server from new requests; empty: they do not.

    Args:
        standing: what the operator says.
        weight: its share.
        checked: what checks say; None: there are none.
    """
    if standing == MAINT:
        return "maint: switched off by the operator"
    if standing == DRAIN:
        return "drain: no new clients, said the operator"
    if not weight:
        return "its weight is 0"
    if checked is State.RECOVERING:
        return "recovering: too few checks in a row have succeeded yet"
    if checked is not None and checked not in _USED:
        return f"{checked.value}: its checks fail"
    return ""


# --- docs/health.md ------------------------------------------------------------------------------------------


def tables() -> Iterator[str]:
    """
    The generated part of docs/health.md, line by line.
    """
    yield "| state | " + " | ".join(event.value for event in Event) + " | may be used |"
    yield "|---" * (len(Event) + 2) + "|"
    for state in State:
        moves = (TRANSITIONS[state, event].value for event in Event)
        yield f"| {state.value} | {' | '.join(moves)} | {'yes' if state in _USED else 'no'} |"
    yield ""
    yield "| the operator says | checks say | new requests | clients bound to it by a cookie |"
    yield "|---|---|---|---|"
    for standing in STANDINGS:
        for state in State:
            server = _Example(standing, state not in _USED)
            new = (
                "yes"
                if not why_unused(standing, 1, state)
                else "no"
                if standing == MAINT
                else "only if there is no other"
            )
            held = "yes" if new == "yes" or bound((server,)) else "no"
            yield f"| {standing} | {state.value} | {new} | {held} |"


class _Example:
    """
    A server of a table.
    """

    weight = 1
    unreachable = suspended = False

    def __init__(self, standing: str, down: bool) -> None:
        self.standing = standing
        self.down = down


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in tables())
