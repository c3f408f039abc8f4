"""
Whether one match takes every request that another one would take.

Says so only when it is certain. Prefix, suffix, exact, label and substring are compared with each other; of a regular
expression or a length nothing is known but that it equals itself, and that every path lies below `/`.

Source: the meaning of patterns in `dfproxy.routing.matcher`.
"""

from __future__ import annotations

from collections.abc import Iterable

from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.routing.matcher import DIRECTORY, DOMAIN, text_test, without_port

_BEYOND = b"\x00"
"""
Stands for whatever a request has before or behind what a pattern names: it is part of no pattern.
"""


def covers_path(one: PathPattern, other: PathPattern) -> bool:
    """
    Whether the first takes every request that the second takes.
    """
    if one == other:
        return True
    if one.whole_target != other.whole_target:
        return False
    if one.form == "prefix" and one.value == b"/" and not one.whole_target:
        return True
    mine, theirs = one.value, other.value
    if one.ignore_case:
        mine, theirs = mine.lower(), theirs.lower()
    elif other.ignore_case and theirs.lower() != theirs.upper():
        return False
    return bool(mine and theirs) and _covers(one.form, mine, other.form, theirs)


def covers_host(one: HostPattern, other: HostPattern) -> bool:
    """
    Whether the first takes every Host that the second takes.
    """
    if one == other:
        return True
    mine, theirs = one.value.lower(), other.value.lower()
    if not mine or not theirs:
        return False
    if one.without_port:
        if one.form != "suffix":
            return False
        if other.form == "exact" and not other.without_port:
            return without_port(theirs).endswith(mine)
        if other.form != "suffix":
            return False
        # Of a longer host a port is taken off only if all behind its last colon is digits.
        return theirs.endswith(mine) and (other.without_port or not (theirs.isdigit() or b":" in theirs))
    if other.without_port:
        # The same text, and perhaps a port behind it.
        return (
            other.form == "suffix" and one.form in ("label", "substring") and _covers(one.form, mine, "suffix", theirs)
        )
    return _covers(one.form, mine, other.form, theirs)


def _covers(one: str, mine: bytes, other: str, theirs: bytes) -> bool:
    """
    The same for texts of two forms, neither empty nor to be changed any more.
    """
    if one == other == "regex" or one == other == "length":
        return mine == theirs
    if other in ("regex", "length") or one in ("regex", "length"):
        return False
    if one == "exact":
        return other == "exact" and mine == theirs
    if one == "prefix":
        return other in ("exact", "prefix") and theirs.startswith(mine)
    if one == "suffix":
        return other in ("exact", "suffix") and theirs.endswith(mine)
    if one == "substring":
        if other in ("directory", "domain", "label"):
            theirs = theirs.strip(DIRECTORY if other == "directory" else DOMAIN)
        return mine in theirs
    delimiters = DIRECTORY if one == "directory" else DOMAIN
    if other in ("directory", "domain", "label"):
        if other != one:
            return False
        theirs = theirs.strip(delimiters)
    elif other == "prefix":
        theirs += _BEYOND
    elif other == "suffix":
        theirs = _BEYOND + theirs
    elif other == "substring":
        theirs = _BEYOND + theirs + _BEYOND
    test = text_test(one, mine, False)
    return test is not None and test(theirs)


def covers_rest(one: Match, other: Match) -> bool:
    """
    Whether everything but path and host that the first asks for is so in each request that the second takes.

    `excluded` is left to `lets_pass`.
    """
    if one.local_port and one.local_port != other.local_port:
        return False
    if one.headers and not set(one.headers) <= set(other.headers):
        return False
    if one.conditions and not set(one.conditions) <= set(other.conditions):
        return False
    if not one.user_agents:
        return True
    return bool(other.user_agents) and all(
        any(agent.lower() in theirs.lower() for agent in one.user_agents) for theirs in other.user_agents
    )


def lets_pass(excluded: Iterable[PathPattern], path: PathPattern, others: tuple[PathPattern, ...]) -> bool:
    """
    Whether none of these exclusions concerns a path that the other match takes.

    Args:
        excluded: of the first match.
        path: a path of the second one.
        others: what the second one excludes itself.
    """
    return all(any(covers_path(own, exclusion) for own in others) or _apart(exclusion, path) for exclusion in excluded)


def _apart(one: PathPattern, other: PathPattern) -> bool:
    """
    Whether no path is taken by both; for prefixes and whole paths only.
    """
    if one.whole_target or other.whole_target or {one.form, other.form} - {"exact", "prefix"}:
        return False
    mine, theirs = one.value.lower(), other.value.lower()
    if one.form == other.form == "exact":
        return mine != theirs
    if one.form == "exact":
        return not mine.startswith(theirs)
    if other.form == "exact":
        return not theirs.startswith(mine)
    return not (mine.startswith(theirs) or theirs.startswith(mine))
