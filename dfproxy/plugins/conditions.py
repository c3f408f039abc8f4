"""
The built-in route conditions.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.plugin import IPlugin
from zope.interface import implementer

from dfproxy.errors import InvalidRoute
from dfproxy.expressions.directives import read_all
from dfproxy.expressions.subject import Subject, Surroundings
from dfproxy.expressions.words import InvalidExpression
from dfproxy.interfaces import IRequest, IRouteConditionFactory
from dfproxy.model.match import FRONT_LINES
from dfproxy.wire.networks import Networks

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""
RFC 9110 section 5.6.2.
"""

STANDARD_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


@implementer(IPlugin, IRouteConditionFactory)
class Network:
    """
    The client's address lies in one of the networks.
    """

    name = "network"
    description = "client address in one of these networks: network:10.0.0.0/8|2001:db8::/32"

    def compile(self, values: tuple[str, ...]) -> Callable[[IRequest], bool]:
        """
        Args:
            values: networks or single addresses, IPv4 or IPv6.
        """
        if not values:
            raise InvalidRoute("network takes one network or more, such as 10.0.0.0/8")
        try:
            networks = Networks(values)
        except ValueError as error:
            raise InvalidRoute(f"network: {error}") from error

        def in_network(request: IRequest) -> bool:
            return request.client_host in networks

        return in_network


@implementer(IPlugin, IRouteConditionFactory)
class Method:
    """
    The request's method is one of those given.
    """

    name = "method"
    description = "request method is one of these: method:GET|HEAD"

    def compile(self, values: tuple[str, ...]) -> Callable[[IRequest], bool]:
        """
        Args:
            values: methods. Case matters (RFC 9110 section 9.1), so `get` is refused as a slip.
        """
        if not values:
            raise InvalidRoute("method takes one method or more, such as GET")
        for value in values:
            if not TOKEN.fullmatch(value):
                raise InvalidRoute(f"method: {value!r} is not a method")
            if value not in STANDARD_METHODS and value.upper() in STANDARD_METHODS:
                raise InvalidRoute(f"method: case matters, write {value.upper()} instead of {value}")
        methods = frozenset(value.encode() for value in values)

        def has_method(request: IRequest) -> bool:
            return request.method in methods

        return has_method


@implementer(IPlugin, IRouteConditionFactory)
class FrontLines:
    """
    The first `use_backend` line that holds leads here.

    Source: DFP `templateFePath`; HAProxy manual 4.2, `use_backend`.
    """

    name = FRONT_LINES
    description = "acl and use_backend lines of a template; only templateFePath makes it"

    def compile(self, values: tuple[str, ...]) -> Callable[[IRequest], bool]:
        """
        Args:
            values: the backend that is meant, then the lines.
        """
        if not values:
            raise InvalidRoute(f"{FRONT_LINES} takes a backend and lines")
        try:
            actions = read_all(values[1:], Surroundings()).routes
        except InvalidExpression as error:
            raise InvalidRoute(f"{FRONT_LINES}: {error}") from error
        wanted = values[0].encode()
        if all(action.name != wanted for action in actions):
            raise InvalidRoute(f"{FRONT_LINES}: no use_backend line leads to the backend")
        rules = tuple((action.holds, action.name == wanted) for action in actions)

        def leads_here(request: IRequest) -> bool:
            subject = Subject(request, "")
            for holds, is_wanted in rules:
                if holds is None or holds(subject):
                    return is_wanted
            return False

        return leads_here


network = Network()
method = Method()
front_lines = FrontLines()
