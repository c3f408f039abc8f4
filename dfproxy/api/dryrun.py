"""
What a change would do, without doing it: `dryRun=true`.

Everything is asked of those who would carry it out: names of the resolvers, the rest of every worker, which compiles
the change beside what runs and looks its last requests up in both. Nothing is recorded, and nothing is put in force.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from twisted.internet.defer import Deferred

from dfproxy.api.control import Control
from dfproxy.control.trial import MOVED, Trial, tried_of
from dfproxy.dfp.differences import LISTED, difference
from dfproxy.errors import Refused
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Membership

LAST = 1000
"""
Requests looked at, of all workers together.
"""

MESSAGE = "dry run: nothing has changed"


class RefusedServices(Refused):
    """
    Services that no data plane would serve, each with the reason.
    """

    def __init__(self, refused: dict[str, str]) -> None:
        super().__init__("; ".join(f"{reason}" for reason in refused.values()))
        self.refused = refused


async def dry_run(control: Control, services: tuple[Service, ...], removed: tuple[str, ...]) -> dict[str, object]:
    """
    Args:
        control: who would carry it out.
        services: that would be published.
        removed: names that would be withdrawn.

    Returns:
        The difference as the API tells it.

    Raises:
        RefusedServices: some could not be served.
    """
    present = control.publisher.snapshot.services
    removed = tuple(name for name in removed if name in present)
    # A service that is in force as it is changes nothing, and has its servers.
    news = tuple(service for service in services if present.get(service.name) != service)
    requests = await _asked(control, news, removed)
    after: dict[str, Service | None] = {**dict.fromkeys(removed), **{service.name: service for service in news}}
    before = {name: present.get(name) for name in after}
    return {
        **difference(before, after),
        "Shadowed": _shadows(control, news, removed),
        "Unresolved": await _unresolved(control, news),
        "Requests": requests,
    }


async def refused_of(control: Control, services: tuple[Service, ...]) -> dict[str, str]:
    """
    Why each of these services cannot be served, of those that cannot.
    """
    try:
        await _asked(control, services, (), 0)
    except RefusedServices as error:
        return error.refused
    return {}


async def _asked(
    control: Control, services: tuple[Service, ...], removed: tuple[str, ...], last: int = LAST
) -> dict[str, object]:
    if not services and not removed:
        return _requests(0, 0, Counter(), 0)
    each = -(-last // max(1, control.settings.workers))
    asked = cast("Deferred[list[Any]]", control.data_plane.query("trial", Trial(services, removed, each)))
    answers = [tried_of(answer) for answer in await asked]
    looked_at = elsewhere = 0
    moved: Counter[tuple[str, str, str, str]] = Counter()
    for answer in answers:
        if answer is None:
            continue
        if answer.refused:
            raise RefusedServices(answer.refused)
        looked_at += answer.looked_at
        elsewhere += answer.elsewhere
        for one in answer.moved:
            moved[one.host, one.path, one.before, one.after] += one.count
    return _requests(looked_at, elsewhere, moved, answers.count(None))


def _requests(
    looked_at: int, elsewhere: int, moved: Counter[tuple[str, str, str, str]], silent: int
) -> dict[str, object]:
    """
    Which of the last requests would go elsewhere.

    Args:
        silent: workers that have not answered in time: their requests are missing.
    """
    names = ("Host", "Path", "From", "To", "Count")
    return {
        "LookedAt": looked_at,
        "Elsewhere": elsewhere,
        "WorkersMissing": silent,
        "Keys": [dict(zip(names, (*key, count))) for key, count in moved.most_common(MOVED)],
    }


async def _unresolved(control: Control, services: tuple[Service, ...]) -> list[dict[str, object]]:
    """
    Destinations without a server: their requests would be answered 503.
    """
    if not services:
        return []
    found = await cast("Deferred[tuple[Membership, ...]]", control.names.first_servers(services))
    present = control.publisher.snapshot.services
    strange = tuple(service.name for service in services if service.name not in present)
    if strange:
        control.names.forget(strange)
    served = {(membership.service, membership.index) for membership in found if membership.servers}
    missing: list[dict[str, object]] = [
        {"ServiceName": service.name, "Backend": each.backend_name, "Name": each.host}
        for service in services
        for each in service.destinations
        if (service.name, each.index) not in served
    ]
    return missing[:LISTED]


def _shadows(control: Control, services: tuple[Service, ...], removed: tuple[str, ...]) -> list[str]:
    """
    A sentence for each route that would never get a request, or not all that it is published for.
    """
    return control.shadowed(services, removed)[:LISTED]


__all__ = ["MESSAGE", "RefusedServices", "dry_run", "refused_of"]
