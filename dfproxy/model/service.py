"""
A service as an operator published it, checked and complete.

`dfproxy.dfp` makes these; nobody else has to check them again: an existing `Service` is a valid one.
Equal means same, so a change that changes nothing can be seen.

Source: DFP's Service and ServiceDest.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfproxy.model.balance import Balance
from dfproxy.model.checks import Check
from dfproxy.model.match import Match
from dfproxy.model.resilience import PLAIN, Resilience
from dfproxy.model.steps import Steps
from dfproxy.model.stream import Stream

__all__ = ["HTTPS_INDEX", "Balance", "Destination", "Endpoint", "Route", "ServerTls", "Service"]

HTTPS_INDEX = 100
"""
Added to the index of a destination that takes what came in on the https port (DFP `httpsPort`).
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One server address given by hand.

    Attributes:
        host: IP address or name.
        port: 1 to 65535.
        weight: share relative to the others, 0 to 256; 0 gets nothing.
    """

    host: str
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class ServerTls:
    """
    TLS with the servers of a destination.

    Attributes:
        verify: their certificates have to prove `server_name`.
        server_name: asked for (SNI) and verified, a name or an IP address; empty, without `verify` only: none.
        ca: file of the authorities that are believed, in the folder of certificates unless it has one; empty: the
            system's.
        certificate: file of the certificate that we show, likewise; empty: none.
    """

    verify: bool = True
    server_name: str = ""
    ca: str = ""
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """
    One way into a service: a match, and the servers behind it.

    Attributes:
        index: 0 for the un-indexed form, else 1 to 10; `HTTPS_INDEX` more for the one that `httpsPort` makes. With the
            service's name this is its identity.
        port: the port its servers listen on.
        match: which requests it takes.
        host: the name or IP address whose addresses are the servers, unless `endpoints` are given.
        endpoints: servers given by hand; empty: `host` is resolved.
        backend_name: how statistics, metrics and `config` call it, such as `go-demo-be8080_0`.
        server_timeout_s: how long the server may be silent, in seconds; None: the general limit.
        tunnel_timeout_s: how long an upgraded connection may be idle, in seconds; None: the general limit.
        steps: what it does to requests and answers; None: nothing.
        tls: how its servers are spoken to; None: plainly.
        resilience: how it copes with servers that fail or are busy.
        announce: version of the PROXY protocol by which its servers are told whose connection it is; 0: they are not.
        stream: it takes whole connections, not requests, and `match` says nothing; None: requests.
        check: how its servers are checked; None: they are not.
        slow_start_s: how long a server that comes takes to its whole share, in seconds; 0: it has it at once.
    """

    index: int
    port: int
    match: Match
    host: str
    backend_name: str
    endpoints: tuple[Endpoint, ...] = ()
    server_timeout_s: float | None = None
    tunnel_timeout_s: float | None = None
    steps: Steps | None = None
    tls: ServerTls | None = None
    announce: int = 0
    stream: Stream | None = None
    resilience: Resilience = PLAIN
    check: Check | None = None
    slow_start_s: float = 0.0

    @property
    def place(self) -> tuple[int, int]:
        """
        What the destinations of a service are sorted by: the index, the one for https behind the other.
        """
        return self.index % HTTPS_INDEX, self.index // HTTPS_INDEX


@dataclass(frozen=True, slots=True)
class Service:
    """
    What was published under one name.

    Attributes:
        name: its key.
        order_name: what it is sorted by (DFP `aclName`), usually its name.
        destinations: at least one.
        balance: how servers are picked.
        is_default: its last destination takes what no route matches.
        parameters: the parameters as the operator gave them, sorted by name; for showing and storing.
        origin: who published it: `dfp`, `environment`, `docker` or `file`.
    """

    name: str
    order_name: str
    destinations: tuple[Destination, ...]
    balance: Balance = Balance()
    is_default: bool = False
    parameters: tuple[tuple[str, str], ...] = ()
    origin: str = "dfp"


@dataclass(frozen=True, slots=True)
class Route:
    """
    One destination seen as a route: what `IRouteOrderFactory.key` is given.
    """

    service: Service
    destination: Destination
