"""
`remove`: take a service away.

Source: contract 2.4.
"""

from __future__ import annotations

from dfproxy.api.access import Answer, CallQueue, parameters
from dfproxy.api.control import Control
from dfproxy.api.reconfigure import DISTRIBUTE, SUPERSEDED, changed
from dfproxy.api.request import Request, Verb
from dfproxy.dfp import answers
from dfproxy.errors import Problem, Superseded


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
            problem = Problem("serviceName", "", "is missing; give the name of the service to remove")
            return Answer(400, answers.refused("", f"{problem.parameter}: {problem.reason}", (problem,)))
        if given.flag("distribute"):
            return Answer(400, answers.refused(name, str(DISTRIBUTE), DISTRIBUTE.problems))
        publisher, message = self._control.publisher, ""
        try:
            revision = await changed(publisher.withdraw((name,)))
        except Superseded:
            revision, message = publisher.snapshot.revision, SUPERSEDED
        return Answer(200, answers.removed(name, revision) | {"Message": message})
