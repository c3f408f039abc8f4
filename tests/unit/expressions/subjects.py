"""
Requests and answers to evaluate expressions on.
"""

from __future__ import annotations

from random import Random

from dfproxy.expressions.subject import Subject, Surroundings
from dfproxy.model.connection import TlsFacts
from dfproxy.wire.h1 import ResponseHead, request_head, response_head

SURROUNDINGS = Surroundings({"COLOUR": "blue"}, "proxy1", 42, lambda: 1700000000.25, Random(1))


def subject(*fields: str, line: str = "GET /a/b.c?x=1&y HTTP/1.1", tls: TlsFacts | None = None) -> Subject:
    """
    A request with these fields.
    """
    found = request_head("\r\n".join([line, "Host: Web.Test:81", *fields, "", ""]).encode(), 0, 65536, 1000)
    assert found is not None
    request = found[0]
    request.client_host, request.client_port, request.local_port = "192.0.2.1", 4000, 80
    if tls is not None:
        request.tls = tls
    return Subject(request, "web-be80_0")


def answer(*fields: str, status: int = 200) -> ResponseHead:
    """
    An answer with these fields.
    """
    found = response_head("\r\n".join([f"HTTP/1.1 {status} x", *fields, "", ""]).encode(), False, 65536, 1000)
    assert found is not None
    return found[0]
