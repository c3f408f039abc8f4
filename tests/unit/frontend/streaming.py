"""
A process that takes whole connections, with real sockets and a clock that stands still.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.resource import ReverseProxyResource
from dfproxy.frontend.site import ProxySite
from dfproxy.model.ending import Ending
from dfproxy.model.match import HostPattern, Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.settings import Limits
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.model.stream import Stream
from dfproxy.upstream.live import LiveBackend, LiveServer
from tests.unit.turning import Turning


class Lines:
    """
    An access log that keeps what it is told.
    """

    def __init__(self) -> None:
        self.added: list[tuple[Any, Ending]] = []

    def add(self, session: Any, ending: Ending, now: float) -> None:
        self.added.append((session, ending))

    def flush(self) -> None:
        """
        Everything is written.
        """


class StreamCase(SynchronousTestCase):
    """
    A site, its traffic, and servers of the test.
    """

    def setUp(self) -> None:
        self.reactor: Any = Turning()
        self.lines: Any = Lines()
        monotonic = lambda: self.reactor.seconds() + 1.0  # noqa: E731  short; zero means that something never was
        self.traffic = Traffic(self.reactor, self.reactor, Limits(), monotonic, self.lines)
        self.traffic.deadlines.start()
        self.addCleanup(self.traffic.deadlines.stop)
        self.addCleanup(self.traffic.pipes.close)
        self.site = ProxySite(ReverseProxyResource(lookup=lambda request: None, traffic=self.traffic))
        self.addCleanup(self.site.abort_all)

    def listening(self) -> socket.socket:
        """
        A server that accepts nothing by itself.
        """
        found = socket.create_server(("127.0.0.1", 0))
        found.settimeout(5)
        self.addCleanup(found.close)
        return found

    def backend(self, *servers: tuple[str, int], names: Iterable[str] = (), **about: Any) -> LiveBackend:
        """
        A backend of a service that takes connections.
        """
        patterns = tuple(HostPattern("exact", name.encode()) for name in names)
        destination = Destination(0, 1, Match(), "s", "s-be1_0", stream=Stream(1, patterns), **about)
        service = Service("s", "s", (destination,))
        found = LiveBackend(service, destination, RoundRobin(), self.reactor, self.tried)
        addresses = tuple(ServerAddress(host, port) for host, port in servers)
        found.members(Membership("s", 0, 1, addresses))
        return found

    def tried(self, server: LiveServer) -> None:
        """
        A trial connection would be made.
        """

    def accepted(self, listening: socket.socket) -> socket.socket:
        """
        The next connection that a server gets, once we know of it as well.
        """
        listening.setblocking(False)
        found: list[socket.socket] = []

        def look() -> bool:
            try:
                found.append(listening.accept()[0])
            except BlockingIOError:
                return False
            return True

        self.reactor.until(look)
        self.addCleanup(found[0].close)
        found[0].setblocking(False)
        sessions: Any = self.site.sessions_open
        self.reactor.until(lambda: all(session.answered for session in sessions))
        return found[0]

    def received(self, end: socket.socket, count: int) -> bytes:
        """
        So many bytes, or fewer and the end; b"reset" if it was cut.
        """
        data = bytearray()

        def look() -> bool:
            try:
                piece = end.recv(count - len(data))
            except BlockingIOError:
                return False
            except ConnectionResetError:
                data[:] = b"reset"
                return True
            data.extend(piece)
            return not piece or len(data) == count

        end.setblocking(False)
        self.reactor.until(look)
        return bytes(data)
