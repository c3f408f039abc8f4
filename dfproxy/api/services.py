"""
`services`: several services at once, all or none, as when a whole stack goes from blue to green.

The body is what a swarm listener answers to `get-services`. One revision; whatever is wrong with any of them refuses
all, and each that is wrong is named. `replace=all` also takes away what calls and listeners have published before and
the body does not name.

Source: contract 3.8; ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from twisted.internet.task import deferLater

from dfproxy.api.access import Answer, BadCall, Parameters, body_of, parameters, refusal
from dfproxy.api.dryrun import MESSAGE, RefusedServices, dry_run, refused_of
from dfproxy.api.reconfigure import SUPERSEDED, changed
from dfproxy.api.request import Request
from dfproxy.api.slices import SLICE_S
from dfproxy.api.verbs import DistributedVerb
from dfproxy.control.origins import Claims
from dfproxy.control.templatefiles import template_text
from dfproxy.dfp import answers
from dfproxy.dfp import reconfigure as dialect
from dfproxy.dfp.listed import pairs_of
from dfproxy.errors import InvalidBalance, InvalidRoute, InvalidService, NotReady, Problem, Refused, Superseded
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Revision

ORIGIN = "dfp"

EXAMPLE = '[{"serviceName": "go-demo", "servicePath": "/demo", "port": "8080"}]'

NAMED = 1000
"""
Services that are wrong and named; more are not looked at.
"""


@dataclass(slots=True)
class Batch:
    """
    What a body asks for.

    Attributes:
        services: to be published, by name.
        removed: names to be withdrawn: `replicas=0`, of another instance, or with `replace=all` not named.
        skipped: names of entries that have no route, which a listener lists for others.
        wrong: problems, by name of the service; what has no name by its place in the list.
        given: how often each name was given.
    """

    services: dict[str, Service] = field(default_factory=dict)
    removed: dict[str, None] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    wrong: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)


class Services(DistributedVerb):
    """
    200 all are in force, 400 some are wrong and none has changed, 405 other methods than POST and PUT.
    """

    methods = (b"POST", b"PUT")  # reading must not change anything
    otherwise = f"post a list of services, such as {EXAMPLE}"

    async def _answer(self, request: Request) -> Answer:
        control = self._control
        given = parameters(request)
        batch = await self._read(request, given)
        if batch.wrong:
            return _refused(batch.wrong)
        services, removed = tuple(batch.services.values()), tuple(batch.removed)
        if given.flag("dryRun"):
            try:
                difference = await dry_run(control, services, removed)
            except RefusedServices as error:
                return _refused(_named(error.refused))
            revision = control.publisher.snapshot.revision
            return Answer(
                200, answers.plain_short("OK", MESSAGE, revision) | _outcome(batch) | {"Difference": difference}
            )
        if not given.flag("distribute"):
            return await self._apply(batch)
        names = (*batch.services, *batch.removed)
        return await self._everywhere((request, given), names, lambda: self._apply(batch), partial(refusal, 500))

    async def _apply(self, batch: Batch) -> Answer:
        control, message = self._control, ""
        services, removed = tuple(batch.services.values()), tuple(batch.removed)
        publisher = control.publisher
        try:
            revision: Revision = await changed(publisher.change(services, removed, cause="services"))
        except Superseded:
            revision, message = publisher.snapshot.revision, SUPERSEDED
        except NotReady:
            raise  # is not about these services, although it is a Refused
        except (Refused, InvalidRoute, InvalidBalance) as error:
            refused = await refused_of(control, services) or {"": str(error)}
            return _refused(_named(refused))
        held = [name for name in batch.services if name in publisher.snapshot.holds]
        return Answer(200, answers.plain_short("OK", message, revision) | _outcome(batch) | {"Held": held})

    async def _read(self, request: Request, given: Parameters) -> Batch:
        control, batch = self._control, Batch()
        entries = _entries(body_of(request))
        replace = given.value("replace").lower()
        if replace not in ("", "all"):
            raise BadCall("replace: must be all, or left out: then services that are not listed stay")
        clock = control.clock
        until = clock.seconds() + SLICE_S
        for place, entry in enumerate(entries):
            self._read_one(entry, f"entry {place}", batch)
            if len(batch.wrong) >= NAMED:
                break
            if clock.seconds() >= until:
                await deferLater(clock, 0.0)
                until = clock.seconds() + SLICE_S
        present = control.publisher.snapshot.services
        if replace:
            listed = batch.given
            batch.removed |= {
                name: None for name, each in present.items() if each.origin == ORIGIN and name not in listed
            }
        for name, service in batch.services.items():
            if (claimed := Claims(present).refusal({name: service}, (), ORIGIN)) is not None:
                batch.wrong[name] = (Problem("serviceName", name, str(claimed)),)
        return batch

    def _read_one(self, entry: object, place: str, batch: Batch) -> None:
        control = self._control
        if not isinstance(entry, dict):
            batch.wrong[place] = (Problem(place, "", f"must be an object of parameters, such as {EXAMPLE[1:-1]}"),)
            return
        pairs = list(pairs_of(entry))
        name = dialect.name_of(pairs, ())
        if name in batch.given and name:
            batch.wrong[name] = (Problem("serviceName", name, "is listed twice; one definition is in force at a time"),)
            return
        batch.given.add(name)
        try:
            known = control.strategies
            template = partial(template_text, settings=control.settings)
            reading = dialect.read(pairs, (), control.settings, known.parse_balance, known.check_condition, template)
            if reading.certificate is not None and control.certificates is not None:
                control.certificates.bring(reading)
        except InvalidService as error:
            if error.nothing_to_route:
                batch.skipped.append(name)
            else:
                batch.wrong[name or place] = error.problems
            return
        if reading.service is None:
            batch.removed[reading.name] = None
        else:
            batch.services[reading.name] = reading.service


def _entries(body: bytes) -> list[Any]:
    if not body.strip():
        raise BadCall(f"the body is empty; it must be a list of services, such as {EXAMPLE}")
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadCall(f"the body is no JSON: {error}; it must be a list of services, such as {EXAMPLE}") from error
    if not isinstance(found, list):
        raise BadCall(f"the body must be a list of services, such as {EXAMPLE}")
    return found


def _named(refused: dict[str, str]) -> dict[str, tuple[Problem, ...]]:
    return {name: (Problem("serviceName", name, reason),) for name, reason in refused.items()}


def _refused(wrong: dict[str, tuple[Problem, ...]]) -> Answer:
    problems = [
        {"ServiceName": name} | answers.problem_object(problem)
        for name, several in wrong.items()
        for problem in several
    ]
    count = f"{len(wrong)} services are" if len(wrong) > 1 else "a service is"
    message = f"nothing has changed: {count} wrong: {', '.join(list(wrong)[:20])}"
    return Answer(400, {"Status": "NOK", "Message": message, "Problems": problems})


def _outcome(batch: Batch) -> dict[str, object]:
    return {"Services": list(batch.services), "Removed": list(batch.removed), "Skipped": batch.skipped}
