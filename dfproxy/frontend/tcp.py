"""
One client connection whose bytes are not looked into: a server is picked, connected and joined to it.

Counts as one request. Retries as an exchange does: another server at once, a lone one after a pause. Once both sides
are connected only the time limit of tunnels counts, and it is a tunnel to whoever drains.

Source: contract 5; HAProxy `mode tcp`, `timeout tunnel`, `option redispatch`.
"""

from __future__ import annotations

from socket import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from dfproxy.exchange.relay import Relay, close
from dfproxy.exchange.retry import LONE_ATTEMPTS, LONGEST_LONE_PAUSE_S
from dfproxy.exchange.seeking import PlaceSeeker
from dfproxy.frontend.site import ProxySite
from dfproxy.interfaces import IRequest
from dfproxy.model.ending import (
    CLIENT_GONE,
    CLIENT_STALLED,
    CONNECT_FAILED,
    CONNECT_TIMEOUT,
    NO_SERVER,
    SERVER_CUT,
    SHUTDOWN,
    TUNNEL_CLOSED,
    TUNNEL_IDLE,
    WITHDRAWN,
    Ending,
)
from dfproxy.upstream.live import LiveBackend, LiveServer
from dfproxy.upstream.plain import PlainAttempt
from dfproxy.wire.proxyprotocol import Announcement, write_header


@implementer(IRequest)
class StreamHead:
    """
    What a strategy, and the access log, see of a connection: who it is, and the name that it asks for as the host.
    """

    __slots__ = ("client_host", "client_port", "host", "local_port")

    method = target = path = b""
    version = 1

    def __init__(self, name: bytes, client_host: str, client_port: int, local_port: int) -> None:
        self.host = name
        self.client_host = client_host
        self.client_port = client_port
        self.local_port = local_port

    def values(self, name: bytes) -> list[bytes]:
        """
        See `IRequest`: there are no fields.
        """
        return []


class StreamSession(PlaceSeeker):
    """
    One connection.

    Args:
        site: whose session it is.
        backend: where it goes.
        connection: of the client, not blocking; ours from now on.
        name: that the client asks for; b"": none.
        said: whose connection it is, where that was announced.

    Raises:
        OSError: the client is gone.
    """

    is_tunnel = True
    transport: Any
    __slots__ = (
        "_attempt",
        "_connection",
        "_failed_at",
        "_idle_s",
        "_local",
        "_pause",
        "_peer",
        "_relay",
        "answered",
        "attempts",
        "backend",
        "bytes_in",
        "bytes_out",
        "deadline",
        "over",
        "request",
        "server",
        "site",
        "started",
        "status",
        "traffic",
        "transport",
        "watched",
    )

    def __init__(
        self, site: ProxySite, backend: LiveBackend, connection: socket, name: bytes, said: Announcement
    ) -> None:
        self.site = site
        self.traffic = site.traffic
        self.backend = backend
        self.transport = self
        self._peer = connection.getpeername()[:2]
        self._local = connection.getsockname()[:2]
        if said.host:
            self._peer, self._local = (said.host, said.port), (said.local_host, said.local_port)
        self._connection = connection
        self.request = StreamHead(name, self._peer[0], self._peer[1], self._local[1])
        self.server: LiveServer | None = None
        self._attempt: PlainAttempt | None = None
        self._failed_at: list[LiveServer] = []
        self._pause: IDelayedCall | None = None
        self._relay: Relay | None = None
        self._queued = False
        self._idle_s = 0.0
        self.over = False
        self.status = self.attempts = self.bytes_in = self.bytes_out = 0
        self.answered = 0.0
        self.started = self.traffic.monotonic()
        self.deadline = 0.0
        self.watched: object = False

    # --- as a session ------------------------------------------------------------------------------------------

    def getPeer(self) -> IPv4Address | IPv6Address:
        """
        The client.
        """
        return _address(self._peer)

    def getHost(self) -> IPv4Address | IPv6Address:
        """
        What it connected to.
        """
        return _address(self._local)

    def close_if_idle(self) -> None:
        """
        Nobody knows whether it is idle: tunnels are waited for.
        """

    def abortConnection(self) -> None:
        """
        Cut it: the time to drain is over.
        """
        self._end(SHUTDOWN, reset=True)

    def withdraw(self, server: object, tunnels: bool) -> int:
        """
        See `Session`.
        """
        if not tunnels or self.server is not server or self.over:
            return 0
        self._end(WITHDRAWN, reset=True)
        return 1

    @property
    def backend_name(self) -> str:
        """
        For the log.
        """
        return self.backend.destination.backend_name

    @property
    def server_name(self) -> str:
        """
        For the log.
        """
        return self.server.name if self.server is not None else "-"

    # --- attempts ----------------------------------------------------------------------------------------------

    def begin(self, client_timeout_s: float) -> None:
        """
        Find it a server.

        Args:
            client_timeout_s: how long that may take in all, besides the time in the queue.
        """
        deadlines = self.traffic.deadlines
        self.deadline = deadlines.now + client_timeout_s
        deadlines.watch(self)
        self._try()

    def _try(self) -> None:
        backend = self.backend
        try:
            server = backend.pick(self.request)
        except Exception:  # noqa: BLE001  a plugin's fault must not become ours
            backend.balancer_failed()
            server = None
        if server in self._failed_at:
            server = backend.another(self._failed_at) or server
        if server is not None and backend.places is not None:
            server = self._place(backend.places, server)
            if server is None:
                if self._queued:
                    self.deadline += backend.places.timeout_s
                return
        if server is None:
            self._end(NO_SERVER)
            return
        self.attempts += 1
        self.server = server
        server.in_flight += 1
        if backend.taken is not None:
            try:
                backend.taken(server)
            except Exception:  # noqa: BLE001  a plugin's fault must not become ours
                backend.balancer_failed()
        self.traffic.touch(server)
        traffic = self.traffic
        self._attempt = attempt = PlainAttempt(
            traffic.poller, traffic.deadlines, traffic.limits.connect_timeout_s, server, self
        )
        attempt.begin()

    def _again(self) -> None:
        self._try()

    def _give_up(self, ending: Ending) -> None:
        self._end(ending)

    def connected(self, connection: socket) -> None:
        """
        See `SocketWaiter`.
        """
        self._attempt = None
        if self.server is not None:
            self.server.requests += 1
        self.answered = self.traffic.monotonic()
        limit, limits = self.backend.tunnel_timeout_s, self.traffic.limits
        self._idle_s = limits.tunnel_timeout_s if limit is None else limit
        self.deadline = self.traffic.deadlines.now + self._idle_s
        self._relay = Relay(self.traffic.relays, self._connection, connection, self.opening(), self)
        self._relay.start()

    def opening(self) -> bytes:
        """
        What the server is sent before anything of the client's: the header that says whose connection it is.
        """
        announce = self.backend.destination.announce
        if not announce:
            return b""
        return write_header(announce, Announcement(self._peer[0], self._peer[1], self._local[1], self._local[0]))

    def connect_failed(self, server: LiveServer, timed_out: bool, reason: str) -> None:
        """
        See `SocketWaiter`.
        """
        self._attempt = None
        self._release(server, 0.0, failed=True)
        self._failed_at.append(server)
        backend, limits = self.backend, self.traffic.limits
        ending = CONNECT_TIMEOUT if timed_out else CONNECT_FAILED
        if self.attempts >= self._most_attempts() or not backend.retries_connecting:
            self._end(ending)
        elif backend.another(self._failed_at) is not None:
            server.retries += 1
            self._try()
        elif self.attempts < LONE_ATTEMPTS and len(backend.waiting) < limits.waiting_exchanges:
            server.retries += 1
            pause_s = min(limits.connect_timeout_s, LONGEST_LONE_PAUSE_S)
            self._pause = self.traffic.clock.callLater(pause_s, self.wake)
            backend.waiting.append(self)
        else:
            self._end(ending)

    def wake(self) -> None:
        """
        Waited long enough, or there is news of the servers: try again.
        """
        if self._stop_waiting() and not self.over:
            self._try()

    def _stop_waiting(self) -> bool:
        self._stop_queueing()
        pause, self._pause = self._pause, None
        if pause is None:
            return False
        if pause.active():
            pause.cancel()
        if self in self.backend.waiting:
            self.backend.waiting.remove(self)
        return True

    # --- while it runs -----------------------------------------------------------------------------------------

    def relayed(self, up: int, down: int) -> None:
        """
        See `Owner`.
        """
        self.bytes_in += up
        self.bytes_out += down
        self.deadline = self.traffic.deadlines.now + self._idle_s
        server = self.server
        assert server is not None
        server.bytes_in += up
        server.bytes_out += down
        if not server.dirty:
            server.dirty = True
            self.traffic.dirty.append(server)

    def relay_ended(self, broken: str) -> None:
        """
        See `Owner`.
        """
        self._relay = None
        if not broken:
            self._end(TUNNEL_CLOSED)
        else:
            self._end(CLIENT_GONE if broken == "client" else SERVER_CUT)

    def expired(self) -> None:
        """
        Nothing has happened for too long.
        """
        self._end(TUNNEL_IDLE if self._relay is not None else CLIENT_STALLED)

    # --- the end -----------------------------------------------------------------------------------------------

    def _release(self, server: LiveServer, latency_s: float, failed: bool) -> None:
        server.in_flight -= 1
        self.server = None
        if self.backend.places is not None:
            self.backend.places.released(server)
        if self.backend.released is not None:
            try:
                self.backend.released(server, latency_s, failed)
            except Exception:  # noqa: BLE001  a plugin's fault must not become ours
                self.backend.balancer_failed()
        self.traffic.touch(server)

    def _end(self, ending: Ending, reset: bool = False) -> None:
        """
        Count it, and let go of everything.
        """
        if self.over:
            return
        self.over = True
        traffic = self.traffic
        traffic.deadlines.forget(self)
        self._stop_waiting()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.cut(reset)
        else:
            close(self._connection, reset)
        if traffic.access_log is not None:
            traffic.access_log.add(self, ending, traffic.monotonic())
        server = self.server
        if server is not None:
            if ending is CLIENT_GONE:
                server.client_aborts += 1
            if ending.server_fault:
                server.response_errors += 1
            latency_s = self.answered - self.started if self.answered else 0.0
            server.latency_us += int(latency_s * 1e6)
            self._release(server, latency_s, ending.server_fault)
        else:
            self.backend.tally.requests += 1
            self.backend.tally.connect_errors += ending is NO_SERVER
            traffic.touch(self.backend.tally)
        self.site.session_over(self)
        self.transport = None  # or it would wait for the garbage collector


def _address(pair: tuple[str, int]) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in pair[0] else IPv4Address)("TCP", *pair)
