"""
The factory of every listener: a twisted.web `Site` whose channel is our session.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.web.server import Site

from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.handover import hand_over
from dfproxy.frontend.http1 import Frontend, Http1Session, Session
from dfproxy.frontend.http2 import Http2, Http2Session
from dfproxy.frontend.resource import ReverseProxyResource
from dfproxy.frontend.timed import TimedSession

log = Logger()

COMPLAIN_S = 60.0
"""
How often it is logged that there are too many connections, in seconds.
"""


class ProxySite(Site):
    """
    Answers client connections for one root resource.

    Args:
        resource: asked for each request.

    Attributes:
        resource: may be replaced while running.
        traffic: what all sessions share.
        sessions_open: the client connections that are open now.
        limit: most client connections at once; above it a new one is closed without an answer. 0: no limit.
        http2: what HTTP/2 sessions share; None: nobody may speak it.
    """

    noisy = False

    def __init__(self, resource: ReverseProxyResource) -> None:
        Site.__init__(self, resource)
        self.resource: ReverseProxyResource = resource
        self.traffic: Traffic = resource.traffic
        self.sessions_open: set[Session] = set()
        self.limit = 0
        self._complained_at: float | None = None
        self.http2: Http2 | None = Http2(self.traffic.limits, self.traffic.clock)

    def startFactory(self) -> None:
        """
        Start nothing: one factory serves many listeners, and `Site` would open a log of its own here.
        """

    def stopFactory(self) -> None:
        """
        Nothing to stop.
        """

    def buildProtocol(self, addr: IAddress | None) -> Any:  # our channel is not twisted.web's
        return self.session(self)

    def session(self, asked: Frontend) -> Http1Session | None:
        """
        A session for a new connection; None: there are too many.

        Args:
            asked: what it has as its frontend: this, or one that asks this.
        """
        if self.limit and len(self.sessions_open) >= self.limit:
            self.turn_away()
            return None
        log = self.traffic.access_log
        session = TimedSession(asked) if log is not None and log.tells_arrival else Http1Session(asked)
        self.admit(session)
        return session

    def admit(self, session: Session) -> bool:
        """
        Count a session in.

        Returns:
            Whether it may stay; false: there are too many.
        """
        if self.limit and len(self.sessions_open) >= self.limit:
            self.turn_away()
            return False
        frontend = self.traffic.frontend
        self.sessions_open.add(session)
        frontend.connections += 1
        frontend.in_flight += 1
        self.traffic.touch(frontend)
        return True

    def turn_away(self) -> None:
        """
        There are too many connections: count one that is not served.
        """
        self.traffic.frontend.connect_errors += 1
        self.traffic.touch(self.traffic.frontend)
        now = self.traffic.clock.seconds()
        if self._complained_at is None or now - self._complained_at >= COMPLAIN_S:
            self._complained_at = now
            log.warn(
                "{limit} client connections are open, as many as may be in this process: further ones are closed "
                "at once (dfproxy_connections_refused_total); --max-connections and descriptors bound them; "
                "not logged again for a minute",
                limit=self.limit,
            )

    def speaks_http2(self, session: Http1Session, data: bytes, asked: Frontend | None = None) -> bool:
        """
        The client of this session speaks HTTP/2: another session goes on, if it may.

        Args:
            data: what the client has sent.
            asked: what the other has as its frontend; None: this.
        """
        if self.http2 is None:
            return False
        forwarded, transport = session.leave(), session.transport
        successor = Http2Session(asked or self, self.http2, forwarded)
        successor.announced = session.announced
        self.traffic.clients.http2_connections += 1
        self.traffic.clients.http2_open += 1
        self.sessions_open.discard(session)
        self.sessions_open.add(successor)
        hand_over(transport, successor)
        successor.makeConnection(transport)  # type: ignore[no-untyped-call]  # Twisted's
        if data:
            successor.dataReceived(data)
        return True

    def session_over(self, session: Session) -> None:
        """
        This session's connection is gone.
        """
        if session in self.sessions_open:
            self.sessions_open.remove(session)
            if isinstance(session, Http2Session):
                self.traffic.clients.http2_open -= 1
            self.traffic.frontend.in_flight -= 1
            self.traffic.touch(self.traffic.frontend)

    def close_idle(self) -> None:
        """
        Close the connections that wait for a request; the process drains.
        """
        for session in list(self.sessions_open):
            session.close_if_idle()

    def tunnels(self) -> int:
        """
        How many of the connections are upgraded ones.
        """
        return sum(session.is_tunnel for session in self.sessions_open)

    def withdraw(self, server: object, tunnels: bool) -> int:
        """
        The time of what is under way at this server is over.

        Args:
            tunnels: of tunnels and TCP connections too.

        Returns:
            How many were cut.
        """
        return sum(session.withdraw(server, tunnels) for session in list(self.sessions_open))

    def abort_requests(self) -> None:
        """
        Cut what is still open, but no tunnel; the time to drain is over.
        """
        for session in list(self.sessions_open):
            if not session.is_tunnel:
                session.transport.abortConnection()

    def abort_all(self) -> None:
        """
        Cut what is still open; the time of tunnels is over as well.
        """
        for session in list(self.sessions_open):
            session.transport.abortConnection()
