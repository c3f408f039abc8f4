"""
`/metrics` for Prometheus, and `/v1/docker-flow-proxy/metrics` as HAProxy's CSV.

Source: contract 2.9, 9.2, 9.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, cast

from twisted.internet.defer import Deferred

from dfproxy import __version__
from dfproxy.api.access import Answer, CallQueue, parameters, refusal
from dfproxy.api.control import Control
from dfproxy.api.distribute import NO_REPLICAS, NoReplicas, Passed
from dfproxy.api.request import Request
from dfproxy.api.slices import PIECE_BYTES, LongAnswer, Slices
from dfproxy.model.service import Service
from dfproxy.observe.haproxycsv import csv
from dfproxy.observe.prometheus import CONTENT_TYPE, Condition, Totals, exposition

REPLICA_BYTES = 32 << 20
"""
Longest CSV of another replica: some 200 bytes for each server of ten thousand services.
"""


class Metrics(LongAnswer):
    """
    Everything counted, and what is in force, as Prometheus text.

    Args:
        control: what is asked.
        changes: the queue whose length is told.
        queue: who waits for his turn.
        slices: how the text is sent.
    """

    def __init__(self, control: Control, changes: CallQueue, queue: CallQueue, slices: Slices) -> None:
        super().__init__(control, queue, slices)
        self._changes = changes
        self._scrapes = 0

    async def _answer(self, request: Request) -> None:
        only = services_of(request)
        self._scrapes += 1
        asked = await cast("Deferred[list[Any]]", self._control.data_plane.query("ping", None))
        await self._slices.send(request, CONTENT_TYPE.encode(), self._text(asked, only))

    def _text(self, asked: list[Any], only: frozenset[str] | None) -> Iterator[str]:
        """
        Args:
            asked: one answer of each data-plane process; None: none came.
            only: services that are told of; None: everything is.
        """
        control = self._control
        snapshot = control.publisher.snapshot
        routes = 0
        backends_up: dict[str, bool] = {}
        quarantined = control.quarantined()
        for service in snapshot.services.values() if only is None else _named(snapshot.services, only):
            if service.name not in quarantined:
                routes += len(service.destinations)
            for destination in service.destinations:
                members = control.names.members_of(service.name, destination.index)
                backends_up[destination.backend_name] = bool(members) and service.name not in quarantined
            yield ""
        yield from exposition(
            control.totals() if only is None else about(control.totals(), only),
            Condition(
                revision=snapshot.revision.number,
                digest=snapshot.revision.digest,
                services=len(snapshot.services),
                routes=routes,
                workers=len(asked),
                workers_alive=sum(answer is not None for answer in asked),
                quarantined=quarantined,
                backends_up=backends_up,
                calls_running=self._changes.running,
                calls_waiting=self._changes.waiting,
                measures=tuple(control.measures()),
                scrapes=self._scrapes,
                version=__version__,
                only=only,
            ),
        )


class Statistics(LongAnswer):
    """
    The counters as HAProxy's CSV, from our own numbers; with `distribute=true` those of every replica, one after the
    other.
    """

    async def _answer(self, request: Request) -> Answer | None:
        given, only = parameters(request), services_of(request)
        others: list[str] = []
        if given.flag("distribute"):
            replicas = self._control.replicas
            try:
                if replicas is None:
                    raise NoReplicas(NO_REPLICAS)
                others = await replicas.texts(Passed.of(request, given), REPLICA_BYTES)
            except NoReplicas as error:
                return refusal(500, str(error))
        totals = self._control.totals()
        ours = csv(totals if only is None else about(totals, only))
        await self._slices.send(request, b"text/plain; charset=utf-8", chain(ours, _lines(others)))
        return None


def services_of(request: Request) -> frozenset[str] | None:
    """
    Which services are asked for: `service=a`, several times or with commas; None: all.

    Raises:
        BadCall: the query cannot be read.
    """
    given = [value for name, value in parameters(request).query if name.lower() == "service"]
    return frozenset(name for value in given for name in value.split(",") if name) if given else None


def about(totals: Iterable[Totals], services: frozenset[str]) -> Iterator[Totals]:
    """
    What was counted for these services.
    """
    return (total for total in totals if total.kind != "frontend" and total.service in services)


def _named(services: Mapping[str, Service], names: frozenset[str]) -> Iterator[Service]:
    """
    Those of these names that there are, in the order of their names.
    """
    return (services[name] for name in sorted(names) if name in services)


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """
    Each text, ended by a line end, in pieces.
    """
    for text in texts:
        for start in range(0, len(text), PIECE_BYTES):
            yield text[start : start + PIECE_BYTES]
        if not text.endswith("\n"):
            yield "\n"
