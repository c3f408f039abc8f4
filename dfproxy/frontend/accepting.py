"""
Accepts connections and gives them on as sockets, for those that are looked at before they are served.

Source: accept(2).
"""

from __future__ import annotations

from errno import EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE
from socket import IPPROTO_TCP, TCP_NODELAY, socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

log = Logger()

AT_ONCE = 64
"""
Connections accepted in one go, before others get their turn.
"""

PAUSE_S = 0.5
"""
How long nothing is accepted when there is no descriptor left, in seconds.
"""


@implementer(IReadDescriptor)
class AcceptingPort:
    """
    A listening socket. Subclasses say in `begin` what becomes of its connections.

    Args:
        reactor: watches descriptors (`IReactorFDSet`) and tells the time.
        listening: listens; ours from now on.
    """

    def __init__(self, reactor: Any, listening: socket) -> None:
        self.reactor = reactor
        self._listening = listening
        self._later: Any = None
        host, port = listening.getsockname()[:2]
        self._host = (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)
        listening.setblocking(False)
        reactor.addReader(self)

    def begin(self, connection: socket) -> None:
        """
        Take a connection over. It does not block.
        """
        raise NotImplementedError  # each kind of port has its own

    def fileno(self) -> int:
        return self._listening.fileno()

    def getHost(self) -> Any:
        """
        Where it listens.
        """
        return self._host

    def logPrefix(self) -> str:
        return type(self).__name__

    def doRead(self) -> None:
        """
        Accept what waits.
        """
        for _ in range(AT_ONCE):
            try:
                connection, _address = self._listening.accept()
            except OSError as error:
                if error.errno in (EMFILE, ENFILE):
                    self.reactor.removeReader(self)
                    self._later = self.reactor.callLater(PAUSE_S, self._go_on)
                elif error.errno not in (EAGAIN, EINTR, ECONNABORTED):
                    log.warn("a connection could not be accepted: {error}", error=error)
                return
            connection.setblocking(False)
            connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            self.begin(connection)

    def _go_on(self) -> None:
        self._later = None
        self.reactor.addReader(self)

    def stopListening(self) -> None:
        """
        Accept no more; what was accepted stays.
        """
        if self._listening.fileno() < 0:
            return
        if self._later is not None:
            self._later.cancel()
        else:
            self.reactor.removeReader(self)
        self._listening.close()

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has ended.
        """
        self.stopListening()
