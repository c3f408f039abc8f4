"""
Exchanges of routes with steps: those that are answered here, and those that change what passes.

Other routes use `Exchange` itself and pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from dfproxy.exchange.compression import Compressing, Compressor
from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.stickiness import Stickiness
from dfproxy.exchange.traffic import Traffic
from dfproxy.expressions.subject import Subject
from dfproxy.model.ending import ANSWERED_LOCALLY, DENIED, NO_SERVER, Ending
from dfproxy.upstream.http1 import ServerConnection, State
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.framing import NO_BODY
from dfproxy.wire.h1 import RequestHead, ResponseHead

NESTED = 16
"""
Answers of our own one within the other: a client that sends many requests at once gets the next one from within the
answer to the last. Beyond it the reactor goes round first.
"""

_NOT_OF_PAGES = frozenset({b"connection", b"content-length", b"www-authenticate"})
"""
Fields of a page that asks for a password which are not its own business, as HAProxy has it for `errorfile 401`.
"""


class Said:
    """
    A complete answer of our own.

    Attributes:
        status: its status.
        line: its status line, with CRLF.
        fields: field lines besides Content-Length.
        body: its body.
        ending: not None: a refusal, which closes the connection and has its page.
        challenge: what asks for a password, a field line; empty: nothing does.
    """

    __slots__ = ("body", "challenge", "ending", "fields", "line", "status")

    def __init__(
        self,
        status: int,
        line: bytes,
        fields: bytes,
        body: bytes,
        ending: Ending | None = None,
        challenge: bytes = b"",
    ) -> None:
        self.status = status
        self.line = line
        self.fields = fields
        self.body = body
        self.ending = ending
        self.challenge = challenge

    @classmethod
    def refusal(cls, ending: Ending) -> Said:
        """
        A refusal with its page.
        """
        return cls(ending.status, b"", b"", b"", ending)

    @classmethod
    def unauthorized(cls, challenge: bytes, body: bytes) -> Said:
        """
        Ask for a password.
        """
        fields = challenge + b"Cache-Control: no-cache\r\nContent-Type: text/html\r\n"
        return cls(401, b"HTTP/1.1 401 Unauthorized\r\n", fields, body, challenge=challenge)

    def with_page(self, page: tuple[bytes, bytes]) -> Said:
        """
        The same challenge with the operator's own page. The connection goes on, as a client that asks again needs it.

        Args:
            page: head and body, as `dfproxy.frontend.errorpages` reads them.
        """
        head, body = page
        line, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        kept = [field for field in fields if field.partition(b":")[0].lower() not in _NOT_OF_PAGES]
        return Said(self.status, line + b"\r\n", self.challenge + b"".join(field + b"\r\n" for field in kept), body)

    def head(self) -> ResponseHead:
        """
        As a response that a client's side can give.
        """
        head = ResponseHead()
        head.status = self.status
        head.line = self.line
        head.kept = b"Content-Length: %d\r\n%b" % (len(self.body), self.fields)
        head.body = len(self.body) or NO_BODY
        head.keep_alive = True
        head.upgrade = b""
        return head


class OwnAnswer:
    """
    A target of requests that is no backend: it answers itself.
    """

    __slots__ = ()

    def exchange(self, traffic: Traffic, downstream: Downstream, request: RequestHead) -> Exchange | None:
        """
        The exchange that does so, not begun yet; None if it finds no route.
        """
        raise NotImplementedError  # each has its own


class Local(Exchange):
    """
    An exchange that may be answered here.
    """

    __slots__ = ()

    def _say(self, said: Said) -> None:
        downstream = self.downstream
        self.status = said.status
        self._pieces = None
        if said.ending is not None:
            if said.ending is DENIED:
                self.backend.tally.denied += 1
            self._finish(said.ending)
            downstream.refuse(said.ending)
            return
        page = self.traffic.pages.get(said.status) if said.challenge else None
        if page is not None:
            said = said.with_page(page)
        pieces = (said.body,) if said.body and self.request.method != b"HEAD" else ()
        self.bytes_out = len(said.body) if pieces else 0
        self._finish(ANSWERED_LOCALLY)
        downstream.respond(said.head(), pieces, True)


class Answered(Local):
    """
    An exchange without a server.
    """

    __slots__ = ("_said",)

    def __init__(
        self, traffic: Traffic, downstream: Downstream, request: RequestHead, backend: LiveBackend, said: Said
    ) -> None:
        Exchange.__init__(self, traffic, downstream, request, backend)
        self._said = said

    @property
    def said(self) -> Said:
        """
        What is answered.
        """
        return self._said

    def begin(self, head: bytes, pieces: Sequence[bytes], ended: bool, trailers: bytes = b"") -> None:
        self.request_ended = ended
        traffic = self.traffic
        if traffic.nested < NESTED:
            traffic.nested += 1
            try:
                self._say(self._said)
            finally:
                traffic.nested -= 1
        else:
            traffic.clock.callLater(0, self._say_later)

    def request_body(self, pieces: Sequence[bytes], ended: bool, trailers: bytes = b"") -> None:
        """
        Nobody wants it.
        """
        self.request_ended = ended

    def _say_later(self) -> None:
        if not self.over:
            self._say(self._said)


class Changing(Protocol):
    """
    What a route does to answers (`dfproxy.exchange.steps.RouteSteps`).
    """

    @property
    def closes_server(self) -> bool:
        """
        The server's connection is closed after each answer.
        """

    @property
    def compressor(self) -> Compressor | None:
        """
        None: nothing is compressed.
        """

    @property
    def denied(self) -> Said | None:
        """
        What who is not admitted is told.
        """

    @property
    def stickiness(self) -> Stickiness | None:
        """
        None: any server will do.
        """

    @property
    def response(self) -> Callable[[ResponseHead, Subject], None] | None:
        """
        Runs the rules about answers; None: there are none.
        """


class Stepped(Local):
    """
    An exchange whose route changes what passes.

    Args:
        steps: the route's.
        subject: for the rules about answers.
        target: as the client sent it; the log tells that one.
        forwarded: what the client's side adds to each request behind the rules, but the rules have seen already.
        verdict: whether the client is admitted, if that takes time; None: it is.
        cookie: value of the cookie by which the client is kept at its server; empty: it has none.
        held: what is said instead of asking a server, once the client is admitted; None: a server is asked.
        after: rules about answers behind the route's own; None: there are none.
    """

    __slots__ = (
        "_after",
        "_body",
        "_cookie",
        "_forwarded",
        "_held",
        "_single",
        "_steps",
        "_subject",
        "_target",
        "_verdict",
    )

    def __init__(
        self,
        traffic: Traffic,
        downstream: Downstream,
        request: RequestHead,
        backend: LiveBackend,
        steps: Changing,
        subject: Subject,
        target: bytes,
        forwarded: bytes,
        verdict: Deferred[bool] | None,
        cookie: bytes = b"",
        held: Said | None = None,
        after: Callable[[ResponseHead, Subject], None] | None = None,
    ) -> None:
        Exchange.__init__(self, traffic, downstream, request, backend)
        self._steps = steps
        self._subject = subject
        self._target = target
        self._forwarded = forwarded
        self._verdict = verdict
        self._cookie = cookie
        self._held = held
        self._after = after
        self._single: ServerConnection | None = None
        self._body: Compressing | None = None

    # --- the request -----------------------------------------------------------------------------------------

    def begin(self, head: bytes, pieces: Sequence[bytes], ended: bool, trailers: bytes = b"") -> None:
        self.request.target = self._target
        if self._forwarded:
            start, _, end = head.rpartition(self._forwarded)
            head = start + end
        verdict = self._verdict
        if verdict is not None and not ended:
            self.downstream.hold_request()
        Exchange.begin(self, head, pieces, ended, trailers)
        if verdict is not None:
            verdict.addCallback(self._judged)

    def _attempt(self) -> None:
        if self._verdict is None:
            Exchange._attempt(self)

    def _judged(self, admitted: bool) -> None:
        self._verdict = None
        if self.over:
            return
        if admitted and self._held is not None:
            self._say(self._held)
        elif admitted:
            self._attempt()
        else:
            self._say(self._steps.denied or Said.refusal(NO_SERVER))

    def _send(self, connection: ServerConnection) -> None:
        Exchange._send(self, connection)
        if self._steps.closes_server:
            self._single = connection

    # --- the answer ------------------------------------------------------------------------------------------

    def answer(self, head: ResponseHead, pieces: Sequence[bytes], ended: bool) -> None:
        steps = self._steps
        compressor, coding = steps.compressor, None
        if compressor is not None:
            coding = compressor.chosen(self.request, head, pieces, ended)
        if steps.response is not None:
            self._subject.server = self.server
            steps.response(head, self._subject)
        if self._after is not None:
            self._subject.server = self.server
            self._after(head, self._subject)
        if steps.stickiness is not None and self.server is not None:
            steps.stickiness.give(head, self.server, self._cookie)
        if ended:
            self._let_go_of_server()
        if compressor is not None and coding is not None:
            body = compressor.begin(head, coding)
            if ended:
                pieces = body.finish(pieces)
                head.body = len(pieces[0])
                head.kept += b"Content-Length: %d\r\n" % head.body
            else:
                self._body = body
                pieces = body.feed(pieces)
        Exchange.answer(self, head, pieces, ended)

    def answer_body(self, pieces: Sequence[bytes]) -> None:
        body = self._body
        if body is None:
            Exchange.answer_body(self, pieces)
        elif made := body.feed(pieces):
            Exchange.answer_body(self, made)

    def answer_end(self, pieces: Sequence[bytes], trailers: bytes) -> None:
        self._let_go_of_server()
        body, self._body = self._body, None
        if body is not None:
            pieces = body.finish(pieces)
        Exchange.answer_end(self, pieces, trailers)

    def _pass_by(self, connection: ServerConnection) -> None:
        if self._body is None:
            Exchange._pass_by(self, connection)

    def _let_go_of_server(self) -> None:
        """
        Close the server's connection although it was kept.
        """
        connection, self._single = self._single, None
        if connection is not None and connection.state is State.IDLE and connection in connection.server.idle:
            connection.server.idle.remove(connection)
            connection.close_idle()
