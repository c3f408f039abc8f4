"""
Which kept connection a request takes that may be sent only once.

A server may close a kept connection at any moment; a request that meets that moment is lost, and one that may not be
repeated (a POST) then is an error for the client. So it takes a connection only if there is good reason to think that
the server keeps it; else a new one is made. Requests that may be repeated take any.

Source: RFC 9112 9.3.1 and 9.6; HAProxy `http-reuse safe` never sends a client's first request on a kept connection.
"""

from __future__ import annotations

from typing import cast

from dfproxy.upstream.http1 import ServerConnection
from dfproxy.upstream.live import LiveServer

FRESH_S = 1.0
"""
It must have been used this many seconds ago or less: servers close idle connections after seconds.
"""

SETTLE_S = 0.15
"""
Of a server that is not known yet it must have been idle for so many seconds at least: the end of a connection that a
server closes right after its answer has come by then. (Time is read in steps of a tenth of a second.)
"""

SETTLING = 2
"""
So many connections may settle at once; others are closed where a new one is made instead of using them: a server with
few processes would have none left.
"""

TRUSTED_ANSWERS = 10
"""
A connection that has given so many answers shows that its server does not close them after each first or second one.
"""


def take_announced(server: LiveServer, greeting: bytes, now: float, once: bool) -> ServerConnection | None:
    """
    Take a kept connection that was announced with this header.

    Args:
        now: time of the wheel, in seconds.
        once: the request may not be repeated.

    Returns:
        As `take_for_once`.
    """
    kept: list[ServerConnection] = server.private.of(greeting)
    if not kept:
        return None
    before = len(kept)
    connection = take_for_once(server, now, kept) if once else kept.pop()
    server.private.settle(greeting, before)
    return connection


def take_for_once(
    server: LiveServer, now: float, kept: list[ServerConnection] | None = None
) -> ServerConnection | None:
    """
    Take a kept connection for a request that may not be repeated.

    Args:
        now: time of the wheel, in seconds.
        kept: those to take from; None: those that any client may use.

    Returns:
        The connection, out of the pool; None: make a new one.
    """
    idle = cast("list[ServerConnection]", server.idle) if kept is None else kept
    if idle and idle[-1].answers >= TRUSTED_ANSWERS:
        server.keeps = True
    while idle:
        # The one used last; while nothing is known of the server the one that is idle longest: it has settled first.
        at = -1 if server.keeps or server.closes_early else 0
        connection = idle[at]
        idle_s = now - connection.ended_at
        if idle_s < SETTLE_S and not at:
            while len(idle) > SETTLING:
                idle.pop().close_idle()
            return None
        del idle[at]
        if idle_s > FRESH_S or server.closes_early or not connection.is_quiet():
            connection.close_idle()
            continue
        if connection.answers > 1:
            server.keeps = True  # it has settled after an answer that was not its first
        return connection
    return None
