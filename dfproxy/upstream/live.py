"""
What is known now of backends and their servers; kept by identity across changes.

A backend is one destination of a service: `(service, index)`. A server is one address of a backend. Both outlive the
definitions that name them: a change points them at new values and touches only what differs, so balancer position,
health, warm connections and counters survive. A server that leaves and returns within a minute keeps its state.

Longer than other modules, but one thing: a backend and its servers, each of which needs the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from typing import Any, Protocol, cast

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from dfproxy.balancing.base import Balancer
from dfproxy.errors import InvalidPick
from dfproxy.health.answers import Conduct
from dfproxy.health.outlier import Record
from dfproxy.health.status import bound, usable
from dfproxy.interfaces import IBalancer, IRequest, IServer
from dfproxy.model.checks import READY, Address, Order
from dfproxy.model.resilience import CONN_FAILURE
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Membership
from dfproxy.observe.metrics import Tally
from dfproxy.upstream.outliers import Outliers
from dfproxy.upstream.places import Places
from dfproxy.upstream.private import Private
from dfproxy.upstream.standing import Standing

log = Logger()

REMEMBER_S = 60.0
"""
How long the state of a server that left is kept, in seconds: a rolling restart gives addresses back in that time.
"""


@implementer(IServer)
class LiveServer(Tally):
    """
    One server of one backend, and what this process knows of it. Its own counters are its `Tally`.

    Attributes:
        backend: whose server it is.
        name: how statistics call it.
        host: IP address.
        port: port.
        weight: share of this moment; while a server of the backend starts slowly those of all are multiplied.
        full_weight: share, 0 to 256.
        base_weight: share that it has unless the operator says otherwise.
        standing: what the operator says: `ready`, `drain` or `maint`.
        down: checks have found it down.
        place: its number, which it keeps as long as it is there.
        elsewhere: exchanges under way at it from other workers.
        record: its connect failures.
        conduct: its bad answers.
        connecting: attempts to connect that are under way.
        idle: kept connections, the last used at the end.
        private: those that go on with one client only.
        present: it is in the backend's membership.
        busiest: most exchanges at once since `busiest_since`: so many connections are worth keeping.
        keeps: it has been seen to keep connections that had given several answers.
        closes_early: it was seen to close a kept connection within a second of an answer, without saying so.
        handshaken: TLS of the last connection (`ssl.SSLObject`), whose session the next one resumes; None: none.
    """

    __slots__ = (
        "backend",
        "base_weight",
        "busiest",
        "busiest_since",
        "closes_early",
        "conduct",
        "connecting",
        "down",
        "elsewhere",
        "full_weight",
        "handshaken",
        "host",
        "idle",
        "keeps",
        "name",
        "place",
        "port",
        "present",
        "private",
        "record",
        "standing",
        "weight",
    )

    def __init__(self, backend: LiveBackend, host: str, port: int) -> None:
        super().__init__()
        self.backend = backend
        self.name = ""
        self.host = host
        self.port = port
        self.weight = self.base_weight = self.full_weight = 1
        self.standing = READY
        self.down = False
        self.place = 0
        self.elsewhere = 0
        self.record = Record()
        self.conduct = Conduct()
        self.idle: list[Any] = []  # `ServerConnection`; its module imports this one
        self.private = Private()
        self.connecting: list[Attempt] = []
        self.present = True
        self.closes_early = False
        self.keeps = False
        self.busiest = 0
        self.busiest_since = 0.0
        self.handshaken: Any = None

    def __repr__(self) -> str:
        return f"<server {self.name} {self.host}:{self.port}>"

    def __deepcopy__(self, memo: object) -> LiveServer:
        """
        Itself: whoever copies a balancer (`dfproxy.balancing.preview`) gets the same servers.
        """
        return self

    @property
    def is_allowed(self) -> bool:
        """
        The operator and checks let new requests go there.
        """
        return self.standing == READY and not self.down

    @property
    def word(self) -> str:
        """
        HAProxy's for what the operator and checks say; empty: nothing.
        """
        if self.standing != READY:
            return self.standing.upper()
        return "DOWN" if self.down else ""

    @property
    def unreachable(self) -> bool:
        """
        Connections to it failed, and none has succeeded since.
        """
        return self.record.ejected

    @property
    def suspended(self) -> bool:
        """
        It is left out for its answers.
        """
        return self.conduct.suspended

    def give_up_connecting(self) -> None:
        """
        It is gone: whoever waits for a connection to it goes elsewhere now, not when the time to connect is over.
        """
        for attempt in tuple(self.connecting):
            attempt.give_up()

    def let_go(self) -> None:
        """
        Close the kept connections: nothing new goes there.
        """
        idle, self.idle = self.idle, []
        for connection in (*idle, *self.private.clear()):
            connection.close_idle()


class Attempt(Protocol):
    """
    An attempt to connect.
    """

    def give_up(self) -> None:
        """
        Do not wait for it any longer.
        """


class Waiter(Protocol):
    """
    Somebody who waits for a server to come back.
    """

    def wake(self) -> None:
        """
        There is news: try again.
        """


class RouteSteps(Protocol):
    """
    What a route does to requests and answers (`dfproxy.exchange.steps`).
    """

    def exchange(self, traffic: Any, downstream: Any, request: Any, backend: LiveBackend, /) -> Any:
        """
        The exchange for a request, which may be changed in place.
        """

    def picking(self, pick: Callable[[IRequest], LiveServer | None], /) -> Callable[[IRequest], LiveServer | None]:
        """
        What is asked for a server: the balancer's `pick`, or something before it.
        """


class Tls(Protocol):
    """
    How servers are spoken to with TLS (`dfproxy.tls.servers`).
    """

    sni: str

    def handshake(self, session: Any, /) -> Any:
        """
        What the reactor needs for one connection.
        """

    def mismatch(self, certificate: bytes | None, /) -> str:
        """
        Why this certificate does not prove the name of the server; empty: it does, or it need not.
        """


class LiveBackend:
    """
    One destination while it runs: the target of its route.

    Args:
        service: whose destination it is.
        destination: which one.
        clock: for trials and memory.
        try_connect: makes a trial connection to an ejected server.

    Attributes:
        pick: the balancer's `pick`.
        taken: the balancer's `taken`, or None if it does not care.
        released: the balancer's `released`, or None.
        servers: the membership, sorted by address.
        usable: those that may be used now.
        bound: those that get the requests of clients that are bound to them by a cookie, and no others.
        steps: what its route does to requests and answers; None: nothing.
        tally: what is not counted at a server.
        prefix: put before each request target; b"" but for a fixed route.
        waiting: exchanges that wait for its lone server.
        ask: called when a connection failed: perhaps the servers are others by now; None: nobody to ask.
        outliers: who of its servers is left out for its answers.
        withdrawn: called with a server that gets nothing new any more; None: nobody to tell.
        resilience: how it copes with failing and busy servers.
        retries_connecting: a connection that could not be had is tried again.
        places: limits what each server gets at once; None: nothing does.
        server_timeout_s: own limit for a silent server, or None.
        tunnel_timeout_s: own limit for an idle tunnel, or None.
        tls: how its servers are spoken to; None: plainly.
        announce: version of the PROXY protocol that its servers are told clients with; 0: none.
        tls_complained_at: when a failure of that was last logged, in seconds of who logs it; None: never.
    """

    __slots__ = (
        "_clock",
        "_complained",
        "_departed",
        "_epoch",
        "_standing",
        "_told",
        "_try_connect",
        "announce",
        "ask",
        "balancer",
        "bound",
        "destination",
        "pick",
        "outliers",
        "places",
        "prefix",
        "released",
        "resilience",
        "retries_connecting",
        "servers",
        "service",
        "server_timeout_s",
        "steps",
        "taken",
        "tally",
        "tls",
        "tls_complained_at",
        "tunnel_timeout_s",
        "usable",
        "waiting",
        "withdrawn",
    )

    def __init__(
        self,
        service: Service,
        destination: Destination,
        balancer: IBalancer,
        clock: IReactorTime,
        try_connect: Callable[[LiveServer], None],
    ) -> None:
        self._clock = clock
        self._try_connect = try_connect
        self._departed: dict[tuple[str, int], tuple[float, LiveServer]] = {}
        self._epoch = -1
        self._complained = False
        self._standing = Standing(clock, self._renew)
        self.ask: Callable[[LiveBackend], None] | None = None
        self.outliers = Outliers(self, clock)
        self.withdrawn: Callable[[LiveServer], None] | None = None
        self.places: Places | None = None
        self.servers: tuple[LiveServer, ...] = ()
        self.usable: tuple[LiveServer, ...] = ()
        self.bound: tuple[LiveServer, ...] = ()
        self.tally = Tally()
        self.prefix = b""
        self.waiting: list[Waiter] = []
        self.tls: Tls | None = None
        self.announce = 0
        self.tls_complained_at: float | None = None
        self.define(service, destination)
        self.use(balancer)

    def define(
        self, service: Service, destination: Destination, steps: RouteSteps | None = None, tls: Tls | None = None
    ) -> None:
        """
        It is described by these values from now on.

        Args:
            steps: of the destination, compiled.
            tls: of the destination, made. Another one than before: kept connections are closed, as they are where
                clients are announced otherwise.
        """
        if tls is not self.tls or destination.announce != self.announce:
            self.tls = tls
            self.announce = destination.announce
            self.tls_complained_at = None
            for server in (*self.servers, *(kept for _, kept in self._departed.values())):
                server.handshaken = None
                server.let_go()
        self.steps = steps
        if hasattr(self, "balancer"):
            self._choose()
        self.service = service
        self.destination = destination
        self.resilience = self.outliers.policy = destination.resilience
        self.retries_connecting = CONN_FAILURE in destination.resilience.retry_on
        self.server_timeout_s = destination.server_timeout_s
        self.tunnel_timeout_s = destination.tunnel_timeout_s

    def use(self, balancer: IBalancer) -> None:
        """
        Pick servers with this balancer from now on.
        """
        self.balancer = balancer
        # Of our own it is known what they pick: their requests need not pay for a check.
        own = type(balancer).__module__.startswith("dfproxy.balancing.")
        self._told: set[int] | None = None if own else set()
        self._complained = False
        self._choose()
        self.taken: Callable[[LiveServer], None] | None = _unless_empty(balancer, "taken")
        self.released: Callable[[LiveServer, float, bool], None] | None = _unless_empty(balancer, "released")
        self._tell()

    def _choose(self) -> None:
        """
        Who is asked for a server: the balancer, or what its steps put before it.
        """
        # What it returns is one of the servers it was told of, and these are all ours.
        pick = cast(Callable[[IRequest], "LiveServer | None"], self.balancer.pick)
        if self._told is not None:
            pick = _checked(pick, self._told)
        self.pick = pick if self.steps is None else self.steps.picking(pick)

    def _tell(self) -> None:
        """
        Tell the balancer who may be used.
        """
        if self._told is not None:
            self._told.clear()
            self._told.update(map(id, self.usable))
        try:
            self.balancer.update(self.usable)
        except Exception:  # noqa: BLE001  a plugin's fault must not become another service's
            self.balancer_failed()

    def balancer_failed(self) -> None:
        """
        The balancer has raised: say so once. Requests that it cannot place are 503, nothing else is touched.
        """
        if not self._complained:
            self._complained = True
            log.failure(
                "strategy {strategy} of {backend} failed; further failures are not logged",
                strategy=self.service.balance.name,
                backend=self.destination.backend_name,
            )

    def members(self, membership: Membership) -> None:
        """
        These are its servers now. An older epoch is ignored.
        """
        if membership.epoch <= self._epoch:
            return
        self._epoch = membership.epoch
        now = self._clock.seconds()
        before = {(server.host, server.port): server for server in self.servers}
        after: list[LiveServer] = []
        came: list[LiveServer] = []
        several = len(membership.servers) > 1
        for number, address in enumerate(membership.servers):
            place = (address.host, address.port)
            server = before.pop(place, None)
            if server is None:
                server = self._returned(place, now) or LiveServer(self, *place)
                came.append(server)
            name = self.service.name
            server.place = number if address.place < 0 else address.place
            server.name = f"{name}_{server.place}" if several else name
            server.base_weight = address.weight
            server.cell = address.cell
            server.present = True
            after.append(server)
        for place, server in before.items():
            server.present = False
            server.let_go()
            self.tally.absorb(server)
            server.cell = 0  # may count something else one day
            self._departed[place] = (now, server)
            if self.withdrawn is not None:
                self.withdrawn(server)
        beside_others = bool(self.servers)
        self.servers = tuple(after)
        self._standing.apply(self.servers, came if beside_others else (), self.destination.slow_start_s)
        self._renew()
        self.wake_all()
        for server in before.values():
            server.give_up_connecting()

    def _returned(self, place: tuple[str, int], now: float) -> LiveServer | None:
        self._departed = {key: kept for key, kept in self._departed.items() if now - kept[0] < REMEMBER_S}
        kept = self._departed.pop(place, None)
        return kept[1] if kept else None

    def _renew(self) -> None:
        """
        Tell the balancer who may be used, see `dfproxy.health.status`.
        """
        self.usable, _ = usable(self.servers)
        self.bound = bound(self.servers)
        self._tell()

    def judged(self, down: Collection[Address], orders: Mapping[Address, Order]) -> None:
        """
        What checks and the operator say of its servers from now on.

        Args:
            down: servers that are down.
            orders: what the operator says of single servers.
        """
        if self._standing.judged(down, orders):
            back = self._standing.apply(self.servers, (), self.destination.slow_start_s)
            self._renew()
            if back:
                self.wake_all()

    def wake_all(self) -> None:
        """
        Let everybody who waits here try again.
        """
        waiting, self.waiting = self.waiting, []
        for waiter in waiting:
            waiter.wake()

    def another(self, tried: list[LiveServer]) -> LiveServer | None:
        """
        A usable server that is not among those tried, the one with the least to do; off the usual path. When all have
        been tried, one that is left out here: it may be well again, and nobody else is left.
        """
        left = [server for server in self.usable if server not in tried] or [
            server for server in self.servers if server.weight > 0 and server.is_allowed and server not in tried
        ]
        return min(left, key=lambda server: server.in_flight / server.weight) if left else None

    def connect_failed(self, server: LiveServer) -> None:
        """
        A connection to this server could not be had.
        """
        if self.ask is not None:
            self.ask(self)
        if not server.record.failed():
            return
        if server.present:
            log.warn(
                "server {server} ({host}:{port}) of {backend} is left out: {failures} connections failed in a row",
                server=server.name,
                host=server.host,
                port=server.port,
                backend=self.destination.backend_name,
                failures=server.record.failures,
            )
            server.let_go()
            self._renew()
        self._clock.callLater(server.record.pause_s, self._trial, server)

    def _trial(self, server: LiveServer) -> None:
        if not server.record.ejected:
            return
        if server.present:
            self._try_connect(server)
        elif self._may_return(server):
            self._clock.callLater(server.record.pause_s, self._trial, server)

    def _may_return(self, server: LiveServer) -> bool:
        kept = self._departed.get((server.host, server.port))
        return kept is not None and kept[1] is server and self._clock.seconds() - kept[0] < REMEMBER_S

    def trial_failed(self, server: LiveServer) -> None:
        """
        The trial connection to an ejected server failed as well.
        """
        server.record.trial_failed()
        if server.present or self._may_return(server):
            self._clock.callLater(server.record.pause_s, self._trial, server)

    def connected(self, server: LiveServer) -> None:
        """
        A connection to this server was had.
        """
        if server.record.failures and server.record.succeeded() and server.present:
            log.info(
                "server {server} ({host}:{port}) of {backend} is used again",
                server=server.name,
                host=server.host,
                port=server.port,
                backend=self.destination.backend_name,
            )
            self._renew()
            self.wake_all()

    def counted(self) -> int:
        """
        Requests so far, those of servers that left included.
        """
        return self.tally.requests + sum(server.requests for server in self.servers)

    def changed(self) -> None:
        """
        Others may be used than before.
        """
        self._renew()
        self.wake_all()

    def retire(self) -> None:
        """
        The destination is gone: close what is kept, let those who wait know.
        """
        self.tally.cell = 0
        for server in self.servers:
            server.present = False
            server.cell = 0
            server.let_go()
            if self.withdrawn is not None:
                self.withdrawn(server)
        self.servers = self.usable = self.bound = ()
        self._tell()
        # No cycle stays: in a worker the collector comes by only now and then, and changes are many.
        self._standing.stop()
        self._standing = Standing(self._clock, _nothing)
        self.outliers.retire()
        self._departed.clear()
        self.wake_all()


def _unless_empty(balancer: IBalancer, name: str) -> Callable[..., None] | None:
    """
    The balancer's method, or None if it is the empty one of the base class: a call saved for each request.
    """
    method: Callable[..., None] = getattr(balancer, name)
    return None if getattr(method, "__func__", None) is getattr(Balancer, name) else method


def _checked(
    pick: Callable[[IRequest], LiveServer | None], told: Container[int]
) -> Callable[[IRequest], LiveServer | None]:
    """
    The pick of a plugin, which may be anything: it raises unless that is None or one of the servers told of last.
    """

    def checked(request: IRequest) -> LiveServer | None:
        server = pick(request)
        if server is not None and id(server) not in told:
            raise InvalidPick(f"picked {server!r}, which is none of the servers of the last update")
        return server

    return checked


def _nothing() -> None:
    """
    What a retired backend does when weights change.
    """
