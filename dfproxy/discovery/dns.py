"""
Who the servers of each destination are, from fixed names, IP literals and DNS; told to the data plane as they change.

Decides when a name is asked and what becomes of an answer: what was known stays while DNS fails. How a name is asked is
`dfproxy.discovery.names`. Work grows with what changes: all destinations with the same name share one `Name`.

Somewhat long, but one thing: what is known of a name and when it is asked decide each other.

Source: contract 4.11; HAProxy `resolvers` (hold, valid and obsolete times).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from random import Random
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from dfproxy.discovery.addresses import Answer, Verdict, literal, usual_form
from dfproxy.discovery.destinations import Kept, Key, Name, Part, Waiting, placed, servers_of
from dfproxy.interfaces import IDataPlane, INames
from dfproxy.model.service import Destination, Endpoint, Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.observe.prometheus import Measure, counter, gauge

FIRST_ANSWER_S = 1.0
"""
How long publishing waits for names, in seconds.
"""

HOT_INTERVAL_S = 2.0
"""
Between two questions for a name with traffic, in trouble, or new.
"""

CALM_INTERVAL_S = 30.0
"""
Between two questions for any other name.
"""

HOT_S = 60.0
"""
How long after traffic, a failed connect or its first mention a name is asked often.
"""

JITTER = 0.2
"""
Share of an interval that is left to chance, so that names learned together are not asked together for ever.
"""

ASK_NOW_PAUSE_S = 0.5
"""
Least time between two questions for one name when connects fail.
"""

QUESTIONS_PER_S = 500.0
"""
Questions a second, of all names together: a resolver in a container serves others too.
"""

BURST = 50.0
"""
Questions at once.
"""

ABSENT_S = 10.0
"""
How long a name must be said not to exist before its servers are dropped. Swarm takes the name of a service away for
moments, during an update with one task.
"""

REFILL_S = 0.02
"""
Least wait for new questions once all are spent: ten at a time cost fewer wake-ups than one at a time.
"""

OFFER_S = 60.0
"""
How long it is remembered what `first_servers` answered, for the `keep` that follows.
"""

TOLD_AT_ONCE = 200
"""
Memberships pushed in one turn of the reactor: about 2 ms. More, of a name with thousands of destinations, wait a turn.
"""

log = Logger()


class AddressSource(Protocol):
    """
    What `Names` asks; in production `dfproxy.discovery.names.DnsAddresses`.
    """

    questions: int
    foreign: int

    def ask(self, name: str) -> Deferred[Answer]:
        """
        Learn the addresses of a name. The Deferred never fails.
        """

    def tasks_of(self, service: str) -> Deferred[Answer]:
        """
        Learn the addresses of the tasks of a Swarm service, and nothing less. The Deferred never fails.
        """

    def stop(self) -> Deferred[None]:
        """
        Let go of everything.
        """


@implementer(INames)
class Names:
    """
    Knows the servers of every destination and tells the data plane when they change.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        data_plane: IDataPlane,
        resolver: AddressSource,
        random: Random | None = None,
    ) -> None:
        """
        Args:
            reactor: `IReactorTime`.
            settings: gives the fixed names.
            data_plane: is told of memberships.
            resolver: asked for all other names.
            random: only source of chance; None: seeded by the system.
        """
        self._clock = reactor
        self._data_plane = data_plane
        self._resolver = resolver
        self._random = random or Random()
        self._fixed = {usual_form(name): addresses for name, addresses in settings.names}
        self._names: dict[str, Name] = {}
        self._kept: dict[Key, Kept] = {}
        self._indexes: dict[str, tuple[int, ...]] = {}
        self._offers: OrderedDict[Key, tuple[float, Membership]] = OrderedDict()
        self._epoch = 0
        self._recalled: Mapping[str, tuple[str, ...]] = {}
        self._recalled_until = 0.0
        self._untold: OrderedDict[Key, None] = OrderedDict()
        self._telling: Any = None
        self._due: list[tuple[float, int, Name]] = []
        self._pushed = 0
        self._wake: Any = None
        self._running = False
        self._tokens = BURST
        self._tokens_at = reactor.seconds()
        self._questions_seen = resolver.questions
        self._stopped = False
        self._asked = 0
        self._late_s = 0.0
        self._failures = 0

    def start(self) -> None:
        """
        Begin to ask names again and again. Before, they are asked once, when first mentioned.
        """
        self._stopped = False
        self._arm()

    def stop(self) -> Deferred[None]:
        """
        Ask nothing any more and close the resolver.
        """
        self._stopped = True
        for call in (self._wake, self._telling):
            if call is not None and call.active():
                call.cancel()
        self._wake = self._telling = None
        return self._resolver.stop()

    @property
    def epoch(self) -> int:
        """
        Changes whenever the servers of some destination do; for who keeps a picture of them.
        """
        return self._epoch

    # --- INames ---

    def first_servers(self, services: tuple[object, ...]) -> Deferred[tuple[Membership, ...]]:
        """
        Start to know these definitions; see `INames`.
        """
        parts = {
            (service.name, destination.index): self._parts(destination)
            for service in cast(tuple[Service, ...], services)
            for destination in service.destinations
        }
        wanted = [part.name for of_one in parts.values() for part in of_one if part.name is not None]
        for name in wanted:
            name.wanted_until = self._clock.seconds() + OFFER_S
        unknown = {name.name: name for name in wanted if self._is_unknown(name)}
        if not unknown:
            return succeed(self._offer(parts))
        waiting = Waiting(set(unknown), Deferred())
        for name in unknown.values():
            name.waiting.append(waiting)
            self._ask_soon(name, self._clock.seconds())
        deadline = self._clock.callLater(FIRST_ANSWER_S, waiting.done.callback, None)
        self._run_due()

        def known(_: None) -> tuple[Membership, ...]:
            if deadline.active():
                deadline.cancel()
            for name in unknown.values():
                if waiting in name.waiting:
                    name.waiting.remove(waiting)
            return self._offer(parts)

        return waiting.done.addCallback(known)

    def keep(self, services: tuple[object, ...]) -> None:
        """
        These are in force; see `INames`.
        """
        now = self._clock.seconds()
        for service in cast(tuple[Service, ...], services):
            indexes = tuple(destination.index for destination in service.destinations)
            for index in self._indexes.get(service.name, ()):
                if index not in indexes:
                    self._drop((service.name, index))
            self._indexes[service.name] = indexes
            for destination in service.destinations:
                self._keep((service.name, destination.index), destination, now)
        self._run_due()

    def forget(self, names: tuple[str, ...]) -> None:
        """
        These are gone; see `INames`.
        """
        for name in names:
            for index in self._indexes.pop(name, ()):
                self._drop((name, index))

    # --- for the rest of the leader ---

    def recall(self, addresses: Mapping[str, tuple[str, ...]]) -> None:
        """
        What was known before this start: used for names that come up within `OFFER_S` until they are answered, so that
        a start does not wait for DNS, and works without.
        """
        self._recalled = {usual_form(name): found for name, found in addresses.items()}
        self._recalled_until = self._clock.seconds() + OFFER_S

    def known(self) -> dict[str, tuple[str, ...]]:
        """
        The addresses of all names in use that have some.
        """
        return {name.name: name.addresses for name in self._names.values() if name.users and name.addresses}

    def ask_now(self, service: str, index: int) -> None:
        """
        A connect to a server of this destination failed: its addresses may be old. Asked at most twice a second.
        """
        now = self._clock.seconds()
        for name in self._names_of((service, index)):
            name.hot_until = now + HOT_S
            if name.asking:
                name.again = True
            else:
                self._ask_soon(name, max(now, name.asked_at + ASK_NOW_PAUSE_S))
        self._run_due()

    def busy(self, service: str, index: int) -> None:
        """
        This destination has traffic: for the next minute its names are asked often.
        """
        now = self._clock.seconds()
        for name in self._names_of((service, index)):
            name.hot_until = now + HOT_S
            if not name.asking:
                self._ask_soon(name, now + self._interval(HOT_INTERVAL_S))
        self._arm()

    def members_of(self, service: str, index: int) -> tuple[ServerAddress, ...]:
        """
        Servers of a destination in force; empty if it is not known.
        """
        kept = self._kept.get((service, index))
        return placed(servers_of(kept.parts), kept.told.servers) if kept is not None else ()

    def memberships(self) -> tuple[Membership, ...]:
        """
        Of every destination in force what the data plane was told last: for a new worker.
        """
        return tuple(kept.told for kept in self._kept.values())

    def unresolved(self) -> Mapping[str, str]:
        """
        Names in use that have no address, each with the reason.
        """
        return {name.name: name.reason for name in self._names.values() if name.users and not name.addresses}

    @property
    def unasked(self) -> int:
        """
        How many names in use have not had any answer yet: after a start with many services that takes a while.
        """
        return sum(bool(name.users) and not name.answered for name in self._names.values())

    def tasks_of(self, service: str) -> Deferred[Answer]:
        """
        The addresses of the tasks of a Swarm service, from fixed names or DNS. The Deferred never fails.
        """
        fixed = self._fixed.get(usual_form(f"tasks.{service}"))
        return succeed(Answer(Verdict.FOUND, fixed)) if fixed is not None else self._resolver.tasks_of(service)

    def addresses_of(self, host: str) -> Deferred[Answer]:
        """
        The addresses of any host, literal, fixed or from DNS; asked each time. The Deferred never fails.
        """
        fixed = self._fixed.get(usual_form(host))
        if fixed is None and (address := literal(host)):
            fixed = (address,)
        return succeed(Answer(Verdict.FOUND, fixed)) if fixed is not None else self._resolver.ask(host)

    def gone_s(self, service: str) -> float:
        """
        For how long, in seconds, every name of a service in force has been said not to exist; 0.0 if it is not so.

        That DNS fails says nothing about a name; an address, or a fixed name, is always there.
        """
        since = float("-inf")
        for index in self._indexes.get(service, ()):
            for part in self._kept[service, index].parts:
                if part.name is None or part.name.absent_since is None:
                    return 0.0
                since = max(since, part.name.absent_since)
        return self._clock.seconds() - since if since > float("-inf") else 0.0

    def measures(self) -> Iterable[Measure]:
        """
        How asking goes, for `/metrics`.
        """
        names = list(self._names.values())
        overdue = max((self._clock.seconds() - name.due for name in names if name.due is not None), default=0.0)
        late = (("_sum", round(self._late_s, 3)), ("_count", self._asked))
        return (
            gauge("dfproxy_dns_names", "Names in use that are asked.", sum(bool(name.users) for name in names)),
            gauge("dfproxy_dns_names_unresolved", "Names in use without an address.", len(self.unresolved())),
            counter("dfproxy_dns_questions_total", "Questions sent.", self._resolver.questions),
            counter("dfproxy_dns_failures_total", "Answers that said nothing, or none.", self._failures),
            counter("dfproxy_dns_foreign_addresses_total", "Addresses of no network of ours.", self._resolver.foreign),
            Measure("dfproxy_dns_lateness_seconds", "summary", "From when a name was due to its question.", late),
            gauge("dfproxy_dns_overdue_seconds", "How long the longest-waiting name is due.", max(0.0, overdue)),
        )

    # --- destinations ---

    def _parts(self, destination: Destination) -> tuple[Part, ...]:
        endpoints = destination.endpoints or (Endpoint(destination.host, destination.port),)
        return tuple(self._part(endpoint) for endpoint in endpoints)

    def _part(self, endpoint: Endpoint) -> Part:
        """
        Fixed names come before all, so that a test or an operator can redirect anything.
        """
        name = usual_form(endpoint.host)
        fixed = self._fixed.get(name)
        if fixed is None and "." not in name:
            fixed = self._fixed.get(f"tasks.{name}")
        if fixed is None and (address := literal(endpoint.host)):
            fixed = (address,)
        if fixed is not None:
            return Part(fixed, None, endpoint.port, endpoint.weight)
        known = self._names.get(name)
        if known is None:
            now = self._clock.seconds()
            recalled = self._recalled.get(name, ()) if now < self._recalled_until else ()
            known = self._names[name] = Name(name, recalled, hot_until=now + HOT_S)
        return Part((), known, endpoint.port, endpoint.weight)

    def _is_unknown(self, name: Name) -> bool:
        """
        Whether publishing should wait for an answer: there was none yet, or only bad ones, and not just now.
        """
        if name.addresses:
            return False
        return not name.answered or name.asking or self._clock.seconds() - name.asked_at >= ASK_NOW_PAUSE_S

    def _offer(self, parts: Mapping[Key, tuple[Part, ...]]) -> tuple[Membership, ...]:
        now = self._clock.seconds()
        while self._offers and next(iter(self._offers.values()))[0] < now - OFFER_S:
            self._offers.popitem(last=False)
        offered = []
        for key, of_one in parts.items():
            kept = self._kept.get(key)
            former = kept.told.servers if kept is not None else ()
            membership = self._membership(key, placed(servers_of(of_one), former))
            offered.append(membership)
            self._offers.pop(key, None)
            self._offers[key] = (now, membership)
        return tuple(offered)

    def _membership(self, key: Key, servers: tuple[ServerAddress, ...]) -> Membership:
        self._epoch += 1
        return Membership(key[0], key[1], self._epoch, servers)

    def _keep(self, key: Key, destination: Destination, now: float) -> None:
        parts = self._parts(destination)
        former = self._kept.get(key)
        wanted = {part.name.name: part.name for part in parts if part.name is not None}
        if former is not None:
            self._let_go(key, former, wanted)
        for name in wanted.values():
            name.users[key] = None
            if not name.asking and name.due is None:
                first = now if not name.answered else now + self._interval(HOT_INTERVAL_S)
                self._ask_soon(name, first)
        # What first_servers said travelled with the change. Something newer may have been told about the former
        # definition since then: the data plane holds whatever has the higher epoch.
        offered_at, offer = self._offers.pop(key, (0.0, None))
        last = former.told if former is not None else None
        fresh = offer is not None and now - offered_at <= OFFER_S
        if offer is not None and fresh and (last is None or offer.epoch > last.epoch):
            last = offer
        if last is None:
            # The change came without servers: a data plane has an empty list for it.
            last = Membership(key[0], key[1], 0)
        kept = self._kept[key] = Kept(parts, last)
        self._tell(key, kept)

    def _drop(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._let_go(key, kept, {})
        self._untold.pop(key, None)
        self._offers.pop(key, None)

    def _let_go(self, key: Key, kept: Kept, wanted: Mapping[str, Name]) -> None:
        for part in kept.parts:
            if part.name is not None and part.name.name not in wanted:
                part.name.users.pop(key, None)

    def _names_of(self, key: Key) -> Iterable[Name]:
        kept = self._kept.get(key)
        return () if kept is None else (part.name for part in kept.parts if part.name is not None)

    # --- telling ---

    def _tell(self, key: Key, kept: Kept) -> None:
        """
        Push the servers of one destination if they are others than it knows.
        """
        servers = placed(servers_of(kept.parts), kept.told.servers)
        if servers != kept.told.servers:
            kept.told = self._membership(key, servers)
            self._data_plane.members(kept.told)

    def _tell_users(self, name: Name) -> None:
        self._untold.update(dict.fromkeys(name.users))
        if self._telling is None:
            self._tell_some()

    def _tell_some(self) -> None:
        self._telling = None
        for _ in range(min(TOLD_AT_ONCE, len(self._untold))):
            key, _ = self._untold.popitem(last=False)
            kept = self._kept.get(key)
            if kept is not None:
                self._tell(key, kept)
        if self._untold and not self._stopped:
            self._telling = self._clock.callLater(0, self._tell_some)

    # --- asking ---

    def _interval(self, interval_s: float) -> float:
        return interval_s * (1 - JITTER * self._random.random())

    def _ask_soon(self, name: Name, at: float) -> None:
        """
        Ask at that time, unless that happens earlier anyway.
        """
        if not name.asking and (name.due is None or at < name.due):
            name.due = at
            self._pushed += 1
            heappush(self._due, (at, self._pushed, name))

    def _run_due(self) -> None:
        """
        Ask what is due, as far as the rate allows.
        """
        if self._stopped or self._running:
            return  # an answer that was there at once: the loop below goes on with what it made due
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        self._wake = None
        self._running = True
        now = self._clock.seconds()
        self._refill(now)
        while self._due and self._due[0][0] <= now and self._tokens >= 1:
            at, _, name = heappop(self._due)
            if name.due != at:
                continue  # asked earlier, or moved: a younger entry stands for it
            name.due = None
            if name.users or name.waiting:
                self._asked += 1
                self._late_s += now - at
                self._ask(name, now)
                self._spend()
            elif now < name.wanted_until:
                self._ask_soon(name, name.wanted_until)
            else:
                self._names.pop(name.name, None)
        self._running = False
        self._arm()

    def _arm(self) -> None:
        """
        Wake up when the next name is due and there is a question to spend.
        """
        if self._stopped or not self._due:
            return
        now = self._clock.seconds()
        wait = self._due[0][0] - now
        if self._tokens < 1:
            wait = max(wait, REFILL_S, (1 - self._tokens) / QUESTIONS_PER_S)
        if self._wake is not None and self._wake.active():
            if self._wake.getTime() <= now + wait:
                return
            self._wake.cancel()
        self._wake = self._clock.callLater(max(wait, 0.0), self._run_due)

    def _refill(self, now: float) -> None:
        self._spend()
        self._tokens = min(BURST, self._tokens + (now - self._tokens_at) * QUESTIONS_PER_S)
        self._tokens_at = now

    def _spend(self) -> None:
        """
        Take off the questions really put since the last time: one name may have cost several, or none.
        """
        self._tokens -= self._resolver.questions - self._questions_seen
        self._questions_seen = self._resolver.questions

    def _ask(self, name: Name, now: float) -> None:
        name.asking, name.again, name.asked_at = True, False, now
        self._resolver.ask(name.name).addCallback(self._answered, name).addErrback(
            lambda failure: log.failure("the answer for {name} is lost", failure=failure, name=name.name)
        )

    def _answered(self, answer: Answer, name: Name) -> None:
        name.asking = False
        if self._stopped:
            return
        now = self._clock.seconds()
        self._failures += answer.verdict is Verdict.FAILED
        changed = self._learn(name, answer, now)
        name.answered = True
        waiting, name.waiting = name.waiting, []
        if changed:
            self._tell_users(name)
        for publication in waiting:
            publication.pending.discard(name.name)
            if not publication.pending and not publication.done.called:
                publication.done.callback(None)
        if name.again:
            self._ask_soon(name, max(now, name.asked_at + ASK_NOW_PAUSE_S))
        hot = now < name.hot_until or name.absent_since is not None and bool(name.addresses)
        self._ask_soon(name, now + self._interval(HOT_INTERVAL_S if hot else CALM_INTERVAL_S))
        self._run_due()

    def _learn(self, name: Name, answer: Answer, now: float) -> bool:
        """
        Take over an answer.

        Returns:
            Whether the addresses are others now.
        """
        former, former_reason = name.addresses, name.reason
        if answer.verdict is Verdict.FOUND and (answer.certain or not (name.certain and former)):
            name.addresses, name.certain, name.reason = answer.addresses, answer.certain, ""
            name.absent_since = None
        elif answer.verdict is Verdict.ABSENT:
            name.reason = answer.reason
            if name.absent_since is None:
                name.absent_since = now
            if now - name.absent_since >= ABSENT_S or not former:
                name.addresses = ()
        else:
            # What was known stays: old servers are better than none, and health sees to those that are gone.
            name.reason, name.absent_since = answer.reason or "uncertain answer", None
        if name.reason and not former_reason:
            log.warn("name {name}: {reason}", name=name.name, reason=name.reason)
        elif former_reason and not name.reason and name.answered:
            log.info("name {name} is known again", name=name.name)
        return name.addresses != former
