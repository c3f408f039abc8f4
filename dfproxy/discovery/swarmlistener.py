"""
Docker Flow Swarm Listener: asked for all services when we start, and asked to announce them again.

What it announces by itself comes as calls of the API. Here its full answers are carried out, all services in one
change; what cannot be is left out and named. Which names belong to a listener, and when one is withdrawn because the
listener does not list it any more, is decided here, too: never by absence alone, since a listener leaves out services
that are in the middle of an update.

Somewhat long, but one thing: what was asked, what was said and what became of it decide each other.

Source: contract 8.1 (ODDITY-37: a fetch heals a lost `remove`), 10.4; DFP `server/server.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from dfproxy.control.asking import Asking, Said, Unanswered
from dfproxy.dfp.listed import pairs_of
from dfproxy.dfp.reading import Reading
from dfproxy.discovery.addresses import Answer, Verdict
from dfproxy.errors import (
    Claimed,
    DfproxyError,
    InvalidService,
    JournalError,
    NotReady,
    Overloaded,
    Refused,
    Superseded,
)
from dfproxy.interfaces import IPublisher
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.observe.prometheus import Measure, escape, gauge

PREFIX = "/v1/docker-flow-swarm-listener"

ANSWER_S = 10.0
"""
How long a listener may take for an answer, in seconds. It asks the Docker Engine first.
"""

ANSWER_BYTES = 64 << 20
"""
Longest list of services: ten thousand with long parameters are some 10 MB.
"""

ADDRESSES = 3
"""
Addresses of a listener's name that are tried.
"""

FIRST_PAUSE_S = 0.25
"""
After the first question that failed, in seconds; doubles with each further one up to `RELOAD_INTERVAL`.
"""

GONE_S = 60.0
"""
How long the name of a service must not resolve at all before it is withdrawn, in seconds.
"""

LOOK_S = 5.0
"""
Between two looks at services that a listener no longer lists, in seconds.
"""

SLICE_S = 0.005
"""
How long the reactor may be kept for reading a list, in seconds.
"""

ORIGIN = "dfp"
"""
Listeners and calls of the API are one origin: the last one wins.
"""

CAUSE = "listener"
"""
What revisions of their full answers are listed under.
"""

Pairs = Sequence[tuple[str, str]]
Entry = dict[str, Any]

log = Logger()


class KnownNames(Protocol):
    """
    What is asked of who asks names.
    """

    def addresses_of(self, host: str) -> Deferred[Answer]:
        """
        The addresses of any host.
        """

    def gone_s(self, service: str) -> float:
        """
        For how long no name of this service exists any more, in seconds.
        """

    def ask_now(self, service: str, index: int) -> None:
        """
        Ask the names of a destination soon.
        """


@dataclass(eq=False, slots=True)
class _Listener:
    """
    One swarm listener.

    Attributes:
        host: name or IP address.
        port: port.
        pause_s: until the next question, should the next one fail.
        attempts: questions at full pause that failed.
        reason: why the last question failed; empty: it did not.
        fetched: whether it has answered since the start.
        answers: how often it has.
        failures: how often it has not.
        listed: names in its last answer.
        owned: names in any of its answers.
        absent: names it owns and no longer lists, that nobody has called about since; True: asked once more already.
        meanwhile: names that somebody has called about since it was asked; None: it is not being asked.
    """

    host: str
    port: int
    pause_s: float = FIRST_PAUSE_S
    attempts: int = 0
    reason: str = ""
    fetched: bool = False
    answers: int = 0
    failures: int = 0
    listed: frozenset[str] = frozenset()
    owned: set[str] = field(default_factory=set)
    absent: dict[str, bool] = field(default_factory=dict)
    meanwhile: set[str] | None = None
    call: Any = None

    @property
    def name(self) -> str:
        """
        How messages call it.
        """
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Unusable(DfproxyError):
    """
    A listener's answer cannot be used; the text says why.
    """


class SwarmListener:
    """
    All swarm listeners that the operator named.

    Args:
        clock: `IReactorTime`.
        settings: which, and how often.
        asking: puts the questions.
        names: addresses of hosts, and which services are gone.
        publisher: the one door; calls of the API pass by `noted` before.
        read: what the parameters of an entry mean; raises `InvalidService`.
    """

    def __init__(
        self,
        clock: Any,
        settings: Settings,
        asking: Asking,
        names: KnownNames,
        publisher: IPublisher,
        read: Callable[[Pairs], Reading],
    ) -> None:
        self._clock = clock
        self._interval_s = settings.reload_interval_s
        self._attempts = settings.reload_attempts
        self._repeats = settings.repeat_reload and len(settings.swarm_listeners) == 1
        self._asking = asking
        self._names = names
        self._publisher = publisher
        self._read = read
        self._listeners = [_Listener(host, port) for host, port in settings.swarm_listeners]
        self._readings: dict[str, tuple[Entry, Reading]] = {}
        self._left_out: dict[str, str] = {}
        self._stopped = False
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    # --- for the rest of the control plane ---

    def start(self) -> None:
        """
        Ask every listener, at once and until it answers.
        """
        for listener in self._listeners:
            self._fetch_in(listener, 0.0)
        if self._listeners:
            self._looking.start(LOOK_S, now=False)

    def stop(self) -> None:
        """
        Ask nothing any more. An answer that comes now changes nothing.
        """
        self._stopped = True
        if self._looking.running:
            self._looking.stop()
        for listener in self._listeners:
            if listener.call is not None and listener.call.active():
                listener.call.cancel()

    def fetched(self) -> bool:
        """
        Whether any listener has answered since the start, and what it said is in force.
        """
        return any(listener.fetched for listener in self._listeners)

    def missing(self) -> str:
        """
        Why the services of listeners are not known yet; empty: they are, or there is no listener.
        """
        if not self._listeners or self.fetched():
            return ""
        return "; ".join(
            f"{listener.name}: {listener.reason or 'asked, no answer yet'}" for listener in self._listeners
        )

    def owned(self) -> frozenset[str]:
        """
        Names that any answer of a listener has held.
        """
        return frozenset().union(*(listener.owned for listener in self._listeners))

    def recall(self, names: Iterable[str]) -> None:
        """
        Names that answers have held before this start: what is no longer listed then goes as if we had never ended.
        """
        held = set(names)
        for listener in self._listeners:
            listener.owned |= held

    def notify(self) -> Deferred[tuple[str, ...]]:
        """
        Ask every listener to announce all its services again.

        Returns:
            Deferred: what went wrong, a text for each listener that will not. Never fails.
        """
        asked = [
            Deferred.fromCoroutine(self._ask(listener, "notify-services", 1 << 16)) for listener in self._listeners
        ]

        def told(results: list[tuple[bool, Any]]) -> tuple[str, ...]:
            return tuple(
                f"{listener.name}: {failure.getErrorMessage()}"
                for listener, (fine, failure) in zip(self._listeners, results, strict=True)
                if not fine
            )

        return DeferredList(asked, consumeErrors=True).addCallback(told)

    def noted(self, names: Iterable[str]) -> None:
        """
        Somebody calls about these services now: that is newer than what a listener was asked before.
        """
        for listener in self._listeners:
            for name in names:
                listener.absent.pop(name, None)
                if listener.meanwhile is not None:
                    listener.meanwhile.add(name)

    def measures(self) -> tuple[Measure, ...]:
        """
        How asking goes, for `/metrics`; nothing without listeners.
        """
        if not self._listeners:
            return ()

        def each(name: str, kind: str, text: str, value: Callable[[_Listener], float]) -> Measure:
            samples = tuple((f'{{address="{escape(one.name)}"}}', value(one)) for one in self._listeners)
            return Measure(name, kind, text, samples)

        return (
            each("dfproxy_listener_fetched", "gauge", "Whether it has answered.", lambda one: int(one.fetched)),
            each("dfproxy_listener_answers_total", "counter", "Full answers.", lambda one: one.answers),
            each("dfproxy_listener_failures_total", "counter", "Questions that failed.", lambda one: one.failures),
            each("dfproxy_listener_services", "gauge", "Services listed last.", lambda one: len(one.listed)),
            gauge("dfproxy_listener_left_out", "Services listed that are left out.", len(self._left_out)),
        )

    # --- full answers ---

    def _fetch_in(self, listener: _Listener, pause_s: float) -> None:
        listener.call = self._clock.callLater(pause_s, self._fetch, listener)

    def _fetch(self, listener: _Listener) -> None:
        listener.meanwhile = set()
        work = Deferred.fromCoroutine(self._carry_out(listener))
        work.addCallbacks(lambda _: self._succeeded(listener), lambda failure: self._failed(listener, failure))
        work.addErrback(lambda failure: log.failure("asking a swarm listener broke", failure))

    async def _carry_out(self, listener: _Listener) -> None:
        """
        Ask, and put in force what is said.
        """
        said = await self._ask(listener, "get-services", ANSWER_BYTES)
        try:
            entries = msgspec.json.decode(said.body, type=list[dict[str, Any]])
        except msgspec.MsgspecError as error:
            raise Unusable(f"its answer is no list of services: {error}") from error
        services, removed, listed = await self._understood(listener, entries)
        if self._stopped:
            return
        await self._publish(listener, tuple(services))
        newer = listener.meanwhile or set()
        present = self._publisher.snapshot.services
        going = tuple(name for name in removed if name in present and self._may_go(present[name]) and name not in newer)
        if going:
            await _done(self._publisher.withdraw(going, cause=CAUSE))
        listener.listed = frozenset(listed)
        listener.owned |= listener.listed
        present = self._publisher.snapshot.services
        absent = listener.owned - listener.listed - newer
        listener.absent = {name: listener.absent.get(name, False) for name in absent if name in present}

    async def _understood(
        self, listener: _Listener, entries: list[Entry]
    ) -> tuple[list[Service], list[str], dict[str, None]]:
        """
        Returns:
            Services to publish, names to withdraw, and all names listed.
        """
        services: dict[str, Service] = {}
        removed: dict[str, None] = {}
        listed: dict[str, None] = {}
        bad: dict[str, str] = {}
        readings: dict[str, tuple[Entry, Reading]] = {}
        until = self._clock.seconds() + SLICE_S
        for entry in entries:
            name = str(entry.get("serviceName", ""))
            listed[name] = None
            try:
                reading = self._reading(name, entry)
            except InvalidService as error:
                if not error.nothing_to_route:
                    bad[name] = str(error).replace("\n", "; ")
            else:
                readings[name] = (entry, reading)
                if reading.service is None:
                    removed[name] = None
                else:
                    services[name] = reading.service
            if self._clock.seconds() >= until:
                await deferLater(self._clock, 0.0)
                until = self._clock.seconds() + SLICE_S
        if len(self._listeners) == 1:
            self._readings = readings
        for name, reason in bad.items():
            self._leave_out(listener, name, reason)
        for name in [name for name in self._left_out if name in services or (name in listener.owned - listed.keys())]:
            del self._left_out[name]
        return list(services.values()), list(removed), listed

    def _reading(self, name: str, entry: Entry) -> Reading:
        """
        What an entry means. One that has not changed since the last answer is not read again.
        """
        known = self._readings.get(name)
        if known is not None and known[0] == entry:
            return known[1]
        return self._read(list(pairs_of(entry)))

    async def _publish(self, listener: _Listener, services: tuple[Service, ...]) -> None:
        """
        All in one change. If that is refused, it is halved until who is at fault stands alone, and is left out.

        What somebody has called about since the listener was asked stays as that call wants it.
        """
        newer = listener.meanwhile or set()
        services = tuple(service for service in services if service.name not in newer)
        if not services:
            return
        try:
            await _done(self._publisher.publish(services, cause=CAUSE))
        except NotReady:
            raise
        except (Refused, Claimed) as error:
            if len(services) == 1:
                self._leave_out(listener, services[0].name, str(error))
                return
            middle = len(services) // 2
            await self._publish(listener, services[:middle])
            await self._publish(listener, services[middle:])

    def _leave_out(self, listener: _Listener, name: str, reason: str) -> None:
        if self._left_out.get(name) != reason:
            self._left_out[name] = reason
            log.error(
                "{listener} lists a service that is left out: {name}: {reason}",
                listener=listener.name,
                name=name or "(without a name)",
                reason=reason,
            )

    def _succeeded(self, listener: _Listener) -> None:
        listener.meanwhile = None
        if self._stopped:
            return
        listener.answers += 1
        if listener.reason or not listener.fetched:
            log.info("{name} lists {count} services", name=listener.name, count=len(listener.listed))
        listener.fetched, listener.reason, listener.pause_s = True, "", FIRST_PAUSE_S
        if self._repeats:
            self._fetch_in(listener, self._interval_s)

    def _failed(self, listener: _Listener, failure: Any) -> None:
        listener.meanwhile = None
        listener.failures += 1
        reason = failure.getErrorMessage()
        if not failure.check(Unanswered, Unusable, NotReady, Overloaded, JournalError):
            log.failure("what a swarm listener says cannot be carried out", failure)
        if self._stopped:
            return
        if reason != listener.reason:
            log.warn("{name}: {reason}; it is asked again", name=listener.name, reason=reason)
        listener.reason = reason
        pause_s = self._interval_s if listener.fetched else min(listener.pause_s, self._interval_s)
        listener.pause_s = min(2 * pause_s, self._interval_s)
        if pause_s == self._interval_s and len(self._listeners) > 1:
            listener.attempts += 1
            if listener.attempts >= self._attempts:
                log.error("{name} is not asked any more: {reason}", name=listener.name, reason=reason)
                return
        self._fetch_in(listener, pause_s)

    @staticmethod
    def _may_go(service: Service) -> bool:
        """
        Whether listeners may have it withdrawn: what variables, files or Docker have published is not theirs.
        """
        return service.origin == ORIGIN

    async def _ask(self, listener: _Listener, what: str, limit_bytes: int) -> Said:
        """
        One question, at each address of the listener until one answers.

        Raises:
            Unanswered: no answer, or one that is no 200.
        """
        found = await self._names.addresses_of(listener.host)
        if found.verdict is not Verdict.FOUND:
            raise Unanswered(found.reason or "its name is not known")
        reason = ""
        for address in found.addresses[:ADDRESSES]:
            host = f"[{address}]" if ":" in address else address
            try:
                said = await self._asking.ask(
                    "GET", f"http://{host}:{listener.port}{PREFIX}/{what}", ANSWER_S, limit_bytes
                )
            except Unanswered as error:
                reason = str(error)
                continue
            if said.status == 200:
                return said
            reason = f"it answers {said.status}"
        raise Unanswered(reason)

    # --- services that are gone ---

    def _look(self) -> None:
        """
        Withdraw what a listener does not list any more and whose name is gone for a minute.
        """
        listed = {name for listener in self._listeners for name in listener.listed}
        going: list[str] = []
        for listener in self._listeners:
            for name, asked in list(listener.absent.items()):
                service = self._publisher.snapshot.services.get(name)
                if service is None:
                    del listener.absent[name]
                elif name in listed or not self._may_go(service) or self._names.gone_s(name) < GONE_S:
                    listener.absent[name] = False
                elif asked:
                    going.append(name)
                else:
                    # Calm names are asked each half minute: before the last step this one is asked once more.
                    listener.absent[name] = True
                    for destination in service.destinations:
                        self._names.ask_now(name, destination.index)
        if going:
            log.info(
                "withdrawn, since no listener lists them and their names are gone: {names}", names=", ".join(going)
            )
            withdrawn = Deferred.fromCoroutine(_done(self._publisher.withdraw(tuple(going), cause=CAUSE)))
            withdrawn.addErrback(lambda failure: log.failure("a service that is gone cannot be withdrawn", failure))


async def _done(change: Any) -> None:
    """
    Wait for a change; that something newer has overtaken it is as good.
    """
    try:
        await change
    except Superseded:
        return
