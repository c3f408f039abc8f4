"""
May a request be sent again?

A request whose connection could not be had was never sent: it may always be tried elsewhere. One that was sent on a
kept connection which then closed without a byte may be sent again if its method is idempotent and nothing of its body
is lost (RFC 9112 9.3.1, RFC 9110 9.2.2).

Source: HAProxy `retries`, `option redispatch`; DFP answers 503 after four attempts.
"""

from __future__ import annotations

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""
RFC 9110 9.2.2. Case matters: `get` is another method, about which nothing is known.
"""

REPLAY_BYTES = 65536
"""
How much of a request body is remembered in case it has to be sent again.
"""

LONE_ATTEMPTS = 3
"""
How often a backend's only server is tried before the client is told (HAProxy `retries`).
"""

LONGEST_LONE_PAUSE_S = 1.0
"""
Longest pause between two attempts at a lone server, in seconds (HAProxy: the lesser of this and `timeout connect`).
"""
