"""
Whom a request is from, where a trusted proxy stands between its client and us.

From then on that is the client: for networks, `src`, balancing by source, and the log. That the client speaks TLS with
such a proxy is believed as well. What the server gets to see of it is X-Forwarded-For as it came, and our peer behind.

Source: nginx `set_real_ip_from`, `real_ip_recursive`; HAProxy `http-request set-src`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dfproxy.interfaces import IRequest
from dfproxy.wire.networks import Networks, client_behind


def believing(lookup: Callable[[IRequest], object], trusted: Networks) -> Callable[[IRequest], object]:
    """
    The lookup of routes, which first sees whom a request is from. Where nobody is trusted it is not wrapped at all.

    Args:
        lookup: finds the route.
        trusted: proxies that are believed.
    """

    def believe(request: Any) -> object:  # a RequestHead: it is changed
        peer = request.client_host
        if peer in trusted:
            client = client_behind(request.values(b"x-forwarded-for"), trusted, peer)
            if client != peer:
                request.client_host = client
                if (":" in client) is not (":" in peer):
                    request.client_port = 0  # as HAProxy: a port of the other family's connection would mean nothing
            said = request.values(b"x-forwarded-proto")
            if said and said[-1].lower().rpartition(b",")[2].strip(b" \t") == b"https":
                request.relayed_https = True
        return lookup(request)

    return believe
