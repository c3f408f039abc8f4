"""
Where a request would go, why, and what would be done to it; nothing of it happens.

The request takes the way of every other: through the same compiled tables, redirects and steps, to an exchange that is
never begun. A recorder stands before the table of routes and sees what is asked there; the routes that were passed over
are asked again one by one, in slices, so that traffic goes on meanwhile. No counter moves, no balancer goes on.

A password is not verified: whoever asks would learn by trying. Nor is a connection made: a server that would turn out
to be dead is told as the one that would be tried first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import copy
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from dfproxy.balancing.preview import Failed, Unforeseen, preview
from dfproxy.dfp.steptexts import step_texts
from dfproxy.errors import ClientProtocolError
from dfproxy.exchange.redirects import Elsewhere
from dfproxy.exchange.stepped import Answered, Said
from dfproxy.exchange.steps import RouteSteps
from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.resource import ReverseProxyResource
from dfproxy.interfaces import ILookup, IRequest
from dfproxy.model.connection import TlsFacts
from dfproxy.model.service import Balance, Route
from dfproxy.routing.matcher import shown
from dfproxy.routing.replay import PassedOver, Verdict, in_order, passed_over, replay, winner_of
from dfproxy.routing.table import RouteTable
from dfproxy.upstream.live import LiveBackend, LiveServer
from dfproxy.wire.h1 import RequestHead, request_head

SLICE_S = 0.002
"""
How long the reactor is kept for one piece of an explanation, in seconds.
"""

WHOLE_S = 0.15
"""
How long an explanation may take, in seconds; what was not looked at by then is counted only. The leader waits 0.25.
"""

LINES = 40
"""
Lines of headers shown as added or removed.
"""

SECRET = (b"authorization", b"proxy-authorization", b"cookie", b"set-cookie")
"""
Headers whose values are not shown.
"""

_AUTHORIZATION = re.compile(rb"(\r\nauthorization:[ \t]*)[^\r\n]*", re.IGNORECASE)

Wrap = Callable[[ILookup], ILookup]
"""
Puts before a table of routes whatever stands before the one in force.
"""


@implementer(ILookup)
class Recorder:
    """
    A table of routes that keeps what it was asked.

    Attributes:
        request: the request as it was when it was looked up; None: it never was.
        found: what was found.
    """

    def __init__(self, table: RouteTable) -> None:
        self._table = table
        self.request: RequestHead | None = None
        self.found: object | None = None

    def lookup(self, request: IRequest) -> object | None:
        """
        See `ILookup`.
        """
        self.found = self._table.lookup(request)
        if isinstance(request, RequestHead):
            self.request = copy(request)
        return self.found


class _Nobody:
    """
    The client's side of an exchange that is never begun.
    """

    transport = None
    reserved = None

    def local_host(self) -> str:
        """
        Not known.
        """
        return ""


class Explanation:
    """
    One answer.

    Args:
        table: the routes in force.
        wrap: what stands before them.
        traffic: what exchanges share.
        random: the balancers' chance.
        known: every route condition, by name.
    """

    def __init__(
        self, table: RouteTable, wrap: Wrap, traffic: Traffic, random: Random, known: Mapping[str, object]
    ) -> None:
        self._table = table
        self._wrap = wrap
        self._traffic = traffic
        self._random = random
        self._known = known
        self._answer: dict[str, Any] = {}
        self._passed = PassedOver()
        self._before: Any = None

    def of(self, asked: Mapping[str, Any]) -> Deferred[dict[str, Any]]:
        """
        Explain one request.

        Args:
            asked: `head` (bytes, a whole head), `port` (that the client connects to), `tls` (whether with TLS),
                `client` (its IP address), `client_port`.

        Returns:
            Deferred: the answer, JSON-able, in `WHOLE_S` at the latest.
        """
        done: Deferred[dict[str, Any]] = Deferred()
        try:
            head = head_of(asked, self._traffic)
        except ClientProtocolError as error:
            done.callback({"Outcome": f"answered {error.status} at once: {error}", "Code": error.status})
            return done
        recorder = Recorder(self._table)
        self._decide(head, recorder)
        request = recorder.request or head
        self._go_on(
            passed_over(self._table, request, self._before, self._known, self._passed),
            self._traffic.monotonic() + WHOLE_S,
            done,
        )
        return done

    # --- what would be done ----------------------------------------------------------------------------------

    def _decide(self, head: RequestHead, recorder: Recorder) -> None:
        """
        Let the request take its way, up to where it would begin to do something.
        """
        original, before = head.target, _lines(head.kept)
        has_password = bool(head.values(b"authorization"))
        lookup = self._wrap(recorder).lookup
        targets: list[object] = []

        def looked_up(request: IRequest) -> object:
            target = lookup(request)
            targets.append(target)
            return target

        resource = ReverseProxyResource(lookup=looked_up, traffic=self._traffic)
        exchange = resource.exchange(_Nobody(), head)  # type: ignore[arg-type]  # as much of a client as is asked
        target = targets[0] if targets else None
        self._tell_route(recorder)
        answer = self._answer
        if exchange is None:
            answer |= {"Outcome": "no route takes it: answered 503", "Code": 503}
            return
        backend = exchange.backend
        effects = [f"request header {line}" for line in _changes(before, _lines(head.kept))]
        if recorder.request is None and not isinstance(exchange, Answered):
            answer |= {"Outcome": "answered by the proxy itself: the statistics", "Effects": effects}
            return
        answer["Backend"] = backend.destination.backend_name
        if isinstance(exchange, Answered):
            self._tell_answer(exchange.said, isinstance(target, Elsewhere), backend, has_password)
            if exchange.said.status != 401 or not has_password:
                answer["Effects"] = effects
                return
            _stick(backend, head)
        if head.target != original:
            effects.append(f"target becomes {shown(head.target)}")
        answer["Effects"] = effects
        self._tell_server(backend, head)

    def _tell_answer(self, said: Said, redirected: bool, backend: LiveBackend, has_password: bool) -> None:
        status = said.status
        location = next((line[10:] for line in _lines(said.fields) if line.lower().startswith(b"location: ")), b"")
        words = f"answered {status} by the proxy"
        if location:
            words += f", to {shown(location)}"
        if redirected:
            words += f": a redirect of {backend.service.name}, which comes before the choice of a route"
        if status == 401:
            words = (
                "admitted if the password is right (it is not verified here)"
                if has_password
                else "answered 401: a user and a password are asked for"
            )
        self._answer["Outcome"] = words
        if status != 401 or not has_password:
            self._answer["Code"] = status
        if location:
            self._answer["Location"] = shown(location)

    def _tell_route(self, recorder: Recorder) -> None:
        """
        The route that was found, its conditions and its steps.
        """
        found, request = recorder.found, recorder.request
        self._answer["Route"] = None
        if not isinstance(found, LiveBackend) or request is None:
            return
        winner = winner_of(self._table, found, found.service.name, request, self._known)
        self._before = None if winner is None else winner.rank
        route = Route(found.service, found.destination) if winner is None else winner.route
        self._answer["Route"] = _route(route) | {
            "Default": winner is None,
            "Conditions": _verdicts(replay(route.destination.match, request, self._known)),
            "Steps": [{"Parameter": name, "Does": text} for name, text in step_texts(route.destination.steps)],
        }

    def _tell_server(self, backend: LiveBackend, head: RequestHead) -> None:
        """
        The server that would be tried first.
        """
        answer = self._answer
        answer["Servers"] = len(backend.servers)
        answer["UsableServers"] = len(backend.usable)
        sticky: LiveServer | None = getattr(head, "sticky", None)
        why = f"balance={_balance(backend.service.balance)}"
        server: Any = None
        failed = False
        if sticky is not None and (sticky in backend.usable or sticky in backend.bound):
            server, why = sticky, "its cookie"
        else:
            kept = (*backend.servers, self._traffic.clock)
            try:
                server = preview(backend.balancer, head, self._random, kept)
            except Unforeseen as error:
                failed, why = isinstance(error, Failed), str(error)
            else:
                if server is None:
                    why = "no server is known" if not backend.servers else "none of its servers may be used"
        answer["Server"] = None
        if server is not None:
            answer["Server"] = {"Name": server.name, "Address": server.host, "Port": server.port}
        answer["Why"] = why
        if "Outcome" not in answer:
            unforeseen = server is None and backend.usable and not failed
            outcome = f"sent to {backend.destination.backend_name}"
            if server is not None:
                outcome = f"sent to {server.name} ({server.host}:{server.port}) of {backend.destination.backend_name}"
            elif not unforeseen:
                outcome = f"answered 503: {backend.destination.backend_name}: {why}"
                answer["Code"] = 503
            answer["Outcome"] = outcome

    # --- what was passed over --------------------------------------------------------------------------------

    def _go_on(self, steps: Any, until: float, done: Deferred[dict[str, Any]]) -> None:
        """
        Look at further routes, for one slice.
        """
        now = self._traffic.monotonic
        end = min(now() + SLICE_S, until)
        for _ in steps:
            if now() >= end:
                break
        else:
            done.callback(self._complete())
            return
        if now() >= until:
            done.callback(self._complete())
        else:
            self._traffic.clock.callLater(0, self._go_on, steps, until, done)

    def _complete(self) -> dict[str, Any]:
        passed = self._passed
        listed = passed.listed
        if passed.looked_at < passed.total:
            listed = in_order(listed, passed.total)
        self._answer["PassedOver"] = [_route(one.route) | {"Failed": _verdicts(one.failed)} for one in listed]
        self._answer["LeftOut"] = passed.total - len(listed)
        self._answer["NotLookedAt"] = passed.total - passed.looked_at
        return self._answer


def head_of(asked: Mapping[str, Any], traffic: Traffic) -> RequestHead:
    """
    The head that the request would have.

    Raises:
        ClientProtocolError: it would be answered so at once.
    """
    limits = traffic.limits
    found = request_head(_without_password(asked["head"]), 0, limits.request_head_bytes, limits.fields)
    if found is None:
        raise ClientProtocolError(400, "no request")
    head = found[0]
    head.client_host = asked["client"]
    head.client_port = asked["client_port"]
    head.local_port = asked["port"]
    if asked["tls"]:
        head.tls = TlsFacts(shown(head.host).partition(":")[0])
    return head


def _balance(balance: Balance) -> str:
    words = balance.arguments
    return f"{balance.name}({', '.join(words)})" if words else balance.name


def _stick(backend: LiveBackend, head: RequestHead) -> None:
    """
    The server of its cookie, for a request that was stopped before it was looked at.
    """
    stickiness = backend.steps.stickiness if isinstance(backend.steps, RouteSteps) else None
    if stickiness is not None:
        head.sticky = stickiness.server(backend, stickiness.take(head))


def _without_password(head: bytes) -> bytes:
    """
    With credentials that are nobody's, if there are any: who asks must not learn whether his are right.
    """
    return _AUTHORIZATION.sub(rb"\1Basic -", head)


def _route(route: Route) -> dict[str, Any]:
    service, destination = route.service, route.destination
    return {"Service": service.name, "Index": destination.index, "Backend": destination.backend_name}


def _verdicts(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    return [
        {"Condition": one.condition, "Wanted": one.wanted, "Found": one.found, "Holds": one.holds} for one in verdicts
    ]


def _lines(section: bytes) -> list[bytes]:
    return section.split(b"\r\n")[:-1]


def _changes(before: list[bytes], after: list[bytes]) -> list[str]:
    """
    Lines that came and went, without secrets.
    """
    gone = [f"removed: {_line(line)}" for line in before if line not in after]
    come = [f"added: {_line(line)}" for line in after if line not in before]
    return (gone + come)[:LINES]


def _line(line: bytes) -> str:
    name, _, value = line.partition(b":")
    return f"{shown(name)}: ..." if name.lower() in SECRET else shown(line)[:300]
