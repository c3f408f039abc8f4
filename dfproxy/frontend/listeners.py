"""
Accepts on addresses: adopts sockets that the leader opened, or binds its own with `--workers 0`.

Who the accepted connections belong to is the factory's business; letting go of a socket never touches them.

A listener with TLS speaks plain HTTP until there is a certificate (contract, ODDITY-17) and from then on TLS, on the
same socket: what waits in its queue is not lost, and what was accepted stays plain.

Source: HAProxy `bind`; DFP `DEFAULT_PORTS`, `BIND_PORTS`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from ssl import SSLContext
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.errors import InvalidSettings, Problem
from dfproxy.frontend.announced import AnnouncedPort, Give, serves
from dfproxy.model.listener import Listener

log = Logger()

BACKLOG = 4096
"""
Connections that the kernel keeps for us until they are accepted, for each socket. The kernel's own limit
(`net.core.somaxconn`, 4096 by default) bounds it; HAProxy asks for `maxconn`, nginx for 511.
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """
    One of several listening sockets of an address.

    Attributes:
        number: its name, unique in the life of a leader.
        listener: the address it listens on; its port is the real one.
    """

    number: int
    listener: Listener


class StreamDoors(Protocol):
    """
    Who takes connections as they are (`dfproxy.frontend.streams`; importing it here would choose a reactor).
    """

    def port(self, listening: socket, number: int, otherwise: Give | None) -> Any:
        """
        Accept on a socket; what nobody takes is given on, or closed.
        """

    def announced(self, number: int, otherwise: Give | None) -> Give:
        """
        The same for connections that have been accepted, and announced.
        """


class Listeners:
    """
    The listening sockets of one process.

    Args:
        reactor: `IReactorTCP` and `IReactorSocket`; for TLS also with `adoptTLSPort` (`dfproxy.uv`).
        factory: makes the protocol of each accepted connection.
        secure_factory: the same for connections with TLS; None: `factory`.
        statistics_factory: the same for the port of the statistics; None: `factory`.
        streams: who takes connections as they are; None: nobody.
    """

    def __init__(
        self,
        reactor: Any,
        factory: IProtocolFactory,
        secure_factory: IProtocolFactory | None = None,
        statistics_factory: IProtocolFactory | None = None,
        streams: StreamDoors | None = None,
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._statistics_factory = statistics_factory or factory
        self._secure_factory = secure_factory or factory
        self._context: SSLContext | None = None
        self._ports: dict[int, IListeningPort] = {}
        self._own: list[IListeningPort] = []
        self._plain: dict[int | IListeningPort, Listener] = {}
        self._streams = streams
        self._stream_ports: frozenset[int] = frozenset()
        self._shareable: dict[int | IListeningPort, Listener] = {}
        self._opened: dict[Listener, socket] = {}
        self._doors: dict[Listener, IListeningPort] = {}

    @property
    def slots(self) -> tuple[int, ...]:
        """
        Numbers of the slots accepted on now.
        """
        return tuple(self._ports)

    def adopt(self, slot: Slot, descriptor: int) -> None:
        """
        Accept on a listening socket that somebody else opened. Adopting a slot twice is fine.

        Args:
            slot: which one it is.
            descriptor: ours from now on; closed here.
        """
        try:
            if slot.number not in self._ports:
                self._ports[slot.number] = self._accept_on(descriptor, slot.listener)
                if slot.listener.tls and self._context is None:
                    self._plain[slot.number] = slot.listener
                if self._may_be_shared(slot.listener):
                    self._shareable[slot.number] = slot.listener
        finally:
            os.close(descriptor)

    def release(self, number: int) -> Deferred[Any]:
        """
        Accept no more on this slot; what was accepted stays. Unknown numbers are fine.
        """
        port = self._ports.pop(number, None)
        self._plain.pop(number, None)
        self._shareable.pop(number, None)
        if port is None:
            return maybeDeferred(lambda: None)
        return maybeDeferred(port.stopListening)

    def bind(self, listener: Listener) -> IListeningPort:
        """
        Open an address of our own and accept on it.

        Returns:
            The port; one with TLS is replaced by another on the same socket when `secure` is called.

        Raises:
            InvalidSettings: it cannot be bound; says which and why.
        """
        try:
            if listener.tls or listener.announced or self._may_be_shared(listener):
                port = self._bind_here(listener)
            else:
                factory = self._statistics_factory if listener.statistics else self._factory
                port = self._reactor.listenTCP(listener.port, factory, backlog=BACKLOG, interface=listener.address)
        except CannotListenError as error:
            raise InvalidSettings((cannot_bind(listener, error.socketError),)) from error
        except OSError as error:
            raise InvalidSettings((cannot_bind(listener, error),)) from error
        self._own.append(port)
        return port

    def secure(self, context: SSLContext) -> None:
        """
        There is a certificate: speak TLS on the listeners that are meant to, those of now and those to come.

        Args:
            context: chooses certificates; may change what it chooses from at any time.
        """
        self._context = context
        plain, self._plain = self._plain, {}
        for place, listener in plain.items():
            self._accept_anew(place, listener)

    def share(self, ports: frozenset[int]) -> None:
        """
        On these ports, and on no others, somebody takes connections as they are: there the first bytes are looked at.
        """
        before, self._stream_ports = self._stream_ports, ports
        for place, listener in tuple(self._shareable.items()):
            if (listener.port in before) != (listener.port in ports):
                self._accept_anew(place, listener)

    def _may_be_shared(self, listener: Listener) -> bool:
        return self._streams is not None and not listener.stream and not listener.statistics

    def _accept_anew(self, place: int | IListeningPort, listener: Listener) -> None:
        """
        Accept in another way on the same socket. The new port accepts before the old one stops, on the same queue.
        """
        port: Any = self._ports[place] if isinstance(place, int) else place
        other = self._accept_on(port.fileno(), listener)
        if isinstance(place, int):
            self._ports[place] = other
        else:
            self._own[self._own.index(place)] = other
            for known in (self._plain, self._shareable):
                if place in known:
                    known[other] = known.pop(place)
        maybeDeferred(port.stopListening).addErrback(_not_stopped)

    def open(self, listener: Listener) -> None:
        """
        Bind an address, and accept nothing there yet. See `Doors` of `dfproxy.control.ports`.

        Raises:
            OSError: it cannot be bound.
        """
        opened = socket(AF_INET6 if ":" in listener.address else AF_INET, SOCK_STREAM | SOCK_NONBLOCK)
        try:
            if opened.family == AF_INET6:
                opened.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
            opened.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            opened.bind((listener.address, listener.port))
            opened.listen(BACKLOG)
        except BaseException:
            opened.close()
            raise
        self._opened[listener] = opened

    def serve(self, listeners: tuple[Listener, ...]) -> Deferred[Any]:
        """
        Accept on these addresses, which are open.
        """
        for listener in listeners:
            with self._opened.pop(listener) as opened:
                self._doors[listener] = self._accept_on(opened.fileno(), listener)
        return succeed(None)

    def close(self, listeners: tuple[Listener, ...]) -> Deferred[Any]:
        """
        Let these addresses go; what was accepted stays.
        """
        stopped = []
        for listener in listeners:
            opened = self._opened.pop(listener, None)
            if opened is not None:
                opened.close()
            door = self._doors.pop(listener, None)
            if door is not None:
                stopped.append(maybeDeferred(door.stopListening))
        return DeferredList(stopped, consumeErrors=True)

    def stop(self) -> Deferred[Any]:
        """
        Accept no more on any socket; what was accepted stays.

        Returns:
            Deferred: fires once all are let go of. Never fails.
        """
        self.close(tuple(self._opened))
        ports = [*self._ports.values(), *self._own, *self._doors.values()]
        self._ports.clear()
        self._own.clear()
        self._plain.clear()
        self._shareable.clear()
        self._doors.clear()
        return DeferredList([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)

    def _accept_on(self, descriptor: int, listener: Listener) -> IListeningPort:
        """
        Accept on a socket that listens; a duplicate is made of it.
        """
        family = AF_INET6 if ":" in listener.address else AF_INET
        port: Any
        streams = self._streams
        if streams is not None and (listener.stream or listener.port in self._stream_ports):
            otherwise = None if listener.stream else self._gives(listener)
            listening = socket(family, SOCK_STREAM, fileno=os.dup(descriptor))
            if listener.announced:
                return _as_port(AnnouncedPort(self._reactor, listening, streams.announced(listener.port, otherwise)))
            return _as_port(streams.port(listening, listener.port, otherwise))
        if listener.announced:
            listening = socket(family, SOCK_STREAM, fileno=os.dup(descriptor))
            return _as_port(AnnouncedPort(self._reactor, listening, self._gives(listener)))
        if listener.tls and self._context is not None:
            port = self._reactor.adoptTLSPort(descriptor, family, self._secure_factory, self._context)
        else:
            port = self._reactor.adoptStreamPort(descriptor, family, self._factory_of(listener))
        return _as_port(port)

    def _gives(self, listener: Listener) -> Give:
        """
        What serves a connection that was accepted by ourselves.
        """
        if listener.tls and self._context is not None:
            return serves(self._reactor, self._secure_factory, self._context)
        return serves(self._reactor, self._factory_of(listener))

    def _factory_of(self, listener: Listener) -> IProtocolFactory:
        return self._statistics_factory if listener.statistics else self._factory

    def _bind_here(self, listener: Listener) -> IListeningPort:
        """
        Opened here, since a socket that the reactor has opened is shut down, for all, when its port stops.
        """
        with socket(AF_INET6 if ":" in listener.address else AF_INET, SOCK_STREAM | SOCK_NONBLOCK) as opened:
            opened.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            opened.bind((listener.address, listener.port))
            opened.listen(BACKLOG)
            listener = replace(listener, port=opened.getsockname()[1])
            port = self._accept_on(opened.fileno(), listener)
        if listener.tls and self._context is None:
            self._plain[port] = listener
        if self._may_be_shared(listener):
            self._shareable[port] = listener
        return port


def _as_port(port: Any) -> IListeningPort:
    """
    What we use of a port all of them have.
    """
    found: IListeningPort = port
    return found


def _not_stopped(failure: Failure) -> None:
    log.failure("a port that speaks TLS now was not let go of", failure)


def cannot_bind(listener: Listener, error: object) -> Problem:
    """
    What to tell an operator whose address cannot be had.

    Args:
        listener: the address.
        error: `OSError`, or whatever the reactor knows.
    """
    reason = getattr(error, "strerror", None) or str(error)
    hint = {
        "Permission denied": "start as root (and use --uid), or choose a port above 1023",
        "Address already in use": "another process listens there; stop it or choose another port",
        "Cannot assign requested address": "this machine does not have that address",
    }.get(reason, "choose another address")
    return Problem("listener", f"{listener.address or '0.0.0.0'}:{listener.port}", f"{reason}: {hint}")  # noqa: S104  shown, not bound
