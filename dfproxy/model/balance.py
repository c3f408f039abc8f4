"""
How a server is picked.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Balance:
    """
    Which strategy picks servers, and the words that follow it.

    `hdr(X-User)` is `Balance("hdr", ("X-User",))`; `uri depth 3` is `Balance("uri", ("depth", "3"))`.

    Source: HAProxy keyword `balance`.
    """

    name: str = "roundrobin"
    arguments: tuple[str, ...] = ()
