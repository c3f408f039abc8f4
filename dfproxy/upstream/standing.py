"""
How the servers of one backend stand with checks and with the operator, and the weights that come of it.

What is known by address outlives the servers: a membership may come before or after a verdict. Who may be used is
decided in `dfproxy.health.status`, how a share grows in `dfproxy.health.slowstart`.

Source: HAProxy `slowstart`, `set server`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dfproxy.health.slowstart import STEPS, part, step_s
from dfproxy.model.checks import READY, Address, Order

LEAST_STEP_S = 0.05
"""
Shortest step of a slow start, in seconds: each tells the balancer of all servers.
"""


class Standee(Protocol):
    """
    A server, as far as it matters here.
    """

    host: str
    port: int
    weight: int
    base_weight: int
    full_weight: int
    standing: str
    down: bool

    def let_go(self) -> None:
        """
        Close what is kept.
        """


_NONE: Mapping[Address, Order] = {}
"""
What the operator says of nearly all: one for thousands.
"""


class Standing:
    """
    Of one backend.

    Args:
        clock: for slow starts.
        grown: called when weights have changed by themselves.
    """

    __slots__ = ("_began", "_clock", "_down", "_grown", "_orders", "_slow_start_s", "_step")

    def __init__(self, clock: IReactorTime, grown: Callable[[], None]) -> None:
        self._clock = clock
        self._grown = grown
        self._down: frozenset[Address] = frozenset()
        self._orders = _NONE
        self._began: dict[Standee, float] = {}
        self._slow_start_s = 0.0
        self._step: IDelayedCall | None = None

    def judged(self, down: Collection[Address], orders: Mapping[Address, Order]) -> bool:
        """
        What checks and the operator say from now on.

        Args:
            down: servers that are down.
            orders: what the operator says of single servers.

        Returns:
            Whether that is news.
        """
        found = frozenset(down)
        if found == self._down and orders == self._orders:
            return False
        self._down, self._orders = found, orders
        return True

    def apply(self, servers: Iterable[Standee], came: Collection[Standee], slow_start_s: float) -> bool:
        """
        Have the servers stand as they should.

        Args:
            servers: all there are.
            came: those of them that are new beside others.
            slow_start_s: how long a server that comes takes to its whole share; 0: it has it at once.

        Returns:
            Whether one is allowed now that was not before.
        """
        self._slow_start_s = slow_start_s
        present = tuple(servers)
        now = self._clock.seconds()
        back = False
        for server in present:
            address = (server.host, server.port)
            order = self._orders.get(address)
            was_allowed = server.standing == READY and not server.down
            server.standing = READY if order is None else order.standing
            server.full_weight = server.base_weight if order is None or order.weight is None else order.weight
            server.down = address in self._down
            is_allowed = server.standing == READY and not server.down
            if was_allowed and not is_allowed:
                self._began.pop(server, None)
                server.let_go()
            elif is_allowed and (server in came or not was_allowed):
                back = back or not was_allowed
                if slow_start_s:
                    self._began[server] = now
        self._weigh(present)
        return back

    def _weigh(self, servers: tuple[Standee, ...]) -> None:
        """
        Give each its weight of this moment, and see that it grows.
        """
        now, slow_s = self._clock.seconds(), self._slow_start_s
        if self._began:
            self._began = {
                server: began for server, began in self._began.items() if server in servers and now - began < slow_s
            }
        if not self._began:
            for server in servers:
                server.weight = server.full_weight
            self.stop()
            return
        for server in servers:
            began = self._began.get(server)
            server.weight = server.full_weight * (STEPS if began is None else part(now - began, slow_s))
        if self._step is None:
            self._step = self._clock.callLater(max(step_s(slow_s), LEAST_STEP_S), self._grow, servers)

    def _grow(self, servers: tuple[Standee, ...]) -> None:
        self._step = None
        self._weigh(servers)
        self._grown()

    def stop(self) -> None:
        """
        Nothing grows any more.
        """
        if self._step is not None and self._step.active():
            self._step.cancel()
        self._step = None
