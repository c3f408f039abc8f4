"""
What a route does to a request and its answer, compiled once per route.

The order is fixed (HAProxy's, as DFP wrote its backends): redirect to https, X-Forwarded-Proto, header rules,
rewriting, client certificate, methods, plain connections, users. Before all of them networks, which are ours: strangers
learn nothing. A step lets the request pass, changed or not, or answers it.

A route without steps has none of this: its backend's `steps` is None.

Source: HAProxy `http-request redirect|add-header|set-header|del-header|set-path|deny|auth`, `http-response ...`; DFP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from dfproxy.errors import InvalidRoute
from dfproxy.exchange.compression import Compressor
from dfproxy.exchange.directives import compile_answer, compile_request, in_turn
from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.editing import append, replace, set_path
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.passwords import Busy, Gate, Verifier
from dfproxy.exchange.stepped import Answered, Said, Stepped
from dfproxy.exchange.stickiness import Picking, Stickiness, picking
from dfproxy.exchange.traffic import Traffic
from dfproxy.expressions.converters import TooLong, substitution
from dfproxy.expressions.directives import read_all
from dfproxy.expressions.fetches import Phase
from dfproxy.expressions.rules import CompiledRule, compile_rule
from dfproxy.expressions.subject import Subject, Surroundings
from dfproxy.expressions.words import InvalidExpression
from dfproxy.model.ending import DENIED, TARGET_TOO_LONG, TOO_BUSY
from dfproxy.model.steps import HeaderRule, Rewrite, Steps
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.h1 import RequestHead, ResponseHead, is_https, tls_of
from dfproxy.wire.headers import first, without
from dfproxy.wire.networks import Networks

FORWARDED_PROTO = b"X-Forwarded-Proto: https\r\n"
"""
What is added to each request that came by TLS (contract of DFP's backends, rule 2).
"""

REASONS = {301: b"Moved Permanently", 302: b"Found", 303: b"See Other", 307: b"Temporary Redirect",
           308: b"Permanent Redirect"}  # fmt: skip
"""
Status and reason of redirects.
"""

_UNAUTHORIZED = (
    b"<!DOCTYPE html>\n<html><head><title>dfproxy: 401 Unauthorized</title></head>\n"
    b"<body><h1>401 Unauthorized</h1>\n<p>This needs a user name and a password.</p>\n</body></html>\n"
)

Step = Callable[[RequestHead, Subject], Said | None]


@dataclass(frozen=True, slots=True)
class Tools:
    """
    What steps need of the process they run in.

    Attributes:
        surroundings: for expressions.
        verifier: for passwords.
    """

    surroundings: Surroundings = field(default_factory=Surroundings)
    verifier: Verifier = field(default_factory=Verifier.at_once)


def compile_steps(steps: Steps | None, backend: str, tools: Tools) -> RouteSteps | None:
    """
    Make the steps of a destination runnable.

    Args:
        backend: name of its backend.

    Returns:
        None if there is nothing to do.

    Raises:
        InvalidRoute: something cannot be compiled.
    """
    if steps is None:
        return None
    found = RouteSteps(steps, backend, tools)
    return found if found.does_anything else None


class RouteSteps:
    """
    The steps of one route.

    Attributes:
        does_anything: False: the same as no steps.
        response: runs on the head of each answer of a server; None: nothing does.
        closes_server: the server's connection is closed after each answer.
        compressor: None: nothing is compressed.
        denied: what who is not admitted is told.
        stickiness: None: any server will do.
    """

    __slots__ = (
        "_gate",
        "_last",
        "_redirects",
        "_request",
        "closes_server",
        "compressor",
        "denied",
        "does_anything",
        "response",
        "stickiness",
    )

    def __init__(self, steps: Steps, backend: str, tools: Tools) -> None:
        try:
            self._request = tuple(_request_steps(steps, tools.surroundings))
            self.response = _answer_rules(steps.response_headers, tools.surroundings)
            raw = read_all(steps.raw, tools.surroundings)
            self._last = compile_request(raw.request)
            self._redirects = compile_request(raw.redirects)
            self.response = in_turn(self.response, compile_answer(raw.answer))
        except InvalidExpression as error:
            raise InvalidRoute(str(error)) from error
        self._gate = Gate(steps.access, tools.verifier) if steps.access is not None else None
        self.denied = Said.unauthorized(self._gate.challenge, _UNAUTHORIZED) if self._gate is not None else None
        self.closes_server = steps.closes_server
        self.compressor = Compressor(steps.compression) if steps.compression is not None else None
        self.stickiness = Stickiness(steps) if steps.sticky else None
        rest = (self.response, self._gate, self.compressor, self.stickiness, self._last, self._redirects)
        self.does_anything = bool(self._request) or self.closes_server or any(part is not None for part in rest)

    def picking(self, pick: Picking) -> Picking:
        """
        See `dfproxy.upstream.live.RouteSteps`.
        """
        return pick if self.stickiness is None else picking(pick)

    def exchange(
        self,
        traffic: Traffic,
        downstream: Downstream,
        request: RequestHead,
        backend: LiveBackend,
        before: Before | None = None,
    ) -> Exchange:
        """
        The exchange of a request: with a server, or answered here. The head is changed in place.

        Args:
            before: what rules before the choice of a route have left; None: there are none.
        """
        original = request.target
        if before is None:
            subject = Subject(request, backend.destination.backend_name, downstream)
        else:
            subject, original = before.subject, before.target
            subject.backend = backend.destination.backend_name
        tls = tls_of(request)
        if tls is not None:
            append(request, FORWARDED_PROTO)
        gate = self._gate
        admitted: bool | Deferred[bool] = True
        held: Said | None = None
        try:
            if gate is not None:
                authorization = first(request.section, b"authorization")
            for step in self._request:
                said = step(request, subject)
                if said is not None:
                    request.target = original
                    return Answered(traffic, downstream, request, backend, said)
            if gate is not None:
                admitted = gate.admits(authorization)
                replace(request, b"authorization", b"")
            if admitted is not False:
                held = self._said_last(request, subject)
        except TooLong:
            return Answered(traffic, downstream, request, backend, _TOO_LONG)
        except Busy:
            return Answered(traffic, downstream, request, backend, _BUSY)
        if admitted is False:
            assert self.denied is not None
            request.target = original
            return Answered(traffic, downstream, request, backend, self.denied)
        if held is not None and admitted is True:
            request.target = original
            return Answered(traffic, downstream, request, backend, held)
        cookie = b""
        if self.stickiness is not None:
            cookie = self.stickiness.take(request)
            request.sticky = self.stickiness.server(backend, cookie)
        if self.closes_server:
            request.added += b"Connection: close\r\n" if not request.upgrade else b""
        return Stepped(
            traffic,
            downstream,
            request,
            backend,
            self,
            subject,
            original,
            FORWARDED_PROTO if tls is not None else b"",
            admitted if isinstance(admitted, Deferred) else None,
            cookie,
            held,
            None if before is None else before.answer,
        )

    def _said_last(self, request: RequestHead, subject: Subject) -> Said | None:
        """
        What the lines behind all other steps say: for who is admitted.
        """
        said = None
        if self._last is not None:
            said = self._last(request, subject)
        if said is None and self._redirects is not None:
            said = self._redirects(request, subject)
        return said


class Before:
    """
    What rules before the choice of a route have left.

    Attributes:
        subject: with its variables.
        target: as the client sent it.
        answer: their rules about answers; None: there are none.
    """

    __slots__ = ("answer", "subject", "target")

    def __init__(self, subject: Subject, target: bytes, answer: Callable[[ResponseHead, Subject], None] | None) -> None:
        self.subject = subject
        self.target = target
        self.answer = answer


_TOO_LONG = Said.refusal(TARGET_TOO_LONG)
_BUSY = Said.refusal(TOO_BUSY)
_DENIED = Said.refusal(DENIED)


# --- the steps -------------------------------------------------------------------------------------------------


def _request_steps(steps: Steps, surroundings: Surroundings) -> list[Step]:
    found: list[Step] = []
    if steps.allowed_networks or steps.denied_networks:
        found.append(_network_step(steps))
    if steps.https_code:
        found.append(_https_step(steps.https_code))
    found += [_header_step(rule, surroundings) for rule in steps.request_headers]
    if steps.rewrites:
        found.append(_rewrite_step(steps.rewrites))
    if steps.wants_certificate:
        found.append(_certificate_step)
    if steps.allowed_methods:
        allowed = frozenset(method.encode() for method in steps.allowed_methods)
        found.append(lambda request, subject: None if request.method in allowed else _DENIED)
    if steps.denied_methods:
        denied = frozenset(method.encode() for method in steps.denied_methods)
        found.append(lambda request, subject: _DENIED if request.method in denied else None)
    if steps.denies_plain:
        found.append(lambda request, subject: None if is_https(request) else _DENIED)
    return found


def _https_step(code: int) -> Step:
    def step(request: RequestHead, subject: Subject) -> Said | None:
        return None if is_https(request) else redirect(request, code, b"")

    return step


def _network_step(steps: Steps) -> Step:
    """
    Clients without an address are in no network: denied where some are allowed only.
    """
    try:
        allowed = Networks(steps.allowed_networks) if steps.allowed_networks else None
        denied = Networks(steps.denied_networks)
    except ValueError as error:
        raise InvalidRoute(str(error)) from error

    def step(request: RequestHead, subject: Subject) -> Said | None:
        host = request.client_host
        return _DENIED if host in denied or (allowed is not None and host not in allowed) else None

    return step


def _certificate_step(request: RequestHead, subject: Subject) -> Said | None:
    tls = tls_of(request)
    return None if tls is not None and tls.certificate else _DENIED


def redirect(request: RequestHead, code: int, start: bytes) -> Said:
    """
    Send the client elsewhere.

    Args:
        start: scheme and host, such as `http://acme.com`; empty: the same host by https, its port included.
    """
    if not start:
        start = b"https://" + (first(request.section, b"host") or b"")
    target = request.target
    if target[:1] != b"/":
        target = request.path + b"".join(target.partition(b"?")[1:])
    where = b"%b%b" % (start, target if target[:1] == b"/" else b"/" + target)
    fields = b"Location: %b\r\n" % where
    if code in (302, 303, 307):
        fields += b"Cache-Control: no-cache\r\n"
    return Said(code, b"HTTP/1.1 %d %b\r\n" % (code, REASONS[code]), fields, b"")


def _header_step(rule: HeaderRule, surroundings: Surroundings) -> Step:
    compiled = _compiled(rule, "request", surroundings)
    name, lowered, value, holds = compiled.name, compiled.lowered, compiled.value, compiled.holds
    line = b"%b: %b\r\n" % (name, value) if isinstance(value, bytes) else b""
    keeps, removes = compiled.action == "add", compiled.action == "del"

    def step(request: RequestHead, subject: Subject) -> None:
        if holds is not None and not holds(subject):
            return
        made = b"" if removes else line if isinstance(value, bytes) else b"%b: %b\r\n" % (name, value(subject))
        if keeps:
            append(request, made)
        else:
            replace(request, lowered, made)

    return step


def _compiled(rule: HeaderRule, phase: Phase, surroundings: Surroundings) -> CompiledRule:
    try:
        return compile_rule(rule.action, rule.text, phase, surroundings)
    except InvalidExpression as error:
        raise InvalidExpression(f"{rule.text[:60]}: {error}") from error


def _rewrite_step(rewrites: tuple[Rewrite, ...]) -> Step:
    """
    The path without the query, one rewrite after the other.
    """
    substitutions = tuple(
        substitution(r.search, r.replacement, ("i" if r.ignore_case else "") + ("g" if r.every else ""))
        for r in rewrites
    )

    def step(request: RequestHead, subject: Subject) -> None:
        path = request.path
        if not path:
            return  # `OPTIONS *` has none
        new = path
        for substitute in substitutions:
            new = substitute(new)
        if new is not path and new != path:
            set_path(request, new)

    return step


def _answer_rules(
    rules: tuple[HeaderRule, ...], surroundings: Surroundings
) -> Callable[[ResponseHead, Subject], None] | None:
    if not rules:
        return None
    compiled = tuple(_compiled(rule, "answer", surroundings) for rule in rules)

    def run(head: ResponseHead, subject: Subject) -> None:
        subject.answer = head
        for rule in compiled:
            if rule.holds is not None and not rule.holds(subject):
                continue
            value = rule.value if isinstance(rule.value, bytes) else rule.value(subject)
            if rule.action != "add":
                head.kept = without(head.kept, rule.lowered)
            if rule.action != "del":
                head.kept += b"%b: %b\r\n" % (rule.name, value)

    return run
