"""
`server`: how the servers of services stand, and why each is not used; drains, switches off or weighs single ones.

Without `state` and `weight` it lists; with one of them it changes. Applied by every worker, and durable, before the
answer.

Source: ours; HAProxy's runtime API, `set server <backend>/<server> state|weight`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from dfproxy.api.access import Answer, BadCall, CallQueue, Parameters, parameters, refusal, write_answer
from dfproxy.api.control import Control
from dfproxy.api.reconfigure import SUPERSEDED, changed
from dfproxy.api.request import Request
from dfproxy.api.slices import Slices
from dfproxy.api.verbs import DistributedVerb, only
from dfproxy.control.servers import Servers, UnknownServer
from dfproxy.dfp import answers
from dfproxy.errors import Problem, Superseded
from dfproxy.model.checks import MAX_WEIGHT, STANDINGS
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Revision

DEFAULT = "default"
"""
What `weight` is given to have the server's own one again.
"""


class Server(DistributedVerb):
    """
    200 done or listed, 400 a wrong value, 404 no such service or server, 405 other methods than GET, POST and PUT.

    Args:
        control: what the API calls.
        queue: for changes that end here.
        everywhere: for changes that are sent on.
        long_answers: for lists.
        slices: how they are sent.
    """

    def __init__(
        self, control: Control, queue: CallQueue, everywhere: CallQueue, long_answers: CallQueue, slices: Slices
    ) -> None:
        super().__init__(control, queue, everywhere)
        self._long_answers = long_answers
        self._slices = slices

    def render(self, request: Request) -> int | bytes:
        """
        A list waits with other long answers, a change with other changes.
        """
        if request.method not in (b"GET", b"HEAD", b"POST", b"PUT"):
            return only(request, (b"GET", b"POST", b"PUT"), "list servers with GET, change one with POST or PUT")
        try:
            given = parameters(request)
            changes = _is_given(given, "state") or _is_given(given, "weight")
        except BadCall:
            changes = True  # refused there
        if not changes:
            return self._long_answers.render(request, self._list)
        return super().render(request)

    # --- the list

    async def _list(self, request: Request) -> None:
        servers, given = self._control.servers, parameters(request)
        name, text = given.value("serviceName"), given.value("server")
        services = self._control.publisher.snapshot.services
        if servers is None:
            write_answer(request, Answer(503, {"Status": "NOK", "Message": "this proxy does not know its servers"}))
            return
        if text and not name:
            write_answer(request, _refused("serviceName", "", "is missing: whose server is meant?"))
            return
        wanted: tuple[Service, ...] = tuple(services.values())
        if name:
            try:
                if text or name not in services:
                    servers.find(name, text)
            except UnknownServer as error:
                write_answer(request, Answer(404, {"Status": "NOK", "Message": str(error)}))
                return
            wanted = (services[name],)
        revision = self._control.publisher.snapshot.revision
        await self._slices.send(request, b"application/json", _as_json(servers.rows(wanted, text), revision))

    # --- a change

    async def _answer(self, request: Request) -> Answer:
        given = parameters(request)
        name, text, state = given.value("serviceName"), given.value("server"), given.value("state").strip().lower()
        weight = given.value("weight").strip()
        for parameter, value in (("serviceName", name), ("server", text)):
            if not value:
                return _refused(parameter, "", "is missing: which server of which service is meant?")
        if _is_given(given, "state") and state not in STANDINGS:
            return _refused("state", state, f"must be {', '.join(STANDINGS[:-1])} or {STANDINGS[-1]}", "state=drain")
        if _is_given(given, "weight") and weight.lower() != DEFAULT and _weight(weight) is None:
            return _refused(
                "weight", weight, f"must be a whole number from 0 to {MAX_WEIGHT}, or {DEFAULT}", "weight=10"
            )
        here = partial(self._apply, name, text, state, weight)
        if not given.flag("distribute"):
            return await here()
        return await self._everywhere((request, given), (name,), here, partial(refusal, 500))

    async def _apply(self, name: str, text: str, state: str, weight: str) -> Answer:
        control = self._control
        servers: Servers | None = control.servers
        if servers is None:
            return Answer(503, {"Status": "NOK", "Message": "this proxy does not know its servers"})
        message = ""
        try:
            addresses = servers.find(name, text)
            try:
                revision: Revision = await changed(
                    servers.order(name, addresses, state or None, _weight(weight), weight.lower() == DEFAULT)
                )
            except Superseded:
                revision, message = control.publisher.snapshot.revision, SUPERSEDED
            servers.find(name, text)  # it may have been withdrawn while this waited
        except UnknownServer as error:
            return Answer(404, {"Status": "NOK", "Message": str(error)})
        service = control.publisher.snapshot.services.get(name)
        rows = [] if service is None else list(servers.rows((service,), text))
        return Answer(200, answers.plain_short("OK", message, revision) | {"Servers": rows})


def _is_given(given: Parameters, name: str) -> bool:
    wanted = name.lower()
    return any(each.lower() == wanted for pairs in (given.query, given.form) for each, _ in pairs)


def _weight(text: str) -> int | None:
    if not text.isascii() or not text.isdigit() or int(text[:6]) > MAX_WEIGHT or len(text) > 6:
        return None
    return int(text)


def _refused(parameter: str, value: str, reason: str, example: str = "") -> Answer:
    problem = Problem(parameter, value[:100], reason, example)
    listed = {"Parameter": parameter, "Value": problem.value, "Reason": reason, "Example": example}
    said = f"{parameter}={problem.value}" if value else parameter
    return Answer(400, {"Status": "NOK", "Message": f"{said} {reason}", "Problems": [listed]})


def _as_json(rows: Iterator[dict[str, Any]], revision: Revision) -> Iterator[str]:
    head = answers.plain_short("OK", "", revision)
    yield msgspec.json.encode(head).decode()[:-1] + ',"Servers":['
    before = ""
    for row in rows:
        yield before + msgspec.json.encode(row).decode()
        before = ","
    yield "]}"
