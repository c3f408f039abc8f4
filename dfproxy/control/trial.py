"""
A change that is only tried: whether it could be put in force, and which of the last requests it would send elsewhere.

Compiled beside what runs, as any change is, and then let go. Asked of every data plane, since each has its own last
requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import msgspec

from dfproxy.errors import Refused
from dfproxy.interfaces import ILookup
from dfproxy.model.service import Service
from dfproxy.upstream.live import LiveBackend

MOVED = 100
"""
Hosts with paths told of that would go elsewhere; of more only the number is told.
"""

SHOWN_BYTES = 200
"""
How much of a host or a path is told.
"""

NOWHERE, OURSELVES = "503", "own answer"
"""
Where requests go that no route takes, and those that are redirected or refused before a route is chosen.
"""


class Trial(msgspec.Struct, frozen=True):
    """
    What is to be tried.

    Attributes:
        services: new definitions, or replacements.
        removed: names of services that would go.
        last: of the last requests, how many to look at.
    """

    services: tuple[Service, ...] = ()
    removed: tuple[str, ...] = ()
    last: int = 0


class Moved(msgspec.Struct, frozen=True):
    """
    Requests for one host and path that would go elsewhere. The query is not told: it may hold secrets.
    """

    host: str
    path: str
    before: str
    after: str
    count: int


class Tried(msgspec.Struct, frozen=True):
    """
    What came of it.

    Attributes:
        refused: why each service that cannot be served cannot; then nothing else is told.
        looked_at: requests.
        elsewhere: how many of them would go elsewhere.
        moved: which, those of most requests first.
    """

    refused: dict[str, str] = {}
    looked_at: int = 0
    elsewhere: int = 0
    moved: tuple[Moved, ...] = ()


def trial_of(argument: object) -> Trial:
    """
    The trial that a question holds, which may have come through a channel.
    """
    return argument if isinstance(argument, Trial) else msgspec.convert(argument, Trial)


def tried_of(answer: object) -> Tried | None:
    """
    A data plane's answer; None: there is none.
    """
    return None if answer is None else msgspec.convert(answer, Tried)


def tried(trial: Trial, prepare: Callable[[Trial], ILookup], before: ILookup, recent: Iterable[Any]) -> dict[str, Any]:
    """
    Try it.

    Args:
        trial: what.
        prepare: compiles it, and answers what would be looked up in; raises `Refused`.
        before: what is looked up in now.
        recent: heads of requests, the latest last; reversible.

    Returns:
        A `Tried`, JSON-able.
    """
    try:
        after = prepare(trial)
    except Refused as error:
        return _plain(Tried(_each_refused(trial, prepare, str(error))))
    last = list(islice(reversed(recent), trial.last))  # type: ignore[call-overload]  # a deque
    moved: Counter[tuple[bytes, bytes, str, str]] = Counter()
    for request in last:
        old, new = before.lookup(request), after.lookup(request)
        if old is not new and _place(old) != _place(new):
            moved[request.host, request.path, _words(old), _words(new)] += 1
    listed = tuple(
        Moved(_text(host), _text(path), was, will_be, count)
        for (host, path, was, will_be), count in moved.most_common(MOVED)
    )
    return _plain(Tried({}, len(last), moved.total(), listed))


def _plain(found: Tried) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _each_refused(trial: Trial, prepare: Callable[[Trial], ILookup], reason: str) -> dict[str, str]:
    """
    Every service that is refused, not only the first.
    """
    found = {}
    for service in trial.services:
        try:
            prepare(Trial((service,)))
        except Refused as error:
            found[service.name] = str(error)
    return found or {"": reason}


def _place(target: object) -> object:
    """
    What a target is the same as: another definition of a destination is no other place.
    """
    if isinstance(target, LiveBackend):
        return target.service.name, target.destination.index
    return None if target is None else _words(target)


def _words(target: object) -> str:
    if isinstance(target, LiveBackend):
        return target.destination.backend_name
    return NOWHERE if target is None else OURSELVES


def _text(value: bytes) -> str:
    return value[:SHOWN_BYTES].decode("utf-8", "replace")
