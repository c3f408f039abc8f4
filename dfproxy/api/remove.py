"""
`remove`: take a service away.

Source: contract 2.4, 8.2.
"""

from __future__ import annotations

from dfproxy.api.access import Answer, parameters
from dfproxy.api.dryrun import MESSAGE, dry_run
from dfproxy.api.reconfigure import SUPERSEDED, changed
from dfproxy.api.request import Request
from dfproxy.api.verbs import DistributedVerb
from dfproxy.dfp import answers
from dfproxy.errors import Problem, Superseded

SHOWN = {"Distribute": True}
"""
What the answer to a distributed call shows beside the name.
"""


class Remove(DistributedVerb):
    """
    200 also if there is no such service; `aclName` is accepted and ignored.
    """

    async def _answer(self, request: Request) -> Answer:
        given = parameters(request)
        name = given.value("serviceName")
        if not name:
            problem = Problem("serviceName", "", "is missing; give the name of the service to remove")
            return Answer(400, answers.refused("", f"{problem.parameter}: {problem.reason}", (problem,)))
        if given.flag("dryRun"):
            difference = await dry_run(self._control, (), (name,))
            revision = self._control.publisher.snapshot.revision
            return Answer(200, answers.removed(name, revision) | {"Message": MESSAGE, "Difference": difference})
        if not given.flag("distribute"):
            return await self._withdraw(name)
        answer = await self._everywhere(
            (request, given),
            (name,),
            lambda: self._withdraw(name),
            lambda why: Answer(500, answers.refused(name, why, ())),
        )
        return Answer(answer.status, answer.body | SHOWN)

    async def _withdraw(self, name: str) -> Answer:
        publisher, message = self._control.publisher, ""
        try:
            revision = await changed(publisher.withdraw((name,), cause="remove"))
        except Superseded:
            revision, message = publisher.snapshot.revision, SUPERSEDED
        return Answer(200, answers.removed(name, revision) | {"Message": message})
