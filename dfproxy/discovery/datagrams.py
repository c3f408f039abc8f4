"""
A UDP socket that a question leaves by, without a word in the log.

Twisted's `listenUDP` writes a line when a port opens and one when it closes, whatever its protocol's `noisy` says. Here
a socket lives as long as a question: names asked each two seconds would fill the log with nothing else.
"""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReadDescriptor, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

DATAGRAM_BYTES = 8192
"""
Longest answer that is read; a DNS answer without extensions has 512 at most.
"""

READS = 64
"""
Datagrams read in a row, before others get their turn.
"""

log = Logger()


@implementer(IReadDescriptor)
class QuietPort:
    """
    An open socket on a port that the kernel chose; the protocol's transport, as far as a DNS client needs one.

    Args:
        reactor: Provides `IReactorFDSet`.
        protocol: Gets what arrives.
        v6: Whether to ask by IPv6.

    Raises:
        CannotListenError: There is no socket to be had.
    """

    def __init__(self, reactor: Any, protocol: DatagramProtocol, v6: bool) -> None:
        self._reactor = reactor
        self._protocol = protocol
        host = "::" if v6 else ""
        try:
            self._socket = socket.socket(
                socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
            )
        except OSError as error:
            raise CannotListenError(host, 0, error) from error
        try:
            self._socket.bind((host, 0))
        except OSError as error:
            self._socket.close()
            raise CannotListenError(host, 0, error) from error
        protocol.makeConnection(cast(IUDPTransport, self))
        reactor.addReader(self)

    def fileno(self) -> int:
        """
        The socket's descriptor; -1 when it is closed.
        """
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """
        What the log calls it.
        """
        return "dns"

    def write(self, datagram: bytes, address: tuple[str, int]) -> None:
        """
        Send a datagram.

        Raises:
            OSError: It cannot be sent.
        """
        self._socket.sendto(datagram, address)

    def doRead(self) -> None:
        """
        Hand on what has arrived.
        """
        for _ in range(READS):
            try:
                # IPv6 adds flow and scope, which the protocol does not compare.
                data, address = self._socket.recvfrom(DATAGRAM_BYTES)
            except OSError:
                # Nothing more, or word that an earlier datagram was refused: its question has a deadline.
                return
            try:
                self._protocol.datagramReceived(data, address[:2])
            except Exception:  # noqa: BLE001  one bad datagram must not cost the socket, and the answers on it
                log.failure("a datagram from {address} is not understood", address=address)
            if self.fileno() < 0:
                return

    def close(self) -> None:
        """
        Give the socket back; nothing arrives any more.
        """
        self._reactor.removeReader(self)
        self._socket.close()
        self._protocol.doStop()

    def connectionLost(self, reason: Failure) -> None:
        """
        Told by the reactor that the descriptor is of no use.
        """
        self.close()
