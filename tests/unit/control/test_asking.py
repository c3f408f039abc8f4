"""
Tests of `dfproxy.control.asking`: questions to other HTTP services, over real sockets on loopback.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase
from twisted.web import resource, server

from dfproxy.control.asking import Asking, Unanswered


class Page(resource.Resource):
    """
    Answers with a status, a body, or nothing.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bytes, bytes, bytes, bytes | None]] = []
        self.peers: set[int] = set()
        self.status = 200
        self.answer: bytes | None = b"hello"

    def render(self, request: Any) -> Any:
        self.seen.append((request.method, request.uri, request.content.read(), request.getHeader(b"content-type")))
        self.peers.add(request.getClientAddress().port)
        if self.answer is None:
            return server.NOT_DONE_YET
        request.setResponseCode(self.status)
        return self.answer


class AskingTests(TestCase):
    def setUp(self) -> None:
        self.page = Page()
        self.site = server.Site(self.page)
        self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/a?b=c"
        self.asking = Asking(reactor)
        self.addCleanup(self.end)

    @inlineCallbacks
    def end(self) -> Any:
        """
        Both sides let go of their connections.
        """
        yield self.asking.close()
        yield deferLater(reactor, 0.01, lambda: None)

    @inlineCallbacks
    def assert_unanswered(self, asked: Deferred[Any], reason: str) -> Any:
        error = yield self.assertFailure(asked, Unanswered)
        self.assertIn(reason, str(error))

    @inlineCallbacks
    def test_answer(self) -> Any:
        """
        Method, target, body and headers arrive, and status and body come back, whatever the status.
        """
        self.page.status = 409
        said = yield self.asking.ask("POST", self.url, 5, 100, b"x=1", {"Content-Type": "text/x"})
        self.assertEqual((said.status, said.body), (409, b"hello"))
        self.assertEqual(self.page.seen, [(b"POST", b"/a?b=c", b"x=1", b"text/x")])

    @inlineCallbacks
    def test_redirects(self) -> Any:
        """
        Nobody is sent elsewhere.
        """
        self.page.status = 301
        said = yield self.asking.ask("GET", self.url, 5, 100)
        self.assertEqual(said.status, 301)

    @inlineCallbacks
    def test_kept_connection(self) -> Any:
        """
        Questions one after another share a connection where they may be repeated.
        """
        for _ in range(3):
            yield self.asking.ask("GET", self.url, 5, 100)
        self.assertEqual(len(self.page.peers), 1)
        for _ in range(2):
            yield self.asking.ask("POST", self.url, 5, 100)
        self.assertEqual(len(self.page.peers), 3)

    @inlineCallbacks
    def test_not_a_word(self) -> Any:
        """
        A question leaves nothing in the log: a replica is asked at each change, a listener again and again.
        """
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        for method in ("GET", "POST"):
            yield self.asking.ask(method, self.url, 30, 1000)
        yield self.asking.close()
        self.assertEqual([event for event in said if "factory" in event.get("log_format", "")], [])

    @inlineCallbacks
    def test_many_at_once(self) -> Any:
        """
        Two hundred questions at once are all answered.
        """
        said = yield gatherResults([self.asking.ask("GET", self.url, 10, 100) for _ in range(200)])
        self.assertEqual({each.body for each in said}, {b"hello"})

    @inlineCallbacks
    def test_too_long(self) -> Any:
        """
        Who answers too much is cut off.
        """
        self.page.answer = b"x" * 1_000_000
        yield self.assert_unanswered(self.asking.ask("GET", self.url, 5, 1000), "more than 1000 bytes")

    @inlineCallbacks
    def test_silent(self) -> Any:
        """
        Who does not answer in time has not answered, and its connection is closed.
        """
        self.page.answer = None
        yield self.assert_unanswered(self.asking.ask("GET", self.url, 0.05, 100), "no answer within 0.05 s")

    @inlineCallbacks
    def test_endless(self) -> Any:
        """
        Neither has who begins an answer and does not end it.
        """

        class Endless(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun")

            def connectionLost(self, reason: Any = None) -> None:
                lost.callback(None)

        lost: Deferred[None] = Deferred()
        port = reactor.listenTCP(0, Factory.forProtocol(Endless), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/"
        yield self.assert_unanswered(self.asking.ask("GET", url, 0.05, 100), "no answer within 0.05 s")
        yield lost.addTimeout(5, reactor)

    @inlineCallbacks
    def test_cut(self) -> Any:
        """
        An answer that is cut off is none.
        """

        class Cutting(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun")
                self.transport.loseConnection()

        port = reactor.listenTCP(0, Factory.forProtocol(Cutting), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        yield self.assert_unanswered(self.asking.ask("GET", f"http://127.0.0.1:{port.getHost().port}/", 5, 100), "")

    @inlineCallbacks
    def test_refused(self) -> Any:
        """
        Nobody listens there.
        """
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            free = sock.getsockname()[1]
        yield self.assert_unanswered(self.asking.ask("GET", f"http://127.0.0.1:{free}/", 5, 9), "connection refused")

    @inlineCallbacks
    def test_ipv6(self) -> Any:
        """
        An IPv6 address stands in brackets.
        """
        if not socket.has_ipv6:
            return
        port = reactor.listenTCP(0, self.site, interface="::1")
        self.addCleanup(port.stopListening)
        said = yield self.asking.ask("GET", f"http://[::1]:{port.getHost().port}/", 5, 100)
        self.assertEqual(said.body, b"hello")
