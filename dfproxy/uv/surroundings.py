"""
What a transport of the uv reactor stands between: uvloop's transport below, the reactor beside it, the words of both.

Source: uvloop 0.23, handles/stream.pyx, sslproto.pyx; twisted.internet.error, address.
"""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from typing import Any
from typing import Protocol as Structure

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()


class StillPaused(Exception):
    """
    Raised through uvloop's `connection_made` so that it does not start reading.

    uvloop starts to read whatever the protocol asked for in `connection_made`; only an exception keeps it from that,
    and leaves the connection open. The reactor's exception handler drops it.
    """


class UvTransport(Structure):
    """
    What is used of uvloop's TCPTransport and of its TLS counterpart.
    """

    def write(self, data: bytes, /) -> None: ...
    def writelines(self, parts: Iterable[bytes], /) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_protocol(self, protocol: object, /) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def get_write_buffer_limits(self) -> tuple[int, int]: ...
    def set_write_buffer_limits(self, high: int, low: int) -> None: ...
    def get_extra_info(self, name: str, default: object = None) -> Any: ...


class Reactor(Structure):
    """
    What a transport needs of its reactor.
    """

    loop: AbstractEventLoop
    transports: set[Any]


def failure_of(problem: BaseException) -> Failure:
    """
    Wrap an exception, with the traceback it has.
    """
    return Failure(problem, type(problem), problem.__traceback__)


# Shared, as in Twisted's own reactors: making a Failure costs more than the rest of closing a connection.
DONE = failure_of(ConnectionDone())
LOST = failure_of(ConnectionLost())
ABORTED = failure_of(ConnectionAborted())


def told(what: Callable[..., object], *arguments: object) -> Failure | None:
    """
    Call into the protocol or producer.

    Returns:
        What it raised, already logged; None when it did not.
    """
    try:
        what(*arguments)
    except Exception as problem:  # noqa: BLE001  # whatever a protocol raises ends its connection, never the loop
        failure = failure_of(problem)
        log.failure("{what} failed.", failure, what=getattr(what, "__qualname__", what))
        return failure
    return None


def discard(data: object) -> None:
    """
    Stand in for `write`, `writeSequence` and `dataReceived` once they no longer apply; Twisted ignores such calls.
    """


def half_closeable(protocol: object) -> Any:
    """
    Give the protocol as an IHalfCloseableProtocol; None when it is none.
    """
    return IHalfCloseableProtocol(protocol, None)


def address_of(sockaddr: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    """
    Translate a socket address, as the socket module gives it, to Twisted's.

    Args:
        sockaddr: (host, port) or (host, port, flow information, scope id).
    """
    if len(sockaddr) == 2:
        return IPv4Address("TCP", *sockaddr)
    host, port, flow, scope = sockaddr
    if scope:
        # A link-local address means nothing without its interface ("fe80::1%eth0"), which only getnameinfo adds.
        host = socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return IPv6Address("TCP", host, port, flow, scope)
