"""
The data plane of this process: what can fail happens in `prepare`, beside what runs; `commit` swaps one pointer.

Live backends are found by identity `(service, index)`, so that whatever a change does not concern is not touched.

Used directly with `--workers 0` and inside each worker otherwise. Longer than other modules, but one thing: all that a
change touches is prepared, swapped and told of in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from ssl import SSLContext
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.control.counting import EJECTED, Counting
from dfproxy.control.draining import Draining
from dfproxy.control.loading import Loading
from dfproxy.control.standings import Standings
from dfproxy.control.strategies import Strategies
from dfproxy.control.streams import Arranged, Streams, split
from dfproxy.control.trial import Trial, trial_of, tried
from dfproxy.errors import InvalidBalance, InvalidRoute, Refused
from dfproxy.exchange.fronted import FRONTEND, Fronted, FrontRules
from dfproxy.exchange.redirects import RedirectBuilder, Redirecting
from dfproxy.exchange.statistics import Showing, StatisticsPage
from dfproxy.exchange.steps import Tools, compile_steps
from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.secure import SecureSite
from dfproxy.frontend.site import ProxySite
from dfproxy.frontend.statsport import StatisticsSite
from dfproxy.frontend.streams import StreamDoors
from dfproxy.interfaces import IBalancer, IDataPlane, ILookup
from dfproxy.model.checks import Verdicts
from dfproxy.model.match import Match
from dfproxy.model.service import Balance, Destination, Route, Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change, Membership, Revision
from dfproxy.observe.cells import CLIENTS, Cells
from dfproxy.observe.prometheus import Totals
from dfproxy.routing.compile import TableBuilder
from dfproxy.routing.table import EMPTY, Current, RouteTable
from dfproxy.tls.servers import ServerSide, ServerSides
from dfproxy.tls.store import CertificateStore, Staged
from dfproxy.upstream.live import LiveBackend, LiveServer, RouteSteps
from dfproxy.upstream.outliers import Judged
from dfproxy.upstream.places import Limited, claim_alone, places_for
from dfproxy.upstream.plain import PlainAttempt, PlainTrial

log = Logger()

FRONTEND_CELL = 1
"""
Shared cell of the frontend's counters (`dfproxy.observe.cells`).
"""

NEEDS_UV = "TLS needs the uv reactor: use workers, or start twistd with --reactor uv"
"""
What a certificate is answered where the reactor has no TLS that chooses among certificates.
"""

Key = tuple[str, int]
Definition = tuple[LiveBackend, Service, Destination, IBalancer | None, RouteSteps | None, ServerSide | None]


class _Prepared:
    """
    A change that is ready: what `commit` puts in place.
    """

    def __init__(self, change: Change, table: RouteTable) -> None:
        self.change = change
        self.table = table
        self.backends: dict[Key, LiveBackend] = {}
        self.redirects = EMPTY
        self.definitions: list[Definition] = []
        self.retired: list[Key] = []
        self.quarantined: dict[str, str] = {}
        self.loading: Loading | None = None
        self.certificates: Staged | None = None
        self.streams: Arranged | None = None

    def has(self, certificates: Staged) -> None:
        """
        The certificates are loaded.
        """
        self.certificates = certificates


@implementer(IDataPlane)
class LocalDataPlane:
    """
    Carries traffic in this process.

    Args:
        settings: options.
        traffic: what exchanges share.
        site: the factory of listeners.
        current: the pointer to the table; the site's resource looks up there.
        strategies: where balancers, the order and conditions come from.
        random: the source of chance for balancers.
        cells: shared counters, None without workers.
        certificates: the certificates of this process; None: as `settings` say.
        tools: what the steps of routes need; None: what there is without asking.

    Attributes:
        site: as given.
        secure_site: the factory of listeners with TLS.
        streams: who takes whole connections.
        statistics_site: the factory of the port of the statistics; None: there is none.
        quarantined: services that could not be loaded, with the reason.
        busy: destinations whose servers had traffic since somebody emptied it; without workers only.
        ask_names: called with service and index when a connection failed; None: nobody to ask.
        tell_ejected: called with service, index, host and port of a server that is left out for its answers, and for
            how many seconds; None: nobody to tell.
        read_pages: reads error pages again; gives what is wrong with some, in a list. None: nobody can.
        on_secure: called once, with the context of listeners, when there is a certificate; None: nobody to tell.
    """

    def __init__(
        self,
        settings: Settings,
        traffic: Traffic,
        site: ProxySite,
        current: Current,
        strategies: Strategies,
        random: Random,
        cells: Cells | None = None,
        certificates: CertificateStore | None = None,
        tools: Tools | None = None,
    ) -> None:
        self._settings = settings
        self._tools = tools or Tools()
        self._traffic = traffic
        self.site = site
        self.secure_site = SecureSite(site)
        self._page: StatisticsPage | None = None
        self.statistics_site: StatisticsSite | None = None
        if settings.statistics is not None:
            self._page = StatisticsPage(settings.statistics, traffic, self.totals)
            if settings.statistics.listeners:
                self.statistics_site = StatisticsSite(site, self._page)
            else:
                current.table = Showing(self._page, EMPTY)
        self._front = FrontRules(settings.front_lines, self._tools) if settings.front_lines else None
        self._front_named: dict[str, LiveBackend] = {}
        self._current = current
        self._table = EMPTY
        self._redirects = EMPTY
        self._strategies = strategies
        self._random = random
        self._cells = cells
        self._services: dict[str, Service] = {}
        self._backends: dict[Key, LiveBackend] = {}
        self._counting = Counting(traffic, cells)
        self._standings = Standings()
        self._prepared: _Prepared | None = None
        self._revision = Revision()
        self._key = strategies.orders[settings.route_order].key
        self.streams = Streams(StreamDoors(site, traffic), self._key, self._group_balancer, self._backend)
        self.quarantined: dict[str, str] = {}
        self.busy: set[Key] = set()
        self.ask_names: Callable[[str, int], None] | None = None
        self.tell_ejected: Callable[[str, int, str, int, float], None] | None = None
        self._draining = Draining(traffic, site)
        # Bound once: with thousands of backends, each with its own, they would be megabytes.
        self._hooks = self._try_connect, self._ask, self._tell, self._draining.withdrawn
        self._certificates = certificates or CertificateStore(settings.tls)
        self._is_secure = False
        self._server_sides = ServerSides(settings.certs_dir, settings.tls)
        self.read_pages: Callable[[], Deferred[Any]] | None = None
        self.on_secure: Callable[[SSLContext], None] | None = None
        if cells is not None:
            traffic.frontend.cell = FRONTEND_CELL
        current.table = self._fronted(current.table)

    # --- definitions -----------------------------------------------------------------------------------------

    def prepare(self, change: object) -> Deferred[None]:
        """
        See `IDataPlane`.
        """
        assert isinstance(change, Change)
        try:
            self._prepared = prepared = self._prepare(change)
        except Refused as error:
            return fail(error)
        if not change.certificates and not change.removed_certificates and not change.whole:
            return succeed(None)
        prepared.loading = Loading(self._certificates, self._traffic.clock, change, self._unusable())
        return prepared.loading.start().addCallbacks(prepared.has, self._not_loaded)

    def _not_loaded(self, failure: Failure) -> Failure:
        self._prepared = None
        return failure

    def _unusable(self) -> str:
        """
        Why certificates cannot be used here; empty: they can, or no listener wants them.
        """
        if hasattr(self._traffic.reactor, "adoptTLSPort") or not any(each.tls for each in self._settings.listeners):
            return ""
        return NEEDS_UV

    def _prepare(self, change: Change) -> _Prepared:
        previous = EMPTY if change.whole else self._table
        builder = TableBuilder(previous, self._key, self._strategies.conditions)
        redirects = RedirectBuilder(EMPTY if change.whole else self._redirects, self._key)
        prepared = _Prepared(change, previous)
        removed = set(change.removed)
        if change.whole:
            removed.update(self._services.keys() - {service.name for service in change.services})
        for name in removed:
            builder.remove(name)
            redirects.remove(name)
            prepared.retired += self._keys(name)
        for service in change.services:
            try:
                self._add(service, builder, redirects, prepared)
            except (InvalidRoute, InvalidBalance) as error:
                if not change.whole:
                    raise Refused(f"{service.name}: {error}") from error
                builder.remove(service.name)
                redirects.remove(service.name)
                prepared.quarantined[service.name] = str(error)
        prepared.table, prepared.redirects = builder.build(), redirects.build()
        changed: dict[str, Service | None] = dict.fromkeys(removed)
        changed |= {each.name: None if each.name in prepared.quarantined else each for each in change.services}
        try:
            prepared.streams = self.streams.prepare(
                changed, change.whole, lambda key: prepared.backends.get(key) or self._backends[key]
            )
        except (InvalidRoute, InvalidBalance) as error:
            raise Refused(f"{', '.join(each.name for each in change.services)}: {error}") from error
        return prepared

    def _add(self, service: Service, builder: TableBuilder, redirects: RedirectBuilder, prepared: _Prepared) -> None:
        before = self._services.get(service.name)
        same_balance = before is not None and before.balance == service.balance
        targets: list[LiveBackend] = []
        definitions: list[Definition] = []
        for destination in service.destinations:
            key = (service.name, destination.index)
            backend = self._backends.get(key)
            balancer: IBalancer | None = None
            if backend is None:
                backend = self._backend(service, destination, self._balancer(service.balance, prepared, service.name))
            elif not same_balance or service.name in self.quarantined:
                balancer = self._balancer(service.balance, prepared, service.name)
            targets.append(backend)
            steps = compile_steps(destination.steps, destination.backend_name, self._tools)
            definitions.append((backend, service, destination, balancer, steps, self._server_side(destination)))
        requests, connections = split(service)
        if connections:
            routed = replace(service, destinations=requests)
            answering = [each for each, of in zip(targets, service.destinations) if of.stream is None]
            builder.add(routed, answering)
            redirects.add(routed, answering)
        else:
            builder.add(service, targets)
            redirects.add(service, targets)
        prepared.definitions += definitions
        kept = {destination.index for destination in service.destinations}
        prepared.retired += [key for key in self._keys(service.name) if key[1] not in kept]
        for target, destination in zip(targets, service.destinations):
            prepared.backends[service.name, destination.index] = target

    def _server_side(self, destination: Destination) -> ServerSide | None:
        if destination.tls is None:
            return None
        if not hasattr(self._traffic.reactor, "connectTLS"):
            raise InvalidRoute(NEEDS_UV)
        return self._server_sides.make(destination.tls)

    def _backend(self, service: Service, destination: Destination, balancer: IBalancer) -> LiveBackend:
        traffic = self._traffic
        try_connect, backend_asks, tell, withdrawn = self._hooks
        backend = LiveBackend(service, destination, balancer, traffic.clock, try_connect)
        backend.ask = backend_asks
        backend.outliers.tell = tell
        backend.withdrawn = withdrawn
        return backend

    def _try_connect(self, server: LiveServer) -> None:
        traffic = self._traffic
        if server.backend.destination.stream is None:
            traffic.connector.try_connect(server)
        else:
            timeout_s = traffic.limits.connect_timeout_s
            PlainAttempt(traffic.poller, traffic.deadlines, timeout_s, server, PlainTrial()).begin()

    def _group_balancer(self, balance: Balance) -> IBalancer:
        return self._strategies.build(balance, self._traffic.clock, self._random)

    def _tell(self, backend: LiveBackend, server: Judged, pause_s: float) -> None:
        if self.tell_ejected is not None:
            self.tell_ejected(backend.service.name, backend.destination.index, server.host, server.port, pause_s)

    def ejected(self, service: str, index: int, host: str, port: int, pause_s: float) -> None:
        """
        Another worker leaves this server out for its answers, for so many seconds.
        """
        backend = self._backends.get((service, index))
        if backend is not None:
            backend.outliers.hint(host, port, pause_s)

    def _claim(self, server: Limited, in_flight: int) -> int:
        return claim_alone(server, in_flight) if self._cells is None else self._cells.claim(server.cell, in_flight)

    def _ask(self, backend: LiveBackend) -> None:
        if self.ask_names is not None:
            for key in self.streams.members_of(backend):
                self.ask_names(*key)

    def _balancer(self, balance: Balance, prepared: _Prepared, name: str) -> IBalancer:
        try:
            return self._strategies.build(balance, self._traffic.clock, self._random)
        except InvalidBalance as error:
            if not prepared.change.whole:
                raise
            prepared.quarantined[name] = str(error)
            return RoundRobin()  # never told of a server: its routes answer 503

    def _keys(self, name: str) -> list[Key]:
        service = self._services.get(name)
        return [] if service is None else [(name, destination.index) for destination in service.destinations]

    def commit(self, revision: object) -> Deferred[None]:
        """
        See `IDataPlane`.
        """
        prepared, self._prepared = self._prepared, None
        assert prepared is not None and prepared.change.revision == revision, "commit without its prepare"
        change = prepared.change
        self._table, self._redirects = prepared.table, prepared.redirects
        self._current.table = self._fronted(self._lookup())
        self._backends.update(prepared.backends)
        for backend, service, destination, balancer, steps, tls in prepared.definitions:
            backend.define(service, destination, steps, tls)
            clock, general_s = self._traffic.clock, self._traffic.limits.queue_timeout_s
            backend.places = places_for(destination.resilience, backend.places, clock, self._claim, general_s)
            if balancer is not None:
                backend.use(balancer)
        cells = {(name, index): cell for name, index, cell in change.cells}
        for key, backend in prepared.backends.items():
            if key in cells:
                backend.tally.cell = cells[key]
        for name in change.removed:
            self._services.pop(name, None)
        if change.whole:
            self._services = {}
            self.quarantined = {}
        for service in change.services:
            self._services[service.name] = service
            self.quarantined.pop(service.name, None)
        self.quarantined.update(prepared.quarantined)
        for membership in change.memberships:
            self.members(membership)
        if prepared.streams is not None:
            self.streams.commit(prepared.streams, self._backends.get)
        for key in prepared.retired:
            retired = self._backends.pop(key, None)
            if retired is not None:
                retired.retire()
                self._standings.forget(key)
        for name in self._standings.commit(change):
            for key in self._keys(name):
                self._judge(key)
        if self._front is not None and self._front.backends:
            self._name_backends(self._front.backends)
        if prepared.certificates is not None:
            self._certificates.commit(prepared.certificates)
            if self._certificates.held and not self._is_secure:
                self._is_secure = True
                if self.on_secure is not None:
                    self.on_secure(self._certificates.base)
        self._revision = change.revision
        return succeed(None)

    def _name_backends(self, wanted: frozenset[str]) -> None:
        """
        Find those that `use_backend` lines of the frontend lead to; only where there are such lines.
        """
        self._front_named.clear()
        for backend in self._backends.values():
            if backend.destination.backend_name in wanted:
                self._front_named[backend.destination.backend_name] = backend

    def _fronted(self, table: ILookup) -> ILookup:
        """
        The table with the rules of the frontend before it, if there are any.
        """
        if self._front is None or not self._front.does_anything:
            return table
        destination = Destination(0, 0, Match(), "", FRONTEND)
        backend = self._backend(Service(FRONTEND, FRONTEND, (destination,)), destination, RoundRobin())
        return Fronted(self._front, table, backend, self._front_named)

    def _lookup(self, routes: ILookup | None = None) -> ILookup:
        """
        What requests are looked up in: redirects, the statistics, the routes; what there is not costs nothing.

        Args:
            routes: instead of the table in force.
        """
        found: ILookup = self._table if routes is None else routes
        if self._page is not None and self.statistics_site is None:
            found = Showing(self._page, found)
        return Redirecting(self._redirects, found) if self._redirects.services else found

    def abort(self, revision: object) -> None:
        """
        See `IDataPlane`.
        """
        if self._prepared is not None and self._prepared.loading is not None:
            self._prepared.loading.give_up()
        self._prepared = None

    def members(self, membership: object) -> None:
        """
        See `IDataPlane`.
        """
        assert isinstance(membership, Membership)
        backend = self._backends.get((membership.service, membership.index))
        if backend is not None and membership.service not in self.quarantined:
            before = backend.servers
            backend.members(membership)
            self.streams.members((membership.service, membership.index), self._backends.get)
            self._traffic.touch(backend.tally)
            for server in backend.servers if self._cells is not None else ():
                if server not in before:
                    self._traffic.touch(server)  # its cell may hold what its backend has taken over meanwhile

    def verdicts(self, verdicts: Verdicts) -> None:
        """
        Checks have found these servers of a destination down, and no others.
        """
        key = (verdicts.service, verdicts.index)
        if key in self._backends and self._standings.judged(verdicts):
            self._judge(key)

    def left_out(self, key: Key, host: str, port: int) -> int:
        """
        1 if this process leaves a server out for what it has seen of it, else 0.
        """
        backend = self._backends.get(key)
        for server in self.streams.counted(key, backend.servers) if backend is not None else ():
            if server.host == host and server.port == port:
                return int(server.unreachable or server.suspended)
        return 0

    def _judge(self, key: Key) -> None:
        backend = self._backends.get(key)
        if backend is not None:
            backend.judged(*self._standings.of(key))
            self.streams.members(key, self._backends.get)

    # --- questions -------------------------------------------------------------------------------------------

    def query(self, what: str, argument: object) -> Deferred[list[Any]]:
        """
        See `IDataPlane`.

        `ping` -> True; `quarantine` -> name to reason; `revision` -> [number, digest]; `transports` -> the classes of
        the transports of up to 100 client connections and of kept server connections; `stats` -> counts; `explain` ->
        where a request would go, see `dfproxy.control.explaining`; `trial` -> what a change would do, see
        `dfproxy.control.trial`; `pages` -> what is wrong with error pages, which are read again.
        """
        if what == "quarantine":
            return succeed([dict(self.quarantined)])
        if what == "revision":
            return succeed([[self._revision.number, self._revision.digest]])
        if what == "pages" and self.read_pages is not None:
            return self.read_pages()
        if what == "transports":
            return succeed([self._transports()])
        if what == "stats":
            return succeed([self._stats()])
        if what == "explain":
            return self._explain(argument)
        if what == "trial":
            before = _in_front(self._redirects, self._table)
            return succeed([tried(trial_of(argument), self._prepared_for, before, self._traffic.recent)])
        return succeed([True])

    def _prepared_for(self, trial: Trial) -> ILookup:
        """
        What would be looked up in after that change, which nobody commits.
        """
        prepared = self._prepare(Change(Revision(), trial.services, trial.removed))
        return _in_front(prepared.redirects, prepared.table)

    def _explain(self, argument: Any) -> Deferred[list[Any]]:
        from dfproxy.control.explaining import Explanation  # half a megabyte that few workers ever need

        wrap = lambda routes: self._fronted(self._lookup(routes))  # noqa: E731  short
        explanation = Explanation(self._table, wrap, self._traffic, self._random, self._strategies.conditions)
        return explanation.of(argument).addCallback(lambda answer: [answer])

    def _transports(self) -> dict[str, list[str]]:
        clients = list(self.site.sessions_open)[:100]
        servers = [
            connection
            for backend in self._backends.values()
            for server in backend.servers
            for connection in server.idle
        ]
        return {
            "client": [_class_of(session.transport) for session in clients],
            "server": [_class_of(getattr(connection, "transport", None)) for connection in servers[:100]],
        }

    def _stats(self) -> dict[str, int]:
        frontend = self._traffic.frontend
        servers = [server for backend in self._backends.values() for server in backend.servers]
        return {
            "client_connections": len(self.site.sessions_open),
            "accepted": frontend.connections,
            "backends": len(self._backends),
            "servers": len(servers),
            "in_flight": sum(server.in_flight for server in servers),
            "idle_upstreams": sum(len(server.idle) for server in servers),
            "ejected": sum(server.record.ejected for server in servers),
        }

    def routes(self) -> tuple[Iterator[tuple[Route, object]], Route | None]:
        """
        The effective routes in winning order, each with its backend, and the default route.
        """
        default = self._table.default
        route = Route(default.service, default.destination) if isinstance(default, LiveBackend) else None
        return self._table.routes(), route

    def totals(self) -> Iterator[Totals]:
        """
        What was counted, in all processes together.
        """
        limit = self.site.limit * max(self._settings.workers, 1) or None
        yield Totals("frontend", "", "", "", self._counting.of(self._traffic.frontend), limit=limit)
        for (name, index), backend in list(self._backends.items()):
            destination = backend.destination.backend_name
            counted = self.streams.counted((name, index), backend.servers)
            rows = [(server, self._counting.of(at)) for server, at in zip(backend.servers, counted)]
            values = [self._counting.of(backend.tally), *(row for _, row in rows)]
            usable = [server for server, row in rows if not row[EJECTED] and server.is_allowed]
            yield Totals(
                "backend",
                destination,
                name,
                "",
                tuple(map(sum, zip(*values))),
                up=bool(usable),
                weight=sum(server.full_weight for server in usable),
                active=len(usable),
            )
            for server, row in rows:
                yield Totals(
                    "server",
                    destination,
                    name,
                    server.name,
                    row,
                    up=not row[EJECTED] and server.is_allowed,
                    weight=server.full_weight,
                    state=server.word,
                )

    # --- counters --------------------------------------------------------------------------------------------

    def clients(self) -> tuple[int, ...]:
        """
        What else was counted of clients' connections (`dfproxy.observe.clients`).
        """
        return self._traffic.clients.values()

    def counters(self) -> None:
        """
        Write what changed to the shared cells, and read what the other workers have in flight at the servers that
        were busy here; called each 0.1 s.
        """
        if self._traffic.access_log is not None:
            self._traffic.access_log.flush()
        if self._cells is not None:
            self._cells.write(CLIENTS, self._traffic.clients.values())
        servers = self._counting.flush()
        if self._cells is None:
            for server in servers:
                self.busy.update(self.streams.members_of(server.backend))

    def tunnels(self) -> int:
        """
        How many upgraded connections, such as WebSockets, are open.
        """
        return self.site.tunnels()

    # --- the end ---------------------------------------------------------------------------------------------

    def drain(self, deadline_s: float) -> Deferred[None]:
        """
        Let what is under way end; accepting has stopped already.

        Args:
            deadline_s: requests that are still under way after so many seconds are cut. Tunnels have
                `limits.tunnel_drain_s` if that is longer.

        Returns:
            Deferred: None when nothing is open any more.
        """
        return self._draining.everything(deadline_s)


def _in_front(redirects: RouteTable, table: RouteTable) -> ILookup:
    """
    What a trial looks up in: redirects, then routes.
    """
    return Redirecting(redirects, table) if redirects.services else table


def _class_of(transport: object) -> str:
    kind = type(transport)
    return f"{kind.__module__}.{kind.__qualname__}"
