"""
Fields of requests that access lines show, as they came, before any rule changes them.

Source: HAProxy `capture request header`; DFP `CAPTURE_REQUEST_HEADER`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dfproxy.interfaces import IRequest


def capturing(
    lookup: Callable[[IRequest], object], fields: tuple[tuple[str, int], ...]
) -> Callable[[IRequest], object]:
    """
    The lookup of routes, which first keeps these fields. Where none is to be kept it is not wrapped at all.

    Args:
        lookup: finds the route.
        fields: names, and the longest length of each in bytes.
    """
    wanted = tuple((name.lower().encode(), length) for name, length in fields)

    def capture(request: Any) -> object:  # a RequestHead: it is changed
        kept = []
        for name, length in wanted:
            values = request.values(name)
            kept.append(values[-1][:length] if values else b"")
        request.captured = tuple(kept)
        return lookup(request)

    return capture
