"""
A session: one HTTP/1 client connection, one request after the other.

It reads heads and bodies, hands each request to the resource as an exchange, and writes what the exchange says. Clients
may pipeline: what comes early waits, one exchange at a time. Everything ambiguous is answered 400 and closed.

Longer than other modules, but one thing: one connection's state, and every part of it would need all of its fields.

Source: RFC 9112; HAProxy `timeout http-request`, `timeout http-keep-alive`, `timeout client`.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from enum import Enum
from typing import Protocol as Interface

from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.deadlines import NEVER
from dfproxy.errors import ClientProtocolError
from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.answers import answer
from dfproxy.frontend.refusals import note_refusal
from dfproxy.model.ending import BAD_REQUEST, CLIENT_GONE, CLIENT_STALLED, REQUEST_BODY_TIMEOUT, Ending
from dfproxy.transport import Stream
from dfproxy.upstream.http1 import ServerConnection
from dfproxy.wire.framing import CHUNKED, ChunkedDecoder, ChunkError, chunk
from dfproxy.wire.h1 import RequestHead, ResponseHead, request_head, trailer_fields
from dfproxy.wire.proxyprotocol import Announcement, ends_of, here_of
from dfproxy.wire.repeated import Repeated, repeated, request_again

LINGER_S = 2.0
"""
How long a client may go on sending after an early answer before it is cut off: closing at once would reset the
connection and might take the answer with it (RFC 9112 9.6). nginx waits up to 30 s; this is for the answer to arrive.
"""

LEAVING_S = 1.0
"""
A kept connection that has been idle for less, in seconds, is not closed when the process drains: its client is about to
use it, and a request that crosses the closing would be lost. Its next answer says that the connection ends.
"""

LINGER_BYTES = 1 << 20
"""
How much is read and thrown away meanwhile.
"""

PROBE_S = 1.0
"""
A client that has closed its sending side may still wait for the answer, or be gone. After this many seconds without an
answer it is sent a 102 (RFC 9110 15.2: clients must take any 1xx): one that is gone resets, and the work for it ends.
"""

PROBE_LOOK_S = 0.4
"""
How often it is then looked whether it has reset, in seconds, until there is an answer.
"""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"  # RFC 9113 3.4: made so that an HTTP/1 parser refuses it
_PROBE = b"HTTP/1.1 102 Processing\r\n\r\n"
_JOIN_BYTES = 16384  # up to here one copy is cheaper than a vector of buffers

_BY_SERVER, _BY_PIPELINE, _BY_SPLICE, _BY_ANSWER, _BY_OTHERS = 1, 2, 4, 8, 16  # who holds the reading
_BY_ALL = 31


class Resource(Interface):
    """
    What a session asks for each request (`dfproxy.frontend.resource`).
    """

    def exchange(self, downstream: Downstream, request: RequestHead, /) -> Exchange | None:
        """
        The exchange for a request, not begun; None if no route takes it.
        """


class Session(Interface):
    """
    One client connection, whatever it speaks.
    """

    transport: Stream

    @property
    def is_tunnel(self) -> bool:
        """
        It is an upgraded connection, such as a WebSocket: what goes through it is no requests any more.
        """

    def close_if_idle(self) -> None:
        """
        The process drains: no further request here.
        """

    def withdraw(self, server: object, tunnels: bool) -> int:
        """
        Cut what is under way at this server; `tunnels`: an upgraded connection too.

        Returns:
            How many exchanges that were.
        """


class Frontend(Interface):
    """
    The factory of sessions (`dfproxy.frontend.site`).
    """

    @property
    def resource(self) -> Resource:
        """
        Asked for each request.
        """

    @property
    def traffic(self) -> Traffic:
        """
        What all sessions share.
        """

    def session_over(self, session: Session) -> None:
        """
        This session's connection is gone.
        """

    def speaks_http2(self, session: Http1Session, data: bytes) -> bool:
        """
        The client of this session speaks HTTP/2, and this is what it has sent so far.

        Returns:
            Whether the connection is somebody else's from now on.
        """


class State(Enum):
    """
    What the session is in.
    """

    AWAIT = "await"
    EXCHANGE = "exchange"
    TUNNEL = "tunnel"
    LINGER = "linger"
    OVER = "over"


_AWAIT, _EXCHANGE, _TUNNEL, _LINGER, _OVER = State


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class Http1Session(Protocol):
    """
    One client connection.

    Args:
        frontend: whose it is.

    Attributes:
        state: what it is in.
        secure: the client speaks TLS; set before the connection is made, by `dfproxy.frontend.secure`.
        announced: whose connection it is, where a proxy in front of us says so; set likewise, by
            `dfproxy.frontend.announced`.
        deadline: when it takes too long (`Expiring`).
        watched: looked at by the wheel.
    """

    # Slots instead of a dictionary: less memory to touch with many connections.
    __slots__ = (
        "_buffer",
        "_chunked",
        "_client_ended",
        "_client_host",
        "_client_port",
        "_deadlines",
        "_decoder",
        "_exchange",
        "_forwarded",
        "_frontend",
        "_head_begun",
        "_holds",
        "_keep_alive",
        "_known",
        "_left",
        "_limits",
        "_lingered",
        "_local_port",
        "_request",
        "_responding",
        "_served",
        "_server_ended",
        "_traffic",
        "_unsent",
        "deadline",
        "reserved",
        "state",
        "transport",
        "watched",
    )

    transport: Stream  # type: ignore[assignment]  # what we use of it
    secure = False
    announced: Announcement | None = None

    def __init__(self, frontend: Frontend) -> None:
        traffic = frontend.traffic
        self._frontend = frontend
        self._traffic = traffic
        self._deadlines = traffic.deadlines
        self._limits = traffic.limits
        self.state = _AWAIT
        self.deadline = NEVER
        self.watched: object = False
        self._buffer = b""
        self._exchange: Exchange | None = None
        self.reserved: ServerConnection | None = None
        self._request: RequestHead | None = None
        self._known: Repeated | None = None  # of the client's last request
        self._left = 0  # bytes of the request's body still to come; CHUNKED while chunks are read
        self._decoder: ChunkedDecoder | None = None
        self._keep_alive = True
        self._chunked = False
        self._responding = False
        self._served = 0
        self._head_begun = False
        self._holds = 0
        self._unsent = -1  # of the response, when the client was last seen not reading; -1: it reads
        self._client_ended = False
        self._server_ended = False
        self._lingered = 0
        self._client_host = ""
        self._client_port = 0
        self._local_port = 0
        self._forwarded = b""

    # --- Twisted's side --------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        transport = self.transport
        limits = getattr(transport, "setBufferLimits", None)
        if limits is not None:
            limits(self._limits.relay_buffer_bytes)
        self._client_host, self._client_port, self._local_port = ends_of(transport, self.announced)
        self._forwarded = b"X-Forwarded-For: %b\r\n\r\n" % self._client_host.encode("ascii", "replace")
        if self.secure:
            self._forwarded = b"X-Forwarded-Proto: https\r\n" + self._forwarded  # beside one that came (contract 4.6)
        transport.registerProducer(self, True)
        self.deadline = self._traffic.clock.seconds() + self._limits.head_timeout_s
        self._deadlines.watch(self)

    def handshakeCompleted(self) -> None:
        """
        TLS is up: the client may have chosen HTTP/2 (ALPN).
        """
        if getattr(self.transport, "negotiatedProtocol", None) == b"h2":
            self._frontend.speaks_http2(self, b"")

    def dataReceived(self, data: bytes) -> None:
        state = self.state
        if state is _AWAIT:
            self._next(self._buffer + data if self._buffer else data)
        elif state is _EXCHANGE:
            if self._left:
                self._read_body(data)
            else:
                self._buffer += data
                if len(self._buffer) > self._limits.relay_buffer_bytes:
                    self._hold(_BY_PIPELINE)
        elif state is _TUNNEL:
            assert self._exchange is not None
            self._exchange.from_client(data)
        elif state is _LINGER:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self._abort()

    def readConnectionLost(self) -> None:
        self._client_ended = True
        if self.state is _TUNNEL:
            assert self._exchange is not None
            self._exchange.client_half_closed()
            self._end_tunnel()
        elif self.state is _EXCHANGE and not self._left:
            if self._responding and not self._buffer:
                self._keep_alive = False
            self._traffic.clock.callLater(PROBE_S, self._probe)
        elif self.state is _EXCHANGE:
            self._abort()
        else:
            self._close()

    def writeConnectionLost(self) -> None:
        """
        Our own half-close; nothing to do.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.state = _OVER
        self._deadlines.forget(self)
        if self.reserved is not None:
            self.reserved.close_idle()
            self.reserved = None
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone(CLIENT_GONE)
        self._frontend.session_over(self)

    # --- requests --------------------------------------------------------------------------------------------

    def _next(self, data: bytes) -> None:
        """
        Read the head of the next request from these bytes, and what of its body is there.
        """
        limits = self._limits
        known = self._known
        found = request_again(data, known, limits.request_head_bytes) if known is not None else None
        if found is None:
            try:
                found = request_head(data, 0, limits.request_head_bytes, limits.fields)
            except ClientProtocolError as error:
                if not (data.startswith(_PREFACE) and self._frontend.speaks_http2(self, data)):
                    self._refuse(error.status)
                return
            if found is not None:
                self._known = repeated(found[0])
        if found is None:
            self._buffer = data
            if self._client_ended:
                self._close()
            elif not self._head_begun:
                self._head_begun = True
                if self._served:
                    self.deadline = self._deadlines.now + limits.head_timeout_s
            return
        request, end = found
        request.client_host = self._client_host
        request.client_port = self._client_port
        request.local_port = self._local_port
        self._request = request
        self._keep_alive = request.keep_alive
        self._chunked = self._responding = self._head_begun = False
        self._served += 1
        self.state = _EXCHANGE
        pieces: Sequence[bytes] = ()
        rest = data[end:] if len(data) > end else b""
        trailers = b""
        self._left = body = request.body
        if body:
            self.deadline = self._deadlines.now + limits.client_timeout_s
            if body == CHUNKED:
                self._decoder = ChunkedDecoder(limits.chunk_extension_bytes, limits.trailer_bytes)
            try:
                pieces, rest, trailers = self._take_body(rest)
            except ChunkError:
                self._refuse(400)
                return
        else:
            self.deadline = NEVER
        self._buffer = rest
        exchange = self._frontend.resource.exchange(self, request)
        if exchange is None:
            self._refuse(503)
            return
        self._exchange = exchange
        prefix = exchange.backend.prefix
        target = prefix + request.target if prefix else request.target
        head = b"%b %b HTTP/1.1\r\n%b%b%b" % (request.method, target, request.kept, request.added, self._forwarded)
        exchange.begin(head, pieces, not self._left, trailers)

    def _take_body(self, data: bytes) -> tuple[list[bytes], bytes, bytes]:
        """
        Take what belongs to the request's body.

        Returns:
            Its pieces, what comes after it, and checked trailer fields.

        Raises:
            ChunkError: the chunks are not well formed.
        """
        decoder = self._decoder
        if decoder is None:
            left = self._left
            if len(data) <= left:
                self._left = left - len(data)
                return ([data] if data else []), b"", b""
            self._left = 0
            return [data[:left]], data[left:], b""
        pieces = decoder.feed(data) if data or decoder.more else []
        if not decoder.finished:
            if decoder.more:
                self._hold(_BY_OTHERS)
                self._deadlines.soon(self._read_on)
            return pieces, b"", b""
        trailers = trailer_fields(decoder.trailers)
        if trailers is None:
            raise ChunkError("trailer section is not well formed")
        self._left = 0
        self._decoder = None
        return pieces, decoder.rest, trailers

    def _read_on(self) -> None:
        """
        There was much to read, and others have had their turn.
        """
        if self.state is _EXCHANGE and self._holds & _BY_OTHERS and self._exchange is not None:
            self._read_body(b"")
            if self._decoder is None or not self._decoder.more:
                self._release(_BY_OTHERS)

    def _read_body(self, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            pieces, rest, trailers = self._take_body(data)
        except ChunkError:
            self._exchange = None
            exchange.client_gone(BAD_REQUEST)
            if self._responding:
                self._abort()  # an answer of ours in the middle of the server's would look like a part of it
            else:
                self._refuse(400, counted=True)
            return
        ended = not self._left
        if self._unsent < 0:
            self.deadline = NEVER if ended else self._deadlines.now + self._limits.client_timeout_s
        if rest:
            self._buffer += rest
        exchange.request_body(pieces, ended, trailers)

    # --- responses (`Downstream`) ----------------------------------------------------------------------------

    def local_host(self) -> str:
        return here_of(self.transport, self.announced)

    def reserve(self, connection: ServerConnection) -> None:
        self.reserved = connection

    def interim(self, head: ResponseHead) -> None:
        self.transport.write(b"%b%b\r\n" % (head.line, head.kept))

    def respond(self, head: ResponseHead, pieces: Sequence[bytes], ended: bool) -> None:
        request = self._request
        assert request is not None
        self._responding = True
        extra = b"\r\n"
        keep_alive = self._keep_alive and not self._traffic.closing
        if self._client_ended and not self._buffer:
            keep_alive = False  # what it has sent already is still answered
        if head.status == 101:
            self.state = _TUNNEL
            self.deadline = NEVER
            extra = b"Connection: Upgrade\r\n\r\n"
        else:
            if head.body < 0:
                if request.version:
                    self._chunked = True
                    extra = b"Transfer-Encoding: chunked\r\n\r\n"
                else:
                    keep_alive = False
            if ended and self._left:
                keep_alive = False  # an early answer: the rest of the request is not waited for
            if not keep_alive:
                extra = b"Connection: close\r\n" + extra
                self._keep_alive = False
            elif not request.version:
                extra = b"Connection: keep-alive\r\n" + extra
        if len(pieces) == 1 and not self._chunked and len(pieces[0]) <= _JOIN_BYTES:
            self.transport.write(b"".join((head.line, head.kept, extra, pieces[0])))  # most answers: one write
        else:
            data = b"".join((head.line, head.kept, extra))
            if not pieces:
                self.transport.write(data)
            elif self._chunked:
                self.transport.writeSequence([data, *chunk(list(pieces))])
            else:
                self.transport.writeSequence([data, *pieces])
        if ended:
            self._answered()
        elif self.state is _TUNNEL:
            self._begin_tunnel()

    def _begin_tunnel(self) -> None:
        """
        Pass on what the client has sent already.
        """
        exchange = self._exchange
        assert exchange is not None
        early, self._buffer = self._buffer, b""
        if early:
            exchange.from_client(early)
        if self._client_ended:
            exchange.client_half_closed()
        self._release(_BY_PIPELINE)

    def body(self, pieces: Sequence[bytes]) -> None:
        if self._chunked:
            self.transport.writeSequence(chunk(list(pieces)))
        elif len(pieces) == 1:
            self.transport.write(pieces[0])
        else:
            self.transport.writeSequence(pieces)

    def end(self, pieces: Sequence[bytes], trailers: bytes) -> None:
        if self._chunked:
            framed = chunk(list(pieces)) if pieces else []
            framed.append(b"0\r\n%b\r\n" % trailers)
            self.transport.writeSequence(framed)
        elif pieces:
            self.transport.writeSequence(pieces)
        self._answered()

    def refuse(self, ending: Ending) -> None:
        self._exchange = None
        self._refuse(ending.status, True, ending.retry_after_s)

    def cut(self) -> None:
        self._exchange = None
        if self.state is _TUNNEL:
            self._close()
        else:
            self._abort()

    def switched(self, data: bytes) -> None:
        self.transport.write(data)

    def server_half_closed(self) -> None:
        self._server_ended = True
        self.transport.unregisterProducer()  # a half-close waits until nobody produces (ITCPTransport)
        self.transport.loseWriteConnection()
        self._unsent = -1  # nobody tells us any more; what is unsent has the tunnel's time
        self.deadline = NEVER
        self._end_tunnel()

    def splice_into(self) -> Stream | None:
        return None if self._chunked else self.transport

    def progress(self, blocked: bool) -> None:
        if self._left:
            return  # a request body is under way as well, and has its own time
        self.deadline = self._deadlines.now + self._limits.client_timeout_s if blocked else NEVER

    def splice_from(self) -> Stream | None:
        return None if self._left <= 0 or self._holds or self._client_ended else self.transport

    def request_progress(self, blocked: bool) -> None:
        self._holds |= _BY_SPLICE  # the splice has paused the transport
        if self._unsent < 0:
            self.deadline = NEVER if blocked else self._deadlines.now + self._limits.client_timeout_s

    def request_passed(self) -> None:
        self._left = 0
        if self._unsent < 0:
            self.deadline = NEVER
        self._release(_BY_SPLICE)

    def hold_request(self) -> None:
        self._hold(_BY_SERVER)

    def resume_request(self) -> None:
        if self._holds:
            self._release(_BY_SERVER)

    # --- after an answer -------------------------------------------------------------------------------------

    def _answered(self) -> None:
        """
        The response is complete: wait for the next request, or close.
        """
        self._exchange = None
        if not self._keep_alive or self._left:
            self._close_after_answer()
            return
        self.state = _AWAIT
        if self._unsent >= 0:
            self._hold(_BY_ANSWER)  # it has to read this answer before it gets another
            return
        if self._holds:
            self._release(_BY_ALL)
        self.deadline = self._deadlines.now + self._limits.keep_alive_timeout_s
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._next(data)

    def _refuse(self, status: int, counted: bool = False, retry_after_s: int = 0) -> None:
        """
        Answer ourselves, and close.
        """
        request = self._request if self.state is _EXCHANGE else None
        if not counted:
            note_refusal(self._traffic, request, (self._client_host, self._client_port), status, self)
        bodiless = request is not None and request.method == b"HEAD"
        self.transport.write(answer(status, bodiless, self._traffic.pages, retry_after_s))
        if request is None:
            self._left = CHUNKED  # nobody knows what follows
        self._close_after_answer()

    def _close_after_answer(self) -> None:
        if (self._left or self._buffer) and not self._client_ended:
            self.state = _LINGER
            self._buffer = b""
            self._lingered = 0
            self._unsent = self._unsent_bytes()
            self.deadline = self._deadlines.now + LINGER_S
            if self._holds:
                self._release(_BY_ALL)
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()
        else:
            self._close()

    def leave(self) -> bytes:
        """
        The connection is somebody else's from now on.

        Returns:
            The field lines that each request of this client gets, and the end of the head.
        """
        self.state = _OVER
        self._deadlines.forget(self)
        self.transport.unregisterProducer()
        return self._forwarded

    @property
    def is_tunnel(self) -> bool:
        """
        See `Session`.
        """
        return self.state is _TUNNEL

    def close_if_idle(self) -> None:
        """
        The process drains: no further request here.
        """
        if self.state is _AWAIT and not self._buffer and self._served and self._idle_s() >= LEAVING_S:
            self._close()

    def _idle_s(self) -> float:
        """
        How long a kept connection has waited for its next request.
        """
        return self._deadlines.now + self._limits.keep_alive_timeout_s - self.deadline

    def withdraw(self, server: object, tunnels: bool) -> int:
        """
        See `Session`.
        """
        return self._exchange.withdraw(server, tunnels) if self._exchange is not None else 0

    def _end_tunnel(self) -> None:
        if self._client_ended and self._server_ended:
            exchange, self._exchange = self._exchange, None
            if exchange is not None:
                exchange.tunnel_ended()
            self._close()

    def _close(self) -> None:
        if self.state is _OVER:
            return
        self.state = _OVER
        self._unsent = self._unsent_bytes() or -1
        self.deadline = self._deadlines.now + self._limits.client_timeout_s  # for what is still to be sent
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _abort(self) -> None:
        self.state = _OVER
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone(CLIENT_GONE)
        self.transport.unregisterProducer()
        self.transport.abortConnection()

    # --- time ------------------------------------------------------------------------------------------------

    def expired(self) -> None:
        state = self.state
        if self._unsent >= 0 and state is not _LINGER:
            self._client_does_not_read()
        elif state is _AWAIT:
            if self._head_begun or not self._served:
                self._refuse(408)
            else:
                self._close()
        elif state is _EXCHANGE:
            exchange, self._exchange = self._exchange, None
            if exchange is not None:
                exchange.client_gone(REQUEST_BODY_TIMEOUT if self._left else CLIENT_STALLED)
            if self._responding:
                self._abort()
            else:
                self._refuse(408, counted=True)
        elif state is _LINGER and (unsent := self._unsent_bytes()) < self._unsent:
            self._unsent = unsent  # the answer is still on its way
            self.deadline = self._deadlines.now + LINGER_S
        else:
            self._abort()

    def _client_does_not_read(self) -> None:
        """
        Slow is fine, still is not: something must have gone out since the last look.
        """
        unsent = self._unsent_bytes()
        if unsent < self._unsent:
            self._unsent = unsent
            self.deadline = self._deadlines.now + self._limits.client_timeout_s
            return
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone(CLIENT_STALLED)
        self._abort()

    def _unsent_bytes(self) -> int:
        """
        What the client has still to read of what we wrote; 0 where the transport does not tell.
        """
        unsent = getattr(self.transport, "unsentBytes", None)
        return unsent() if unsent is not None else 0

    def _probe(self) -> None:
        exchange = self._exchange
        if exchange is not None and not self._responding and self.state is _EXCHANGE:
            request = self._request
            if request is not None and request.version:
                self.transport.write(_PROBE)
                self._traffic.clock.callLater(PROBE_LOOK_S, self._look_for_reset)

    def _look_for_reset(self) -> None:
        """
        The reactor watches no connection whose other side has ended, unless there is something to send: look ourselves.
        """
        if self._exchange is None or self._responding or self.state is not _EXCHANGE:
            return
        waiting = select.poll()
        try:
            waiting.register(self.transport.getHandle().fileno(), 0)  # errors are told without asking
        except (AttributeError, OSError, ValueError):
            return  # a transport without a socket (tests), or one that is just going
        if waiting.poll(0):
            self._abort()
        else:
            self._traffic.clock.callLater(PROBE_LOOK_S, self._look_for_reset)

    # --- backpressure ----------------------------------------------------------------------------------------

    def _hold(self, who: int) -> None:
        if not self._holds and self.state is not _OVER:
            self.transport.pauseProducing()
        self._holds |= who
        if self._left and who == _BY_SERVER and self._unsent < 0:
            self.deadline = NEVER  # not the client's fault

    def _release(self, who: int) -> None:
        held = self._holds
        self._holds = held & ~who
        if held and not self._holds and self.state is not _OVER:
            if self._left and self.state is _EXCHANGE:
                self.deadline = self._deadlines.now + self._limits.client_timeout_s
            self.transport.resumeProducing()

    def pauseProducing(self) -> None:
        self._unsent = self._unsent_bytes()
        self.deadline = self._deadlines.now + self._limits.client_timeout_s
        if self._exchange is not None:
            self._exchange.hold_answer()

    def resumeProducing(self) -> None:
        self._unsent = -1
        if self.state is _AWAIT:
            self._answered()
        else:
            self.deadline = self._deadlines.now + self._limits.client_timeout_s if self._left else NEVER
        if self._exchange is not None:
            self._exchange.resume_answer()

    def stopProducing(self) -> None:
        """
        The connection is lost; `connectionLost` says so too.
        """
