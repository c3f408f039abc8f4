"""
`remove`: take a service away.

Source: contract 2.4.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred

from dfproxy.api.access import Answer, CallQueue, parameters, refusal
from dfproxy.api.control import Control
from dfproxy.api.reconfigure import DISTRIBUTE_LATER
from dfproxy.api.request import Request, Verb
from dfproxy.dfp import answers
from dfproxy.errors import Superseded


class Remove(Verb):
    """
    200 also if there is no such service; `aclName` is accepted and ignored.
    """

    def __init__(self, control: Control, queue: CallQueue) -> None:
        super().__init__()
        self._control = control
        self._queue = queue

    def render(self, request: Request) -> int:
        """
        The same for every method: the swarm listener may be told to use any.
        """
        return self._queue.render(request, self._remove)

    async def _remove(self, request: Request) -> Answer:
        given = parameters(request)
        name = given.value("serviceName")
        if not name:
            return refusal(400, "serviceName: which service to remove is missing")
        if given.flag("distribute"):
            return refusal(400, DISTRIBUTE_LATER)
        removed = answers.removed(name)
        try:
            await cast("Deferred[object]", self._control.publisher.withdraw((name,)))
        except Superseded:
            removed["Message"] = "a later definition of this service, sent at the same time, is in force instead"
        return Answer(200, removed)
