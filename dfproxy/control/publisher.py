"""
The one door through which definitions change.

Puts changes in a row, joins those that wait into one, and takes each through its phases: names asked, prepared
everywhere, recorded, committed. What a change means to traffic is the data plane's business, what a service is the
dialect's.

Longer than other modules, but one thing: the row and its phases, which all touch the same callers.

While one batch is on its way all callers that come form the next, so a hundred callers cost two rounds, not a
hundred. A batch that is refused is halved until whoever is at fault stands alone, so one caller never spoils another's
change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from dfproxy.control.callers import Caller, named
from dfproxy.control.digests import DIGEST_BITS, digest, digits
from dfproxy.control.origins import Claims
from dfproxy.control.publishing import Publishing
from dfproxy.dfp.kept import differs_by_hash
from dfproxy.errors import JournalError, NotReady, Overloaded, Refused, Superseded
from dfproxy.interfaces import IDataPlane, INames, IPublisher
from dfproxy.model.certificate import Certificate
from dfproxy.model.checks import Order, with_orders
from dfproxy.model.service import Service
from dfproxy.model.settings import Limits
from dfproxy.model.snapshot import Change, Hold, Membership, Revision, Snapshot

log = Logger()

CALLERS = Limits().api_calls + Limits().api_queue
"""
Callers that wait for their answer at once, unless told otherwise.
"""

NAMES_S = 2.0
"""
How long a change waits for its names, in seconds. Whoever asks them promises one second; this is for a broken promise.
"""

PREPARE_S = 60.0
"""
How long a change may take to get ready, in seconds. The workers' own limit is 2 s and a millisecond for each service.
"""

RECORD_S = 10.0
"""
How long making a change durable may take, in seconds. A disk needs milliseconds, one that is busy with others' writes
a second or two; one that hangs must not hang every caller.
"""

Recognise = Callable[[list[tuple[Service, Service]]], "Deferred[list[bool]]"]
Told = Callable[[Snapshot, Change, list[tuple[str, str]]], None]


@implementer(IPublisher)
class Publisher(Publishing):
    """
    The one door.

    Args:
        data_plane: carries the traffic.
        names: knows the servers of destinations.
        clock: for time-outs.
        record: makes a change durable, between ready and commit; None: nothing is durable.
        waiting: callers that may wait for their answer at once. The default is all that the API lets in.
        recognise: whether services with plain passwords are those that were kept with hashes, for pairs of them; None:
            nothing is kept with hashes.
        told: called after each change with what was in force before, the change, and why it was made on whose behalf.

    Attributes:
        snapshot: what is in force now.
    """

    def __init__(
        self,
        data_plane: IDataPlane,
        names: INames,
        clock: IReactorTime,
        record: Callable[[Change], Deferred[None]] | None = None,
        waiting: int = CALLERS,
        recognise: Recognise | None = None,
        told: Told | None = None,
    ) -> None:
        self._callers_limit = waiting
        self._recognise = recognise
        self._told = told
        self.snapshot = Snapshot()
        self._data_plane = data_plane
        self._names = names
        self._clock = clock
        self._record = record
        self._digests: dict[str, int] = {}
        self._sum = 0
        self._place = 0
        self._callers = 0
        self._touched: Counter[str] = Counter()
        self._asking: set[Caller] = set()
        self._waiting: list[Caller] = []
        self._busy = False

    def change(
        self,
        services: tuple[Service, ...],
        removed: tuple[str, ...] = (),
        certificates: tuple[Certificate, ...] = (),
        origin: str = "dfp",
        cause: str = "",
        holds: tuple[Hold, ...] | None = None,
    ) -> Deferred[Revision]:
        """
        See `IPublisher`.
        """
        caller = Caller(
            {service.name: service for service in services},
            tuple(dict.fromkeys(removed)),
            {certificate.identity: certificate for certificate in certificates},
            origin,
            cause,
            None if holds is None else {hold.name: hold for hold in holds},
        )
        return self._enter(caller)

    def order(self, orders: tuple[Order, ...], cause: str = "") -> Deferred[Revision]:
        """
        Have every data plane treat single servers as an operator says. Orders for a service that is not in force come
        to nothing.

        Args:
            orders: one that says nothing ends the one of its server.
            cause: as for `publish`.

        Returns:
            Deferred: as `publish`.
        """
        return self._enter(Caller({}, cause=cause, orders={order.key: order for order in orders}))

    def begin_with(self, certificates: tuple[Certificate, ...]) -> Change:
        """
        These certificates are there from the start. Once, before anybody publishes or restores; nothing is recorded.

        Returns:
            What the data plane is to begin with; telling it is left to the caller.
        """
        if self._busy or self.snapshot.certificates:
            raise RuntimeError("certificates that are there from the start come first")
        revision = Revision(self.snapshot.revision.number, digits(sum(map(digest, certificates))))
        change = Change(revision, certificates=certificates)
        self._in_force(change)
        return change

    def restore(
        self,
        services: tuple[Service, ...],
        number: int,
        memberships: tuple[Membership, ...] | None = None,
        holds: tuple[Hold, ...] = (),
        orders: tuple[Order, ...] = (),
    ) -> Deferred[Revision]:
        """
        Put in force what was in force when we ended. Once, before anybody publishes; nothing is recorded.

        Args:
            services: all of them.
            number: of the revision.
            memberships: their last known servers; None: names are asked first.
            holds: those that were in force.
            orders: likewise.

        Returns:
            Deferred: the revision. Services that cannot be loaded are quarantined by the data plane, so it fails only
            with `NotReady`.
        """
        if self._busy or self.snapshot.services:
            raise RuntimeError("restoring comes before publishing")
        self._busy = True
        restored: Deferred[Revision] = self._restore(services, number, memberships, holds, orders)
        restored.addBoth(self._restored)
        return restored

    def _enter(self, caller: Caller) -> Deferred[Revision]:
        present, shown, held = self.snapshot.services, self.snapshot.certificates, self.snapshot.holds
        touched, services = self._touched, caller.services
        news = tuple(s for n, s in services.items() if touched[n] or present.get(n) != s or n in held)
        changes = any(touched[n] or n in present or n in shown or n in held for n in caller.removed) or any(
            touched[name] or shown.get(name) != certificate for name, certificate in caller.certificates.items()
        )
        changes = changes or any(touched[name] or self._is_news(order) for name, order in caller.orders.items())
        if not news and not changes:
            return succeed(self.snapshot.revision)
        if self._callers >= self._callers_limit:
            return fail(Overloaded(f"{self._callers_limit} changes wait already; try again in a second"))
        self._place += 1
        caller.place = self._place
        answer = caller.answer
        self._callers += 1
        self._touched.update(caller.names())
        self._asking.add(caller)
        if news:
            asked: Deferred[tuple[Membership, ...]] = self._first_servers(caller, news)
            asked.addTimeout(NAMES_S, self._clock)
            asked.addErrback(self._unnamed)
            asked.addCallback(lambda memberships: self._named(caller, memberships))
            asked.addErrback(lambda failure: log.failure("publishing broke", failure))
        else:
            self._named(caller, ())
        return answer

    def _is_news(self, order: Order) -> bool:
        known = self.snapshot.orders.get(order.service, {}).get(order.address)
        return not order.says_nothing if known is None else known != order

    def _first_servers(self, caller: Caller, news: tuple[Service, ...]) -> Deferred[tuple[Membership, ...]]:
        """
        Who serves what is new. What was kept with hashes of passwords and is given with the passwords is not.
        """
        pairs = [(s, kept) for s in news for kept in self._kept(s.name) if differs_by_hash(s, kept)]
        if not pairs or self._recognise is None:
            named: Deferred[tuple[Membership, ...]] = self._names.first_servers(news)
            return named

        def recognised(verdicts: list[bool]) -> Deferred[tuple[Membership, ...]]:
            for (given, kept), is_same in zip(pairs, verdicts, strict=True):
                if is_same:
                    caller.services[given.name] = kept
            served: Deferred[tuple[Membership, ...]] = self._names.first_servers(tuple(caller.services.values()))
            return served

        return self._recognise(pairs).addCallback(recognised)

    def _kept(self, name: str) -> Iterable[Service]:
        """
        What a service that is given may be the same as.
        """
        present, hold = self.snapshot.services.get(name), self.snapshot.holds.get(name)
        if present is not None:
            yield present
        if hold is not None:
            yield hold.against

    def _unnamed(self, failure: Any) -> tuple[Membership, ...]:
        log.warn("names are not known in time: {why}", why=failure.getErrorMessage())
        return ()

    def _named(self, caller: Caller, memberships: tuple[Membership, ...]) -> None:
        caller.memberships = memberships
        self._asking.discard(caller)
        self._waiting.append(caller)
        self._go()

    def is_changing(self, name: str) -> bool:
        """
        Whether a change of this service has been asked for that is neither in force nor refused yet.
        """
        return bool(self._touched[name])

    @property
    def is_busy(self) -> bool:
        """
        Some change has been asked for that is neither in force nor refused yet.
        """
        return self._busy or self._callers > 0

    def _go(self) -> None:
        if self._busy:
            return
        self._busy = True
        self._work().addErrback(lambda failure: log.failure("publishing broke", failure))

    @inlineCallbacks
    def _work(self) -> Generator[Deferred[Any], Any, None]:
        try:
            while self._waiting:
                batch = sorted(self._waiting, key=lambda caller: caller.place)
                self._waiting = []
                try:
                    yield self._apply(batch)
                except Exception as error:  # noqa: BLE001  every caller is answered, whatever went wrong
                    log.failure("a change broke")
                    for caller in batch:
                        self._answer(caller, error)
        finally:
            self._busy = False

    @inlineCallbacks
    def _apply(self, batch: list[Caller]) -> Generator[Deferred[Any], Any, None]:
        """
        One round with these callers, or more if it is refused. Each is answered.
        """
        batch = self._entitled(batch)
        last = {name: caller for caller in batch for name in caller.names() if caller.counts(name)}
        change = self._change(last)
        if change is None:
            self._answer_all(batch, last)
            return
        try:
            yield self._prepared(change)
        except NotReady as error:
            self._refuse(batch, error)
            return
        except Refused as error:
            if len(batch) == 1:
                self._refuse(batch, error)
                return
        else:
            yield from self._finish(batch, last, change)
            return
        middle = len(batch) // 2
        yield self._apply(batch[:middle])
        yield self._apply(batch[middle:])

    def _finish(
        self, batch: list[Caller], last: dict[str, Caller], change: Change
    ) -> Generator[Deferred[Any], Any, None]:
        if self._record is not None:
            try:
                yield self._recorded(self._record, change)
            except Exception as error:  # noqa: BLE001  nothing is in force that is not durable, whatever the reason
                if not isinstance(error, JournalError):
                    log.failure("a change cannot be recorded")
                self._data_plane.abort(change.revision)
                self._refuse(batch, error)
                return
        yield self._data_plane.commit(change.revision)
        before = self.snapshot
        self._in_force(change)
        if self._told is not None:
            self._told(before, change, [(caller.cause, caller.origin) for caller in dict.fromkeys(last.values())])
        for caller in self._asking:
            # Who came earlier but waits for names still must not undo what came later.
            for name in caller.names():
                winner = last.get(name)
                if winner is not None and winner.place > caller.place:
                    caller.lost.add(name)
        self._answer_all(batch, last)

    def _recorded(self, record: Callable[[Change], Deferred[None]], change: Change) -> Deferred[None]:
        def late(failure: Any) -> None:
            failure.trap(DeferredTimeout)
            raise JournalError(f"cannot be made durable: the disk has not answered within {RECORD_S:.0f} s")

        return record(change).addTimeout(RECORD_S, self._clock).addErrback(late)

    def _entitled(self, batch: list[Caller]) -> list[Caller]:
        """
        The callers that may change what they want to change; the others are answered. What a hold keeps out is marked.
        """
        claims, holds = Claims(self.snapshot.services), dict(self.snapshot.holds)
        entitled = []
        for caller in batch:
            refusal = claims.refusal(caller.services, caller.removed, caller.origin, caller.holds is not None)
            if refusal is None:
                caller.meet(holds)
                entitled.append(caller)
            else:
                log.warn("a change is refused: {reason}", reason=str(refusal))
                self._refuse([caller], refusal)
        return entitled

    def _change(self, last: dict[str, Caller]) -> Change | None:
        """
        What these callers' changes come to, seen from what is in force; None: nothing.
        """
        present, shown, held = self.snapshot.services, self.snapshot.certificates, self.snapshot.holds
        services: list[Service] = []
        certificates: list[Certificate] = []
        removed: list[str] = []
        memberships: list[Membership] = []
        holds: list[Hold] = []
        released: list[str] = []
        known: dict[int, dict[str, list[Membership]]] = {}
        orders: list[Order] = []
        total = self._sum
        for name, caller in last.items():
            order = caller.orders.get(name)
            if order is not None:
                if order.service in present and self._is_news(order):
                    orders.append(order)
                continue
            hold = caller.hold(name)
            if hold is not None:
                holds.append(hold)
            elif name in held:
                released.append(name)
            wanted = caller.services.get(name) or caller.certificates.get(name)
            if wanted == (present.get(name) or shown.get(name)):
                continue
            total -= self._digests.get(name, 0)
            if wanted is None:
                removed.append(name)
                continue
            total += digest(wanted)
            if isinstance(wanted, Certificate):
                certificates.append(wanted)
                continue
            services.append(wanted)
            if caller.place not in known:
                known[caller.place] = named(caller.memberships)
            memberships += known[caller.place].get(name, ())
        gone = set(removed)
        orders = [order for order in orders if order.service not in gone]
        if not (services or removed or certificates or holds or released or orders):
            return None
        return Change(
            Revision(self.snapshot.revision.number + 1, digits(total)),
            tuple(services),
            tuple(name for name in removed if "/" not in name),
            tuple(memberships),
            certificates=tuple(certificates),
            removed_certificates=tuple(name for name in removed if "/" in name),
            holds=tuple(holds),
            released=tuple(released),
            orders=tuple(orders),
        )

    def _prepared(self, change: Change) -> Deferred[None]:
        ready: Deferred[None] = self._data_plane.prepare(change)
        ready.addTimeout(PREPARE_S, self._clock)

        def late(failure: Any) -> Any:
            failure.trap(DeferredTimeout)
            self._data_plane.abort(change.revision)
            raise NotReady(f"not ready within {PREPARE_S:.0f} s")

        def raised(failure: Any) -> Any:
            if isinstance(failure.value, Refused):
                return failure
            # A data plane that breaks where it should refuse has refused.
            log.failure("a change broke while it was prepared", failure)
            raise Refused(f"{type(failure.value).__name__}: {failure.value}")

        return ready.addErrback(late).addErrback(raised)

    def _in_force(self, change: Change) -> None:
        services = {} if change.whole else dict(self.snapshot.services)
        certificates = {} if change.whole else dict(self.snapshot.certificates)
        if change.whole:
            self._digests.clear()
            self._sum = 0
        for name in (*change.removed, *change.removed_certificates):
            services.pop(name, None)
            certificates.pop(name, None)
            self._sum -= self._digests.pop(name, 0)
        for service in change.services:
            services[service.name] = service
            self._count(service.name, service)
        for certificate in change.certificates:
            certificates[certificate.identity] = certificate
            self._count(certificate.identity, certificate)
        self._sum %= 1 << DIGEST_BITS
        holds = {} if change.whole else self.snapshot.holds
        if change.holds or change.released:
            holds = {name: hold for name, hold in holds.items() if name not in change.released}
            holds.update((hold.name, hold) for hold in change.holds)
        orders = {} if change.whole else self.snapshot.orders
        orders = with_orders(orders, (*change.removed, *change.lifted), change.orders)
        self.snapshot = Snapshot(change.revision, services, certificates, holds, orders)
        if change.services:
            self._names.keep(change.services)
        if change.removed:
            self._names.forget(change.removed)

    def _count(self, name: str, definition: Service | Certificate) -> None:
        """
        Let it count in the digest of all.
        """
        one = digest(definition)
        self._sum += one - self._digests.get(name, 0)
        self._digests[name] = one

    @inlineCallbacks
    def _restore(
        self,
        services: tuple[Service, ...],
        number: int,
        memberships: tuple[Membership, ...] | None,
        holds: tuple[Hold, ...],
        orders: tuple[Order, ...],
    ) -> Generator[Deferred[Any], Any, Revision]:
        if memberships is None:
            asked: Deferred[tuple[Membership, ...]] = self._names.first_servers(services)
            asked.addTimeout(NAMES_S, self._clock)
            memberships = yield asked.addErrback(self._unnamed)
        services_by_name = {service.name: service for service in services}.values()
        certificates = tuple(self.snapshot.certificates.values())  # these come from files, which may have been read
        revision = Revision(number, digits(sum(map(digest, services_by_name)) + sum(map(digest, certificates))))
        change = Change(
            revision,
            tuple(services_by_name),
            memberships=memberships,
            whole=True,
            certificates=certificates,
            holds=holds,
            orders=orders,
        )
        yield self._prepared(change)
        yield self._data_plane.commit(revision)
        self._in_force(change)
        return revision

    def _restored(self, result: Any) -> Any:
        self._busy = False
        if self._waiting:
            self._go()
        return result

    def _answer_all(self, batch: list[Caller], last: dict[str, Caller]) -> None:
        for caller in batch:
            if any(caller.has_won(name, last.get(name)) for name in caller.names()):
                self._answer(caller, self.snapshot.revision)
            else:
                self._answer(caller, Superseded("a later change of the same service came while this one waited"))

    def _refuse(self, batch: list[Caller], error: Exception) -> None:
        for caller in batch:
            self._answer(caller, error)
            strange = tuple(n for n in caller.services if n not in self.snapshot.services and not self._touched[n])
            if strange:
                self._names.forget(strange)

    def _answer(self, caller: Caller, result: Revision | Exception) -> None:
        if caller.place == 0:
            return
        caller.place = 0
        self._callers -= 1
        for name in caller.names():
            if self._touched[name] > 1:
                self._touched[name] -= 1
            else:
                del self._touched[name]
        if isinstance(result, Exception):
            caller.answer.errback(result)
        else:
            caller.answer.callback(result)
