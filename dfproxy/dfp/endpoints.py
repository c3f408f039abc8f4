"""
Servers by hand, hosts and addresses: text -> values.

Source: dfproxy `endpoints`; HAProxy `server ... weight`; DFP `outboundHostname`.
"""

from __future__ import annotations

import re

from dfproxy.model.service import Endpoint
from dfproxy.wire.networks import is_address

MAX_WEIGHT = 256
"""
Highest weight of a server, as HAProxy has it.
"""

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,253}[A-Za-z0-9_.])?", re.ASCII)
_ENDPOINT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]*]*):(?P<port>[0-9]{1,5})(\*(?P<weight>[0-9]{1,3}))?", re.ASCII)


def endpoint(item: str) -> Endpoint | None:
    """
    Read `host:port` or `host:port*weight`; None if it is neither.
    """
    match = _ENDPOINT.fullmatch(item)
    if match is None:
        return None
    host, port, weight = match["host"].strip("[]"), int(match["port"]), int(match["weight"] or 1)
    if not is_host(host) or not 1 <= port <= 65535 or weight > MAX_WEIGHT or (":" in host) != item.startswith("["):
        return None
    return Endpoint(host, port, weight)


def is_host(text: str) -> bool:
    """
    Whether this is a host name or an IP address.
    """
    return bool(_HOST.fullmatch(text)) or is_address(text)
