"""
`/metrics` for Prometheus, and `/v1/docker-flow-proxy/metrics` as HAProxy's CSV.

Source: contract 2.9, 9.2, 9.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from twisted.internet.defer import Deferred

from dfproxy.api.access import CallQueue
from dfproxy.api.control import Control
from dfproxy.api.request import Request, Verb
from dfproxy.api.slices import LongAnswer, Slices
from dfproxy.observe.haproxycsv import csv
from dfproxy.observe.prometheus import CONTENT_TYPE, Condition, exposition


class Metrics(Verb):
    """
    Everything counted, and what is in force, as Prometheus text.

    Args:
        control: what is asked.
        changes: the queue whose length is told.
        queue: who waits for his turn.
        slices: how the text is sent.
    """

    def __init__(self, control: Control, changes: CallQueue, queue: CallQueue, slices: Slices) -> None:
        super().__init__()
        self._control = control
        self._changes = changes
        self._queue = queue
        self._slices = slices

    def render(self, request: Request) -> int:
        """
        The same for every method.
        """
        return self._queue.render(request, self._scrape)

    async def _scrape(self, request: Request) -> None:
        asked = await cast("Deferred[list[Any]]", self._control.data_plane.query("ping", None))
        await self._slices.send(request, CONTENT_TYPE.encode(), self._text(asked))

    def _text(self, asked: list[Any]) -> Iterator[str]:
        """
        Args:
            asked: one answer of each data-plane process; None: none came.
        """
        control = self._control
        snapshot = control.publisher.snapshot
        routes = 0
        backends_up: dict[str, bool] = {}
        quarantined = control.quarantined()
        for service in snapshot.services.values():
            if service.name not in quarantined:
                routes += len(service.destinations)
            for destination in service.destinations:
                members = control.names.members_of(service.name, destination.index)
                backends_up[destination.backend_name] = bool(members) and service.name not in quarantined
            yield ""
        yield from exposition(
            control.totals(),
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
            ),
        )


class Statistics(LongAnswer):
    """
    The counters as HAProxy's CSV, from our own numbers.
    """

    async def _answer(self, request: Request) -> None:
        await self._slices.send(request, b"text/plain; charset=utf-8", csv(self._control.totals()))
