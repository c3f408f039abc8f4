"""
Example of a route condition: `has-query` takes requests whose query has one of these arguments.

Published with `condition=has-query:debug|trace`: then only requests such as `/demo?debug=1` take this route.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.plugin import IPlugin
from zope.interface import implementer

from dfproxy.errors import InvalidRoute
from dfproxy.interfaces import IRequest, IRouteConditionFactory

NAME = re.compile(r"[A-Za-z0-9_.-]+")


@implementer(IPlugin, IRouteConditionFactory)
class HasQuery:
    """
    Looks for the names of arguments, whatever their values.
    """

    name = "has-query"
    description = "query has one of these arguments: has-query:debug|trace"

    # Called once for each route that names this condition. Do all that can be done beforehand here, and refuse
    # what makes no sense: InvalidRoute is the operator's answer to the publish call.
    def compile(self, values: tuple[str, ...]) -> Callable[[IRequest], bool]:
        for value in values or ("",):
            if not NAME.fullmatch(value):
                raise InvalidRoute(f"has-query takes names of arguments, such as debug, but got {value!r}")
        wanted = frozenset(value.encode() for value in values)

        # Called for each request that the rest of the route matches. Bytes are as the client sent them, so expect
        # anything, and never raise.
        def has_query(request: IRequest) -> bool:
            _, mark, query = request.target.partition(b"?")
            return bool(mark) and any(part.partition(b"=")[0] in wanted for part in query.split(b"&"))

        return has_query


has_query = HasQuery()
