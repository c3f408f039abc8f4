"""
What the daemon asks of its data plane, wherever that runs: in workers, or in the one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from dfproxy.control.ports import Doors
from dfproxy.control.publisher import Publisher
from dfproxy.control.servers import Key, Members, Servers
from dfproxy.interfaces import IDataPlane
from dfproxy.model.checks import Address, Verdicts
from dfproxy.model.service import Route
from dfproxy.model.snapshot import Change
from dfproxy.observe.prometheus import Totals
from dfproxy.workers.heritage import Left


class Figures(Protocol):
    """
    What is in force, and what was counted of it.
    """

    def routes(self) -> tuple[Iterable[tuple[Route, object]], Route | None]:
        """
        The effective routes in the order in which they are tried, each with its target, and the default one.
        """

    def totals(self) -> Iterator[Totals]:
        """
        What was counted, in all processes together.
        """


class Plane(Protocol):
    """
    The data plane, from its sockets to its end.

    Attributes:
        doors: opens the ports that services ask for.
        not_upgradable: why another version cannot take over from it; empty: it can.
    """

    doors: Doors
    not_upgradable: str

    @property
    def data_plane(self) -> IDataPlane:
        """
        What carries the traffic.
        """

    def open(self) -> None:
        """
        Bind every address. To be called while privileged, before the reactor runs.

        Raises:
            InvalidSettings: one line for each address that cannot be bound.
        """

    def begin_with(self, change: Change) -> None:
        """
        Have these certificates in force before anything else. Before `start`.
        """

    def start(self) -> Deferred[None]:
        """
        Serve.

        Returns:
            Deferred: fires when all of it serves. Fails with `NotReady` and the reason.
        """

    def stop(self) -> Deferred[Any]:
        """
        Accept nothing more, let what is under way end within the limits of draining, cut what then is left.

        Returns:
            Deferred: fires when nothing is open any more. Never fails.
        """

    def pids(self) -> tuple[int, ...]:
        """
        Processes beside this one that live.
        """

    @property
    def degraded(self) -> str:
        """
        Why it may serve less than it should; empty: all is well.
        """

    @property
    def is_alive(self) -> bool:
        """
        Somebody accepts connections, and has been heard of lately.
        """

    def verdicts(self, verdicts: Verdicts) -> None:
        """
        Tell what checks have found.
        """

    def figures(self, publisher: Publisher, names: Members, servers: Servers) -> Figures:
        """
        What is in force and was counted, as far as it is known here.
        """

    def clients(self) -> tuple[int, ...]:
        """
        What else was counted of clients' connections (`dfproxy.observe.clients`).
        """

    def left_out(self, key: Key, address: Address) -> int:
        """
        How many processes leave a server out for what they have seen of it.
        """

    def traffic(self) -> Iterator[Iterable[Key]]:
        """
        Destinations whose servers had traffic since this was last asked, in slices that may be far apart.
        """

    def left(self, left: Left) -> Left:
        """
        What the next version gets, with what is open here.
        """
