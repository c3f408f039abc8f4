"""
`reconfigure`: publish a service, or take it away when it has no replicas.

What the parameters mean is the dialect's; whether the change can be made is the publisher's. Here stand the
statuses.

Source: contract 2.3 (ODDITY-02, ODDITY-03), 8.6, 10.5.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.web import resource

from dfproxy.api.access import Answer, CallQueue, parameters
from dfproxy.api.control import Control
from dfproxy.api.request import Request
from dfproxy.dfp import answers
from dfproxy.dfp import reconfigure as dialect
from dfproxy.errors import InvalidBalance, InvalidRoute, InvalidService, Problem, Refused, Superseded

DISTRIBUTE_LATER = "distribute=true: passing the call on to other replicas comes later; say distribute=false"


class Reconfigure(resource.Resource):
    """
    Puts a definition in force; the answer is sent when every data plane uses it.

    200 done, 400 parameters that make no service or that cannot be served, 409 nothing to route (the swarm listener
    takes that as done), 500 our fault, 503 too many changes.
    """

    isLeaf = True

    def __init__(self, control: Control, queue: CallQueue) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no annotations
        self._control = control
        self._queue = queue

    def render(self, request: Request) -> int:
        """
        The same for every method: the swarm listener may be told to use any.
        """
        return self._queue.render(request, self._change)

    async def _change(self, request: Request) -> Answer:
        control = self._control
        given = parameters(request)
        name = given.value("serviceName")
        try:
            reading = dialect.read(given.query, given.form, control.settings, control.strategies.parse_balance)
        except InvalidService as error:
            return Answer(409 if error.nothing_to_route else 400, answers.refused(name, error.problems))
        if reading.distribute:
            problem = Problem("distribute", "true", DISTRIBUTE_LATER)
            return Answer(400, answers.refused(name, (problem,)))
        if reading.withdraws:
            changed = control.publisher.withdraw((reading.name,))
        else:
            changed = control.publisher.publish((reading.service,))
        accepted: dict[str, Any] = answers.accepted(reading)
        try:
            await cast("Deferred[object]", changed)
        except Superseded:
            # Done from the caller's point of view: what it wanted to replace is replaced, by something newer.
            accepted["Message"] = "a later definition of this service, sent at the same time, is in force instead"
        except (Refused, InvalidRoute, InvalidBalance) as error:
            return Answer(400, answers.refused(name, (Problem("", "", str(error)),)))
        return Answer(200, accepted)
