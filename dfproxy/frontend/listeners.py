"""
Accepts on addresses: adopts sockets that the leader opened, or binds its own with `--workers 0`.

Who the accepted connections belong to is the factory's business; letting go of a socket never touches them.

Source: HAProxy `bind`; DFP `DEFAULT_PORTS`, `BIND_PORTS`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from socket import AF_INET, AF_INET6
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory

from dfproxy.errors import InvalidSettings, Problem
from dfproxy.model.listener import Listener

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


class Listeners:
    """
    The listening sockets of one process.

    Args:
        reactor: `IReactorTCP` and `IReactorSocket`.
        factory: makes the protocol of each accepted connection.
    """

    def __init__(self, reactor: Any, factory: IProtocolFactory) -> None:
        self._reactor = reactor
        self._factory = factory
        self._ports: dict[int, IListeningPort] = {}
        self._own: list[IListeningPort] = []

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
                family = AF_INET6 if ":" in slot.listener.address else AF_INET
                self._ports[slot.number] = self._reactor.adoptStreamPort(descriptor, family, self._factory)
        finally:
            os.close(descriptor)

    def release(self, number: int) -> Deferred[Any]:
        """
        Accept no more on this slot; what was accepted stays. Unknown numbers are fine.
        """
        port = self._ports.pop(number, None)
        if port is None:
            return maybeDeferred(lambda: None)
        return maybeDeferred(port.stopListening)

    def bind(self, listener: Listener) -> IListeningPort:
        """
        Open an address of our own and accept on it.

        Raises:
            InvalidSettings: it cannot be bound; says which and why.
        """
        try:
            port: IListeningPort = self._reactor.listenTCP(
                listener.port, self._factory, backlog=BACKLOG, interface=listener.address
            )
        except CannotListenError as error:
            raise InvalidSettings((cannot_bind(listener, error.socketError),)) from error
        self._own.append(port)
        return port

    def stop(self) -> Deferred[Any]:
        """
        Accept no more on any socket; what was accepted stays.

        Returns:
            Deferred: fires once all are let go of. Never fails.
        """
        ports = [*self._ports.values(), *self._own]
        self._ports.clear()
        self._own.clear()
        return DeferredList([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)


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
