"""
`reconfigure`: publish a service, or take it away when it has no replicas.

What the parameters mean is the dialect's; whether the change can be made is the publisher's. Here stand the
statuses.

Source: contract 2.3 (ODDITY-02, ODDITY-03), 8.2, 8.6, 10.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from twisted.internet.defer import Deferred

from dfproxy.api.access import Answer, parameters
from dfproxy.api.config import tasks_of
from dfproxy.api.control import Control
from dfproxy.api.dryrun import MESSAGE, RefusedServices, dry_run
from dfproxy.api.request import Request
from dfproxy.api.verbs import DistributedVerb
from dfproxy.control.templatefiles import template_text
from dfproxy.dfp import answers
from dfproxy.dfp import reconfigure as dialect
from dfproxy.dfp.reading import Reading
from dfproxy.errors import InvalidBalance, InvalidRoute, InvalidService, NotReady, Refused, Superseded
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Revision

SUPERSEDED = "a later change of this service, asked for at the same time, is in force instead"
"""
Told to a caller whose change another one has overtaken.
"""


HELD = "kept out by an undo: this definition was gone back from, and is the same; another one, or remove, ends that"
"""
Told to a caller whose definition a hold keeps out.
"""


def changed(result: object) -> Deferred[Revision]:
    """
    The result of a publisher's change, with its type; the interface has none.
    """
    return cast("Deferred[Revision]", result)


def warnings_about(control: Control, service: Service | None, notes: Sequence[str] = ()) -> dict[str, object]:
    """
    What an operator should know of a service that is accepted: what of it has no effect, and routes that never get a
    request; nothing if there are none.

    Args:
        service: that is published; None: none is.
    """
    texts = list(notes)
    if service is not None:
        found = control.shadows(service)
        texts += found.texts()
        if not found.complete:
            texts.append("there are more; explain tells of each request")
    return {"Warnings": texts} if texts else {}


class Reconfigure(DistributedVerb):
    """
    Puts a definition in force; the answer is sent when every data plane uses it.

    200 done, 400 parameters that make no service or that cannot be served, 409 nothing to route (the swarm listener
    takes that as done), 500 our fault or another replica's, 503 not now.
    """

    async def _answer(self, request: Request) -> Answer:
        control = self._control
        given = parameters(request)
        try:
            known = control.strategies
            reading = dialect.read(
                given.query,
                given.form,
                control.settings,
                known.parse_balance,
                known.check_condition,
                partial(template_text, settings=control.settings),
            )
            if reading.certificate is not None and control.certificates is not None:
                control.certificates.bring(reading)
        except InvalidService as error:
            name = dialect.name_of(given.query, given.form)
            status = 409 if error.nothing_to_route else 400
            return Answer(status, answers.refused(name, str(error), error.problems))
        if given.flag("dryRun"):
            return await self._try(reading)
        if not reading.distribute:
            return await self._apply(reading)
        return await self._everywhere(
            (request, given),
            (reading.name,),
            lambda: self._apply(reading),
            lambda why: Answer(500, answers.refused(reading.name, why, (), reading.shown)),
        )

    async def _try(self, reading: Reading) -> Answer:
        """
        Say what it would do; here only, whatever `distribute` says.
        """
        control = self._control
        services, removed = ((reading.service,), ()) if reading.service is not None else ((), (reading.name,))
        try:
            difference = await dry_run(control, services, removed)
        except RefusedServices as error:
            return Answer(400, answers.refused(reading.name, str(error), (), reading.shown))
        told: dict[str, object] = {"Message": MESSAGE, "Difference": difference}
        if reading.notes:
            told["Warnings"] = list(reading.notes)
        return Answer(200, answers.accepted(reading, control.publisher.snapshot.revision) | told)

    async def _apply(self, reading: Reading) -> Answer:
        """
        Carry it out here.
        """
        control, message = self._control, ""
        try:
            if reading.service is None:
                revision = await changed(control.publisher.withdraw((reading.name,), cause="reconfigure"))
            else:
                revision = await changed(control.publisher.publish((reading.service,), cause="reconfigure"))
        except Superseded:
            # Done from the caller's point of view: what it wanted to replace is replaced, by something newer.
            revision, message = control.publisher.snapshot.revision, SUPERSEDED
        except NotReady:
            raise  # is not about this service, although it is a Refused
        except (Refused, InvalidRoute, InvalidBalance) as error:
            return Answer(400, answers.refused(reading.name, str(error), (), reading.shown))
        if reading.name in control.publisher.snapshot.holds:
            message = HELD
        told = tasks_of(control, reading.service) | warnings_about(control, reading.service, reading.notes)
        return Answer(200, answers.accepted(reading, revision) | told | {"Message": message})
