"""
How servers are checked, what the checks have found, and what an operator says of single servers.

Source: HAProxy `check`, `option httpchk`, `http-check expect`, `slowstart`, and `set server` of its runtime API; DFP
`checkTcp`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Address = tuple[str, int]
"""
IP address and port of a server.
"""

READY, DRAIN, MAINT = "ready", "drain", "maint"
"""
What an operator may say of a server: use it; no new clients; nobody.
"""

STANDINGS = (READY, DRAIN, MAINT)

MAX_WEIGHT = 256
"""
Highest weight, as in HAProxy.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """
    How the servers of a destination are checked: by connecting, or by a request as well.

    Attributes:
        path: target of the request; empty: only a connection is made.
        statuses: those that are right; empty: from 200 to 399.
        body: text that must be in the answer; empty: any.
        host: the Host field; empty: the address of the server.
        interval_s: from one check of a server to the next, in seconds.
        timeout_s: how long one may take, in seconds.
        rise: so many that succeed in a row bring a server back.
        fall: so many that fail in a row leave it out.
        method: of the request.
    """

    path: str = ""
    statuses: tuple[int, ...] = ()
    body: str = ""
    host: str = ""
    interval_s: float = 2.0
    timeout_s: float = 2.0
    rise: int = 2
    fall: int = 3
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Order:
    """
    What an operator says of one server of a service, in each destination that has it.

    Attributes:
        service: its name.
        host: IP address of the server.
        port: of the server.
        standing: `ready`, `drain` or `maint`.
        weight: instead of the one that it has, 0 to 256; None: that one.
    """

    service: str
    host: str
    port: int
    standing: str = READY
    weight: int | None = None

    @property
    def address(self) -> Address:
        """
        The server.
        """
        return self.host, self.port

    @property
    def key(self) -> str:
        """
        What it is known by among names of services, which have no blanks.
        """
        return f"{self.service} {self.host} {self.port}"

    @property
    def says_nothing(self) -> bool:
        """
        The server is as it would be without an order.
        """
        return self.standing == READY and self.weight is None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """
    Which servers of one destination checks have found down. The whole list each time; a higher epoch replaces a lower
    one.

    Attributes:
        service: name of the service.
        index: index of the destination.
        epoch: grows with each list that the leader makes, for all destinations together.
        down: their addresses, sorted.
    """

    service: str
    index: int
    epoch: int
    down: tuple[Address, ...] = ()


Orders = Mapping[str, Mapping[Address, Order]]
"""
What an operator says, by name of the service and address of the server.
"""


def with_orders(before: Orders, over: Iterable[str], given: Iterable[Order]) -> Orders:
    """
    The orders that hold after a change.

    Args:
        before: those that held.
        over: names of services whose orders are all over.
        given: new ones; one that says nothing ends the one of its server.
    """
    gone = [name for name in over if name in before]
    more = tuple(given)
    if not gone and not more:
        return before
    after = {name: orders for name, orders in before.items() if name not in gone}
    for order in more:
        orders = {**after.get(order.service, {}), order.address: order}
        if order.says_nothing:
            del orders[order.address]
        after[order.service] = orders
        if not orders:
            del after[order.service]
    return after
