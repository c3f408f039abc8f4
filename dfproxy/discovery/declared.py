"""
Services that options and variables declare: published at start under an origin of their own.

What a former start declared and this one does not is withdrawn; what others have published stays theirs.

Source: contract 3.7; `design.md` 9.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.logger import Logger

from dfproxy.dfp.reading import Reading
from dfproxy.dfp.reconfigure import name_of
from dfproxy.discovery.environment import Pairs, services_of_query
from dfproxy.interfaces import IPublisher

log = Logger()

ENVIRONMENT = "environment"
"""
Origin of these services.
"""

CAUSE = "start"
"""
What their revisions are listed under.
"""


class Declared:
    """
    What is declared.

    Args:
        queries: each as the query of a reconfigure call.
        read: what parameters mean; raises `InvalidService`.
        publisher: the one door.
    """

    def __init__(self, queries: tuple[str, ...], read: Callable[[Pairs], Reading], publisher: IPublisher) -> None:
        self._declared = [services_of_query(query) for query in queries]
        self._read = read
        self._publisher = publisher

    @inlineCallbacks
    def publish(self) -> Generator[Deferred[Any], Any, None]:
        """
        Put all in force, one after the other. One that cannot be is left out with an error in the log.

        Returns:
            Deferred: None when that is done. Never fails.
        """
        named = {name_of(pairs, ()) for pairs in self._declared}
        snapshot = self._publisher.snapshot
        # A hold against what is no longer declared is over: should it be declared again, that is news.
        former = (*snapshot.services.values(), *(hold.against for hold in snapshot.holds.values()))
        gone = tuple({one.name: None for one in former if one.origin == ENVIRONMENT and one.name not in named})
        if gone:
            yield maybeDeferred(self._publisher.withdraw, gone, ENVIRONMENT, CAUSE).addErrback(
                lambda failure: log.error("a former service stays: {reason}", reason=failure.getErrorMessage())
            )
        for pairs in self._declared:
            yield maybeDeferred(self._one, pairs).addErrback(
                lambda failure: log.error("a service at start is left out: {reason}", reason=failure.getErrorMessage())
            )

    def _one(self, pairs: Pairs) -> Deferred[Any]:
        reading = self._read(pairs)
        changed: Any
        if reading.service is None:
            changed = self._publisher.withdraw((reading.name,), ENVIRONMENT, CAUSE)
        else:
            changed = self._publisher.publish((replace(reading.service, origin=ENVIRONMENT),), cause=CAUSE)
        done: Deferred[Any] = changed
        return done
