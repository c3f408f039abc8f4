"""
The API's side of the wire: who is let in, how many at once, how long a call may take to arrive, how big it may be.

twisted.web alone waits a minute for each further byte, takes bodies of any size, and closes without a word when a
line is too long. Framing itself is left to it.

Source: RFC 9110 sections 11.6.1 (401), 15.5.4 (403), 15.5.9 (408), 15.5.14 (413); RFC 6585
section 5 (431); RFC 9112 section 9.6 (closing).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web import resource, server
from twisted.web.http import HTTPChannel

from dfproxy.api.guard import Guard
from dfproxy.observe.prometheus import Measure, counter, gauge

HEAD_BYTES = 65536
"""
Request line and fields together, in bytes. Go takes 1 MiB; `serviceCert` in a query is some twenty thousand.
"""

CALL_TIMEOUT_S = 30.0
"""
From the first byte of a call to its last, and how long a connection may be idle between calls, in seconds.
"""

CLOSE_TIMEOUT_S = 15.0
"""
How long a closing connection may take to hand over what was said, in seconds.
"""

CONNECTIONS = 2500
"""
Connections at once where nobody says otherwise: as many calls as may run and wait, and some more.
"""

_REFUSALS = {
    401: (b"Unauthorized", ""),
    403: (b"Forbidden", ""),
    408: (b"Request Timeout", "the call did not arrive in time"),
    413: (b"Content Too Large", "the body is longer than {limit} bytes"),
    431: (b"Request Header Fields Too Large", "the head is longer than {limit} bytes"),
}

# twisted.web has few annotations: calls of its methods can't be checked, and are not. What is ours is.
_Request: Any = server.Request
_Channel: Any = HTTPChannel


class ApiRequest(_Request):  # type: ignore[misc]  # untyped base, see above
    """
    A call; also in absolute form, which every server must take (RFC 9112 section 3.2.2).
    """

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """
        The call is complete.
        """
        super().requestReceived(command, origin_form(path), version)

    def handleContentChunk(self, data: bytes) -> None:
        """
        A piece of the body.
        """
        self.channel.count_body(len(data))
        super().handleContentChunk(data)


def origin_form(target: bytes) -> bytes:
    """
    Path and query of a target that may be in absolute form.
    """
    if target[:7].lower() != b"http://":
        return target
    return b"/" + target[7:].partition(b"/")[2]


class ApiChannel(_Channel):  # type: ignore[misc]  # untyped base, see above
    """
    One connection to the API.
    """

    MAX_LENGTH = HEAD_BYTES
    totalHeadersSize = HEAD_BYTES
    abortTimeout = CLOSE_TIMEOUT_S

    def __init__(self) -> None:
        super().__init__()
        self._arriving = False
        self._refused = False
        self._congested = False
        self._body_bytes = 0
        self._closing: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """
        It is open, and no call is here yet.
        """
        self.site.waiting[self] = None
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes of a call, or of several.
        """
        if self._refused:
            return
        if not self._arriving:
            self._arriving = True
            super().resetTimeout()
        super().dataReceived(data)

    def resetTimeout(self) -> None:
        """
        Not at each byte: a call has one deadline from its first byte on, or one byte a minute would keep it open.
        """

    def rawDataReceived(self, data: bytes) -> None:
        """
        A piece of a body, or calls ahead of their turn.
        """
        if not self._refused:
            super().rawDataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        A line longer than any head may be.
        """
        self._refuse(431)

    def allHeadersReceived(self) -> None:
        """
        The head is complete: a body that is announced as too long is refused before it is asked for.
        """
        self._body_bytes = 0
        guard = self.site.guard
        if guard is not None:
            fields = self.requests[-1].requestHeaders.getRawHeaders(b"Authorization", ())
            denied = guard.denied(origin_form(self._path), getattr(self.transport.getPeer(), "host", ""), fields)
            if denied is not None:
                self.site.denied[denied.status] += 1
                self._refuse(denied.status, denied.message)
                return
        if self.length is not None and self.length > self.site.body_bytes:
            self._refuse(413)
            return
        super().allHeadersReceived()

    def count_body(self, size: int) -> None:
        """
        So many further bytes of body came.
        """
        self._body_bytes += size
        if self._body_bytes > self.site.body_bytes and not self._refused:
            self._refuse(413)

    def allContentReceived(self) -> None:
        """
        The call is complete.
        """
        self._arriving = False
        if not self._refused:
            self.site.waiting.pop(self, None)
            super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """
        A call is answered; what comes next is waited for.
        """
        if self in self.site.open:
            self.site.waiting[self] = None
        super().requestDone(request)

    def timeoutConnection(self) -> None:
        """
        Nothing came between calls, or a call did not arrive in time.
        """
        if self._arriving and not self._refused:
            self._refuse(408)
        else:
            super().timeoutConnection()

    def pauseProducing(self) -> None:
        """
        The caller does not take more at the moment.
        """
        self._congested = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """
        The caller takes more.
        """
        self._congested = False
        super().resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        A long answer begins; it waits if answers before it are still to be taken.
        """
        super().registerProducer(producer, streaming)
        if self._congested:
            producer.pauseProducing()

    def loseConnection(self) -> None:
        """
        Close once everything is handed over, or after a while.
        """
        if self._closing is None:
            self._closing = self.callLater(CLOSE_TIMEOUT_S, self._abort)
        super().loseConnection()

    @property
    def is_busy(self) -> bool:
        """
        A call arrives, or waits for its answer, or has not been handed over.
        """
        return self._arriving or bool(self.requests) or self._congested

    def connectionLost(self, reason: Failure) -> None:
        """
        It is closed.
        """
        self.site.open.discard(self)
        self.site.waiting.pop(self, None)
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        super().connectionLost(reason)

    def _refuse(self, status: int, said: str = "") -> None:
        """
        Answer without a request, and read no further.

        Args:
            said: what the caller is told, where the status alone does not say it.

        The write side is closed first: closing a socket with unread bytes would reset it, and the answer be lost.
        """
        self._refused = True
        self.setTimeout(None)
        reason, message = _REFUSALS[status]
        limit = self.site.body_bytes if status == 413 else HEAD_BYTES
        body = msgspec.json.encode({"Status": "NOK", "Message": said or message.format(limit=limit)})
        challenge = b'WWW-Authenticate: Bearer realm="dfproxy"\r\n' if status == 401 else b""
        self.transport.writeSequence(
            [
                b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%s" % (status, reason, challenge),
                b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body),
                body,
            ]
        )
        self._networkProducer.unregisterProducer()
        if self._closing is None:
            self._closing = self.callLater(CLOSE_TIMEOUT_S, self._abort)
        self.transport.loseWriteConnection()

    def _abort(self) -> None:
        self._closing = None
        self.transport.abortConnection()


class ApiSite(server.Site):
    """
    What the API's port is given as its factory.

    Args:
        root: the tree of verbs.
        clock: for time-outs.
        body_bytes: longest body of a call.
        guard: who may call; None: everybody.
        connections: most at once. Above it the one that has been without a complete call for longest makes room; where
            each has one, the new one is closed without an answer.

    Attributes:
        open: all connections.
        waiting: those without a complete call, the one that has been so for longest first.
        refused: connections that were closed because there were too many.
        displaced: connections that had to make room.
        denied: calls that were not let in, by status.
    """

    protocol = ApiChannel
    requestFactory = ApiRequest
    noisy = False

    def __init__(
        self,
        root: resource.Resource,
        clock: IReactorTime,
        body_bytes: int,
        guard: Guard | None = None,
        connections: int = CONNECTIONS,
    ) -> None:
        self.body_bytes = body_bytes
        self.guard = guard
        self.connections = connections
        self.open: set[ApiChannel] = set()
        self.waiting: OrderedDict[ApiChannel, None] = OrderedDict()
        self.refused = self.displaced = 0
        self.denied = {401: 0, 403: 0}
        super().__init__(  # type: ignore[no-untyped-call]  # Twisted's has no annotations
            root, timeout=CALL_TIMEOUT_S, reactor=clock, parsePOSTFormSubmission=False
        )

    def buildProtocol(self, addr: Any) -> Any:
        """
        The channel of a new connection; None: there are too many.
        """
        if len(self.open) >= self.connections:
            if not self.waiting:
                self.refused += 1
                return None
            oldest, _ = self.waiting.popitem(last=False)
            self.open.discard(oldest)
            self.displaced += 1
            oldest.transport.abortConnection()
        channel = super().buildProtocol(addr)  # type: ignore[no-untyped-call]  # Twisted's has no annotations
        self.open.add(channel)
        return channel

    def measures(self) -> Iterable[Measure]:
        """
        For `/metrics`.
        """
        yield gauge("dfproxy_api_connections", "Connections to the control API.", len(self.open))
        yield counter(
            "dfproxy_api_connections_refused_total", "Closed at once: too many, each with a call.", self.refused
        )
        yield counter(
            "dfproxy_api_connections_displaced_total", "Closed without a call, to make room for others.", self.displaced
        )
        yield Measure(
            "dfproxy_api_calls_denied_total",
            "counter",
            "Calls that were not let in: without a right token (401), from elsewhere (403).",
            tuple((f'{{code="{status}"}}', count) for status, count in self.denied.items()),
        )

    @property
    def is_busy(self) -> bool:
        """
        Calls are under way.
        """
        return any(channel.is_busy for channel in self.open)

    def close(self) -> None:
        """
        Let go of all connections.
        """
        for channel in list(self.open):
            channel.loseConnection()

    def log(self, request: object) -> None:
        """
        Calls are counted, not logged: what they change is logged where it changes.
        """
