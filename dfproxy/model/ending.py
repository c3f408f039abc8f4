"""
How an exchange ended: exactly one reason each, which gives status, log word and metric label together.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ending:
    """
    The one reason an exchange ended.

    Attributes:
        word: label in metrics and logs.
        flags: HAProxy's two termination letters: who ended it, and in which phase.
        status: what the client is told if no response has begun; 0: nothing can be said.
        server_fault: counts against the server (passive health).
        retry_after_s: what the client is told to wait, in seconds; 0: nothing (RFC 9110 10.2.3).
    """

    word: str
    flags: str
    status: int = 0
    server_fault: bool = False
    retry_after_s: int = 0


COMPLETE = Ending("complete", "--")
ANSWERED_LOCALLY = Ending("local", "LR")
BAD_REQUEST = Ending("bad_request", "PR", 400)
DENIED = Ending("denied", "PR", 403)
TARGET_TOO_LONG = Ending("target_too_long", "PR", 414)
TOO_BUSY = Ending("too_busy", "PR", 503)
REQUEST_TIMEOUT = Ending("request_timeout", "cR", 408)
REQUEST_BODY_TIMEOUT = Ending("request_body_timeout", "cD", 408)
CLIENT_GONE = Ending("client_gone", "CD")
CLIENT_STALLED = Ending("client_stalled", "cD")
NO_ROUTE = Ending("no_route", "SC", 503)
NO_SERVER = Ending("no_server", "SC", 503, retry_after_s=2)
CONNECT_FAILED = Ending("connect_failed", "SC", 503, True, retry_after_s=2)
CONNECT_TIMEOUT = Ending("connect_timeout", "sC", 503, True, retry_after_s=2)
QUEUE_TIMEOUT = Ending("queue_timeout", "sQ", 503, retry_after_s=2)
QUEUE_FULL = Ending("queue_full", "SQ", 503, retry_after_s=2)
SERVER_CLOSED = Ending("server_closed", "SH", 502, True)
SERVER_GARBAGE = Ending("server_garbage", "PH", 502, True)
SERVER_TIMEOUT = Ending("server_timeout", "sH", 504, True)
SERVER_CUT = Ending("server_cut", "SD", 0, True)
SERVER_STALLED = Ending("server_stalled", "sD", 0, True)
TUNNEL_CLOSED = Ending("tunnel", "--")
TUNNEL_IDLE = Ending("tunnel_idle", "cD")
WITHDRAWN = Ending("withdrawn", "KD", 503, retry_after_s=2)
SHUTDOWN = Ending("shutdown", "KD", 503)
