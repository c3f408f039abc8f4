"""
The contract of route choice, written down plainly: every route is asked in order. What the table is compared with.

Shares no code with `dfproxy.routing`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from zope.interface import implementer

from dfproxy.interfaces import IRequest
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Destination, Service


@implementer(IRequest)
@dataclass(frozen=True)
class Request:
    """
    A request head of plain values.
    """

    path: bytes = b"/"
    host: bytes = b""
    target: bytes = b""
    method: bytes = b"GET"
    client_host: str = "192.0.2.1"
    local_port: int = 80
    fields: tuple[tuple[bytes, bytes], ...] = field(default=())

    def values(self, name: bytes) -> list[bytes]:
        """
        As `IRequest`.
        """
        return [value for key, value in self.fields if key == name]


def service(name: str, *matches: Match, order_name: str | None = None, is_default: bool = False) -> Service:
    """
    A service with one destination for each match.
    """
    destinations = tuple(Destination(i, 8080, match, name, f"{name}-be8080_{i}") for i, match in enumerate(matches))
    return Service(name, name if order_name is None else order_name, destinations, is_default=is_default)


def targets(one: Service) -> tuple[str, ...]:
    """
    The targets that tests give: service and index.
    """
    return tuple(f"{one.name}#{destination.index}" for destination in one.destinations)


def delimited(text: bytes, value: bytes, delimiters: bytes) -> bool:
    """
    The value stands in the text between delimiters or its ends.
    """
    value = value.strip(delimiters)
    if not value:
        return False
    for at in range(len(text) - len(value) + 1):
        end = at + len(value)
        if text[at:end] == value and (at == 0 or text[at - 1] in delimiters):
            if end == len(text) or text[end] in delimiters:
                return True
    return False


def compares(form: str, value: bytes, text: bytes, ignore_case: bool) -> bool:
    """
    One pattern against one text.
    """
    if not value:
        return False
    if form == "regex":
        return re.search(value, text, re.IGNORECASE if ignore_case else 0) is not None
    if form == "length":
        return len(text) == int(value)
    if ignore_case:
        value, text = value.lower(), text.lower()
    answers = {
        "exact": lambda: text == value,
        "prefix": lambda: text[: len(value)] == value,
        "suffix": lambda: text[-len(value) :] == value,
        "substring": lambda: text.find(value) >= 0,
        "directory": lambda: delimited(text, value, b"/?"),
        "domain": lambda: delimited(text, value, b"/?.:"),
        "label": lambda: delimited(text, value, b"/?.:"),
    }
    return answers[form]()


def path_holds(pattern: PathPattern, request: Request) -> bool:
    """
    A path pattern against a request.
    """
    text = request.target if pattern.whole_target else request.path
    if not pattern.whole_target and not text:
        return False
    return compares(pattern.form, pattern.value, text, pattern.ignore_case)


def host_holds(pattern: HostPattern, request: Request) -> bool:
    """
    A host pattern against a request.
    """
    for part in request.host.split(b","):
        part = part.strip(b" \t").lower()
        if pattern.without_port:
            part = re.sub(rb"^(\[[^\]]*\]|[^:]*):[0-9]*\Z", rb"\1", part)
        if part and compares(pattern.form, pattern.value, part, True):
            return True
    return False


def holds(match: Match, request: Request, plugins: dict[str, Callable[[tuple[str, ...], Request], bool]]) -> bool:
    """
    All conditions of a match.
    """
    if match.paths and not any(path_holds(p, request) for p in match.paths):
        return False
    if any(path_holds(p, request) for p in match.excluded):
        return False
    if match.hosts and not any(host_holds(p, request) for p in match.hosts):
        return False
    for name, value in match.headers:
        parts = [part.strip(b" \t") for given in request.values(name) for part in given.split(b",")]
        if value not in parts:
            return False
    if match.local_port and match.local_port != request.local_port:
        return False
    agents = [given.lower() for given in request.values(b"user-agent")]
    if match.user_agents and not any(wanted in given for wanted in match.user_agents for given in agents):
        return False
    return all(plugins[condition.name](condition.values, request) for condition in match.conditions)


def dfp_key(one: Service) -> tuple[int, bytes, str]:
    """
    Where DFP sorts a service.
    """
    values = [pattern.value for destination in one.destinations for pattern in destination.match.paths]
    if any(value.lower().startswith(b"/.well-known") for value in values):
        position = 0
    else:
        position = 2 if b"/" in values else 1
    return (position, one.order_name.encode(), one.name)


def answer(
    services: Iterable[Service],
    request: Request,
    plugins: dict[str, Callable[[tuple[str, ...], Request], bool]] | None = None,
) -> str | None:
    """
    The target of the first route that takes the request; else the default; else None.
    """
    ordered = sorted(services, key=dfp_key)
    for one in ordered:
        for destination, target in zip(one.destinations, targets(one)):
            if holds(destination.match, request, plugins or {}):
                return target
    defaults = [targets(one)[-1] for one in ordered if one.is_default]
    return defaults[-1] if defaults else None
