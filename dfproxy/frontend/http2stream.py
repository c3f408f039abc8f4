"""
One stream of an HTTP/2 connection: the client's side of one exchange (`dfproxy.exchange.downstream`).

What a window or a full connection keeps from being sent waits here and holds the answer's own server, nobody else's. A
request's body gives the client's window back only as its server takes it.

Longer than other modules, but one thing: the state of one stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import Protocol as Interface

from dfproxy.deadlines import NEVER, Deadlines
from dfproxy.exchange.exchange import Exchange
from dfproxy.frontend.answers import page
from dfproxy.frontend.errorpages import media_type
from dfproxy.frontend.http1 import LINGER_S, Frontend
from dfproxy.model.ending import CLIENT_GONE, CLIENT_STALLED, REQUEST_BODY_TIMEOUT, Ending
from dfproxy.transport import Stream
from dfproxy.upstream.http1 import ServerConnection
from dfproxy.wire.framing import joined
from dfproxy.wire.h1 import RequestHead, ResponseHead
from dfproxy.wire.h2 import ServerSide
from dfproxy.wire.h2fields import FieldWriter
from dfproxy.wire.h2frames import CANCEL, INTERNAL_ERROR, NO_ERROR
from dfproxy.wire.h2sending import StreamState
from dfproxy.wire.hpack import Field
from dfproxy.wire.proxyprotocol import Announcement, here_of

LARGE_BYTES = 65536
"""
So much of an answer is written at once, not at the end of the turn: servers may say megabytes each in one turn, and
only what is written can show that the client does not read.
"""


class Session(Interface):
    """
    The connection of a stream (`dfproxy.frontend.http2`).

    Attributes:
        frontend: whose it is.
        transport: its transport.
        announced: as of `dfproxy.frontend.http1.Http1Session`.
        side: the protocol.
        writer: of fields.
        deadlines: the wheel.
        client_timeout_s: how long the client may do nothing.
        forwarded: what each request of this client gets besides, with the end of the head.
        waiting: streams with something to send that a window or the connection does not take.
        blocked: the client does not read.
    """

    frontend: Frontend
    transport: Stream
    announced: Announcement | None
    side: ServerSide[Any]
    writer: FieldWriter
    deadlines: Deadlines
    client_timeout_s: float
    forwarded: bytes
    waiting: dict[int, Http2Stream]
    blocked: bool

    def soon(self) -> None:
        """
        There is something to write.
        """

    def flush(self) -> None:
        """
        Write it now.
        """

    def stream_over(self) -> None:
        """
        A stream has ended.
        """

    def withhold(self, count: int) -> bool:
        """
        So many bytes wait for their servers, or (negative) no longer do.

        Returns:
            Whether others may go on meanwhile; false: they are not counted.
        """

    def refused(self, request: RequestHead | None, status: int) -> None:
        """
        A request had no exchange.
        """


class Http2Stream(StreamState):
    """
    One stream.

    Args:
        session: whose it is.
        request: its head.
        status: what to answer at once; 0: hand it to a server.

    Attributes:
        over: nothing more is said or heard on it.
        ready: the session will call `deliver`.
        deadline: when it takes too long (`Expiring`).
        watched: looked at by the wheel.
    """

    # As in `StreamState`: set where they differ.
    over = False
    ready = True
    deadline = NEVER
    watched: object = False
    reserved: ServerConnection | None = None  # never: see `reserve`
    _exchange: Exchange | None = None
    _begun = False
    _responding = False
    _pieces: list[bytes] | None = None  # of the request, not delivered yet
    _trailers = b""
    _held = False  # the request, by its server
    _owed_stream = _owed_connection = 0  # of windows, while it is held
    _holding = False  # the answer, by us
    _queue: list[bytes] | None = None  # of the answer, not sent yet
    _ending = False  # the queue holds the end
    _trailers_out = b""

    def __init__(self, session: Session, request: RequestHead, status: int) -> None:
        self._session = session
        self._request = request
        self._status = status
        self.expected = request.body

    @property
    def transport(self) -> Stream:
        """
        The connection that it is on.
        """
        return self._session.transport

    # --- the request -----------------------------------------------------------------------------------------

    def received(self, data: bytes) -> bool:
        """
        More of the body has come.

        Returns:
            Whether the session has to call `deliver`, and does not know yet.
        """
        if self._pieces is None:
            self._pieces = [data]
        else:
            self._pieces.append(data)
        ready, self.ready = self.ready, True
        return not ready

    def completed(self, trailers: bytes) -> bool:
        """
        The end of the body has come alone, or checked trailer lines.

        Returns:
            As `received`.
        """
        self._trailers = trailers
        ready, self.ready = self.ready, True
        return not ready

    def deliver(self) -> None:
        """
        Hand on what has come.
        """
        self.ready = False
        if self.over:
            return
        pieces, self._pieces = self._pieces, None
        if pieces:
            pieces = joined(pieces)
        if not self._begun:
            self._begun = True
            self._begin(pieces or ())
        elif self._exchange is not None:
            self._exchange.request_body(pieces or (), self.remote_ended, self._trailers)
        if pieces:
            self._give(sum(map(len, pieces)))
        if self.remote_ended:
            if self._queue is None:
                self.deadline = NEVER
        elif not self.over and not self._held:
            self._wait()

    def _begin(self, pieces: Sequence[bytes]) -> None:
        if self._status:
            self._refuse(self._status)
            return
        session, request = self._session, self._request
        exchange = session.frontend.resource.exchange(self, request)
        if exchange is None:
            self._refuse(503)
            return
        self._exchange = exchange
        if session.blocked:
            self.hold()
        prefix = exchange.backend.prefix
        target = prefix + request.target if prefix else request.target
        head = b"%b %b HTTP/1.1\r\n%b%b%b" % (request.method, target, request.kept, request.added, session.forwarded)
        exchange.begin(head, pieces, self.remote_ended, self._trailers)

    def _give(self, count: int) -> None:
        """
        Let the client send as many bytes more, now or once the server goes on.
        """
        session = self._session
        if self._held:
            self._owed_stream += count
            if session.withhold(count):
                session.side.give(count)
            else:
                self._owed_connection += count
        elif self.over:
            session.side.give(count)
        else:
            session.side.taken(self, count)

    def hold_request(self) -> None:
        if not self.over:
            self._held = True
            if self._queue is None:
                self.deadline = NEVER  # not the client's fault

    def resume_request(self) -> None:
        if not self._held:
            return
        self._held = False
        owed, self._owed_stream = self._owed_stream, 0
        self._settle(owed)
        if not self.over:
            self._session.side.give_stream(self, owed)
            if not self.remote_ended:
                self._wait()
        self._session.soon()

    def _settle(self, owed: int) -> None:
        """
        What was held back of the connection's window is given.
        """
        owed_connection, self._owed_connection = self._owed_connection, 0
        self._session.withhold(owed_connection - owed)
        if owed_connection:
            self._session.side.give(owed_connection)

    # --- the answer (`Downstream`) ---------------------------------------------------------------------------

    def local_host(self) -> str:
        return here_of(self._session.transport, self._session.announced)

    def reserve(self, connection: ServerConnection) -> None:
        connection.close_idle()  # streams share one client connection: nothing here can belong to one request

    def interim(self, head: ResponseHead) -> None:
        session = self._session
        session.side.headers(self, session.writer.response(head), False)
        session.soon()

    def respond(self, head: ResponseHead, pieces: Sequence[bytes], ended: bool) -> None:
        session = self._session
        key = (head.status, head.kept)
        if ended:
            self._exchange = None
            whole = b"" if not pieces else pieces[0] if len(pieces) == 1 and not session.blocked else None
            if session.side.answer(self, key, session.writer.response, head, whole):
                self._done()
                return
        else:
            session.side.answer(self, key, session.writer.response, head, None)
        self._responding = True
        if pieces:
            self._send(pieces, ended, b"")
        else:
            session.soon()

    def body(self, pieces: Sequence[bytes]) -> None:
        self._send(pieces, False, b"")

    def end(self, pieces: Sequence[bytes], trailers: bytes) -> None:
        self._exchange = None
        self._send(pieces, True, trailers)

    def refuse(self, ending: Ending) -> None:
        self._exchange = None
        self._answer(ending.status, ending.retry_after_s)

    def withdraw(self, server: object, tunnels: bool) -> int:
        """
        See `Session`.
        """
        return 0 if self._exchange is None else self._exchange.withdraw(server, tunnels)

    def cut(self) -> None:
        self._exchange = None
        self._reset(INTERNAL_ERROR)

    def _refuse(self, status: int) -> None:
        """
        Answer ourselves, before there was an exchange.
        """
        self._session.refused(self._request, status)
        self._answer(status)

    def _answer(self, status: int, retry_after_s: int = 0) -> None:
        self._responding = True
        pages = self._session.frontend.traffic.pages
        text = page(status, pages)
        fields: list[Field] = [
            (b":status", b"%d" % status, False),
            (b"content-length", b"%d" % len(text), False),
            (b"cache-control", b"no-cache", False),
            (b"content-type", media_type(pages, status), False),
        ]
        if retry_after_s:
            fields.append((b"retry-after", b"%d" % retry_after_s, False))
        if self._request.method == b"HEAD":
            self._session.side.headers(self, fields, True)
            self._done()
        else:
            self._session.side.headers(self, fields, False)
            self._send((text,), True, b"")

    def _send(self, pieces: Sequence[bytes], ended: bool, trailers: bytes) -> None:
        session = self._session
        if self._queue is None and not session.blocked:
            rest = self._send_now(pieces, ended, trailers)
            if rest is None:
                return
        else:
            rest = [*self._queue, *pieces] if self._queue else list(pieces)
        self._queue = rest
        self._ending = ended
        self._trailers_out = trailers
        session.waiting[self.number] = self
        if not ended:
            self.hold()
        self._wait()
        session.soon()

    def _send_now(self, pieces: Sequence[bytes], ended: bool, trailers: bytes) -> list[bytes] | None:
        """
        Send what can be sent.

        Returns:
            The rest; None if there is none, and if that was all, the stream is over.
        """
        session = self._session
        if pieces or not trailers:
            rest = session.side.data(self, pieces, ended and not trailers)
            if sum(map(len, pieces)) >= LARGE_BYTES:
                session.flush()
            if rest is not None:
                return rest
        if not ended:
            session.soon()
            return None
        if trailers:
            session.side.headers(self, session.writer.trailers(trailers), True)
        self._done()
        return None

    def pump(self) -> None:
        """
        More can be sent.
        """
        queue = self._queue
        if queue is None or self._session.blocked:
            return
        before = self.send_window
        rest = self._send_now(queue, self._ending, self._trailers_out)
        if rest is None:
            self._queue = None
            self._session.waiting.pop(self.number, None)
            if not self.over:
                self.deadline = NEVER
                if not self.remote_ended and not self._held:
                    self._wait()
                self.release()
        else:
            self._queue = rest
            if self.send_window != before:
                self._wait()

    def hold(self) -> None:
        """
        The client does not take the answer as fast as it comes.
        """
        if not self._holding and self._exchange is not None:
            self._holding = True
            self._exchange.hold_answer()

    def release(self) -> None:
        """
        It takes it again, unless something still waits.
        """
        if self._holding and self._queue is None:
            self._holding = False
            if self._exchange is not None:
                self._exchange.resume_answer()

    # --- the end ---------------------------------------------------------------------------------------------

    def _done(self) -> None:
        """
        The answer is complete.
        """
        self._let_go()
        if not self.remote_ended:
            # An answer before the end of the request. To reset the stream at once would take the answer with it at some
            # clients (curl 7.88); meanwhile the rest is read as far as the window goes, and dropped.
            session = self._session
            self.deadline = session.deadlines.now + LINGER_S
            session.deadlines.watch(self)
        self._session.stream_over()

    def gone(self, ending: Ending = CLIENT_GONE) -> None:
        """
        The client does not want it any more.
        """
        exchange, self._exchange = self._exchange, None
        self._let_go()
        if exchange is not None:
            exchange.client_gone(ending)

    def _reset(self, code: int) -> None:
        self._session.side.reset(self, code)
        self._let_go()
        self._session.stream_over()

    def _let_go(self) -> None:
        self.over = True
        self._session.deadlines.forget(self)
        if self._queue is not None:
            self._session.waiting.pop(self.number, None)
            self._queue = None
        if self._owed_stream:
            owed, self._owed_stream = self._owed_stream, 0
            self._settle(owed)

    # --- time ------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """
        From now on the client has to move.
        """
        session = self._session
        self.deadline = session.deadlines.now + session.client_timeout_s
        if not self.watched:
            session.deadlines.watch(self)

    def touch(self) -> None:
        """
        A part of a frame of the body has come.
        """
        if not self.over and self._queue is None and not self._held:
            self._wait()

    def expired(self) -> None:
        session = self._session
        if self.over:
            self._reset(NO_ERROR)  # RFC 9113 8.1
        elif self._queue is not None:
            if self.send_window > 0 or session.blocked:
                self._wait()  # the connection is the narrow place; the session watches it
                return
            self._fail(CLIENT_STALLED)
            self._reset(CANCEL)
        else:
            self._fail(REQUEST_BODY_TIMEOUT)
            if self._responding:
                self._reset(CANCEL)
            else:
                self._answer(408)

    def _fail(self, ending: Ending) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone(ending)

    # --- what HTTP/2 does not have ---------------------------------------------------------------------------

    def switched(self, data: bytes) -> None:
        """
        No tunnels: upgrades are never offered.
        """

    def server_half_closed(self) -> None:
        """
        Likewise.
        """

    def splice_into(self) -> None:
        """
        Bodies are framed.
        """

    def splice_from(self) -> None:
        """
        Likewise.
        """

    def progress(self, blocked: bool) -> None:
        """
        Nothing is spliced.
        """

    def request_progress(self, blocked: bool) -> None:
        """
        Likewise.
        """

    def request_passed(self) -> None:
        """
        Likewise.
        """
