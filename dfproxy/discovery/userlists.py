"""
Users in secrets, kept like what is in the files when asked to: `USERS`, and the lists that `usersSecret` names.

What services made of them is read again with the new ones, and those that are others now are put in force.

Source: contract 2.5, 3.9.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dfproxy.control.certificates import Run
from dfproxy.control.publisher import Publisher
from dfproxy.errors import DfproxyError, InvalidSettings
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings

log = Logger()

AT_ONCE = 25
"""
Services that are read in one go: some milliseconds.
"""

PAUSE_S = 0.05
"""
Until it is looked again whether changes of a service that are under way are done, in seconds.
"""

MOST_ROUNDS = 200
"""
How often that is looked: ten seconds. Who changes a service all that time reads the new users by itself.
"""


class UserLists:
    """
    Who may use services, as the files say now.

    Args:
        settings: with the users as they were at start.
        again: settings as they would be if we started now; blocks; raises `InvalidSettings`. None: nobody knows.
        meaning: the service that parameters make for an origin, with `settings` as they are here; None: none.
        publisher: the one door.
        clock: for pauses.
        run: for what blocks.

    Attributes:
        settings: with the users as they are now.
    """

    def __init__(
        self,
        settings: Settings,
        again: Callable[[], Settings] | None,
        meaning: Callable[[tuple[tuple[str, str], ...], str], Service | None],
        publisher: Publisher,
        clock: IReactorTime,
        run: Run,
    ) -> None:
        self.settings = settings
        self._again = again
        self._meaning = meaning
        self._publisher = publisher
        self._clock = clock
        self._run = run

    @inlineCallbacks
    def refresh(self, told: Callable[[], None]) -> Generator[Deferred[Any], Any, tuple[str, ...]]:
        """
        Look at the files again.

        Args:
            told: called when `settings` are others, before any service is.

        Returns:
            Deferred: what could not be used, a line for each; then all is as it was. Never fails.
        """
        if self._again is None:
            return ()
        try:
            news: Settings = yield self._run(self._again)
        except InvalidSettings as error:
            log.error("secrets are not read again: {reason}", reason=str(error))
            return tuple(str(error).splitlines())
        if (news.users, news.user_lists) == (self.settings.users, self.settings.user_lists):
            return ()
        self.settings = replace(self.settings, users=news.users, user_lists=news.user_lists)
        told()
        try:
            count = yield self._renew()
        except DfproxyError as error:
            log.error("new users are not in force everywhere: {reason}", reason=str(error))
            return (f"new users are not in force everywhere: {error}",)
        log.info("users were read again; {count} services have others now", count=count)
        return ()

    @inlineCallbacks
    def _renew(self) -> Generator[Deferred[Any], Any, int]:
        """
        Put in force what services mean now. One that is just being changed is left until that is done: what is being
        changed was perhaps read with the former users, and must not be undone.
        """
        publisher, count = self._publisher, 0
        names = list(publisher.snapshot.services)
        for _ in range(MOST_ROUNDS):
            busy: list[str] = []
            for start in range(0, len(names), AT_ONCE):
                changed: list[Service] = []
                for name in names[start : start + AT_ONCE]:
                    if publisher.is_changing(name):
                        busy.append(name)
                    elif (service := publisher.snapshot.services.get(name)) is not None:
                        other = self._meaning(service.parameters, service.origin)
                        if other is not None and other != service:
                            changed.append(other)
                if changed:
                    yield publisher.publish(tuple(changed), cause="reload")
                    count += len(changed)
                else:
                    yield deferLater(self._clock, 0)
            if not busy:
                break
            names = busy
            yield deferLater(self._clock, PAUSE_S)
        return count
