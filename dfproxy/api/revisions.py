"""
`revisions`: what has changed lately; `undo`: back to what was in force before, as a new revision.

Only definitions of services go back: certificates, servers and health stay what they are now. What a source says again
and again, a listener or a variable, is held: the definition that was gone back from stays out until its source says
something else.

Source: ours; `design.md` 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from dfproxy.api.access import Answer, parameters
from dfproxy.api.dryrun import MESSAGE, RefusedServices, dry_run
from dfproxy.api.reconfigure import changed
from dfproxy.api.request import Request
from dfproxy.api.slices import LongAnswer
from dfproxy.api.verbs import WaitingVerb
from dfproxy.control.revisions import Forgotten, Revisions, Step, holds_of
from dfproxy.dfp import answers
from dfproxy.dfp.differences import difference
from dfproxy.errors import NotReady, Problem, Refused, Superseded
from dfproxy.model.snapshot import Hold, Snapshot

LISTED = 100
"""
Names listed of each kind in one revision.
"""


class RevisionList(LongAnswer):
    """
    The last revisions, the latest first, and what is held.
    """

    async def _answer(self, request: Request) -> None:
        control = self._control
        snapshot = control.publisher.snapshot
        await self._slices.send(request, b"application/json", listed(control.revisions, snapshot))


def listed(revisions: Revisions, snapshot: Snapshot) -> Iterator[str]:
    """
    The JSON, one revision a part.
    """
    head = {
        "Status": "OK",
        "Message": "",
        "Revision": {"Number": snapshot.revision.number, "Hash": snapshot.revision.digest},
        "Since": {"Number": revisions.since.number, "Time": _when(revisions.since_s)},
        "Holds": [hold_object(hold) for hold in list(snapshot.holds.values())[:1000]],
    }
    yield msgspec.json.encode(head).decode()[:-1] + ',"Revisions":['
    before = ""
    for step in revisions.steps():
        yield before + msgspec.json.encode(_step(step)).decode()
        before = ","
    yield "]}"


def _step(step: Step) -> dict[str, object]:
    return {
        "Number": step.revision.number,
        "Hash": step.revision.digest,
        "Time": _when(step.time_s),
        "Causes": [{"Cause": cause, "Origin": origin} for cause, origin in step.causes[:LISTED]],
        "Services": list(step.after)[:LISTED],
        "Difference": difference(step.before, step.after),
        "Certificates": list(step.certificates)[:LISTED],
        "Held": list(step.holds)[:LISTED],
        "Released": list(step.released)[:LISTED],
    }


def hold_object(hold: Hold) -> dict[str, object]:
    """
    A hold as the API tells it.
    """
    return {"ServiceName": hold.name, "Origin": hold.against.origin, "Revision": hold.revision}


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Undo(WaitingVerb):
    """
    200 done, or there is nothing to do; 400 a revision that is not kept, or definitions that cannot be served any
    more; 405 other methods than POST.
    """

    methods = (b"POST",)  # reading must not change anything
    otherwise = "undo changes what is in force: use POST, as in curl -X POST"

    async def _answer(self, request: Request) -> Answer:
        control = self._control
        given = parameters(request)
        snapshot = control.publisher.snapshot
        latest = snapshot.revision.number
        text = given.value("to")
        if text and not (text.isascii() and text.isdigit() and len(text) <= 10):
            return _wrong(text, "must be the number of a revision, such as to=12")
        if not text and latest == control.revisions.since.number:
            return _wrong(text, f"there is nothing to take back: no revision before {latest} is kept")
        number = int(text) if text else latest - 1
        try:
            back = control.revisions.back_to(number)
        except Forgotten as error:
            return _wrong(text, f"{error}; GET revisions lists them")
        services = tuple(each for each in back.values() if each is not None)
        services = tuple(each for each in services if snapshot.services.get(each.name) != each)
        removed = tuple(name for name, each in back.items() if each is None and name in snapshot.services)
        if not services and not removed:
            message = f"nothing has changed: the definitions are those of revision {number} already"
            return Answer(200, answers.plain_short("OK", message, snapshot.revision) | {"To": number})
        changing = {each.name for each in services} | set(removed)
        back = {name: each for name, each in back.items() if name in changing}
        holds = holds_of(back, snapshot, control.is_sourced, latest)
        told: dict[str, object] = {"To": number, "Held": [hold.name for hold in holds]}
        if given.flag("dryRun"):
            try:
                told["Difference"] = await dry_run(control, services, removed)
            except RefusedServices as error:
                return _wrong(text, str(error))
            return Answer(200, answers.plain_short("OK", MESSAGE, snapshot.revision) | told)
        told["Difference"] = difference({name: snapshot.services.get(name) for name in back}, back)
        message = f"the definitions are those of revision {number}"
        try:
            revision = await changed(
                control.publisher.change(services, removed, cause=f"undo to {number}", holds=holds)
            )
        except Superseded:
            return Answer(
                200, answers.plain_short("OK", "overtaken by later changes", control.publisher.snapshot.revision)
            )
        except NotReady:
            raise
        except Refused as error:
            return _wrong(text, f"revision {number} cannot be put in force: {error}")
        return Answer(200, answers.plain_short("OK", message, revision) | told)


def _wrong(value: str, reason: str) -> Answer:
    listed = [answers.problem_object(Problem("to", value[:LISTED], reason, "to=12"))]
    return Answer(400, {"Status": "NOK", "Message": f"to: {reason}", "Problems": listed})
