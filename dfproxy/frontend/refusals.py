"""
Requests that no exchange is made for, since they cannot be read or no route takes them: counted, and a line in the
access log.

Source: HAProxy configuration manual 8.2.3 (`<BADREQ>`, `<NOSRV>`); contract 4.18.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfproxy.exchange.traffic import Traffic
from dfproxy.interfaces import IRequest
from dfproxy.model.ending import BAD_REQUEST, NO_ROUTE, REQUEST_TIMEOUT
from dfproxy.wire.h1 import RequestHead

_ENDINGS = {408: REQUEST_TIMEOUT, 503: NO_ROUTE}


@dataclass(slots=True)
class _Refused:
    """
    What the access log wants to know of an exchange that never was (`Finished`).
    """

    request: IRequest
    status: int
    started: float
    answered: float = 0.0
    attempts: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    backend_name: str = "services"
    server_name: str = "-"
    downstream: object = None
    traffic: Traffic | None = None


def note_refusal(
    traffic: Traffic, request: RequestHead | None, client: tuple[str, int], status: int, downstream: object = None
) -> None:
    """
    Count and log that a request is answered with this status and goes nowhere.

    Args:
        request: its head; None: it could not be read.
        client: address and port.
        downstream: the client's side, which may know how the request came.
    """
    frontend = traffic.frontend
    frontend.requests += 1
    if status < 500:
        frontend.request_errors += 1
    if status >= 500:
        frontend.responses_5xx += 1
    else:
        frontend.responses_4xx += 1
    traffic.touch(frontend)
    log = traffic.access_log
    if log is not None:
        now = traffic.monotonic()
        refused = _Refused(request or _unread(client), status, now, downstream=downstream, traffic=traffic)
        log.add(refused, _ENDINGS.get(status, BAD_REQUEST), now)


def _unread(client: tuple[str, int]) -> RequestHead:
    """
    A head of which only the sender is known.
    """
    head = RequestHead()
    head.method = head.target = head.host = head.path = b""
    head.client_host, head.client_port = client
    return head
