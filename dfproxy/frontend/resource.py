"""
The reverse proxy as a twisted.web resource.

At the root of a `ProxySite` it is asked by each session for an exchange, and twisted.web's request objects are never
made: that is the fast path. Mounted anywhere else in a twisted.web tree its `render` makes the same exchange, with two
differences: twisted.web has read the whole request body beforehand, and its path arguments replace the route's.

    Site(ReverseProxyResource(lookup=table.lookup, traffic=traffic))    the data plane
    root.putChild(b"x", ReverseProxyResource("127.0.0.1", 8001, b""))   as twisted.web.proxy's: one fixed server
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTCP
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.proxy import ReverseProxyResource as TwistedReverseProxyResource
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.errors import ClientProtocolError
from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.stepped import OwnAnswer
from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.answers import Pages, page
from dfproxy.frontend.errorpages import media_type
from dfproxy.interfaces import IRequest
from dfproxy.model.ending import Ending
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.settings import Limits
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.transport import Stream
from dfproxy.upstream.http1 import ServerConnection
from dfproxy.upstream.live import LiveBackend
from dfproxy.wire.h1 import RequestHead, ResponseHead, request_head

Lookup = Callable[[IRequest], object]


@implementer(IResource)
class ReverseProxyResource(TwistedReverseProxyResource):
    """
    Hands each request to the server that a lookup names.

    Args:
        host: with `port` and `path` one fixed server, as twisted.web.proxy has it; an IP address or a name.
        port: its port.
        path: put before the rest of the path.
        reactor: what connects; None: the global one, as twisted.web.proxy has it.
        lookup: `IRequest` -> `LiveBackend` or None; instead of the fixed server.
        traffic: what exchanges share; None: made for this resource alone.

    Attributes:
        lookup: asked for each request; may be replaced while running.
        answered: exchanges begun here, for tests and curiosity.
    """

    def __init__(
        self,
        host: str = "",
        port: int = 0,
        path: bytes = b"",
        reactor: IReactorTCP | None = None,
        *,
        lookup: Lookup | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        if reactor is None:
            # As twisted.web.proxy does it: asked for here, not when the module is imported.
            reactor = traffic.reactor if traffic is not None else _global_reactor()
        TwistedReverseProxyResource.__init__(self, host, port, path, reactor)
        if traffic is None:
            traffic = Traffic(reactor, reactor, Limits(), reactor.seconds)  # type: ignore[arg-type,attr-defined]  # IReactorTime too
            traffic.deadlines.start()
        self.traffic: Traffic = traffic
        self.lookup: Lookup = lookup or _Fixed(host, port, path, traffic)
        self.answered = 0
        self._remember = traffic.recent.append  # 0.03 us a request

    isLeaf = True  # every path below is ours; twisted.web leaves them in `postpath`

    def getChild(self, path: bytes, request: HTTPRequest) -> ReverseProxyResource:
        """
        Nobody asks a leaf, but who does so nevertheless gets what answers.
        """
        return self

    def exchange(self, downstream: Downstream, request: RequestHead) -> Exchange | None:
        """
        The exchange for a request, not begun yet.

        Returns:
            None if no route takes it.
        """
        self._remember(request)
        backend = self.lookup(request)
        if not isinstance(backend, LiveBackend):
            return backend.exchange(self.traffic, downstream, request) if isinstance(backend, OwnAnswer) else None
        self.answered += 1
        if backend.steps is not None:
            stepped: Exchange = backend.steps.exchange(self.traffic, downstream, request, backend)
            return stepped
        return Exchange(self.traffic, downstream, request, backend)

    def render(self, request: Request) -> int | bytes:
        """
        Answer a request that twisted.web has read.
        """
        try:
            head = _head_of(request)
        except ClientProtocolError as error:
            return _refuse(request, error.status, self.traffic.pages)
        downstream = _Rendered(request, self.traffic.pages)
        exchange = self.exchange(downstream, head)
        if exchange is None:
            return _refuse(request, 503, self.traffic.pages)
        assert request.content is not None
        body = request.content.read()
        downstream.start(exchange)
        fields = b"" if request.requestHeaders.hasHeader(b"content-length") or not body else _length(body)
        xff = b"X-Forwarded-For: %b\r\n\r\n" % head.client_host.encode("ascii", "replace")
        prefix = exchange.backend.prefix
        target = prefix + head.target if request.postpath or not prefix else prefix + head.target[1:]
        start = b"%b %b HTTP/1.1\r\n%b%b%b" % (head.method, target, head.kept, fields, xff)
        head.body = len(body)
        exchange.begin(start, (body,) if body else (), True)
        return NOT_DONE_YET


def _global_reactor() -> IReactorTCP:
    from twisted.internet import reactor  # noqa: TID251  the stock signature leaves it out

    return reactor


def _length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def _refuse(request: Request, status: int, pages: Pages) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", media_type(pages, status))
    request.setHeader(b"cache-control", b"no-cache")
    return page(status, pages)


def _head_of(request: Request) -> RequestHead:
    """
    Our head of a twisted.web request: the path is what is left below the resource.

    Raises:
        ClientProtocolError: twisted.web let something pass that we do not.
    """
    path, mark, query = request.uri.partition(b"?")
    below = path.split(b"/")[1 + len(request.prepath or []) :]  # not `postpath`: that is decoded
    target = b"/" + b"/".join(below) + mark + query
    lines = [b"%b %b HTTP/1.1" % (request.method, target)]
    for name, values in request.requestHeaders.getAllRawHeaders():
        lines += [b"%b: %b" % (name, value) for value in values if name.lower() != b"transfer-encoding"]
    if not request.requestHeaders.hasHeader(b"host"):
        lines.append(b"Host: ")
    found = request_head(b"\r\n".join([*lines, b"", b""]), 0, 65536, 1000)
    if found is None:
        raise ClientProtocolError(400, "not a request head")
    head = found[0]
    client = request.getClientAddress()
    head.client_host = getattr(client, "host", "")
    head.client_port = getattr(client, "port", 0)
    head.local_port = getattr(request.getHost(), "port", 0)
    head.upgrade = head.added = b""
    return head


class _Rendered:
    """
    The client's side of a request that twisted.web owns (`Downstream`).
    """

    reserved: ServerConnection | None = None  # never: see `reserve`

    def __init__(self, request: Request, pages: Pages) -> None:
        self._request = request
        self._pages = pages
        self._exchange: Exchange | None = None

    def start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._request.registerProducer(self, True)
        self._request.notifyFinish().addErrback(self._gone)

    def _gone(self, reason: Failure) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    def local_host(self) -> str:
        """
        See `Downstream`.
        """
        return getattr(self._request.getHost(), "host", "")

    def reserve(self, connection: ServerConnection) -> None:
        """
        twisted.web's connections are not ours to tell apart.
        """
        connection.close_idle()

    def interim(self, head: ResponseHead) -> None:
        """
        twisted.web has no way to say it.
        """

    def respond(self, head: ResponseHead, pieces: Sequence[bytes], ended: bool) -> None:
        request = self._request
        _, _, reason = head.line.rstrip().split(b" ", 2) if head.line.count(b" ") > 1 else (b"", b"", b"")
        request.setResponseCode(head.status, reason)
        request.defaultContentType = None  # twisted.web's way to say: add none
        for default in (b"date", b"server"):  # twisted.web's own would stand beside the server's
            request.responseHeaders.removeHeader(default)
        for line in head.kept.split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            request.responseHeaders.addRawHeader(name, value.strip(b" \t"))
        self.body(pieces or (b"",))  # the head goes out at once
        if ended:
            self._finish()

    def body(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self._request.write(piece)

    def end(self, pieces: Sequence[bytes], trailers: bytes) -> None:
        self.body(pieces)
        self._finish()

    def refuse(self, ending: Ending) -> None:
        self.body([_refuse(self._request, ending.status, self._pages)])
        self._finish()

    def cut(self) -> None:
        self._exchange = None
        request = self._request
        request.unregisterProducer()
        # Only a reset is understood by a client that takes the end of the connection for the end of the body.
        abort = getattr(request.channel, "forceAbortClient", None) or request.loseConnection
        abort()

    def switched(self, data: bytes) -> None:
        """
        Upgrades are not offered here.
        """

    def server_half_closed(self) -> None:
        """
        Nor are tunnels.
        """

    def splice_into(self) -> Stream | None:
        """
        twisted.web frames bodies itself.
        """
        return None

    def splice_from(self) -> Stream | None:
        """
        The body is here already.
        """
        return None

    def progress(self, blocked: bool) -> None:
        """
        Nothing is spliced here.
        """

    def request_progress(self, blocked: bool) -> None:
        """
        Likewise.
        """

    def request_passed(self) -> None:
        """
        Likewise.
        """

    def hold_request(self) -> None:
        """
        The request is here already.
        """

    def resume_request(self) -> None:
        """
        Likewise.
        """

    def pauseProducing(self) -> None:
        if self._exchange is not None:
            self._exchange.hold_answer()

    def resumeProducing(self) -> None:
        if self._exchange is not None:
            self._exchange.resume_answer()

    def stopProducing(self) -> None:
        self._gone(Failure(ConnectionError("stopped")))

    def _finish(self) -> None:
        self._exchange = None
        self._request.unregisterProducer()
        self._request.finish()


class _Fixed:
    """
    A lookup that always names the same server.
    """

    def __init__(self, host: str, port: int, path: bytes, traffic: Traffic) -> None:
        name = f"{host}:{port}"
        destination = Destination(0, port, Match(), host, name)
        service = Service(name, name, (destination,))
        self._backend = LiveBackend(service, destination, RoundRobin(), traffic.clock, traffic.connector.try_connect)
        self._backend.prefix = path.rstrip(b"/")
        self._backend.members(Membership(name, 0, 0, (ServerAddress(host, port),)))

    def __call__(self, request: IRequest) -> LiveBackend:
        return self._backend
