"""
Rules before the choice of a route: the lines that an operator has put into the frontend.

They run for each request, may change it, answer it, or lead it to a backend; then the routes are asked, with what the
rules have made of the request. Where there are no such lines, none of this stands in the way.

The order is HAProxy's: `http-request` lines, the redirects of services, `redirect` lines, `use_backend` lines, routes;
on the way back `http-response` lines, behind those of the route.

Source: DFP `EXTRA_FRONTEND`; HAProxy manual 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zope.interface import implementer

from dfproxy.errors import InvalidRoute
from dfproxy.exchange.directives import compile_answer, compile_request
from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.stepped import Answered, OwnAnswer, Said
from dfproxy.exchange.steps import Before, RouteSteps, Tools
from dfproxy.exchange.traffic import Traffic
from dfproxy.expressions.converters import TooLong
from dfproxy.expressions.directives import read_all
from dfproxy.expressions.subject import Subject
from dfproxy.expressions.words import InvalidExpression
from dfproxy.interfaces import ILookup, IRequest
from dfproxy.model.ending import TARGET_TOO_LONG
from dfproxy.model.steps import Steps
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.h1 import RequestHead

FRONTEND = "services"
"""
What the one frontend is called, as in DFP.
"""


class FrontRules:
    """
    The lines of the frontend, compiled.

    Args:
        lines: as they were given.
        tools: what they may ask.

    Attributes:
        backends: names of the backends that `use_backend` lines lead to.

    Raises:
        InvalidRoute: one is not understood.
    """

    __slots__ = ("answer", "backends", "bare", "redirects", "request", "routes")

    def __init__(self, lines: Sequence[str], tools: Tools) -> None:
        try:
            found = read_all(lines, tools.surroundings)
        except InvalidExpression as error:
            raise InvalidRoute(str(error)) from error
        self.request = compile_request(found.request)
        self.redirects = compile_request(found.redirects)
        self.answer = compile_answer(found.answer)
        self.routes = tuple((action.holds, action.name.decode()) for action in found.routes)
        self.backends = frozenset(name for _, name in self.routes)
        self.bare = RouteSteps(Steps(), FRONTEND, tools)

    @property
    def does_anything(self) -> bool:
        """
        Whether there is anything but lines without effect.
        """
        return bool(self.routes) or any(part is not None for part in (self.request, self.redirects, self.answer))


@implementer(ILookup)
class Fronted(OwnAnswer):
    """
    A table with rules before it. It is the target of every request, and asks the table behind it itself.

    Args:
        rules: which.
        routes: leads to backends, and to what answers by itself.
        backend: where answers of the rules are counted.
        named: backends by the names that `use_backend` has for them; those that are not there answer 503.
    """

    __slots__ = ("_backend", "_named", "_routes", "_rules")

    def __init__(
        self, rules: FrontRules, routes: ILookup, backend: LiveBackend, named: Mapping[str, LiveBackend]
    ) -> None:
        self._rules = rules
        self._routes = routes
        self._backend = backend
        self._named = named

    def lookup(self, request: IRequest) -> object | None:
        """
        See `ILookup`.
        """
        return self

    def exchange(self, traffic: Traffic, downstream: Downstream, request: RequestHead) -> Exchange | None:
        """
        The exchange for a request, not begun; None if no route takes it.
        """
        rules, original = self._rules, request.target
        subject = Subject(request, FRONTEND, downstream)
        try:
            said = rules.request(request, subject) if rules.request is not None else None
            found = None
            if said is None:
                found = self._routes.lookup(request)
                if not isinstance(found, OwnAnswer):
                    said = rules.redirects(request, subject) if rules.redirects is not None else None
                    found = self._chosen(subject, found)
        except TooLong:
            said = _TOO_LONG
        if said is not None:
            request.target = original
            return Answered(traffic, downstream, request, self._backend, said)
        if not isinstance(found, LiveBackend):
            exchange = found.exchange(traffic, downstream, request) if isinstance(found, OwnAnswer) else None
            request.target = original
            return exchange
        steps = found.steps
        if steps is None and rules.answer is None and request.target is original:
            return Exchange(traffic, downstream, request, found)
        before = Before(subject, original, rules.answer)
        own = steps if isinstance(steps, RouteSteps) else rules.bare
        return own.exchange(traffic, downstream, request, found, before)

    def _chosen(self, subject: Subject, found: object | None) -> object | None:
        """
        What the first `use_backend` line that holds leads to, else what the table says.
        """
        for holds, name in self._rules.routes:
            if holds is None or holds(subject):
                return self._named.get(name)
        return found


_TOO_LONG = Said.refusal(TARGET_TOO_LONG)
