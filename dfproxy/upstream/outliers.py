"""
Which servers of a backend are left out for their answers, and how many requests may be sent again.

Never the last one, never more than the share that the policy allows, and only for a while. What one worker finds out
is told to the others.

Source: Envoy's outlier detection and retry budget. The rules are in `dfproxy.health.answers` and
`dfproxy.health.budget`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dfproxy.health.answers import Conduct
from dfproxy.health.budget import Budget
from dfproxy.model.resilience import PLAIN
from dfproxy.model.service import Destination

log = Logger()


class Judged(Protocol):
    """
    A server whose answers are judged.
    """

    name: str
    host: str
    port: int
    requests: int
    present: bool
    conduct: Conduct

    def let_go(self) -> None:
        """
        Close its kept connections.
        """


class Fleet(Protocol):
    """
    The backend that has the servers.
    """

    destination: Destination

    @property
    def servers(self) -> Sequence[Judged]:
        """
        All.
        """

    @property
    def usable(self) -> Sequence[Judged]:
        """
        Those that may be used now.
        """

    def counted(self) -> int:
        """
        Requests so far.
        """

    def changed(self) -> None:
        """
        Others may be used than before.
        """


class Outliers:
    """
    Args:
        fleet: whose servers are judged.
        clock: for pauses.

    Attributes:
        policy: of the destination.
        tell: called with the fleet, a server of it that is left out, and for how many seconds; None: nobody to tell.
    """

    __slots__ = ("_budget", "_clock", "_fleet", "policy", "tell")

    def __init__(self, fleet: Fleet, clock: IReactorTime) -> None:
        self._fleet: Fleet = fleet
        self._clock = clock
        self._budget = Budget()
        self.policy = PLAIN
        self.tell: Callable[[Any, Judged, float], None] | None = None

    def retire(self) -> None:
        """
        The backend is gone, and is not held here any longer; what was under way there may still end badly.
        """
        self._fleet = _Nobody(self._fleet.destination)
        self.tell = None

    def may_repeat(self) -> bool:
        """
        Whether a request that was sent may be sent again: takes it from the budget.
        """
        return self._budget.take(self._clock.seconds(), self._fleet.counted(), self.policy.retry_budget)

    def misbehaved(self, server: Judged, missing: bool) -> None:
        """
        A server gave a bad answer, or (`missing`) none.
        """
        policy, now = self.policy, self._clock.seconds()
        outlier = server.conduct.bad(missing, now, server.requests, policy.eject_errors, policy.eject_share)
        if outlier and self._may_suspend(server):
            pause_s = server.conduct.suspend(now)
            self._suspend(server, pause_s)
            if self.tell is not None:
                self.tell(self._fleet, server, pause_s)

    def hint(self, host: str, port: int, pause_s: float) -> None:
        """
        Somebody else who uses the same servers leaves this one out, for so many seconds.
        """
        for server in self._fleet.servers:
            if server.host == host and server.port == port and self._may_suspend(server):
                server.conduct.suspend(self._clock.seconds())
                self._suspend(server, pause_s)

    def _may_suspend(self, server: Judged) -> bool:
        usable, servers = self._fleet.usable, self._fleet.servers
        if server.conduct.suspended or server not in usable or len(usable) < 2:
            return False
        suspended = sum(other.conduct.suspended for other in servers)
        most = len(servers) * self.policy.eject_most // 100
        return suspended < (max(most, 1) if self.policy.eject_most else 0)

    def _suspend(self, server: Judged, pause_s: float) -> None:
        log.warn(
            "server {server} ({host}:{port}) of {backend} is left out for {pause} s for its answers",
            server=server.name,
            host=server.host,
            port=server.port,
            backend=self._fleet.destination.backend_name,
            pause=pause_s,
        )
        server.let_go()
        self._fleet.changed()
        self._clock.callLater(pause_s, self._resume, server)

    def _resume(self, server: Judged) -> None:
        server.conduct.resume(self._clock.seconds(), self.policy.eject_errors)
        if server.present:
            self._fleet.changed()


class _Nobody:
    """
    The fleet of a backend that is gone.
    """

    servers = usable = ()

    def __init__(self, destination: Destination) -> None:
        self.destination = destination

    def counted(self) -> int:
        """
        None are left.
        """
        return 0

    def changed(self) -> None:
        """
        Nobody minds.
        """
