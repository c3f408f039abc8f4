"""
Services declared at start, as parameter pairs: from `--service` queries and from `DFP_SERVICE_*` variables.

They go through the same reading of parameters as a reconfigure call; nothing is checked here. Which names there are
the table of parameters says.

Source: contract 3.7 (DFP `server/server.go`), ODDITY-16: all names, indexes, fall-backs and secrets of the query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from urllib.parse import parse_qsl, urlencode

from dfproxy.dfp.given import integer
from dfproxy.dfp.parameters import BY_LOWER_NAME, BY_VARIABLE, DESTINATION_EXISTS_WITH, MAX_INDEX

Pairs = list[tuple[str, str]]
"""
Parameters of one service, in order.
"""

PREFIX = "DFP_SERVICE_"
"""
How variables that declare services begin.
"""

SECRET = "dfp_" + PREFIX.lower()
"""
How secrets that stand for such a variable begin.
"""

HIDDEN = "hidden"
"""
What is shown of a secret.
"""

FILE = "_FILE"
"""
How a variable ends that names a file with the value.
"""

_NUMBERED = re.compile(r"[0-9]+(?:_|\Z)")
_INDEX = re.compile(r"(.+)_([1-9]|10)\Z")


def services_of_query(query: str) -> Pairs:
    """
    Parameters of one `--service`; form decoding as for the API (`+` is a blank).
    """
    return parse_qsl(query.strip().removeprefix("?"), keep_blank_values=False)


def without_secrets(query: str) -> str:
    """
    The same `--service` as it may be shown: passwords and keys are replaced.
    """
    names = [
        (name, BY_LOWER_NAME.get(name.partition(".")[0].lower()), value) for name, value in services_of_query(query)
    ]
    return urlencode(
        [
            (name, HIDDEN if row is not None and (row.secret or getattr(row, "quiet", False)) else value)
            for name, row, value in names
        ]
    )


def services_of_variables(environment: Mapping[str, str], default_mode: str = "") -> list[list[tuple[str, str]]]:
    """
    Services of `DFP_SERVICE_*`, then `DFP_SERVICE_1_*`, `DFP_SERVICE_2_*`, until one has no `_SERVICE_NAME`.
    """
    return [_service(environment, prefix, default_mode) for prefix in _prefixes(environment)]


def files_named(environment: Mapping[str, str]) -> tuple[str, ...]:
    """
    Paths of the files that `DFP_SERVICE_..._FILE` variables name.
    """
    return tuple(value for name, value in environment.items() if value and _stands_for(name))


def with_secrets(environment: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """
    The variables of services with what secrets and files say instead of them; the secret goes before the file. An empty
    one says nothing.

    Args:
        environment: all variables.
        secrets: contents by file name, and by path for files that variables name; a file that is missing here could
            not be read.
    """
    found = {name: value for name, value in environment.items() if name.startswith(PREFIX) and not _stands_for(name)}
    for name, path in environment.items():
        if (variable := _stands_for(name)) and (text := secrets.get(path, "").rstrip("\r\n")):
            found[variable] = text
    for name, content in secrets.items():
        if name.startswith(SECRET) and (text := content.rstrip("\r\n")):
            found[name.removeprefix("dfp_").upper()] = text
    return found


def _stands_for(name: str) -> str:
    """
    The variable whose value is in the file that this one names; empty: it names none.
    """
    return name.removesuffix(FILE) if name.startswith(PREFIX) and name.endswith(FILE) else ""


def unread(environment: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[str, ...]:
    """
    A line for each variable of a service that is given in vain. Args are those of `with_secrets`.
    """
    found = [
        f"{name}: the file {path} cannot be read"
        for name, path in sorted(environment.items())
        if path and _stands_for(name) and path not in secrets
    ]
    given = with_secrets(environment, secrets)
    for prefix in _prefixes(given):
        for variable, rest in _below(given, prefix):
            name, index = _split(rest)
            row = BY_VARIABLE.get(name)
            if row is None:
                found.append(f"{variable}: there is no such parameter")
            elif index and row.scope == "service":
                found.append(f"{variable}: {row.name} is of the whole service and takes no index")
        values = _values(given, prefix)
        if _shift(values) and any(index == MAX_INDEX for _, index in values):
            found.append(f"{prefix}..._{MAX_INDEX}: is one too many beside the destination without an index")
    return tuple(found)


def _prefixes(environment: Mapping[str, str]) -> Iterator[str]:
    """
    The beginnings under which there is a service.
    """
    if environment.get(f"{PREFIX}SERVICE_NAME"):
        yield PREFIX
    for number in count(1):
        prefix = f"{PREFIX}{number}_"
        if not environment.get(f"{prefix}SERVICE_NAME"):
            return
        yield prefix


def _below(environment: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    """
    Every variable under a prefix that has a value, and what follows the prefix.
    """
    for variable in sorted(environment):
        rest = variable.removeprefix(prefix)
        # DFP_SERVICE_ is the beginning of DFP_SERVICE_1_ too.
        if rest != variable and environment[variable] and not (prefix == PREFIX and _NUMBERED.match(rest)):
            yield variable, rest


def _split(rest: str) -> tuple[str, int]:
    """
    Name and index; 0: there is none.
    """
    indexed = _INDEX.match(rest)
    return (indexed[1], int(indexed[2])) if indexed else (rest, 0)


def _values(environment: Mapping[str, str], prefix: str) -> dict[tuple[str, int], str]:
    """
    Parameters under one prefix, by name and index.
    """
    values: dict[tuple[str, int], str] = {}
    for variable, rest in _below(environment, prefix):
        name, index = _split(rest)
        row = BY_VARIABLE.get(name)
        if row is not None and (row.scope == "destination" or not index):
            values[row.name, index] = environment[variable]
    return values


def _service(environment: Mapping[str, str], prefix: str, default_mode: str) -> Pairs:
    """
    Parameters under one prefix as a call would have them.
    """
    values = _values(environment, prefix)
    if default_mode:
        values.setdefault(("reqMode", 0), default_mode)
    if integer(values.get(("replicas", 0), "1")) == 0:
        # DFP: a service of the environment is not removed by its number of replicas.
        del values["replicas", 0]
    shift = _shift(values)
    pairs = [(f"{name}.{index + shift}" if index else name, value) for (name, index), value in values.items()]
    if shift:
        pairs += [(f"{name}.1", values[name, 0]) for name in DESTINATION_EXISTS_WITH if (name, 0) in values]
    return sorted(pairs)


def _shift(values: Mapping[tuple[str, int], str]) -> int:
    """
    By how much indexes move up, so that the destination without one is the first of all.

    In calls there is none beside those with indexes; DFP's variables add those to it.
    """
    complete = ("servicePath", 0) in values and ("port", 0) in values
    indexed = any((name, 1) in values for name in DESTINATION_EXISTS_WITH)
    return 1 if complete and indexed else 0
