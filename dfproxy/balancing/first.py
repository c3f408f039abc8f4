"""
`first`: all to the first server that may be used, the others only when it is away.

For a pair of a main and a spare server. The order is by address, the same in every process.

Source: HAProxy `balance first`, without its limit of connections per server.
"""

from __future__ import annotations

from dfproxy.balancing.base import Balancer
from dfproxy.interfaces import IRequest, IServer


class First(Balancer):
    """
    Always the first in the list.
    """

    __slots__ = ()

    def pick(self, request: IRequest) -> IServer | None:
        """
        The usable server with the lowest address.
        """
        servers = self.servers
        return servers[0] if servers else None

    peek = pick  # it changes nothing
