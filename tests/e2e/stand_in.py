"""
A data plane that stands in for the real one: says over TCP who it is and what it knows, one line for each line.

Orders to misbehave come as services: the name begins with a word below, and the index of the first destination is
the block number of the worker meant, or 0 for all.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver
from zope.interface import implementer

from dfproxy.errors import Refused
from dfproxy.interfaces import IDataPlane
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change, Membership, Revision
from dfproxy.observe.cells import Cells
from dfproxy.observe.metrics import FIELDS


class Teller(LineOnlyReceiver):
    """
    Answers each line with what its data plane knows; `slow` after half a second, `hold` never.
    """

    delimiter = b"\n"

    def connectionMade(self) -> None:
        self.factory.open.add(self)
        self.factory.plane.count(connections=1)

    def lineReceived(self, line: bytes) -> None:
        plane = self.factory.plane
        plane.count(requests=1)
        if line == b"slow":
            plane.reactor.callLater(0.5, self.tell)
        elif line != b"hold":
            self.tell()

    def tell(self) -> None:
        self.sendLine(json.dumps(self.factory.plane.told()).encode())

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.open.discard(self)
        plane = self.factory.plane
        if plane.draining is not None and not self.factory.open:
            draining, plane.draining = plane.draining, None
            draining.callback(None)


class Tellers(Factory):
    """
    All connections of a worker.
    """

    protocol = Teller
    noisy = False

    def __init__(self, plane: StandIn) -> None:
        self.plane = plane
        self.open: set[Protocol] = set()


@implementer(IDataPlane)
class StandIn:
    """
    What a worker needs of a data plane.
    """

    def __init__(self, settings: Settings, reactor: Any, cells: Cells) -> None:
        self.reactor = reactor
        self.cells = cells
        self.block = cells.block
        self.site = Tellers(self)
        self.services: dict[str, Any] = {}
        self.servers: dict[tuple[str, int], Membership] = {}
        self.revision = Revision()
        self.prepared: Change | None = None
        self.draining: Deferred[None] | None = None
        self.values = [0] * len(FIELDS)
        self.changed = False

    def told(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "block": self.block,
            "revision": self.revision.number,
            "services": len(self.services),
            "servers": {f"{s}/{i}": [a.host for a in m.servers] for (s, i), m in self.servers.items()},
        }

    def count(self, requests: int = 0, connections: int = 0) -> None:
        self.values[0] += requests
        self.values[1] += connections
        self.values[11] += connections
        self.changed = True

    def counters(self) -> None:
        if self.changed:
            self.changed = False
            self.cells.write(1, tuple(self.values))

    def prepare(self, change: Change) -> Deferred[None]:
        for service in change.services:
            word, meant = service.name.split("-")[0], service.destinations[0].index
            if meant in (0, self.block) and not change.whole:
                if word == "refuse":
                    raise Refused(f"{service.name} is refused by {self.block}")
                if word == "raise":
                    raise ZeroDivisionError(service.name)
                if word == "slow":
                    time.sleep(0.6)
                if word == "stuck":
                    return Deferred()
                if word == "exit":
                    os._exit(3)
        self.prepared = change
        return succeed(None)

    def commit(self, revision: Revision) -> Deferred[None]:
        change, self.prepared = self.prepared, None
        assert change is not None and change.revision == revision
        if change.whole:
            self.services.clear()
        for service in change.services:
            if service.name.startswith("late") and not change.whole and service.destinations[0].index == self.block:
                return Deferred()
            self.services[service.name] = service
        for name in change.removed:
            del self.services[name]
        for membership in change.memberships:
            self.members(membership)
        self.revision = revision
        return succeed(None)

    def abort(self, revision: Revision) -> None:
        self.prepared = None

    def members(self, membership: Membership) -> None:
        if membership.service in self.services:
            self.servers[membership.service, membership.index] = membership

    def query(self, what: str, argument: Any) -> Deferred[list[Any]]:
        return Deferred() if what == "silence" else succeed([self.told()])

    def drain(self, deadline_s: float) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        if not self.site.open:
            return succeed(None)
        self.draining = done
        self.reactor.callLater(deadline_s, self.cut)
        return done

    def cut(self) -> None:
        for teller in list(self.site.open):
            teller.transport.abortConnection()


def build(settings: Settings, reactor: Any, cells: Cells) -> StandIn:
    """
    What the tests name in `DFPROXY_DATA_PLANE`.
    """
    return StandIn(settings, reactor, cells)


def build_raising(settings: Settings, reactor: Any, cells: Cells) -> StandIn:
    """
    A data plane that cannot be built.
    """
    raise RuntimeError("no such strategy file")
