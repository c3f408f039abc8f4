"""
`dfproxy import`: what would become of a running Docker Flow Proxy's services, before anything is switched.

Reads what DFP answers to `config?type=json`, or its swarm listener to `get-services`, from where they run or from a
file. Nothing is sent anywhere.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dfproxy.console.calling import ANSWER_BYTES, PREFIX, Unreachable, fetch
from dfproxy.control.strategies import Strategies
from dfproxy.control.templatefiles import template_text
from dfproxy.dfp.migration import Found, UnknownShape, judged, services_of
from dfproxy.errors import InvalidRoute, Problem
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.routing.compile import TableBuilder
from dfproxy.routing.shadows import ShadowIndex
from dfproxy.routing.table import EMPTY

GET_SERVICES = "/v1/docker-flow-swarm-listener/get-services"

LISTED = 1000
"""
Shadowed routes in the report; of more only the number.
"""


class CannotRead(Exception):
    """
    There is nothing to report on; the text says why.
    """


@dataclass(slots=True)
class Report:
    """
    What was found.

    Attributes:
        source: where it was read.
        services: each with what becomes of it.
        shadows: a sentence for each route that never gets a request, or not all that it was published for.
        more_shadows: how many are not listed.
    """

    source: str
    services: list[Found] = field(default_factory=list)
    shadows: list[str] = field(default_factory=list)
    more_shadows: int = 0

    @property
    def refused(self) -> list[Found]:
        """
        Those that would not be published.
        """
        return [found for found in self.services if found.problems]

    @property
    def different(self) -> list[Found]:
        """
        Those that would be, and behave otherwise.
        """
        return [found for found in self.services if found.service is not None and found.differences]

    def status(self, strict: bool) -> int:
        """
        Exit status: 0 all is accepted, 1 something is refused.

        Args:
            strict: also 1 if something behaves otherwise, is shadowed or could not be known.
        """
        wrong = bool(self.refused)
        if strict:
            wrong = wrong or bool(self.different or self.shadows or any(found.notes for found in self.services))
        return 1 if wrong else 0


def read_source(source: str, kind: str, timeout_s: float) -> object:
    """
    The JSON to report on.

    Args:
        source: a URL, a file, or `-` for standard input.
        kind: `dfp` or `dfsl`: what is asked for at a URL without path.
        timeout_s: for all of it.

    Raises:
        CannotRead: it cannot be had, or is no JSON.
    """
    try:
        if "://" in source:
            parts = urlsplit(source)
            path = GET_SERVICES if kind == "dfsl" else f"{PREFIX}/config?type=json"
            url = source if parts.path.strip("/") else source.rstrip("/") + path
            answer = fetch(url, timeout_s)
            if answer.status != 200:
                raise CannotRead(f"{url} has answered {answer.status}, not 200")
            content = answer.body
        elif source == "-":
            content = sys.stdin.buffer.read(ANSWER_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                content = file.read(ANSWER_BYTES + 1)
    except Unreachable as error:
        raise CannotRead(str(error)) from error
    except OSError as error:
        raise CannotRead(f"{source}: {error.strerror}") from error
    if len(content) > ANSWER_BYTES:
        raise CannotRead(f"{source} is longer than {ANSWER_BYTES} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CannotRead(f"{source} is no JSON: {error}; what is wanted is the answer to config?type=json") from error


def report_on(content: object, source: str, settings: Settings, strategies: Strategies) -> Report:
    """
    What would become of these services.

    Args:
        content: as `services_of` takes it.
        source: where it was read.
        settings: with which this proxy would run.
        strategies: which balancers, orders and conditions there are.

    Raises:
        CannotRead: it is neither of the two shapes.
    """
    report = Report(source)
    by_name: dict[str, Found] = {}
    try:
        for pairs, notes in services_of(content, settings.separator or ","):
            known, template = strategies, partial(template_text, settings=settings)
            found = judged(pairs, notes, settings, known.parse_balance, known.check_condition, template)
            if found.name in by_name:
                found.notes.append("is listed more than once: the last one counts")
            by_name[found.name] = found
    except UnknownShape as error:
        raise CannotRead(f"{source}: {error}") from error
    report.services = list(by_name.values())
    _compile(report, settings, strategies)
    _shadows(report, settings, strategies)
    return report


def _compile(report: Report, settings: Settings, strategies: Strategies) -> None:
    """
    What only the data plane refuses: routes that cannot be compiled.
    """
    key = strategies.orders[settings.route_order].key
    for found in report.services:
        if found.service is None:
            continue
        requests = tuple(each for each in found.service.destinations if each.stream is None)
        try:
            TableBuilder(EMPTY, key, strategies.conditions).add(replace(found.service, destinations=requests), requests)
        except InvalidRoute as error:
            found.service, found.problems = None, (Problem("route", "", str(error)),)


def _shadows(report: Report, settings: Settings, strategies: Strategies) -> None:
    index = ShadowIndex(strategies.orders[settings.route_order].key)
    services = [found.service for found in report.services if found.service is not None]
    for service in services:
        index.put(service)
    for service in services:
        for shadow in index.of(service).over:
            if len(report.shadows) < LISTED:
                report.shadows.append(shadow.text())
            else:
                report.more_shadows += 1


def lines(report: Report, strict: bool) -> Iterator[str]:
    """
    The report for people.
    """
    accepted = [found for found in report.services if found.service is not None]
    skipped = [found for found in report.services if found.skipped]
    yield f"{_count(len(report.services), 'service')} read from {report.source}; nothing has been changed anywhere"
    yield f"  {len(accepted)} would be accepted, {len(report.refused)} refused, {len(skipped)} left out"
    if report.refused:
        yield "refused:"
        for found in report.refused:
            for problem in found.problems:
                value = f"={problem.value}" if problem.value else ""
                yield f"  {found.name}: {problem.parameter}{value}: {problem.reason}"
    if skipped:
        yield "left out:"
        yield from (f"  {found.name}: {found.skipped}" for found in skipped)
    if report.different:
        yield "behave differently (numbers: docs/migration.md):"
        for found in report.different:
            yield from (f"  {found.name}: {one.text} ({one.oddity})" for one in found.differences)
    if report.shadows:
        yield "never get what they were published for, here as in Docker Flow Proxy (--route-order specific helps):"
        yield from (f"  {text}" for text in report.shadows)
        if report.more_shadows:
            yield f"  and {report.more_shadows} more"
    noted = [found for found in report.services if found.notes]
    if noted:
        yield "to be looked at:"
        for found in noted:
            yield from (f"  {found.name}: {note}" for note in found.notes)
    yield "all is well" if report.status(strict) == 0 else "not all is well: see above"


def as_json(report: Report, strict: bool) -> dict[str, Any]:
    """
    The report for programs.
    """
    return {
        "Source": report.source,
        "AllIsWell": report.status(strict) == 0,
        "Services": [_found(found) for found in report.services],
        "Shadowed": report.shadows,
        "MoreShadowed": report.more_shadows,
    }


def _found(found: Found) -> dict[str, Any]:
    verdict = "refused" if found.problems else "left out" if found.skipped else "accepted"
    return {
        "ServiceName": found.name,
        "Verdict": verdict,
        "Problems": [
            {"Parameter": problem.parameter, "Value": problem.value, "Reason": problem.reason}
            for problem in found.problems
        ],
        "LeftOut": found.skipped,
        "Differences": [{"Oddity": one.oddity, "Text": one.text} for one in found.differences],
        "Notes": found.notes,
        "Backends": _backends(found.service),
    }


def _backends(service: Service | None) -> list[str]:
    return [] if service is None else [destination.backend_name for destination in service.destinations]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
