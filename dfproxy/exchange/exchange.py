"""
One request and its response, from route to ending.

An exchange joins a `Downstream` (the client's side of one request, whatever its protocol) and a `ServerConnection`.
It picks the server, retries, counts, and ends exactly once. It keeps the backend with which it began, whatever changes
meanwhile. What it holds is let go when it ends, so that no cycle stays behind.

Longer than other modules, but one thing: each of its parts (request, attempts, answer, tunnel, end) moves the same
state. What can stand alone does: retries' rules, splicing, the client's side.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IDelayedCall

from dfproxy.exchange.bypass import Bypass, Upload
from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.retry import (
    HELD_BYTES,
    IDEMPOTENT,
    LONE_ATTEMPTS,
    LONGEST_LONE_PAUSE_S,
    REASON_OF,
    REPLAY_BYTES,
)
from dfproxy.exchange.seeking import PlaceSeeker
from dfproxy.exchange.splice import LEAST_BYTES
from dfproxy.exchange.traffic import Traffic
from dfproxy.model.ending import (
    CLIENT_GONE,
    COMPLETE,
    CONNECT_FAILED,
    CONNECT_TIMEOUT,
    NO_SERVER,
    SERVER_GARBAGE,
    TUNNEL_CLOSED,
    TUNNEL_IDLE,
    WITHDRAWN,
    Ending,
)
from dfproxy.model.resilience import CUT_RESPONSE
from dfproxy.upstream.http1 import ServerConnection, State
from dfproxy.upstream.live import LiveBackend, LiveServer
from dfproxy.upstream.pool import take_announced, take_for_once
from dfproxy.wire.framing import CHUNKED, chunk
from dfproxy.wire.h1 import RequestHead, ResponseHead, trailer_fields
from dfproxy.wire.proxyprotocol import Announcement, write_header


class Exchange(PlaceSeeker):
    """
    One request and its response.

    Args:
        traffic: what all share.
        downstream: the client's side.
        request: the head.
        backend: where it goes.

    Attributes:
        connection: the connection that carries it; None before and after.
        server: the server of the present attempt; None before and after.
        request_ended: all of the request has been taken over.
        responding: the response has begun.
        over: it has ended.
    """

    __slots__ = (
        "_answer_held",
        "_bypass",
        "_failed_at",
        "_head",
        "_partial",
        "_pause",
        "_pieces",
        "_pieces_bytes",
        "_upload",
        "answered",
        "attempts",
        "backend",
        "bytes_in",
        "bytes_out",
        "connect_s",
        "connection",
        "downstream",
        "over",
        "request",
        "request_ended",
        "responding",
        "server",
        "started",
        "status",
        "traffic",
        "tunnelling",
    )

    def __init__(self, traffic: Traffic, downstream: Downstream, request: RequestHead, backend: LiveBackend) -> None:
        self.traffic = traffic
        self.downstream = downstream
        self.request = request
        self.backend = backend
        self.connection: ServerConnection | None = None
        self.server: LiveServer | None = None
        self._head = b""
        self._partial: tuple[ResponseHead, list[bytes]] | None = None  # an answer that the client has not seen yet
        self._pieces: list[bytes] | None = None  # of the body, sent or not; None: there are none, or too many to keep
        self._pieces_bytes = 0
        self._failed_at: list[LiveServer] | None = None
        self._pause: IDelayedCall | None = None
        self._queued = False
        self._bypass: Bypass | None = None
        self._upload: Upload | None = None
        self._answer_held = False  # by the client, who does not read; also before there is a connection to hold
        self.request_ended = False
        self.responding = False
        self.tunnelling = False
        self.over = False
        self.status = 0
        self.attempts = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.answered = 0.0
        self.started = traffic.monotonic()

    @property
    def backend_name(self) -> str:
        """
        For the log.
        """
        return self.backend.destination.backend_name

    @property
    def server_name(self) -> str:
        """
        For the log; of several that did not accept a connection the last.
        """
        server = self.server or (self._failed_at[-1] if self._failed_at else None)
        return server.name if server is not None else "-"

    # --- the request -----------------------------------------------------------------------------------------

    def begin(self, head: bytes, pieces: Sequence[bytes], ended: bool, trailers: bytes = b"") -> None:
        """
        Send the request.

        Args:
            head: the request's head as the server gets it.
            pieces: what of the body is there already.
            ended: that is all of it.
        """
        self._head = head
        self.request_ended = ended
        if pieces or self.request.body:
            self._pieces = self._framed(pieces, ended, trailers)
            self._pieces_bytes = self.bytes_in
        self._attempt()

    def request_body(self, pieces: Sequence[bytes], ended: bool, trailers: bytes = b"") -> None:
        """
        More of the request's body; `trailers` are checked field lines.
        """
        if self.over:
            return
        framed = self._framed(pieces, ended, trailers)
        self.request_ended = ended
        connection = self.connection
        if connection is not None:
            if framed:
                connection.transport.writeSequence(framed)
            if ended:
                connection.request_sent()
            elif self.responding:
                connection.deadline = self.traffic.deadlines.now + connection.timeout_s  # as HAProxy: both ways count
            if self._pieces is not None:
                self._remember(framed)
            if self.request.body - self.bytes_in >= LEAST_BYTES and self._upload is None:
                self._pass_up(connection)
            return
        if self._pieces is None:
            self._pieces = []
        self._pieces += framed
        self._pieces_bytes = self.bytes_in
        if self._pieces_bytes > self.traffic.limits.relay_buffer_bytes and not ended:
            self.downstream.hold_request()

    def _pass_up(self, connection: ServerConnection) -> None:
        """
        Let the rest of the request's body go past us, if both transports can.
        """
        traffic = self.traffic
        source = self.downstream.splice_from() if traffic.splice else None
        if source is not None:
            upload = Upload(self, connection, self.request.body - self.bytes_in)
            self._upload = upload  # before it starts: it may end at once
            if upload.start(traffic.reactor, traffic.pipes, source):
                self._pieces = None
                self._pieces_bytes = -1  # what goes past us cannot be sent again
            else:
                self._upload = None

    def request_progress(self, blocked: bool) -> None:
        """
        The request goes past us and has moved on, or (`blocked`) the server does not take more for now.
        """
        self.downstream.request_progress(blocked)

    def request_passed(self) -> None:
        """
        All of the request's body is with the server.
        """
        self._upload = None
        self.request_ended = True
        if self.connection is not None:
            self.connection.request_sent()
        self.downstream.request_passed()

    def _framed(self, pieces: Sequence[bytes], ended: bool, trailers: bytes) -> list[bytes]:
        self.bytes_in += sum(map(len, pieces))
        if self.request.body != CHUNKED:
            return list(pieces)
        framed = chunk(list(pieces)) if pieces else []
        if ended:
            framed.append(b"0\r\n%b\r\n" % trailers)
        return framed

    def _remember(self, framed: Sequence[bytes]) -> None:
        assert self._pieces is not None
        self._pieces_bytes = self.bytes_in
        if self._pieces_bytes > REPLAY_BYTES:
            self._pieces = None
            self._pieces_bytes = -1  # forgotten: cannot be sent again
        else:
            self._pieces += framed

    # --- attempts --------------------------------------------------------------------------------------------

    def _attempt(self) -> None:
        """
        Pick a server, get a connection, send what there is of the request.
        """
        backend = self.backend
        if self.downstream.reserved is not None and self._use_reserved():
            return
        try:
            server = backend.pick(self.request)
        except Exception:  # noqa: BLE001  a plugin's fault must not become ours
            backend.balancer_failed()
            server = None
        if self._failed_at is not None:
            if server in self._failed_at:
                server = backend.another(self._failed_at) or server
            if server is not None and server not in self._failed_at:
                self._failed_at[-1].redispatches += 1
        if server is not None and backend.places is not None:
            server = self._place(backend.places, server)
            if server is None:
                return
        if server is None:
            self._fail(NO_SERVER)
            return
        self._take(server)
        idle: list[ServerConnection] = server.idle
        if idle:
            once = self.request.method not in IDEMPOTENT
            connection = take_for_once(server, self.traffic.deadlines.now) if once else idle.pop()
            if connection is not None:
                self._send(connection)
                return
        if backend.announce:
            self._attempt_announced(server)
        else:
            self._since = self.traffic.monotonic()
            self.traffic.connector.connect(server, self)

    def _attempt_announced(self, server: LiveServer) -> None:
        """
        Send the request on a connection that begins with whose it is.
        """
        request = self.request
        here = self.downstream.local_host()
        said = Announcement(request.client_host, request.client_port, request.local_port, here)
        greeting = write_header(self.backend.announce, said)
        once = request.method not in IDEMPOTENT
        connection = take_announced(server, greeting, self.traffic.deadlines.now, once)
        if connection is not None:
            self._send(connection)
        else:
            self._since = self.traffic.monotonic()
            self.traffic.connector.connect(server, self, greeting)

    # --- a place at the server (`PlaceSeeker`)

    @property
    def is_bound(self) -> bool:
        """
        It has come with the cookie of its server.
        """
        return getattr(self.request, "sticky", None) is not None

    def _again(self) -> None:
        self._attempt()

    def _give_up(self, ending: Ending) -> None:
        self._fail(ending)

    def _take(self, server: LiveServer) -> None:
        backend = self.backend
        self.attempts += 1
        self.server = server
        server.in_flight += 1
        if server.in_flight > server.busiest:
            server.busiest = server.in_flight
        if backend.taken is not None:
            try:
                backend.taken(server)
            except Exception:  # noqa: BLE001  a plugin's fault must not become ours
                backend.balancer_failed()

    def _use_reserved(self) -> bool:
        """
        Go on with the connection that belongs to this client, if the request goes to the same backend; else close it.
        """
        reserved, self.downstream.reserved = self.downstream.reserved, None
        if reserved is None or reserved.state is not State.IDLE:
            return False
        server = reserved.server
        if server.backend is not self.backend or not server.present or not reserved.is_current():
            reserved.close_idle()
            return False
        self._take(server)
        self._send(reserved)
        return True

    def reserve(self, connection: ServerConnection) -> None:
        """
        The connection belongs to this client from now on.
        """
        self.downstream.reserve(connection)

    def connected(self, connection: ServerConnection) -> None:
        """
        A new connection is there (`ConnectionWaiter`).
        """
        if self.over:
            connection.keep()  # the client went meanwhile; somebody else can use it
        else:
            self.connect_s = self.traffic.monotonic() - self._since
            self._send(connection)

    def _send(self, connection: ServerConnection) -> None:
        self.connection = connection
        backend = self.backend
        timeout_s = backend.server_timeout_s
        if timeout_s is None:
            timeout_s = self.traffic.limits.server_timeout_s
        request_ended = self.request_ended
        connection.begin(self, self.request.method == b"HEAD", timeout_s, request_ended)
        pieces = self._pieces
        if pieces is None:
            connection.transport.write(self._head)
        else:
            connection.transport.write(b"".join((self._head, *pieces)))
            if self._pieces_bytes > REPLAY_BYTES:
                self._pieces = None
                self._pieces_bytes = -1
        if self._answer_held:
            connection.hold_answer()
        if not request_ended and not connection.writing_held:
            self.downstream.resume_request()

    def connect_failed(self, server: LiveServer, timed_out: bool) -> None:
        """
        No connection to this server (`ConnectionWaiter`).
        """
        if self.over:
            return
        self._release(server, 0.0, failed=True)
        if self._failed_at is None:
            self._failed_at = []
        self._failed_at.append(server)
        ending = CONNECT_TIMEOUT if timed_out else CONNECT_FAILED
        limits = self.traffic.limits
        if self.attempts >= self._most_attempts() or not self.backend.retries_connecting:
            self._fail(ending)
        elif self.backend.another(self._failed_at) is not None:
            server.retries += 1
            self._attempt()
        elif self.attempts < LONE_ATTEMPTS and len(self.backend.waiting) < limits.waiting_exchanges:
            server.retries += 1
            pause_s = min(limits.connect_timeout_s, LONGEST_LONE_PAUSE_S)
            self._pause = self.traffic.clock.callLater(pause_s, self.wake)
            self.backend.waiting.append(self)
        else:
            self._fail(ending)

    def wake(self) -> None:
        """
        Waited long enough, or there is news of the servers: try again.
        """
        if self._stop_waiting() and not self.over:
            self._attempt()

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

    # --- the answer (`AnswerReader`) -------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        if self.request.version:  # RFC 9110 15.2: never to HTTP/1.0
            self.downstream.interim(head)

    def answer(self, head: ResponseHead, pieces: Sequence[bytes], ended: bool) -> None:
        statuses = self.backend.resilience.retry_statuses
        if statuses and head.status in statuses and self._goes_elsewhere():
            connection, self.connection = self.connection, None
            if connection is not None and not ended:
                connection.give_up()
            self._repeat(missing=False)
            return
        if not ended and 0 < head.body <= HELD_BYTES and head.status != 101 and self._may_hold():
            self._partial = (head, list(pieces))
            return
        self.responding = True
        self.status = head.status
        self.answered = self.traffic.monotonic()
        if head.status == 101:
            self._switch(head)
            return
        downstream = self.downstream
        if ended:
            self.connection = None
            for piece in pieces:
                self.bytes_out += len(piece)
            self._finish(COMPLETE)
            downstream.respond(head, pieces, True)
        else:
            for piece in pieces:
                self.bytes_out += len(piece)
            downstream.respond(head, pieces, False)
            connection = self.connection
            if connection is not None and connection.left >= LEAST_BYTES:
                self._pass_by(connection)

    def _may_hold(self) -> bool:
        """
        Should this answer break off another server can be asked.
        """
        backend = self.backend
        return CUT_RESPONSE in backend.resilience.retry_on and len(backend.usable) > 1 and self._is_repeatable()

    def answer_body(self, pieces: Sequence[bytes]) -> None:
        if self._partial is not None:
            self._partial[1].extend(pieces)
            return
        for piece in pieces:
            self.bytes_out += len(piece)
        self.downstream.body(pieces)
        connection = self.connection
        if connection is not None and connection.left >= LEAST_BYTES:
            self._pass_by(connection)

    def _pass_by(self, connection: ServerConnection) -> None:
        """
        Let the rest of the answer's body go past us, if both transports can.
        """
        traffic = self.traffic
        target = self.downstream.splice_into() if traffic.splice else None
        if target is not None:
            bypass = Bypass(self, connection)
            self._bypass = bypass  # before it starts: it may end at once
            if not bypass.start(traffic.reactor, traffic.pipes, target):
                self._bypass = None

    def progress(self, blocked: bool) -> None:
        """
        The answer goes past us and has moved on, or (`blocked`) the client does not take more for now.
        """
        self.downstream.progress(blocked)

    def client_broke(self) -> None:
        """
        Nothing can be sent to the client any more.
        """
        downstream = self.downstream
        self.client_gone()
        downstream.cut()

    def answer_end(self, pieces: Sequence[bytes], trailers: bytes) -> None:
        self.connection = None
        if self._partial is not None:
            (head, held), self._partial = self._partial, None
            self.answer(head, [*held, *pieces], True)
            return
        for piece in pieces:
            self.bytes_out += len(piece)
        fields = trailer_fields(trailers) if trailers else b""
        downstream = self.downstream
        if fields is None:
            self._finish(SERVER_GARBAGE)
            downstream.cut()
            return
        self._finish(COMPLETE)
        downstream.end(pieces, fields)

    def answer_failed(self, ending: Ending, fresh: bool) -> None:
        self.connection = None
        server = self.server
        assert server is not None
        if self.tunnelling:
            downstream = self.downstream
            self._finish(TUNNEL_IDLE if ending is TUNNEL_IDLE else TUNNEL_CLOSED)
            downstream.cut()
            return
        held, self._partial = self._partial, None
        if held is not None:
            if self._goes_elsewhere():
                self._repeat(missing=True)
                return
            self.responding = True
            self.status = held[0].status
            self.downstream.respond(*held, False)
        if fresh and self._is_repeatable():
            self._release(server, 0.0, failed=False)
            server.retries += 1
            self._attempt()
        elif REASON_OF.get(ending) in self.backend.resilience.retry_on and self._goes_elsewhere():
            self._repeat(missing=True)
        else:
            self._fail(ending)

    def _is_repeatable(self) -> bool:
        """
        The request may be sent again, and all of it is still there.
        """
        if self.responding or self._pieces_bytes < 0 or self.request.method not in IDEMPOTENT:
            return False
        return self.attempts < self._most_attempts()

    def _goes_elsewhere(self) -> bool:
        """
        The request may be sent again, there is another server for it, and the budget is not used up.
        """
        server = self.server
        if server is None or not self._is_repeatable():
            return False
        backend = self.backend
        return backend.another([*(self._failed_at or ()), server]) is not None and backend.outliers.may_repeat()

    def _repeat(self, missing: bool) -> None:
        """
        Send it to another server.

        Args:
            missing: this one gave no answer.
        """
        server = self.server
        assert server is not None
        self._failed_at = [*(self._failed_at or ()), server]
        self._release(server, 0.0, failed=True)
        server.retries += 1
        if missing:
            server.response_errors += 1
        self.backend.outliers.misbehaved(server, missing)
        self._attempt()

    # --- tunnels ---------------------------------------------------------------------------------------------

    def _switch(self, head: ResponseHead) -> None:
        connection = self.connection
        assert connection is not None
        offered = self.request.upgrade.lower()
        words = [word.strip() for word in offered.split(b",")]
        if not offered or head.upgrade.lower() not in words or not self.request_ended:
            self.responding = False
            self.connection = None
            connection.give_up()
            self._fail(SERVER_GARBAGE)  # RFC 9110 7.8: only what was offered, once all was received
            return
        self.tunnelling = True
        limit = self.backend.tunnel_timeout_s
        connection.tunnel(self.traffic.limits.tunnel_timeout_s if limit is None else limit)
        self.downstream.respond(head, (), False)

    def from_client(self, data: bytes) -> None:
        """
        Bytes of the tunnel from the client.
        """
        connection = self.connection
        if connection is not None:
            connection.deadline = self.traffic.deadlines.now + connection.timeout_s
            connection.transport.write(data)
            self.bytes_in += len(data)

    def client_half_closed(self) -> None:
        """
        The client sends nothing more through the tunnel.
        """
        if self.connection is not None:
            self.connection.end_sending()

    def tunnel_ended(self) -> None:
        """
        Both sides have ended; what was sent last still arrives.
        """
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.tunnel_ended()
            self._finish(TUNNEL_CLOSED)

    def switched(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self.downstream.switched(data)

    def server_half_closed(self) -> None:
        self.downstream.server_half_closed()

    # --- backpressure ----------------------------------------------------------------------------------------

    def hold_request(self) -> None:
        self.downstream.hold_request()

    def resume_request(self) -> None:
        self.downstream.resume_request()

    def hold_answer(self) -> None:
        """
        The client does not read as fast as servers send.
        """
        self._answer_held = True
        if self.connection is not None:
            self.connection.hold_answer()

    def resume_answer(self) -> None:
        """
        It reads again.
        """
        self._answer_held = False
        if self.connection is not None:
            self.connection.resume_answer()

    # --- the end ---------------------------------------------------------------------------------------------

    def client_gone(self, ending: Ending = CLIENT_GONE) -> None:
        """
        Nobody waits for the answer any more: end the work for it.
        """
        if self.over:
            return
        self._stop_waiting()
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.give_up()
        if self.server is not None and not self.tunnelling:
            self.server.client_aborts += 1
        if not self.responding:
            self.status = ending.status
        self._finish(TUNNEL_CLOSED if self.tunnelling else ending)

    def withdraw(self, gone: object, tunnels: bool) -> int:
        """
        This server is not there any more, and the time for what was under way is over: ask another one, or cut it.

        Args:
            tunnels: cut it even if it is one.

        Returns:
            1 if it was under way there, else 0.
        """
        server = self.server
        if server is None or server is not gone or (self.tunnelling and not tunnels):
            return 0
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.give_up()
        if self._goes_elsewhere():
            self._release(server, 0.0, failed=False)
            server.retries += 1
            self._attempt()
        else:
            self._fail(WITHDRAWN)
        return 1

    def _fail(self, ending: Ending) -> None:
        """
        There is no (complete) answer from a server.
        """
        downstream = self.downstream
        responding = self.responding
        if not responding:
            self.status = ending.status
        self._finish(ending)
        if responding:
            downstream.cut()
        else:
            downstream.refuse(ending)

    def _release(self, server: LiveServer, latency_s: float, failed: bool) -> None:
        server.in_flight -= 1
        self.server = None
        if self.backend.places is not None:
            self.backend.places.released(server)
        if self.backend.released is not None:
            try:
                self.backend.released(server, latency_s, failed)
            except Exception:  # noqa: BLE001  as in `_attempt`
                self.backend.balancer_failed()
        if not server.dirty:
            server.dirty = True
            self.traffic.dirty.append(server)

    def _finish(self, ending: Ending) -> None:
        """
        Count it, and let go of everything.
        """
        self.over = True
        if self._bypass is not None:
            self._bypass.cancel()
            self._bypass = None
        if self._upload is not None:
            self._upload.cancel()
            self._upload = None
        traffic = self.traffic
        log = traffic.access_log
        if log is not None:
            log.add(self, ending, traffic.monotonic())
        server = self.server
        tally = server if server is not None else self.backend.tally
        tally.requests += 1
        status = self.status
        if 200 <= status < 300:
            tally.responses_2xx += 1
        elif status >= 500:
            tally.responses_5xx += 1
        elif status >= 400:
            tally.responses_4xx += 1
        elif status >= 300:
            tally.responses_3xx += 1
        elif status:
            tally.responses_1xx += 1
        else:
            tally.responses_other += 1
        tally.bytes_in += self.bytes_in
        tally.bytes_out += self.bytes_out
        if server is not None:
            latency_s = self.answered - self.started if self.answered else 0.0
            tally.latency_us += int(latency_s * 1e6)
            if ending.server_fault:
                tally.response_errors += 1
                self.backend.outliers.misbehaved(server, True)
            elif status >= 500:
                self.backend.outliers.misbehaved(server, False)
            elif server.conduct.errors:
                server.conduct.good()
            self._release(server, latency_s, ending.server_fault)
        else:
            traffic.touch(tally)
        self._pieces = self._failed_at = self._partial = None
