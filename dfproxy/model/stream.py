"""
What a destination is that takes connections as they are, without looking for requests in them.

Source: DFP `reqMode=tcp`, `reqMode=sni`, `srcPort`, `serviceGroup`; HAProxy `mode tcp`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfproxy.model.balance import Balance
from dfproxy.model.match import HostPattern


@dataclass(frozen=True, slots=True)
class Stream:
    """
    Which connections it takes, and how they are kept.

    Attributes:
        port: where clients connect to.
        names: it takes connections whose ClientHello asks for one of these; empty: those that nobody else takes.
        client_timeout_s: how long nothing may happen before the server is connected; None: the general limit.
        keep_alive: the kernel finds out whether silent clients are still there.
        check: its servers are to be checked.
        group: it lends its servers to the pool of that name, which the first of its members describes; empty: it has a
            pool of its own.
        balance: how a server of the group is picked.
    """

    port: int
    names: tuple[HostPattern, ...] = ()
    client_timeout_s: float | None = None
    keep_alive: bool = False
    check: bool = False
    group: str = ""
    balance: Balance = Balance()
