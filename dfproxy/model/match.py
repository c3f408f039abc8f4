"""
What a route asks of a request: patterns over path, host, headers and port.

Values only; `dfproxy.routing` gives them meaning.

Source: HAProxy ACL criteria (`path_beg`, `hdr_dom`, ...); DFP `servicePath`, `pathType`, `serviceDomain`,
`serviceDomainAlgo`, `serviceHeader`, `userAgent`, `srcPort`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PathForm = Literal["exact", "prefix", "suffix", "substring", "regex", "directory", "domain", "length"]
"""
How a path pattern compares: the whole, its beginning, its end, anywhere, an unanchored regular expression,
delimited by `/` or `?` (HAProxy `path_dir`), delimited by `/ ? . :` (`path_dom`), or the length in bytes.
"""

HostForm = Literal["exact", "prefix", "suffix", "substring", "regex", "label", "directory", "length"]
"""
How a host pattern compares, never minding case: like `PathForm`; `label` is delimited by `. : / ?` or the ends
(HAProxy `hdr_dom`), `directory` by `/` (`hdr_dir`).
"""


@dataclass(frozen=True, slots=True)
class PathPattern:
    """
    One alternative of a path condition.

    Attributes:
        form: how it compares.
        value: the bytes compared with; for `length` the decimal number.
        ignore_case: compare without regard to ASCII case (HAProxy flag `-i`).
        whole_target: compare with the request target and its query, not just the path (HAProxy `url_*`).
    """

    form: PathForm
    value: bytes
    ignore_case: bool = False
    whole_target: bool = False


@dataclass(frozen=True, slots=True)
class HostPattern:
    """
    One alternative of a host condition, compared with each comma-separated part of the Host field.

    Attributes:
        form: how it compares; case never matters.
        value: lower-case bytes compared with.
        without_port: drop a `:port` from the Host value first (for `*.example.com`).
    """

    form: HostForm
    value: bytes
    without_port: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """
    A condition that a plugin decides (`IRouteConditionFactory`).

    Attributes:
        name: which plugin.
        values: its words, as given.
    """

    name: str
    values: tuple[str, ...] = ()


FRONT_LINES = "haproxy-lines"
"""
The condition of a route that lines of HAProxy configuration decide (DFP `templateFePath`). Its values: the backend that
the route is for, then all `acl` and `use_backend` lines, of which the first that holds must lead to that backend.
"""


@dataclass(frozen=True, slots=True)
class Match:
    """
    All conditions of a route. All that are present must hold; the values of one are alternatives.

    Attributes:
        paths: any of these; empty: every path.
        excluded: none of these.
        hosts: any of these; empty: every host.
        headers: each `(lower-case name, value)` must equal one comma-separated part of one such field.
        user_agents: lower-case substrings, any of which a User-Agent must contain; empty: every agent.
        local_port: the port that the client connected to; 0: every port.
        conditions: each must hold.
    """

    paths: tuple[PathPattern, ...] = ()
    excluded: tuple[PathPattern, ...] = ()
    hosts: tuple[HostPattern, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()
    user_agents: tuple[bytes, ...] = ()
    local_port: int = 0
    conditions: tuple[Condition, ...] = ()
