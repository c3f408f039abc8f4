"""
`reconfigure`: publish a service, or take it away when it has no replicas.

What the parameters mean is the dialect's; whether the change can be made is the publisher's. Here stand the
statuses.

Source: contract 2.3 (ODDITY-02, ODDITY-03), 8.6, 10.5.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.web import resource

from dfproxy.api.access import Answer, CallQueue, parameters
from dfproxy.api.control import Control
from dfproxy.api.request import Request
from dfproxy.dfp import answers
from dfproxy.dfp import reconfigure as dialect
from dfproxy.errors import InvalidBalance, InvalidRoute, InvalidService, NotReady, Problem, Refused, Superseded
from dfproxy.model.snapshot import Revision

DISTRIBUTE = InvalidService(
    (Problem("distribute", "true", "passing a call on to other replicas is not supported yet; say distribute=false"),)
)
"""
What `distribute=true` is answered. To ignore it would leave the other replicas with former definitions, unnoticed.
"""

SUPERSEDED = "a later change of this service, asked for at the same time, is in force instead"
"""
Told to a caller whose change another one has overtaken.
"""


def changed(result: object) -> Deferred[Revision]:
    """
    The result of a publisher's change, with its type; the interface has none.
    """
    return cast("Deferred[Revision]", result)


class Reconfigure(resource.Resource):
    """
    Puts a definition in force; the answer is sent when every data plane uses it.

    200 done, 400 parameters that make no service or that cannot be served, 409 nothing to route (the swarm listener
    takes that as done), 500 our fault, 503 not now.
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
        try:
            reading = dialect.read(given.query, given.form, control.settings, control.strategies.parse_balance)
        except InvalidService as error:
            name = dialect.name_of(given.query, given.form)
            status = 409 if error.nothing_to_route else 400
            return Answer(status, answers.refused(name, str(error), error.problems))
        if reading.distribute:
            return Answer(400, answers.refused(reading.name, str(DISTRIBUTE), DISTRIBUTE.problems, reading.shown))
        message = ""
        try:
            if reading.service is None:
                revision = await changed(control.publisher.withdraw((reading.name,)))
            else:
                revision = await changed(control.publisher.publish((reading.service,)))
        except Superseded:
            # Done from the caller's point of view: what it wanted to replace is replaced, by something newer.
            revision, message = control.publisher.snapshot.revision, SUPERSEDED
        except NotReady:
            raise  # is not about this service, although it is a Refused
        except (Refused, InvalidRoute, InvalidBalance) as error:
            return Answer(400, answers.refused(reading.name, str(error), (), reading.shown))
        return Answer(200, answers.accepted(reading, revision) | {"Message": message})
