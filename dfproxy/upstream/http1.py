"""
One HTTP/1 connection to a server: the client's side of the wire.

It carries one exchange at a time and is kept for the next when both sides allow it. It decides where the answer ends
and what is no answer; what becomes of either is the exchange's affair (`AnswerReader`).

Longer than other modules, but one thing: the state of one connection, which every part of it moves.

Source: RFC 9112 sections 6, 7 and 9; HAProxy `http-reuse`.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol as Interface

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.deadlines import NEVER, Deadlines
from dfproxy.errors import ServerProtocolError
from dfproxy.model.ending import (
    SERVER_CLOSED,
    SERVER_CUT,
    SERVER_GARBAGE,
    SERVER_STALLED,
    SERVER_TIMEOUT,
    TUNNEL_IDLE,
    Ending,
)
from dfproxy.model.settings import Limits
from dfproxy.transport import Stream
from dfproxy.upstream.live import LiveServer
from dfproxy.wire.framing import CHUNKED, NO_BODY, UNTIL_CLOSE, ChunkedDecoder, ChunkError
from dfproxy.wire.h1 import ResponseHead, binds_connection, response_head

EARLY_S = 1.0
"""
A server that closes a kept connection within so many seconds of its answer, without having said so, closes early.
"""


class AnswerReader(Interface):
    """
    What an exchange is to its connection. All calls for one exchange come in this order: any number of `interim`,
    one `answer`, any number of `answer_body`, one `answer_end`; or at any point `answer_failed`, which is the last.
    The connection has let go of the exchange before the last call.
    """

    def interim(self, head: ResponseHead) -> None:
        """
        A 1xx other than 101.
        """

    def answer(self, head: ResponseHead, pieces: Sequence[bytes], ended: bool) -> None:
        """
        The head, and what of the body came with it; `ended`: that is all of it, and there are no trailers.
        """

    def answer_body(self, pieces: Sequence[bytes]) -> None:
        """
        More of the body.
        """

    def answer_end(self, pieces: Sequence[bytes], trailers: bytes) -> None:
        """
        The rest of the body; `trailers` is the trailer section as it came, or b"".
        """

    def reserve(self, connection: ServerConnection) -> None:
        """
        The answer is complete, and the connection belongs to this client from now on: it is idle and in no pool.
        """

    def answer_failed(self, ending: Ending, fresh: bool) -> None:
        """
        There will be no (more) answer. `fresh`: not a byte had come, and the connection had been kept idle before.
        """

    def switched(self, data: bytes) -> None:
        """
        Bytes of a tunnel.
        """

    def server_half_closed(self) -> None:
        """
        The server sends nothing more through the tunnel.
        """

    def hold_request(self) -> None:
        """
        The server does not read as fast as it is sent to: stop for now.
        """

    def resume_request(self) -> None:
        """
        It reads again.
        """


class State(Enum):
    """
    What the connection waits for.
    """

    IDLE = "idle"
    HEAD = "head"
    LENGTH = "length"
    CHUNKS = "chunks"
    CLOSE = "close"
    TUNNEL = "tunnel"
    OVER = "over"


_IDLE, _HEAD, _LENGTH, _CHUNKS, _CLOSE, _TUNNEL, _OVER = State  # names of this module: looked up faster


@implementer(IHalfCloseableProtocol, IPushProducer)
class ServerConnection(Protocol):
    """
    A connection to one server.

    Args:
        server: whose it is.
        limits: sizes and times.
        deadlines: the wheel.

    Attributes:
        on_made: called once with it when it is connected.
        state: what it waits for.
        left: bytes of the body still to come in state LENGTH; 0 in every other.
        reading_held: the client does not read, so neither do we.
        timeout_s: how long the server may be silent in this exchange.
        deadline: when it is too late (`Expiring`).
        watched: looked at by the wheel.
        writing_held: the server does not read, so we send no more for now.
        answers: complete ones that it has given.
        tls: how the server was spoken to when it was made; None: plainly.
        announced: the version of the PROXY protocol that it began with; 0: none.
        greeting: the header that it began with: it goes on with the client named there only; b"": none.
        ended_at: when the last one ended, in seconds of the wheel; -1.0: it was never kept.
    """

    __slots__ = (
        "_bodiless",
        "_bound",
        "_buffer",
        "_deadlines",
        "_decoder",
        "_exchange",
        "_interims",
        "_keep_alive",
        "_limits",
        "_request_sent",
        "_resting",
        "_unsent",
        "announced",
        "answers",
        "deadline",
        "ended_at",
        "greeting",
        "left",
        "on_made",
        "reading_held",
        "server",
        "state",
        "timeout_s",
        "tls",
        "transport",
        "watched",
        "writing_held",
    )

    transport: Stream  # type: ignore[assignment]  # what we use of it
    on_made: Callable[[ServerConnection], None] | None

    def __init__(self, server: LiveServer, limits: Limits, deadlines: Deadlines) -> None:
        self.on_made = None
        self.server = server
        self.state = _IDLE
        self.left = 0
        self.timeout_s = limits.server_timeout_s
        self.deadline = NEVER
        self.watched: object = False
        self._limits = limits
        self._deadlines = deadlines
        self._exchange: AnswerReader | None = None
        self._buffer = b""
        self._bodiless = False
        self._bound = False  # it belongs to one client
        self._keep_alive = False
        self._request_sent = False
        self._decoder: ChunkedDecoder | None = None
        self.answers = 0
        self.ended_at = -1.0
        self._interims = 0
        self._resting = False  # others come first: there was much to read
        self.reading_held = False
        self.writing_held = False
        self.tls: object = None
        self.announced = 0
        self.greeting = b""
        self._unsent = 0

    # --- the exchange's side ---------------------------------------------------------------------------------

    def begin(self, exchange: AnswerReader, bodiless: bool, timeout_s: float, sent: bool) -> None:
        """
        Carry this exchange from now on.

        Args:
            bodiless: its answer has no body (HEAD).
            timeout_s: how long the server may be silent.
            sent: the request is complete with what is written next; else `request_sent` follows.
        """
        self._exchange = exchange
        self._bodiless = bodiless
        self.timeout_s = timeout_s
        self.state = _HEAD
        self._interims = 0
        self._request_sent = sent
        self.deadline = self._deadlines.now + timeout_s if sent else NEVER
        if self.writing_held:
            exchange.hold_request()

    def request_sent(self) -> None:
        """
        The request is complete: from now on the server is the one that is waited for.
        """
        self._request_sent = True
        self.deadline = self._deadlines.now + self.timeout_s

    def tunnel(self, timeout_s: float) -> None:
        """
        After 101: bytes both ways; each moves the deadline.
        """
        self.state = _TUNNEL
        self.timeout_s = timeout_s
        self.deadline = self._deadlines.now + timeout_s

    def end_sending(self) -> None:
        """
        Nothing more is sent through the tunnel.
        """
        self.transport.unregisterProducer()  # a half-close waits until nobody produces (ITCPTransport)
        self.transport.loseWriteConnection()

    def tunnel_ended(self) -> None:
        """
        Neither side sends more: close once what was sent is on its way.
        """
        self._exchange = None
        self._close()

    def give_up(self) -> None:
        """
        The exchange does not want (the rest of) the answer.
        """
        self._exchange = None
        self._close(abort=True)

    def hold_answer(self) -> None:
        """
        The client does not read: stop reading. While held the server is not to blame for silence.
        """
        if not self.reading_held and self.state is not _OVER:
            self.reading_held = True
            self.deadline = NEVER
            if not self._resting:
                self.transport.pauseProducing()

    def resume_answer(self) -> None:
        """
        The client reads again.
        """
        if self.reading_held and self.state is not _OVER:
            self.reading_held = False
            if self._request_sent or self.state is _TUNNEL:
                self.deadline = self._deadlines.now + self.timeout_s
            if not self._resting:
                self.transport.resumeProducing()

    # --- the pool's side -------------------------------------------------------------------------------------

    def is_quiet(self) -> bool:
        """
        Whether nothing has come on it, not even its end.
        """
        waiting = select.poll()
        try:
            # Beneath TLS too: an end, or at most a late ticket, and then a new connection is made for nothing.
            waiting.register(self.transport.fileno(), select.POLLIN)  # type: ignore[attr-defined]  # asked for by name
        except (AttributeError, OSError, ValueError):
            return True  # a transport without a socket (tests), or one that is just going
        return not waiting.poll(0)

    def keep(self) -> None:
        """
        Put it among the server's idle connections, or close it if there are enough.
        """
        server = self.server
        idle = server.idle
        now = self._deadlines.now
        if len(idle) >= self._limits.idle_upstreams and not self._is_needed(now) or not server.present:
            self._close()
            return
        if not self.is_current():
            self._close()  # servers are spoken to otherwise by now
            return
        self.state = _IDLE
        self.ended_at = now
        self.deadline = now + self._limits.idle_upstream_s
        if self.greeting:
            # A client's connection is not idle for longer.
            self.deadline = min(self.deadline, now + self._limits.keep_alive_timeout_s)
            surplus = server.private.keep(self, self._limits.idle_upstreams)
            if surplus is not None:
                surplus.close_idle()
        else:
            idle.append(self)

    def is_current(self) -> bool:
        """
        Whether its server is still spoken to as it was when this was made.
        """
        backend = self.server.backend
        return self.tls is backend.tls and self.announced == backend.announce

    def _is_needed(self, now: float) -> bool:
        """
        Whether more than the usual number of connections were busy at once lately: closing one now would mean opening
        one with the next request (HAProxy `pool-low-conn` looks at the same).
        """
        server = self.server
        if now - server.busiest_since > self._limits.idle_upstream_s:
            server.busiest = server.in_flight + 1
            server.busiest_since = now
        return len(server.idle) + server.in_flight <= server.busiest  # this one still counts as in flight

    def close_idle(self) -> None:
        """
        Close it; it is in no pool any more.
        """
        self._close()

    # --- Twisted's side --------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        limits = getattr(self.transport, "setBufferLimits", None)
        if limits is not None:
            limits(self._limits.relay_buffer_bytes)
        self.transport.registerProducer(self, True)
        self._deadlines.watch(self)
        made, self.on_made = self.on_made, None
        if made is not None:
            made(self)

    def dataReceived(self, data: bytes) -> None:
        state = self.state
        if state is _HEAD:
            if self._buffer:
                data = self._buffer + data
                self._buffer = b""
            self._read_head(data)
        elif state is _LENGTH:
            self.deadline = self._deadlines.now + self.timeout_s
            left = self.left - len(data)
            if left > 0:
                self.left = left
                self._exchange.answer_body((data,))  # type: ignore[union-attr]  # all states but IDLE and OVER have one
            elif left == 0:
                self._done((data,), b"")
            else:
                self._keep_alive = False  # more than was announced: nothing after it can be trusted
                self._done((data[:left],), b"")
        elif state is _CHUNKS:
            self.deadline = self._deadlines.now + self.timeout_s
            self._read_chunks(data)
        elif state is _CLOSE:
            self.deadline = self._deadlines.now + self.timeout_s
            self._exchange.answer_body((data,))  # type: ignore[union-attr]  # as above
        elif state is _TUNNEL:
            self.deadline = self._deadlines.now + self.timeout_s
            self._exchange.switched(data)  # type: ignore[union-attr]  # as above
        elif state is _IDLE:
            self._leave_pool()
            self._close(abort=True)  # an answer that nobody asked for

    def _read_head(self, data: bytes) -> None:
        limits = self._limits
        try:
            found = response_head(data, self._bodiless, limits.response_head_bytes, limits.fields)
        except ServerProtocolError:
            self._failed(SERVER_GARBAGE)
            return
        if found is None:
            self._buffer = data
            return
        head, end = found
        exchange = self._exchange
        assert exchange is not None
        body = head.body
        if head.status < 200:
            if self._request_sent:
                self.deadline = self._deadlines.now + self.timeout_s
            self._read_interim(exchange, head, data[end:])
            return
        self.deadline = self._deadlines.now + self.timeout_s
        self._keep_alive = head.keep_alive and self._request_sent
        if head.status in (401, 407) and binds_connection(head):
            self._bound = True
        if body > 0:
            rest = data[end:]
            left = body - len(rest)
            if left > 0:
                self.state = _LENGTH
                self.left = left
                exchange.answer(head, (rest,) if rest else (), False)
                return
            if left < 0:
                self._keep_alive = False
                rest = rest[:left]
            self._let_go()
            exchange.answer(head, (rest,), True)
        elif body == NO_BODY:
            if len(data) > end:
                self._keep_alive = False
            self._let_go()
            exchange.answer(head, (), True)
        else:
            rest = data[end:]
            if body == UNTIL_CLOSE:
                self.state = _CLOSE
                exchange.answer(head, (rest,) if rest else (), False)
            else:
                self.state = _CHUNKS
                self._decoder = ChunkedDecoder(limits.chunk_extension_bytes, limits.trailer_bytes)
                exchange.answer(head, (), False)
                if rest and self._exchange is exchange:
                    self._read_chunks(rest)

    def _read_interim(self, exchange: AnswerReader, head: ResponseHead, rest: bytes) -> None:
        if head.status == 101:
            exchange.answer(head, (), False)  # the exchange calls `tunnel`, or gives up
            if rest and self.state is _TUNNEL:
                exchange.switched(rest)
            return
        self._interims += 1
        if self._interims > self._limits.interim_answers:
            self._failed(SERVER_GARBAGE)
            return
        exchange.interim(head)
        if rest and self.state is _HEAD:
            self._read_head(rest)

    def _read_chunks(self, data: bytes) -> None:
        decoder = self._decoder
        assert decoder is not None and self._exchange is not None
        try:
            pieces = decoder.feed(data)
        except ChunkError:
            self._failed(SERVER_GARBAGE)
            return
        if decoder.finished:
            if decoder.rest:
                self._keep_alive = False
            self._done(pieces, decoder.trailers)
            return
        if decoder.more:
            if not self._resting:
                self._resting = True
                self.transport.pauseProducing()
            self._deadlines.soon(self._read_on)
        if pieces:
            self._exchange.answer_body(pieces)

    def _read_on(self) -> None:
        """
        There was much to read, and others have had their turn.
        """
        if not self._resting or self.state is _OVER:
            return
        if self.state is _CHUNKS:
            self._read_chunks(b"")
        decoder = self._decoder
        if self.state is not _OVER and not (self.state is _CHUNKS and decoder is not None and decoder.more):
            self._resting = False
            if not self.reading_held:
                self.transport.resumeProducing()

    def relayed(self, count: int) -> None:
        """
        This many bytes of a body of known length went past us (`dfproxy.exchange.splice`).
        """
        self.left -= count
        self.deadline = self._deadlines.now + self.timeout_s

    def relayed_all(self) -> None:
        """
        The whole body went past us.
        """
        self._done((), b"")

    def wait_for_client(self, blocked: bool) -> None:
        """
        While a body goes past us: who is to blame for silence.
        """
        self.deadline = NEVER if blocked else self._deadlines.now + self.timeout_s

    def wait_for_server(self, blocked: bool) -> None:
        """
        While a request's body goes past us: a server that does not take it is silent.
        """
        self.deadline = self._deadlines.now + self.timeout_s if blocked else NEVER

    def cut_short(self) -> None:
        """
        While a body went past us the server closed before its end.
        """
        self._failed(SERVER_CUT)

    def _done(self, pieces: Sequence[bytes], trailers: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        self._let_go()
        exchange.answer_end(pieces, trailers)

    def _let_go(self) -> None:
        """
        The answer is complete: to the pool, or closed.
        """
        exchange, self._exchange = self._exchange, None
        self.answers += 1
        self.left = 0
        if self._keep_alive and not self.reading_held and not self.writing_held:
            if self._bound and exchange is not None:
                self.state = _IDLE
                self.deadline = self._deadlines.now + self._limits.client_timeout_s
                exchange.reserve(self)
            else:
                self.keep()
        else:
            self._close(abort=not self._request_sent or self.writing_held)  # nobody waits for the rest to be sent

    def _failed(self, ending: Ending) -> None:
        exchange, self._exchange = self._exchange, None
        fresh = ending is SERVER_CLOSED and self.ended_at >= 0 and not self._buffer and not self._interims
        self._close(abort=True)
        if exchange is not None:
            exchange.answer_failed(ending, fresh)

    def _leave_pool(self) -> None:
        try:
            if self.greeting:
                self.server.private.remove(self)
            else:
                self.server.idle.remove(self)
        except ValueError:
            return  # taken out by whoever closes it
        if self.answers and self._deadlines.now - self.ended_at < EARLY_S:
            self.server.closes_early = True

    def _close(self, abort: bool = False) -> None:
        if self.state is _OVER:
            return
        self.state = _OVER
        self._deadlines.forget(self)
        self.transport.unregisterProducer()
        if abort:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        if self.state is _TUNNEL and self._exchange is not None:
            self._exchange.server_half_closed()
        else:
            self._gone(clean=True)

    def writeConnectionLost(self) -> None:
        """
        Our own half-close of a tunnel; nothing to do.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone(clean=reason.check(ConnectionDone) is not None)

    def _gone(self, clean: bool) -> None:
        state = self.state
        if state is _OVER:
            return
        if state is _IDLE:
            self._leave_pool()
            self._close()
        elif state is _CLOSE and clean:
            self._keep_alive = False
            self._done((), b"")
        elif state is _HEAD:
            self._failed(SERVER_CLOSED)
        else:
            self._failed(SERVER_CUT)

    def expired(self) -> None:
        state = self.state
        if state is _IDLE:
            self._leave_pool()
            self._close()
        elif self.writing_held and (unsent := self._unsent_bytes()) < self._unsent:
            self._unsent = unsent  # it reads slowly, but it does
            self.deadline = self._deadlines.now + self.timeout_s
        elif state is _HEAD:
            self._failed(SERVER_TIMEOUT)
        elif state is _TUNNEL:
            self._failed(TUNNEL_IDLE)
        else:
            self._failed(SERVER_STALLED)

    # --- the transport's side, when the server reads slowly ---------------------------------------------------

    def pauseProducing(self) -> None:
        self.writing_held = True
        self._unsent = self._unsent_bytes()
        if not self.reading_held:
            self.deadline = self._deadlines.now + self.timeout_s
        if self._exchange is not None:
            self._exchange.hold_request()

    def resumeProducing(self) -> None:
        self.writing_held = False
        if not self.reading_held:
            waited_for = self._request_sent or self.state is not _HEAD
            self.deadline = self._deadlines.now + self.timeout_s if waited_for else NEVER
        if self._exchange is not None:
            self._exchange.resume_request()

    def _unsent_bytes(self) -> int:
        """
        What the server has still to read of what we wrote; 0 where the transport does not tell.
        """
        unsent = getattr(self.transport, "unsentBytes", None)
        return unsent() if unsent is not None else 0

    def stopProducing(self) -> None:
        """
        The connection is lost; `connectionLost` says so too.
        """


__all__ = ["CHUNKED", "AnswerReader", "ServerConnection", "State"]
