"""
What an accepted call most likely does not mean: names that are nearly a parameter's, paths that no request can have.

Docker Flow Proxy ignores what it does not know, and the swarm listener sends every label of a service, so nothing of
this is refused. Only what is very close to a name is told: a label of somebody else is not a slip.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

from dfproxy.dfp.parameters import BY_LOWER_NAME, MAX_INDEX
from dfproxy.model.service import Destination

NEAR = 0.85
"""
How alike two names have to be, from 0 to 1 (`difflib`): one wrong letter of six.
"""

SLIPS = 10
"""
Slips told of one call, at most.
"""


def slips(names: Iterable[str]) -> list[str]:
    """
    Of these names those that are no parameter's, but nearly.
    """
    told = []
    for name in dict.fromkeys(names):
        base, dot, suffix = name.partition(".")
        row = BY_LOWER_NAME.get(base.lower())
        if row is None:
            meant = _nearest(base.lower())
            if meant:
                told.append(f"{name} is no parameter and is ignored; is {meant}{dot}{suffix} meant?")
        elif dot and (suffix.isdecimal() or not suffix) and row.scope == "destination" and suffix not in _INDEXES:
            told.append(f"{name} is ignored: the numbers of destinations are 1 to {MAX_INDEX}")
        if len(told) == SLIPS:
            break
    return told


_INDEXES = frozenset(str(index) for index in range(1, MAX_INDEX + 1))


@lru_cache(maxsize=1000)
def _nearest(name: str) -> str:
    """
    The parameter that this is nearly; empty: none. Looking takes a millisecond, and the same labels come in each call.
    """
    close = get_close_matches(name, BY_LOWER_NAME, 1, NEAR) if name.isascii() else ()
    return BY_LOWER_NAME[close[0]].name if close else ""


def impossible_paths(destinations: Iterable[Destination]) -> list[str]:
    """
    Paths that are compared with the beginning or the whole of one, and do not begin as each path does.
    """
    found = {
        pattern.value.decode("utf-8", "replace")
        for destination in destinations
        if destination.stream is None
        for pattern in (*destination.match.paths, *destination.match.excluded)
        if pattern.form in ("exact", "prefix") and not pattern.whole_target and pattern.value[:1] not in (b"/", b"")
    }
    return [f"no request has a path that begins with {path!r}: is /{path} meant?" for path in sorted(found)]
