"""
A session: one HTTP/2 client connection with many exchanges at once.

Frames are read by `dfproxy.wire.h2`; what each stream says and hears is `dfproxy.frontend.http2stream`. Here is what
they share: the transport, one write for what several say in a turn, the connection's time limits, and its end.

Longer than other modules, but one thing: the state of one connection.

Source: RFC 9113; HAProxy `timeout http-request`, `timeout http-keep-alive`, `timeout client`, `tune.h2`.
"""

from __future__ import annotations

from enum import Enum

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from dfproxy.deadlines import NEVER
from dfproxy.frontend.flushing import Flushing
from dfproxy.frontend.http1 import LINGER_BYTES, LINGER_S, Frontend
from dfproxy.frontend.http2stream import Http2Stream
from dfproxy.frontend.refusals import note_refusal
from dfproxy.model.ending import CLIENT_GONE, CLIENT_STALLED, Ending
from dfproxy.model.settings import Limits
from dfproxy.transport import Stream
from dfproxy.wire.h1 import RequestHead
from dfproxy.wire.h2 import ServerSide
from dfproxy.wire.h2fields import FieldReader, FieldWriter
from dfproxy.wire.h2frames import NO_ERROR
from dfproxy.wire.h2sending import ConnectionFault
from dfproxy.wire.hpack import Field
from dfproxy.wire.proxyprotocol import Announcement, ends_of
from dfproxy.wire.repeated import RepeatedList, repeated_list

WITHHELD_BYTES = 1 << 22
"""
While servers do not take the bodies of some streams, the others go on: up to so many bytes that wait are given back to
the connection's window at once. Then all of its bodies wait.
"""

LEAVING_S = 1.0
"""
When the process drains, how long a client may take to know it: requests that it has sent by then are served (RFC 9113
6.8).
"""

_JOIN_BYTES = 65536  # up to here one copy is cheaper than a vector of many small buffers


class Http2:
    """
    What the HTTP/2 sessions of a process share.

    Args:
        limits: sizes and times.
        clock: what calls later.
    """

    __slots__ = ("flushing", "reader", "writer")

    def __init__(self, limits: Limits, clock: IReactorTime) -> None:
        self.flushing = Flushing(clock)
        self.reader = FieldReader(limits.request_head_bytes, limits.fields)
        self.writer = FieldWriter()


class State(Enum):
    """
    What the session is in.
    """

    OPEN = "open"
    LINGER = "linger"
    OVER = "over"


_OPEN, _LINGER, _OVER = State


@implementer(IHalfCloseableProtocol, IPushProducer)
class Http2Session(Protocol):
    """
    One client connection.

    Args:
        frontend: whose it is.
        shared: what it shares with others.
        forwarded: what each request of this client gets besides, with the end of the head.

    Attributes:
        side: the protocol.
        announced: as of `Http1Session`.
        waiting: streams with something to send that a window or the connection does not take, by number, in order.
        blocked: the client does not read.
        deadline: when it takes too long (`Expiring`).
        watched: looked at by the wheel.
    """

    __slots__ = (
        "_client_host",
        "_client_port",
        "_due",
        "_feeding",
        "_fresh",
        "_idle_since",
        "_known",
        "_leaving",
        "_limits",
        "_lingered",
        "_local_port",
        "_reader",
        "_resting",
        "_secure",
        "_served",
        "_shared",
        "_stalled_since",
        "_traffic",
        "_unsent",
        "_withheld",
        "blocked",
        "client_timeout_s",
        "deadline",
        "deadlines",
        "forwarded",
        "frontend",
        "side",
        "state",
        "transport",
        "waiting",
        "watched",
        "writer",
    )

    transport: Stream  # type: ignore[assignment]  # what we use of it
    announced: Announcement | None = None

    def __init__(self, frontend: Frontend, shared: Http2, forwarded: bytes) -> None:
        traffic = frontend.traffic
        limits = traffic.limits
        self.frontend = frontend
        self.forwarded = forwarded
        self.deadlines = traffic.deadlines
        self.client_timeout_s = limits.client_timeout_s
        self.writer = shared.writer
        self.side: ServerSide[Http2Stream] = ServerSide(limits.client_streams, limits.request_head_bytes)
        self.waiting: dict[int, Http2Stream] = {}
        self.blocked = False
        self.state = _OPEN
        self.deadline = NEVER
        self.watched: object = False
        self._traffic = traffic
        self._limits = limits
        self._shared = shared
        self._reader = shared.reader
        self._fresh: list[Http2Stream] = []
        self._feeding = False
        self._due = False
        self._served = False
        self._leaving = False  # no further requests; close when the last answer is out
        self._idle_since = 0.0
        self._stalled_since = 0.0
        self._unsent = -1  # when the client was last seen not reading; -1: it reads
        self._withheld = 0
        self._known: RepeatedList | None = None  # of the client's last request
        self._resting = False  # others come first: there was much to read
        self._lingered = 0
        self._secure = False
        self._client_host = ""
        self._client_port = 0
        self._local_port = 0

    # --- Twisted's side --------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        transport = self.transport
        limits = getattr(transport, "setBufferLimits", None)
        if limits is not None:
            limits(self._limits.relay_buffer_bytes)
        self._client_host, self._client_port, self._local_port = ends_of(transport, self.announced)
        self._secure = bool(getattr(transport, "secured", False))
        transport.registerProducer(self, True)
        self._idle_since = self._traffic.clock.seconds()
        self.deadline = self._idle_since + self._limits.head_timeout_s
        self.deadlines.watch(self)
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        if self.state is not _OPEN:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES and self.state is _LINGER:
                self._abort(CLIENT_GONE)
            return
        side = self.side
        self._feeding = True
        try:
            side.feed(data, self.deadlines.now, self)
        except ConnectionFault as fault:
            self._feeding = False
            self._fail(fault.code)
            return
        fresh = self._fresh
        if fresh:
            self._fresh = []
            for stream in fresh:
                stream.deliver()
        self._feeding = False
        if side.partial > 0:
            partial = side.streams.get(side.partial)
            if partial is not None:
                partial.touch()
        if self._leaving and not side.streams:
            self._close()
            return
        self._set_deadline()
        if side.out:
            self.flush()
        if side.more:
            if not self._resting:
                self._resting = True
                self.transport.pauseProducing()
            self.deadlines.soon(self._read_on)

    def _read_on(self) -> None:
        """
        Others have had their turn.
        """
        if self.state is _OPEN and self.side.more:
            self.dataReceived(b"")
        if self.state is not _OVER and self._resting and not (self.side.more and self.state is _OPEN):
            self._resting = False
            self.transport.resumeProducing()

    def readConnectionLost(self) -> None:
        """
        The client sends no more: HTTP/2 has no half-closed connections, so it is gone, or done with.
        """
        if self.state is _OPEN:
            self._end_streams(CLIENT_GONE)
        self._close()

    def writeConnectionLost(self) -> None:
        """
        Our own half-close; nothing to do.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.state = _OVER
        self.deadlines.forget(self)
        self._end_streams(CLIENT_GONE)
        self.frontend.session_over(self)

    # --- what the client says (`Receiver`) -------------------------------------------------------------------

    def stream_begun(self, fields: list[Field], ended: bool) -> Http2Stream:
        request = RequestHead()
        known = self._known
        if ended and known is not None and known.fields is fields:
            known.fill(request)
            status = 0
        else:
            status = self._reader.request(fields, ended, request)
            self._known = None if status else repeated_list(fields, request)
        request.client_host = self._client_host
        request.client_port = self._client_port
        request.local_port = self._local_port
        stream = Http2Stream(self, request, status)
        self._traffic.clients.http2_streams += 1
        self._served = True
        self._fresh.append(stream)
        return stream

    def stream_data(self, stream: Http2Stream, data: bytes) -> None:
        if stream.received(data):
            self._fresh.append(stream)

    def stream_ended(self, stream: Http2Stream, trailers: list[Field]) -> None:
        if stream.completed(self._reader.trailers(trailers) if trailers else b""):
            self._fresh.append(stream)

    def stream_reset(self, stream: Http2Stream) -> None:
        stream.gone()
        self.stream_over()

    def window_opened(self, stream: Http2Stream | None) -> None:
        if stream is not None:
            stream.pump()
        elif self.waiting:
            self._pump()

    def pinged_back(self) -> None:
        self._leave()

    def client_leaves(self) -> None:
        self._leaving = True

    def request_refused(self) -> None:
        self.refused(None, 400)

    def refused(self, request: RequestHead | None, status: int) -> None:
        """
        A request had no exchange: it is counted and logged here.
        """
        note_refusal(self._traffic, request, (self._client_host, self._client_port), status)

    # --- what streams ask for --------------------------------------------------------------------------------

    def soon(self) -> None:
        """
        There is something to write: at the end of this turn, if others may add to it, else now.
        """
        if self._feeding or self._due:
            return
        if len(self.side.streams) <= 1:
            self.flush()
        else:
            self._due = True
            self._shared.flushing.soon(self)

    def flush(self) -> None:
        """
        Write it.
        """
        self._due = False
        side = self.side
        out = side.out
        if not out or self.state is _OVER:
            return
        side.out = []
        if self._secure or sum(map(len, out)) <= _JOIN_BYTES:
            self.transport.write(b"".join(out))  # with TLS each buffer would be a record of its own
        else:
            self.transport.writeSequence(out)

    def stream_over(self) -> None:
        """
        A stream has ended.
        """
        if not self.side.streams:
            self._idle_since = self.deadlines.now
            if self._leaving and not self._feeding:
                self._close()
                return
            self._set_deadline()
        self.soon()

    def withhold(self, count: int) -> bool:
        """
        So many bytes wait for their servers, or (negative) no longer do.

        Returns:
            Whether others may go on meanwhile; false: they are not counted.
        """
        if count > 0 and self._withheld + count > WITHHELD_BYTES:
            return False
        self._withheld += count
        return True

    # --- the end ---------------------------------------------------------------------------------------------

    @property
    def is_tunnel(self) -> bool:
        """
        Never: its streams are requests.
        """
        return False

    def withdraw(self, server: object, tunnels: bool) -> int:
        """
        See `Session`.
        """
        return sum(stream.withdraw(server, tunnels) for stream in list(self.side.streams.values()))

    def close_if_idle(self) -> None:
        """
        The process drains: the client is told, and once it knows no further request is taken.
        """
        if self.state is _OPEN and not self.side.refusing and not self._leaving:
            self._leaving = True
            self.side.going()
            self.flush()
            self._traffic.clock.callLater(LEAVING_S, self._leave)

    def _leave(self) -> None:
        if self.state is _OPEN and self._leaving and not self.side.refusing:
            self.side.goaway(NO_ERROR)
            if not self._feeding:
                self.stream_over()

    def _fail(self, code: int) -> None:
        """
        The client broke a rule of the connection: say which, and stop.
        """
        self.side.goaway(code)
        self._end_streams(CLIENT_GONE)
        self.flush()
        self.state = _LINGER
        self.deadline = self.deadlines.now + LINGER_S
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()

    def _close(self) -> None:
        if self.state is _OVER:
            return
        if not self.side.refusing:
            self.side.goaway(NO_ERROR)
        self.flush()
        self.state = _OVER
        self._unsent = self._unsent_bytes() or -1
        self.deadline = self.deadlines.now + self.client_timeout_s  # for what is still to be sent
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _abort(self, ending: Ending) -> None:
        self.state = _OVER
        self._end_streams(ending)
        self.transport.unregisterProducer()
        self.transport.abortConnection()

    def _end_streams(self, ending: Ending) -> None:
        streams = list(self.side.streams.values())
        self.side.streams.clear()
        self._fresh.clear()
        for stream in streams:
            stream.gone(ending)

    # --- time ------------------------------------------------------------------------------------------------

    def _set_deadline(self) -> None:
        if self._unsent >= 0:
            return  # the client does not read: that has its own time
        side = self.side
        if side.partial == 0:
            self.deadline = side.since + self._limits.head_timeout_s
        elif side.streams:
            if self.waiting and side.send_window <= 0:
                self.deadline = self._stalled_since + self.client_timeout_s
            else:
                self.deadline = NEVER
        elif self._served:
            self.deadline = self._idle_since + self._limits.keep_alive_timeout_s
        else:
            self.deadline = self._idle_since + self._limits.head_timeout_s

    def expired(self) -> None:
        if self._unsent >= 0:
            unsent = self._unsent_bytes()
            if unsent < self._unsent:  # slow is fine, still is not
                self._unsent = unsent
                self.deadline = self.deadlines.now + self.client_timeout_s
            else:
                self._abort(CLIENT_STALLED)
        elif self.state is not _OPEN:
            self._abort(CLIENT_GONE)
        elif self.side.partial == 0:
            self.refused(None, 408)
            self._fail(NO_ERROR)
        elif not self.side.streams:
            self._close()
        else:
            self._abort(CLIENT_STALLED)  # the connection's window does not open

    def _unsent_bytes(self) -> int:
        """
        What the client has still to read of what we wrote; 0 where the transport does not tell.
        """
        unsent = getattr(self.transport, "unsentBytes", None)
        return unsent() if unsent is not None else 0

    # --- backpressure ----------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """
        Let those that wait send, in turn.
        """
        side = self.side
        self._stalled_since = self.deadlines.now
        for stream in list(self.waiting.values()):
            if self.blocked or side.send_window <= 0:
                break
            number = stream.number
            stream.pump()
            if number in self.waiting:  # others come first next time
                self.waiting[number] = self.waiting.pop(number)
            self.flush()

    def pauseProducing(self) -> None:
        self.blocked = True
        self._unsent = self._unsent_bytes()
        self.deadline = self.deadlines.now + self.client_timeout_s
        for stream in list(self.side.streams.values()):
            stream.hold()

    def resumeProducing(self) -> None:
        self.blocked = False
        self._unsent = -1
        self._pump()
        for stream in list(self.side.streams.values()):
            if self.blocked:
                break
            stream.release()
        if self.state is _OPEN and not self.blocked:
            self._set_deadline()

    def stopProducing(self) -> None:
        """
        The connection is lost; `connectionLost` says so too.
        """
