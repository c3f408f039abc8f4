"""
Example of a route order: `most-conditions` puts routes that ask for more before those that ask for less.

Chosen with `--route-order most-conditions` (variable `ROUTE_ORDER`). Asked only when routes change, never for a
request, so it may take its time.
"""

from __future__ import annotations

from typing import cast

from twisted.plugin import IPlugin
from zope.interface import implementer

from dfproxy.interfaces import IRouteOrderFactory
from dfproxy.model.service import Route


# Both interfaces are needed: the first lets the plugin search find it, the second says what it is.
@implementer(IPlugin, IRouteOrderFactory)
class MostConditions:
    """
    Counts what a route asks of a request.
    """

    name = "most-conditions"
    description = "routes with more conditions first, then by aclName"

    # The lowest key wins, so more conditions must give a lower number. Routes with equal keys are ordered by name
    # and index. Use only what is in the route: the same one must have the same key in each process.
    def key(self, route: object) -> tuple[object, ...]:
        service, match = cast(Route, route).service, cast(Route, route).destination.match
        asked = (
            bool(match.paths),
            bool(match.excluded),
            bool(match.hosts),
            bool(match.user_agents),
            bool(match.local_port),
            *match.headers,
            *match.conditions,
        )
        return (-sum(map(bool, asked)), service.order_name)


most_conditions = MostConditions()
