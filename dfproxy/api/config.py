"""
`config`: what is in force, as HAProxy text or as JSON.

Source: contract 2.6 (ODDITY-06).
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import msgspec

from dfproxy.api.access import parameters
from dfproxy.api.control import Control
from dfproxy.api.request import Request
from dfproxy.api.slices import LongAnswer
from dfproxy.control.servers import shown_address
from dfproxy.dfp import answers, haproxy
from dfproxy.frontend.errorpages import examine
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.tls.store import Order


class Config(LongAnswer):
    """
    One consistent state, however long the answer takes.
    """

    async def _answer(self, request: Request) -> None:
        control = self._control
        if parameters(request).value("type").lower() == "json":
            services = tuple(control.publisher.snapshot.services.values())
            await self._slices.send(
                request, b"application/json", as_json(services, control.settings, partial(_known_of, control))
            )
            return
        await self._slices.send(request, b"text/plain; charset=utf-8", as_text(control))


def as_text(control: Control) -> Iterator[str]:
    """
    All that is in force now as HAProxy text, in pieces.
    """
    routes, default = control.routes()
    revision, quarantined = control.publisher.snapshot.revision, control.quarantined()
    order = Order(control.settings.tls.preferred)
    certificates = sorted(control.publisher.snapshot.certificates.values(), key=order)
    return haproxy.render(
        control.settings,
        routes,
        default,
        control.names.members_of,
        revision,
        quarantined,
        certificates,
        control.pools(),
        control.publisher.snapshot.orders,
        pages=_pages_of(control.settings.errorfiles_dir),
    )


def _pages_of(folder: str) -> dict[int, tuple[str, int]]:
    """
    The error pages that are in use, with their paths and lengths. Looked at anew: what a `reload` read is in workers.
    """
    found: dict[int, tuple[str, int]] = {}
    for status in examine(folder)[0]:
        path = os.path.join(folder, f"{status}.http")
        try:
            found[status] = (path, os.path.getsize(path))
        except OSError:  # gone meanwhile
            continue
    return found


def _known_of(control: Control, service: Service) -> dict[str, object]:
    """
    What is shown of a service beside what was given: its tasks, whether an undo holds it, and what an operator says
    of single servers.
    """
    hold = control.publisher.snapshot.holds.get(service.name)
    held = {"Held": {"Revision": hold.revision, "Origin": hold.against.origin}} if hold is not None else {}
    orders = control.publisher.snapshot.orders.get(service.name, {})
    said = [
        {"Address": shown_address(order.address), "State": order.standing, "Weight": order.weight}
        for order in orders.values()
    ]
    return tasks_of(control, service) | held | ({"Servers": said} if said else {})


def tasks_of(control: Control, service: Service | None) -> dict[str, object]:
    """
    The addresses of the servers of a service that keeps clients at theirs, as DFP shows them; nothing of others.
    """
    if service is None or not any(d.steps is not None and d.steps.sticky for d in service.destinations):
        return {}
    members = control.names.members_of(service.name, service.destinations[-1].index)
    return {"Tasks": sorted({server.host for server in members})}


def as_json(
    services: Iterable[Service], settings: Settings, tasks: Callable[[Service], dict[str, object]] = lambda service: {}
) -> Iterator[str]:
    """
    An object of all services by name, one a part.
    """
    before = "{"
    for service in services:
        (entry,) = answers.config((service,), settings).items()
        shown = entry[1] | tasks(service)  # type: ignore[operator]  # an object of JSON
        yield f"{before}{msgspec.json.encode(entry[0]).decode()}:{msgspec.json.encode(shown).decode()}"
        before = ","
    yield "{}" if before == "{" else "}"
