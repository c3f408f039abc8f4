"""
May a request be sent again?

A request whose connection could not be had was never sent: it may always be tried elsewhere. One that was sent on a
kept connection which then closed without a byte may be sent again if its method is idempotent and nothing of its body
is lost (RFC 9112 9.3.1, RFC 9110 9.2.2). Where a server gave no answer, or one that the operator named, such a request
goes to another server, as long as the budget lasts: a service that is slow must not be asked twice for everything.

Source: HAProxy `retries`, `option redispatch`; DFP answers 503 after four attempts.
"""

from __future__ import annotations

from dfproxy.model.ending import SERVER_CLOSED, SERVER_GARBAGE, SERVER_TIMEOUT
from dfproxy.model.resilience import EMPTY_RESPONSE, JUNK_RESPONSE, RESPONSE_TIMEOUT

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""
RFC 9110 9.2.2. Case matters: `get` is another method, about which nothing is known.
"""

REPLAY_BYTES = 65536
"""
How much of a request body is remembered in case it has to be sent again.
"""

HELD_BYTES = 16384
"""
An answer of known length up to this, of which not everything is there at once, is held until it is: should it break
off, the client has seen nothing yet, and another server can be asked.
"""

LONE_ATTEMPTS = 3
"""
How often a backend's only server is tried before the client is told (HAProxy `retries`).
"""

LONGEST_LONE_PAUSE_S = 1.0
"""
Longest pause between two attempts at a lone server, in seconds (HAProxy: the lesser of this and `timeout connect`).
"""

REASON_OF = {SERVER_CLOSED: EMPTY_RESPONSE, SERVER_TIMEOUT: RESPONSE_TIMEOUT, SERVER_GARBAGE: JUNK_RESPONSE}
"""
What HAProxy's `retry-on` calls the endings of requests that were sent.
"""
