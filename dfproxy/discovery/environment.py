"""
Services declared at start, as parameter pairs: from `--service` queries and from `DFP_SERVICE_*` variables.

They go through the same reading of parameters as a reconfigure call; nothing is checked here.

Source: contract 3.7 (DFP `server/server.go`), ODDITY-16: all names, indexes and fall-backs of the query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from urllib.parse import parse_qsl

Pairs = list[tuple[str, str]]
"""
Parameters of one service, in order.
"""

_JOINED = {"DISCOVERYTYPE": "discoveryType"}
"""
Variables that are not spelled in upper snake case.
"""

_NUMBERED = re.compile(r"[0-9]+(?:_|\Z)")
_INDEX = re.compile(r"(.+)_([1-9]|10)\Z")


def declared_services(
    queries: tuple[str, ...], environment: Mapping[str, str], default_mode: str = ""
) -> list[list[tuple[str, str]]]:
    """
    Every service declared at start: first those of the variables, then those of the options.

    Args:
        queries: each as the query of a reconfigure call.
        environment: variables.
        default_mode: `reqMode` of services of variables that give none (`DEFAULT_PROTOCOL`); empty: leave it out.
    """
    return services_of_variables(environment, default_mode) + [services_of_query(query) for query in queries]


def services_of_query(query: str) -> Pairs:
    """
    Parameters of one `--service`; form decoding as for the API (`+` is a blank).
    """
    return parse_qsl(query.strip().removeprefix("?"), keep_blank_values=False)


def services_of_variables(environment: Mapping[str, str], default_mode: str = "") -> list[list[tuple[str, str]]]:
    """
    Services of `DFP_SERVICE_*`, then `DFP_SERVICE_1_*`, `DFP_SERVICE_2_*`, until one has no `_SERVICE_NAME`.
    """
    found = []
    first = _service(environment, "DFP_SERVICE_", default_mode)
    if first:
        found.append(first)
    for number in count(1):
        pairs = _service(environment, f"DFP_SERVICE_{number}_", default_mode)
        if not pairs:
            return found
        found.append(pairs)
    raise AssertionError("counting never ends")


def _service(environment: Mapping[str, str], prefix: str, default_mode: str) -> Pairs:
    """
    Parameters under one prefix; none without a service name.
    """
    if not environment.get(f"{prefix}SERVICE_NAME"):
        return []
    pairs = []
    for variable in sorted(environment):
        value = environment[variable]
        rest = variable.removeprefix(prefix)
        # DFP_SERVICE_ is the beginning of DFP_SERVICE_1_ too.
        if rest == variable or not rest or not value or (prefix == "DFP_SERVICE_" and _NUMBERED.match(rest)):
            continue
        pairs.append((_parameter(rest), value))
    if default_mode and not any(name == "reqMode" for name, _ in pairs):
        pairs.append(("reqMode", default_mode))
    if ("replicas", "0") in pairs:
        # DFP: a service of the environment is not removed by its number of replicas.
        pairs.remove(("replicas", "0"))
    return pairs


def _parameter(spelled: str) -> str:
    """
    `PORT_2` is `port.2`, `SERVICE_PATH` is `servicePath`.
    """
    indexed = _INDEX.match(spelled)
    name, index = (indexed[1], f".{indexed[2]}") if indexed else (spelled, "")
    if name in _JOINED:
        return _JOINED[name] + index
    first, *others = name.split("_")
    return first.lower() + "".join(word.capitalize() for word in others) + index
