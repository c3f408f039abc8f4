"""
The port of the control API: opened or taken over, paused for an upgrade, closed at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError

from dfproxy.api.channel import ApiSite
from dfproxy.errors import InvalidSettings
from dfproxy.frontend.listeners import cannot_bind
from dfproxy.model.listener import Listener
from dfproxy.observe.prometheus import Measure
from dfproxy.workers.heritage import API, Door, Heritage

API_BACKLOG = 2048
"""
Calls that connect at once: as many as may wait. With Twisted's 50 the others connect a second later, when their kernel
tries again. The kernel's own limit (`somaxconn`) is 4096.
"""


class ApiPort:
    """
    One port, for as long as the process lives.

    Args:
        reactor: `IReactorTCP`, `IReactorSocket`.
        address: as configured.
        port: as configured; 0: any.
    """

    def __init__(self, reactor: Any, address: str, port: int) -> None:
        self._reactor = reactor
        self._configured = Listener(address, port)
        self._port: Any = None  # Twisted's ports can be paused and have a descriptor, which no interface says
        self._site: ApiSite | None = None

    def listen(self, site: ApiSite, heritage: Heritage) -> None:
        """
        Take calls, on the socket that is open already if there is one.

        Raises:
            InvalidSettings: it cannot be bound; says which and why.
        """
        address, port = self._configured.address, self._configured.port
        self._site = site
        open_already = heritage.claim(API, address, port)
        try:
            for opened in open_already[:1]:
                with opened:
                    self._port = self._reactor.adoptStreamPort(opened.fileno(), opened.family, site)
                    return
            self._port = self._reactor.listenTCP(port, site, backlog=API_BACKLOG, interface=address)
        except CannotListenError as error:
            reason = error.socketError if isinstance(error.socketError, OSError) else error
            raise InvalidSettings((cannot_bind(self._configured, reason),)) from error

    @property
    def host(self) -> str:
        """
        Address that it listens on; before that the configured one.
        """
        return self._configured.address if self._port is None else str(self._port.getHost().host)

    @property
    def number(self) -> int:
        """
        Port that it listens on; before that the configured one.
        """
        return self._configured.port if self._port is None else int(self._port.getHost().port)

    @property
    def is_busy(self) -> bool:
        """
        Calls are under way.
        """
        return self._site is not None and self._site.is_busy

    def pause(self) -> None:
        """
        Take no new call: they wait in the kernel's queue.
        """
        if self._port is not None:
            self._port.stopReading()

    def resume(self) -> None:
        """
        Take calls again.
        """
        if self._port is not None:
            self._port.startReading()

    def close_connections(self) -> None:
        """
        Let go of all connections; calls under way are cut.
        """
        if self._site is not None:
            self._site.close()

    def doors(self) -> tuple[Door, ...]:
        """
        The socket, for whoever takes over.
        """
        if self._port is None:
            return ()
        return (Door(API, self._configured.address, self._configured.port, self._port.fileno()),)

    def measures(self) -> Iterable[Measure]:
        """
        For `/metrics`.
        """
        return () if self._site is None else self._site.measures()

    def stop(self) -> Deferred[Any]:
        """
        Listen no more. Calls under way go on.
        """
        return succeed(None) if self._port is None else maybeDeferred(self._port.stopListening)
