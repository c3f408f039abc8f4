"""
Stand-ins for what is behind the API, where running the real thing would be no part of the test.

Each provides its interface, which tests/unit/api/test_control.py verifies, and keeps a list of what it was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from dfproxy.control.publishing import Publishing
from dfproxy.errors import InvalidBalance, InvalidRoute
from dfproxy.interfaces import IDataPlane, INames, IPublisher
from dfproxy.model.certificate import Certificate
from dfproxy.model.match import Condition
from dfproxy.model.service import Balance, Service
from dfproxy.model.snapshot import Hold, Membership, Revision, ServerAddress, Snapshot


@implementer(IPublisher)
class FakePublisher(Publishing):
    """
    Puts in force what it is given, at once or when told.

    Attributes:
        snapshot: what is in force.
        calls: what was asked, as `("publish", names)` or `("withdraw", names)`.
        held: changes that wait for `release`, if `hold` was set.
        failure: what every change fails with; None: none does.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.hold = False
        self.held: list[Callable[[], None]] = []
        self.failure: Exception | None = None

    def change(
        self,
        services: tuple[Service, ...],
        removed: tuple[str, ...] = (),
        certificates: tuple[Certificate, ...] = (),
        origin: str = "dfp",
        cause: str = "",
        holds: tuple[Hold, ...] | None = None,
    ) -> Deferred[Revision]:
        published = (*(service.name for service in services), *(each.identity for each in certificates))
        if published or not removed:
            self.calls.append(("publish", published))
        if removed:
            self.calls.append(("withdraw", removed))
        present, shown = self.snapshot.services, self.snapshot.certificates
        return self._change(
            {
                **{name: each for name, each in present.items() if name not in removed},
                **{service.name: service for service in services},
            },
            {
                **{name: each for name, each in shown.items() if name not in removed},
                **{each.identity: each for each in certificates},
            },
        )

    def release(self) -> None:
        """
        Let the first held change happen.
        """
        self.held.pop(0)()

    def _change(self, services: dict[str, Service], certificates: dict[str, Certificate]) -> Deferred[Revision]:
        if self.failure is not None:
            return fail(self.failure)
        if not self.hold:
            return succeed(self._in_force(services, certificates))
        done: Deferred[Revision] = Deferred()
        self.held.append(lambda: done.callback(self._in_force(services, certificates)))
        return done

    def _in_force(self, services: dict[str, Service], certificates: dict[str, Certificate]) -> Revision:
        number = self.snapshot.revision.number + 1
        self.snapshot = Snapshot(Revision(number, f"{number:032x}"), services, certificates)
        return self.snapshot.revision


@implementer(IDataPlane)
class FakeDataPlane:
    """
    Agrees to everything, at once or when told.

    Attributes:
        calls: what was asked, in order.
        answers: what `query` answers.
        hold: changes wait in `prepare`, in `held`, until their Deferreds are fired.
        failure: what `prepare` fails with; None: it does not.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.answers: list[Any] = [{}]
        self.hold = False
        self.held: list[Deferred[None]] = []
        self.failure: Exception | None = None

    def prepare(self, change: object) -> Deferred[None]:
        self.calls.append(("prepare", change))
        if self.failure is not None:
            return fail(self.failure)
        if not self.hold:
            return succeed(None)
        self.held.append(Deferred())
        return self.held[-1]

    def commit(self, revision: Revision) -> Deferred[None]:
        self.calls.append(("commit", revision))
        return succeed(None)

    def abort(self, revision: Revision) -> None:
        self.calls.append(("abort", revision))

    def members(self, membership: Membership) -> None:
        self.calls.append(("members", membership))

    def query(self, what: str, argument: object) -> Deferred[list[Any]]:
        self.calls.append(("query", what))
        return succeed(self.answers)


@implementer(INames)
class FakeNames:
    """
    Knows the servers it was given, by service and index.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], tuple[ServerAddress, ...]] = {}

    def members_of(self, service: str, index: int) -> tuple[ServerAddress, ...]:
        return self.known.get((service, index), ())

    def first_servers(self, services: tuple[Service, ...]) -> Deferred[tuple[Membership, ...]]:
        return succeed(
            tuple(
                Membership(service.name, destination.index, 1, self.members_of(service.name, destination.index))
                for service in services
                for destination in service.destinations
            )
        )

    def keep(self, services: tuple[Service, ...]) -> None:
        """
        Nothing changes here.
        """

    def forget(self, names: tuple[str, ...]) -> None:
        """
        Nothing is kept here.
        """


class FakeStrategies:
    """
    Knows `roundrobin` and `hdr(...)`.
    """

    def parse_balance(self, text: str) -> Balance:
        name, _, rest = text.partition("(")
        if name not in ("roundrobin", "hdr"):
            raise InvalidBalance(f"unknown strategy {name}; known are hdr, roundrobin")
        return Balance(name, tuple(rest.rstrip(")").split()))

    def check_condition(self, condition: Condition) -> None:
        if condition.name != "network":
            raise InvalidRoute(f"there is no condition {condition.name}; known: network")

    def describe(self) -> list[dict[str, Any]]:
        return [{"name": "roundrobin", "description": "Each in turn."}]
