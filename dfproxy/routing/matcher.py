"""
Patterns of a match compiled to predicates.

Gives `dfproxy.model.match` its meaning, one condition at a time; which of them an index answers instead is decided
in `dfproxy.routing.compile`.

Source: HAProxy `pattern.c` (`beg`, `end`, `sub`, `dir`, `dom`, `len`, `reg`); DFP routes, contract of `servicePath`,
`serviceDomain`, `serviceHeader`, `userAgent`, `srcPort`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from twisted.logger import Logger

from dfproxy.errors import InvalidRoute, said_of
from dfproxy.expressions.regex import bounded
from dfproxy.interfaces import IRequest, IRouteConditionFactory
from dfproxy.model.match import Condition, HostPattern, Match, PathPattern

Test = Callable[[bytes], bool]
Check = Callable[[IRequest], bool]

DIRECTORY = b"/?"
DOMAIN = b"/?.:"

log = Logger()


def text_test(form: str, value: bytes, ignore_case: bool) -> Test | None:
    """
    How one value is compared.

    Args:
        form: one of `PathForm` or `HostForm`.
        value: the pattern; an empty one matches nothing, as an empty item of a list in DFP.
        ignore_case: for ASCII; the value may be in any case.

    Returns:
        A predicate of the bytes, or None if nothing can match.

    Raises:
        InvalidRoute: a regular expression that does not parse, or a length that is no number.
    """
    if not value:
        return None
    if form == "regex":
        return regex_test(value, ignore_case)
    if form == "length":
        if not value.isdigit():
            raise InvalidRoute(f"a length must be a decimal number, not {shown(value)}")
        length = int(value)
        return lambda text: len(text) == length
    if form in ("directory", "domain", "label"):
        delimiters = DIRECTORY if form == "directory" else DOMAIN
        value = value.strip(delimiters)  # HAProxy match_word() drops them at both ends of the pattern
        if not value:
            return None
        either = re.escape(delimiters)
        flags = re.IGNORECASE if ignore_case else 0
        word = re.compile(b"(?:^|[" + either + b"])" + re.escape(value) + b"(?![^" + either + b"])", flags).search
        return lambda text: word(text) is not None
    if ignore_case:
        plain = text_test(form, value.lower(), False)
        return None if plain is None else lambda text: plain(text.lower())
    if form == "exact":
        return value.__eq__
    if form == "prefix":
        return lambda text: text.startswith(value)
    if form == "suffix":
        return lambda text: text.endswith(value)
    if form == "substring":
        return lambda text: value in text
    raise InvalidRoute(f"unknown form of a pattern: {form}")


def regex_test(value: bytes, ignore_case: bool) -> Test:
    """
    An unanchored regular expression over bytes. A text on which it might run away does not match: a long request must
    not hold up all others.

    Raises:
        InvalidRoute: it does not parse, or can run away on any text (`dfproxy.expressions.regex`).
    """
    try:
        found = bounded(value.decode(), ignore_case)
    except ValueError as error:
        raise InvalidRoute(f"the regular expression {shown(value)} cannot be used: {error}") from error
    search, longest_bytes = found.pattern.search, found.longest_bytes
    return lambda text: len(text) <= longest_bytes and search(text) is not None


def path_check(patterns: Sequence[PathPattern]) -> Check | None:
    """
    Any of these path patterns holds; None if none ever can.

    A request without a path (`OPTIONS *`) matches none, except patterns of the whole target.
    """
    paths = [t for p in patterns if not p.whole_target and (t := text_test(p.form, p.value, p.ignore_case))]
    targets = [t for p in patterns if p.whole_target and (t := text_test(p.form, p.value, p.ignore_case))]
    if not paths and not targets:
        return None
    if len(paths) == 1 and not targets:
        [only] = paths
        return lambda request: (path := request.path) != b"" and only(path)

    def check(request: IRequest) -> bool:
        path = request.path
        if path:
            for test in paths:
                if test(path):
                    return True
        if targets:
            target = request.target
            for test in targets:
                if test(target):
                    return True
        return False

    return check


def host_parts(host: bytes) -> list[bytes]:
    """
    What host patterns are compared with: each comma-separated part in lower case; empty ones match nothing.
    """
    host = host.lower()
    if b"," not in host:
        host = host.strip(b" \t")
        return [host] if host else []
    return [trimmed for part in host.split(b",") if (trimmed := part.strip(b" \t"))]


def without_port(host: bytes) -> bytes:
    """
    The host of `host:port`; a colon inside the brackets of an IPv6 address is none of the port's.
    """
    name, colon, port = host.rpartition(b":")
    if colon and (not port or port.isdigit()) and (b":" not in name or name.endswith(b"]")):
        return name
    return host


def host_check(patterns: Sequence[HostPattern]) -> Check | None:
    """
    Any of these host patterns holds for any part of the Host field; None if none ever can.
    """
    tests: list[tuple[bool, Test]] = []
    for pattern in patterns:
        test = text_test(pattern.form, pattern.value, True)
        if test is not None:
            tests.append((pattern.without_port, test))
    if not tests:
        return None

    def check(request: IRequest) -> bool:
        for part in host_parts(request.host):
            for bare, test in tests:
                text = without_port(part) if bare else part  # empty of a Host that is a port alone
                if text and test(text):
                    return True
        return False

    return check


def header_check(name: bytes, value: bytes) -> Check:
    """
    One comma-separated part of one such field equals the value.
    """
    name = name.lower()

    def check(request: IRequest) -> bool:
        for given in request.values(name):
            if b"," not in given:
                if given == value:
                    return True
            elif any(part.strip(b" \t") == value for part in given.split(b",")):
                return True
        return False

    return check


def agent_check(agents: Sequence[bytes]) -> Check:
    """
    A User-Agent contains any of these, whatever the case.
    """
    wanted = tuple(agent.lower() for agent in agents if agent)

    def check(request: IRequest) -> bool:
        for given in request.values(b"user-agent"):
            lowered = given.lower()
            for agent in wanted:
                if agent in lowered:
                    return True
        return False

    return check


def plugin_check(condition: Condition, known: Mapping[str, object]) -> Check:
    """
    What a plugin decides; one that raises has not matched, and the first time is logged.

    Raises:
        InvalidRoute: no such plugin, or it refuses the values.
    """
    factory = known.get(condition.name)
    if factory is None:
        names = ", ".join(sorted(known)) or "none"
        raise InvalidRoute(f"there is no condition {condition.name}; known: {names}")
    try:
        holds = cast(Check, cast(IRouteConditionFactory, factory).compile(condition.values))
    except InvalidRoute:
        raise
    except Exception as error:  # foreign code: whatever it raises is an answer to the operator
        raise InvalidRoute(f"the condition {condition.name} failed on its values: {said_of(error)}") from error
    if not callable(holds):
        raise InvalidRoute(f"the condition {condition.name} gave nothing that can be asked")

    complained = False

    def check(request: IRequest) -> bool:
        nonlocal complained
        try:
            return bool(holds(request))
        except Exception:  # noqa: BLE001 - foreign code on the request path: its fault may only cost its own route
            if not complained:
                complained = True
                log.failure(
                    "the condition {name} failed and has not matched; further failures are not logged",
                    name=f"{condition.name}:{'|'.join(condition.values)}",
                )
            return False

    return check


def rest_checks(match: Match, known: Mapping[str, object]) -> list[Check]:
    """
    Every condition but path and host, the cheapest first.

    Raises:
        InvalidRoute: as `text_test` and `plugin_check`.
    """
    checks: list[Check] = []
    port = match.local_port
    if port:
        checks.append(lambda request: request.local_port == port)
    excluded = path_check(match.excluded)
    if excluded is not None:
        hit = excluded
        checks.append(lambda request: not hit(request))
    for name, value in match.headers:
        checks.append(header_check(name, value))
    if match.user_agents:
        checks.append(agent_check(match.user_agents))
    for condition in match.conditions:
        checks.append(plugin_check(condition, known))
    return checks


def all_of(checks: Sequence[Check]) -> Check | None:
    """
    One predicate for several; None for none, so that a route with nothing to ask costs nothing.
    """
    if not checks:
        return None
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks
        return lambda request: first(request) and second(request)
    kept = tuple(checks)

    def check(request: IRequest) -> bool:
        for one in kept:
            if not one(request):
                return False
        return True

    return check


def shown(value: bytes) -> str:
    """
    A pattern as the operator wrote it, for messages.
    """
    return value.decode("utf-8", "backslashreplace")
