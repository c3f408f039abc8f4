"""
The statistics page and its CSV as targets of requests, made in the process that was asked.

Every process sees the numbers of all (`dfproxy.observe.cells`), so nobody is asked and nobody waits. The text is made
in slices between which everything else goes on; a client that reads slowly holds up only its own.

Source: HAProxy `stats uri`, `stats auth`, `stats realm`; contract 4.2, 9.1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from socket import gethostname

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from dfproxy import __version__
from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.passwords import Gate, Verifier
from dfproxy.exchange.stepped import Local, OwnAnswer, Said
from dfproxy.exchange.traffic import Traffic
from dfproxy.interfaces import ILookup, IRequest
from dfproxy.model.ending import ANSWERED_LOCALLY, TOO_BUSY, Ending
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.settings import Statistics
from dfproxy.model.steps import Access, User
from dfproxy.observe.haproxycsv import csv
from dfproxy.observe.prometheus import HTTP_FRONTEND, Totals
from dfproxy.observe.statspage import About, page
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.framing import CHUNKED, NO_BODY
from dfproxy.wire.h1 import RequestHead, ResponseHead

REALM = "Strictly Private"
"""
What a browser shows when it asks for the password (DFP).
"""

SLICE_S = 0.005
"""
How long one turn of the reactor may be spent on a page, in seconds.
"""

PIECE_BYTES = 32768
"""
Sent at once. A page that is shorter is sent whole, with its length.
"""

PAGES = 4
"""
Pages that one process makes at once: each keeps a line of numbers for every server. More are answered 503.
"""

_PAGE = b"Cache-Control: no-cache\r\nContent-Type: text/html; charset=utf-8\r\n"
_CSV = b"Cache-Control: no-cache\r\nContent-Type: text/plain; charset=utf-8\r\n"
_LINE = b"HTTP/1.1 200 OK\r\n"
_UNAUTHORIZED = (
    b"<!DOCTYPE html>\n<html><head><title>dfproxy: 401 Unauthorized</title></head>\n"
    b"<body><h1>401 Unauthorized</h1>\n<p>The statistics need a user name and a password.</p>\n</body></html>\n"
)
_METHODS = Said(
    405, b"HTTP/1.1 405 Method Not Allowed\r\n", b"Allow: GET, HEAD\r\nContent-Type: text/plain\r\n",
    b"The statistics are read with GET.\n",
)  # fmt: skip


class StatisticsPage(OwnAnswer):
    """
    The target of requests for statistics.

    Args:
        settings: where it is, and who may see it.
        traffic: what exchanges share.
        totals: gives what was counted, in all processes together.

    Attributes:
        uri: what path and query begin with.
        under_way: pages that are being made.
    """

    def __init__(self, settings: Statistics, traffic: Traffic, totals: Callable[[], Iterator[Totals]]) -> None:
        self.uri = settings.uri.encode()
        self._totals = totals
        self._gate: Gate | None = None
        if not settings.is_open:
            user = User(settings.user, settings.password)
            self._gate = Gate(Access(REALM, (user,)), Verifier.at_once())
            self._denied = Said.unauthorized(self._gate.challenge, _UNAUTHORIZED)
        self._about = (settings.uri, __version__, gethostname(), os.getpid())
        destination = Destination(0, 0, Match(), "", HTTP_FRONTEND)
        service = Service(HTTP_FRONTEND, HTTP_FRONTEND, (destination,))
        # Counted where what no service has is counted; it never has a server.
        self._backend = LiveBackend(service, destination, RoundRobin(), traffic.clock, traffic.connector.try_connect)
        self._backend.tally = traffic.frontend
        self.under_way = 0

    def wanted(self, request: IRequest) -> bool:
        """
        Whether the request is for the statistics: its path and query begin with the address.
        """
        target: bytes = request.target
        if target.startswith(b"/"):
            return target.startswith(self.uri)
        at = target.find(b"/", target.find(b"://") + 3)  # RFC 9112 3.2.2: scheme and authority before the path
        return at > 0 and target.startswith(self.uri, at)

    def exchange(self, traffic: Traffic, downstream: Downstream, request: RequestHead) -> Exchange:
        """
        See `OwnAnswer`.
        """
        return _Shown(self, traffic, downstream, request, self._backend)

    def refusal(self, request: RequestHead) -> Said | None:
        """
        What the client is told instead of statistics; None: it may see them.
        """
        if self._gate is not None:
            given = request.values(b"authorization")
            # Plain passwords only: the answer is there at once.
            if self._gate.admits(given[0] if len(given) == 1 else None) is not True:
                return self._denied
        if request.method not in (b"GET", b"HEAD"):
            return _METHODS
        return Said.refusal(TOO_BUSY) if self.under_way >= PAGES else None

    def parts(self, request: RequestHead) -> tuple[bytes, Iterator[str]]:
        """
        Field lines and text of what is asked for.
        """
        target = request.target
        words = target[target.find(self.uri) + len(self.uri) :].split(b";")
        if b"csv" in words:
            return _CSV, csv(self._totals())
        return _PAGE, page(self._totals(), About(*self._about, refreshes=b"norefresh" not in words))


@implementer(ILookup)
class Showing:
    """
    A table of routes with the statistics before it.

    Args:
        page: the statistics.
        routes: asked for every other request.
    """

    __slots__ = ("_page", "_routes", "_uri")

    def __init__(self, page: StatisticsPage, routes: ILookup) -> None:
        self._page = page
        self._uri = page.uri
        self._routes = routes

    def lookup(self, request: IRequest) -> object | None:
        """
        See `ILookup`.
        """
        target = request.target
        if target.startswith(self._uri) or (not target.startswith(b"/") and self._page.wanted(request)):
            return self._page
        found: object | None = self._routes.lookup(request)
        return found


class _Shown(Local):
    """
    One answer with statistics.

    Args:
        target: whose answer it is.
    """

    __slots__ = ("_counted", "_held", "_next", "_parts", "_target")

    def __init__(
        self,
        target: StatisticsPage,
        traffic: Traffic,
        downstream: Downstream,
        request: RequestHead,
        backend: LiveBackend,
    ) -> None:
        Exchange.__init__(self, traffic, downstream, request, backend)
        self._target = target
        self._parts: Iterator[str] = iter(())
        self._counted = False
        self._held = False
        self._next: IDelayedCall | None = None

    @property
    def server_name(self) -> str:
        """
        For the log, as HAProxy calls it.
        """
        return "<STATS>"

    def begin(self, head: bytes, pieces: Sequence[bytes], ended: bool, trailers: bytes = b"") -> None:
        self.request_ended = ended
        # Not from within the request: a client that sends many at once gets one after the other.
        self._next = self.traffic.clock.callLater(0, self._begin)

    def request_body(self, pieces: Sequence[bytes], ended: bool, trailers: bytes = b"") -> None:
        """
        Nobody wants it.
        """
        self.request_ended = ended

    def _begin(self) -> None:
        self._next = None
        said = self._target.refusal(self.request)
        if said is not None:
            self._say(said)
            return
        self.status = 200
        self.answered = self.traffic.monotonic()
        fields, parts = self._target.parts(self.request)
        head = ResponseHead()
        head.status, head.line, head.kept, head.upgrade = 200, _LINE, fields, b""
        head.keep_alive = True
        if self.request.method == b"HEAD":
            head.body = NO_BODY
            self._finish(ANSWERED_LOCALLY)
            self.downstream.respond(head, (), True)
            return
        self._parts = parts
        self._counted = True
        self._target.under_way += 1
        made, whole = self._slice()
        self.bytes_out = len(made)
        if whole:
            head.body = len(made)
            head.kept += b"Content-Length: %d\r\n" % len(made)
            self._finish(ANSWERED_LOCALLY)
            self.downstream.respond(head, (made,), True)
            return
        head.body = CHUNKED
        self.responding = True
        self.downstream.respond(head, (made,) if made else (), False)
        self._soon()

    def _soon(self) -> None:
        if self._next is None and not self._held and not self.over:
            self._next = self.traffic.clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        """
        Make and send the next part.
        """
        self._next = None
        if self._held:
            return
        made, whole = self._slice()
        self.bytes_out += len(made)
        downstream = self.downstream
        if whole:
            self._finish(ANSWERED_LOCALLY)
            downstream.end((made,) if made else (), b"")
            return
        if made:
            downstream.body((made,))
        self._soon()

    def _slice(self) -> tuple[bytes, bool]:
        """
        What a slice of time gives, and whether that was the rest.
        """
        made: list[str] = []
        size, seconds = 0, self.traffic.monotonic
        end = seconds() + SLICE_S
        for part in self._parts:
            if part:
                made.append(part)
                size += len(part)
            if size >= PIECE_BYTES or seconds() >= end:
                return "".join(made).encode(), False
        return "".join(made).encode(), True

    def hold_answer(self) -> None:
        self._held = True

    def resume_answer(self) -> None:
        self._held = False
        if self.responding:
            self._soon()

    def _finish(self, ending: Ending) -> None:
        if self._counted:
            self._counted = False
            self._target.under_way -= 1
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._parts = iter(())
        Exchange._finish(self, ending)
