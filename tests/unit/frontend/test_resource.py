"""
The resource: as stock, as the root of the data plane, and mounted in somebody's twisted.web tree.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.proxy import ReverseProxyResource as TwistedReverseProxyResource
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from dfproxy.frontend.answers import page
from dfproxy.frontend.resource import ReverseProxyResource
from dfproxy.frontend.site import ProxySite
from dfproxy.upstream.live import LiveBackend
from tests.dialogue import (
    FORWARDED,
    Dialogue,
    DialogueCase,
    Memory,
    Party,
    Step,
    Wire,
    client,
    connections,
    ended,
    server,
    waits,
)

GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
MEBIBYTE = b"m" * (1 << 20)


class StockTests(SynchronousTestCase):
    """
    As twisted.web.proxy has it.
    """

    def test_stock_arguments(self) -> None:
        """
        Host, port, path and reactor, by place or name, are one fixed route.
        """
        memory: Any = Memory()
        made = ReverseProxyResource("192.0.2.11", 8001, b"/base", memory)
        self.addCleanup(made.traffic.deadlines.stop)
        self.assertIsInstance(made, TwistedReverseProxyResource)
        self.assertTrue(verifyObject(IResource, made))
        self.assertEqual((made.host, made.port, made.path, made.reactor), ("192.0.2.11", 8001, b"/base", memory))
        target: Any = made.lookup(object())  # type: ignore[arg-type]  # a fixed route asks nothing of a request
        self.assertIsInstance(target, LiveBackend)
        self.assertEqual(target.prefix, b"/base")
        self.assertEqual([(each.host, each.port) for each in target.servers], [("192.0.2.11", 8001)])

    def test_global_reactor(self) -> None:
        """
        Without a reactor it takes the global one, as stock.
        """
        made = ReverseProxyResource("192.0.2.11", 8001, b"")
        made.traffic.deadlines.stop()
        self.assertIs(made.reactor, global_reactor)

    def test_serves(self) -> None:
        """
        `ProxySite(ReverseProxyResource(host, port, path))` proxies to that server, below that path.
        """
        dialogue = Dialogue()
        dialogue.traffic.deadlines.stop()
        memory: Any = dialogue.reactor
        made = ReverseProxyResource("192.0.2.99", 8001, b"/base/", memory)
        dialogue.factory = ProxySite(made)
        dialogue.dial()
        dialogue.run(
            client.sends(*GET),
            server.gets("GET /base/x HTTP/1.1", "Host: a.test", FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
            connections("192.0.2.99"),
        )
        self.assertEqual(made.answered, 1)
        for wire in dialogue.clients:
            wire.reset()
        made.traffic.deadlines.stop()


class LookupTests(DialogueCase):
    """
    The root of the data plane.
    """

    def test_replaced(self) -> None:
        """
        Another lookup changes what the port answers, from the next request on, also on connections that are open.
        """
        dialogue = Dialogue()
        asked: list[bytes] = []
        once = (
            client.sends(*GET),
            server.gets(*GET, FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
        )
        dialogue.run(*once)
        before = dialogue.site.resource.lookup

        def nowhere(request: Any) -> None:
            asked.append(request.path)

        dialogue.site.resource.lookup = nowhere
        dialogue.run(client.sends(*GET), client.gets_answer(503), client.is_closed())
        self.assertEqual(asked, [b"/x"])
        dialogue.site.resource.lookup = before
        dialogue.dial()
        dialogue.run(*once)
        self.assertEqual(dialogue.resource.answered, 2)
        dialogue.finish()

    def test_no_target(self) -> None:
        """
        What a lookup returns that is no backend is no route.
        """
        dialogue = Dialogue()
        target: Any = "somewhere"
        dialogue.site.resource.lookup = lambda request: target
        dialogue.run(client.sends(*GET), client.gets_answer(503))
        dialogue.finish()


class Mounted(Dialogue):
    """
    The resource below `/app` of a stock twisted.web site.
    """

    def __init__(self, prefix: bytes = b"", **options: Any) -> None:
        super().__init__(**options)
        root = Resource()
        self._backend.prefix = prefix
        root.putChild(b"app", self.resource)
        root.putChild(b"", Resource())
        self.factory = Site(root, reactor=self.reactor)
        self.clients.pop().reset()
        self.dial()

    def dial(self) -> Wire:
        wire = super().dial()
        wire.protocol.callLater = self.reactor.callLater
        return wire

    def finish(self) -> None:
        for wire in self.clients:
            wire.faults.clear()  # twisted.web pauses as it likes
        super().finish()


class MountedTests(DialogueCase):
    """
    Mounted in a twisted.web tree.
    """

    def mounted(self, *steps: Step, **options: Any) -> Mounted:
        dialogue = Mounted(**options)
        dialogue.run(*steps)
        dialogue.finish()
        self.assertEqual(self.flushLoggedErrors(), [])
        return dialogue

    def test_path(self) -> None:
        """
        The server is asked for what is left below the place where it is mounted, as it came.
        """
        for prefix, asked, got in (
            (b"", "/app/a/b?q=1&r", "/a/b?q=1&r"),
            (b"", "/app", "/"),
            (b"", "/app/", "/"),
            (b"", "/app/a%2Fb%20c//d/", "/a%2Fb%20c//d/"),
            (b"/base", "/app/x", "/base/x"),
            (b"/base", "/app?q", "/base?q"),
            (b"/base", "/app/", "/base/"),
        ):
            self.mounted(
                client.sends(f"GET {asked} HTTP/1.1", "Host: a.test"),
                server.gets(f"GET {got} HTTP/1.1", "Host: a.test", FORWARDED),
                server.sends(*OK, body="hi"),
                client.gets(*OK, body="hi"),
                prefix=prefix,
            )

    def test_fields(self) -> None:
        """
        The server's fields come to the client once each, and none of twisted.web's beside them.
        """
        self.mounted(
            client.sends("GET /app/x HTTP/1.1", "Host: a.test", "Connection: keep-alive", "X-A: 1"),
            server.gets("GET /x HTTP/1.1", "Host: a.test", "X-A: 1", FORWARDED),
            server.sends("HTTP/1.1 299 Mine", "Date: now", "Server: me", "Set-Cookie: a", "Set-Cookie: b", CL0),
            client.gets("HTTP/1.1 299 Mine", "Date: now", "Server: me", "Set-Cookie: a", "Set-Cookie: b", CL0),
        )

    def test_upload(self) -> None:
        """
        A body arrives whole, also one in chunks, which gets a length.
        """
        self.mounted(
            client.sends("POST /app/x HTTP/1.1", "Host: a.test", "Content-Length: 6", body="abc"),
            client.sends(b"def"),
            server.gets("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 6", FORWARDED, body="abcdef"),
            server.sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
        )
        self.mounted(
            client.sends(
                "POST /app/x HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked", body="3\r\nabc\r\n0\r\n\r\n"
            ),
            server.gets("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 3", FORWARDED, body="abc"),
            server.sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
        )

    def test_streaming(self) -> None:
        """
        An answer goes on piece by piece, its head before there is a body.
        """
        self.mounted(
            client.sends("GET /app/x HTTP/1.1", "Host: a.test"),
            server.gets("GET /x HTTP/1.1", "Host: a.test", FORWARDED),
            server.sends("HTTP/1.1 200 OK", "X: 1", "Transfer-Encoding: chunked"),
            client.gets("HTTP/1.1 200 OK", "X: 1", "Transfer-Encoding: chunked"),
            server.sends(b"2\r\nab\r\n"),
            client.gets(b"2\r\nab\r\n"),
            server.sends(b"1\r\nc\r\n0\r\n\r\n"),
            client.gets(b"1\r\nc\r\n0\r\n\r\n"),
            ended("complete"),
        )

    def test_backpressure(self) -> None:
        """
        While the client does not read, the server is not read either.
        """
        head = ("HTTP/1.1 200 OK", "Content-Length: 1048576")
        self.mounted(
            client.sends("GET /app/x HTTP/1.1", "Host: a.test"),
            server.gets("GET /x HTTP/1.1", "Host: a.test", FORWARDED),
            client.stops_reading(),
            server.sends(*head, body=MEBIBYTE[:300000]),
            server.is_paused(),
            client.reads(),
            server.is_read(),
            server.sends(MEBIBYTE[300000:]),
            client.gets_bytes(len("\r\n".join([*head, "", ""])) + (1 << 20)),
        )

    def test_client_is_gone(self) -> None:
        """
        A client that leaves ends the work at the server, before and in the answer.
        """
        asks = (
            client.sends("GET /app/x HTTP/1.1", "Host: a.test"),
            server.gets("GET /x HTTP/1.1", "Host: a.test", FORWARDED),
        )
        self.mounted(*asks, client.resets(), server.is_reset(), ended("client_gone"))
        self.mounted(
            *asks,
            server.sends(*OK, body="h"),
            client.gets(*OK, body="h"),
            client.resets(),
            server.is_reset(),
            ended("client_gone"),
        )

    def test_cut(self) -> None:
        """
        An answer that is cut does not look complete, not even to a client of HTTP/1.0.
        """
        for version, chunked in (("1.1", "Transfer-Encoding: chunked"), ("1.0", "")):
            framed = "2\r\nab\r\n" if chunked else "ab"
            self.mounted(
                client.sends(f"GET /app/x HTTP/{version}", "Host: a.test"),
                server.gets("GET /x HTTP/1.1", "Host: a.test", FORWARDED),
                server.sends("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body="2\r\nab\r\n"),
                client.gets("HTTP/1.1 200 OK", *filter(None, [chunked]), body=framed)
                if chunked
                else client.gets("HTTP/1.0 200 OK", body="ab"),
                server.closes(),
                client.is_reset(),
                ended("server_cut"),
            )

    def test_refusals(self) -> None:
        """
        Our own answers come through twisted.web: no route, no server, a server's fault, a request that we refuse.
        """

        def refused(status: int, *steps: Step, **options: Any) -> None:
            dialogue = Mounted(**options)
            if not options:
                dialogue.backend = None
            dialogue.run(client.sends("GET /app/x HTTP/1.1", "Host: a.test"), *steps)
            heard, dialogue.client.heard = dialogue.client.heard, b""
            self.assertTrue(heard.startswith(b"HTTP/1.1 %d " % status), heard)
            self.assertIn(page(status), heard)
            self.assertIn(b"Content-Type: text/html\r\n", heard)
            dialogue.finish()

        gets = server.gets("GET /x HTTP/1.1", "Host: a.test", FORWARDED)
        refused(503)
        refused(503, servers=0)
        refused(502, gets, server.closes(), servers=1)
        refused(504, gets, waits(22), servers=1)

    def test_interim_and_upgrade(self) -> None:
        """
        Interim answers are left out, and upgrades are not offered: twisted.web has no way for either.
        """
        self.mounted(
            client.sends("GET /app/x HTTP/1.1", "Host: a.test", "Upgrade: websocket", "Connection: Upgrade"),
            server.gets("GET /x HTTP/1.1", "Host: a.test", FORWARDED),
            server.sends("HTTP/1.1 103 Early Hints", body=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
            client.gets(*OK, body="hi"),
        )

    def test_keep_alive(self) -> None:
        """
        Connections of both sides are kept.
        """
        once = (
            client.sends("GET /app/x HTTP/1.1", "Host: a.test"),
            Party("server", 0).gets("GET /x HTTP/1.1", "Host: a.test", FORWARDED),
            Party("server", 0).sends(*OK, body="hi"),
            client.gets(*OK, body="hi"),
        )
        self.mounted(*once, *once, connections("192.0.2.11"))


CL0 = "Content-Length: 0"
