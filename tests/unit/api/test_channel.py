"""
Sizes and times of calls, over a real channel.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.channel import CALL_TIMEOUT_S, CLOSE_TIMEOUT_S, HEAD_BYTES
from dfproxy.model.settings import Limits, Settings
from tests.unit.api.caller import Api, Connection

BODY_BYTES = Limits().api_body_bytes

PING = b"GET /v1/docker-flow-proxy/ping HTTP/1.1\r\nHost: a\r\n\r\n"


class SizeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def refused(self, connection: Connection, status: int) -> None:
        """
        One JSON answer, then nothing more is read, and the connection ends soon even if the caller keeps it.
        """
        (said,) = connection.answers()
        self.assertEqual((said.status, said.json["Status"]), (status, "NOK"))
        self.assertEqual(said.headers["connection"], "close")
        self.assertTrue(connection.wire.half_closed)
        connection.send(PING)
        self.assertEqual(connection.answers(), [])
        self.api.clock.advance(CLOSE_TIMEOUT_S)
        self.assertTrue(connection.wire.disconnected)

    def test_announced_body(self) -> None:
        """
        A body of 1 MiB is taken; a longer one is refused when it is announced, before it is asked for.
        """
        self.assertEqual(self.api.call("PUT", "cert?certName=x", b"x" * BODY_BYTES).status, 400)
        connection = self.api.connect()
        connection.send(
            b"PUT /v1/docker-flow-proxy/cert?certName=x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1)
        )
        self.refused(connection, 413)

    def test_announced_body_at_once(self) -> None:
        """
        The same when the body comes in one piece with its head.
        """
        connection = self.api.connect()
        size = BODY_BYTES + 1
        connection.send(b"PUT /v1/docker-flow-proxy/ping HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        self.refused(connection, 413)

    def test_chunked_body(self) -> None:
        """
        A body in chunks is counted as it comes.
        """
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        head = b"POST /v1/docker-flow-proxy/ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection = self.api.connect()
        connection.send(head + chunk * 16 + b"0\r\n\r\n")
        self.assertEqual([said.status for said in connection.answers()], [200])
        connection = self.api.connect()
        connection.send(head)
        for _ in range(17):
            connection.send(chunk)
        self.refused(connection, 413)

    def test_limit(self) -> None:
        """
        How long a body may be is the operator's choice, and the refusal names it.
        """
        self.api = Api(settings=Settings(limits=Limits(api_body_bytes=2000)))
        self.assertEqual(self.api.call("POST", "ping", b"x" * 2000).status, 200)
        connection = self.api.connect()
        connection.send(b"POST /v1/docker-flow-proxy/ping HTTP/1.1\r\nContent-Length: 2001\r\n\r\n")
        (said,) = connection.answers()
        self.assertEqual((said.status, said.json["Message"]), (413, "the body is longer than 2000 bytes"))

    def test_counted_for_each_call(self) -> None:
        """
        Each call on one connection has the whole allowance.
        """
        connection = self.api.connect()
        for _ in range(3):
            self.api.call("POST", "ping", b"x" * (BODY_BYTES - 1), connection=connection)

    def test_head(self) -> None:
        """
        A certificate of fifty thousand characters fits into a query; a line longer than any head is a 431.
        """
        said = self.api.call("GET", f"reconfigure?serviceName=s&servicePath=/s&port=1&unknown={'x' * 50000}")
        self.assertEqual(said.status, 200)
        connection = self.api.connect()
        connection.send(b"GET /" + b"x" * (HEAD_BYTES + 10))
        self.refused(connection, 431)
        connection = self.api.connect()
        connection.send(b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES + b"\r\n\r\n")
        self.refused(connection, 431)


class TimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def test_slow_call(self) -> None:
        """
        One byte now and then does not keep a call open: it has one deadline from its first byte on.
        """
        connection = self.api.connect()
        for byte in PING[:-1]:
            connection.send(bytes([byte]))
            self.api.clock.advance(CALL_TIMEOUT_S / 40)
            if connection.wire.half_closed:
                break
        (said,) = connection.answers()
        self.assertEqual((said.status, said.json["Status"]), (408, "NOK"))
        self.assertTrue(connection.wire.half_closed)

    def test_slow_body(self) -> None:
        """
        The same for a body.
        """
        connection = self.api.connect()
        connection.send(b"POST /v1/docker-flow-proxy/ping HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        self.api.clock.advance(CALL_TIMEOUT_S / 2)
        connection.send(b"x")
        self.api.clock.advance(CALL_TIMEOUT_S / 2)
        self.assertEqual(connection.answers()[0].status, 408)

    def test_idle(self) -> None:
        """
        A connection may wait between calls as long as a call may take, then it is closed without a word.
        """
        connection = self.api.connect()
        for _ in range(3):
            self.api.clock.advance(CALL_TIMEOUT_S - 1)
            connection.send(PING)
            self.assertEqual([said.status for said in connection.answers()], [200])
        self.api.clock.advance(CALL_TIMEOUT_S)
        self.assertEqual(connection.wire.value(), b"")
        self.assertTrue(connection.wire.disconnecting)
        self.api.clock.advance(CLOSE_TIMEOUT_S)
        self.assertTrue(connection.wire.disconnected)

    def test_deadline_begins_with_the_call(self) -> None:
        """
        A call that begins late in the wait has its whole time.
        """
        connection = self.api.connect()
        self.api.clock.advance(CALL_TIMEOUT_S - 1)
        connection.send(PING[:10])
        self.api.clock.advance(CALL_TIMEOUT_S - 1)
        connection.send(PING[10:])
        self.assertEqual([said.status for said in connection.answers()], [200])

    def test_long_change(self) -> None:
        """
        A call that is complete may take as long as it takes.
        """
        self.api.publisher.hold = True
        connection = self.api.connect()
        connection.send(b"GET /v1/docker-flow-proxy/remove?serviceName=s HTTP/1.1\r\nHost: a\r\n\r\n")
        self.api.clock.advance(CALL_TIMEOUT_S * 10)
        self.api.publisher.release()
        self.assertEqual([said.status for said in connection.answers()], [200])

    def test_nothing_left(self) -> None:
        """
        Whatever ends a connection, no timer of it stays behind.
        """
        for sent in (b"", PING[:5], PING, b"GET /" + b"x" * HEAD_BYTES * 2):
            connection = self.api.connect()
            connection.send(sent) if sent else None
            connection.lose()
            self.assertEqual(self.api.clock.getDelayedCalls(), [])


class KeepAliveTests(SynchronousTestCase):
    def test_calls_on_one_connection(self) -> None:
        """
        Calls follow one another on a connection, also when sent ahead, and are answered in order.
        """
        api = Api()
        connection = api.connect()
        connection.send(PING * 3 + b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n" + PING)
        self.assertEqual([said.status for said in connection.answers()], [200, 200, 200, 404, 200])

    def test_close(self) -> None:
        """
        `Connection: close` and HTTP/1.0 end with their answer.
        """
        for head in (b"HTTP/1.1\r\nHost: a\r\nConnection: close", b"HTTP/1.0"):
            connection = Api().connect()
            connection.send(b"GET /v1/test " + head + b"\r\n\r\n")
            self.assertEqual([said.status for said in connection.answers()], [200])
            self.assertTrue(connection.wire.disconnecting)

    def test_close_is_not_waited_for(self) -> None:
        """
        A caller that leaves its last answer lying is cut off after a while.
        """
        api = Api()
        connection = api.connect()
        connection.send(b"GET /v1/test HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertTrue(connection.wire.disconnecting)
        self.assertFalse(connection.wire.disconnected)
        api.clock.advance(CLOSE_TIMEOUT_S)
        self.assertTrue(connection.wire.disconnected)

    def test_long_answers_sent_ahead(self) -> None:
        """
        A caller that asks ahead and does not read: its next long answer is not made until it takes the first.
        """
        api = Api(more={"routes": self.fail_if_asked})
        connection = api.connect()
        connection.protocol.pauseProducing()
        connection.send(b"GET /v1/docker-flow-proxy/config?type=json HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        self.assertEqual(connection.answers(), [])
        connection.protocol.resumeProducing()
        self.assertEqual([said.status for said in connection.answers()], [200, 200])

    def fail_if_asked(self) -> None:
        self.fail("the routes are not needed for JSON")


class ManyTests(SynchronousTestCase):
    """
    More connections than there may be.
    """

    def setUp(self) -> None:
        more = {"notify": lambda: Deferred()}
        self.api = Api(settings=Settings(limits=Limits(api_connections=10)), more=more)
        self.site = self.api.site

    def ask(self, connection: Connection) -> None:
        connection.send(PING)
        self.assertEqual([said.status for said in connection.answers()], [200])

    def measures(self) -> list[float]:
        return [measure.samples[0][1] for measure in self.site.measures()][:3]

    def test_oldest_makes_room(self) -> None:
        """
        The one that has been without a complete call for longest makes room: one that calls is never in its way.
        """
        crowd = [self.api.connect() for _ in range(10)]
        crowd[1].send(PING[:-2])  # begun, not complete
        self.ask(crowd[0])
        newcomer = self.api.connect()
        self.assertTrue(crowd[1].wire.disconnecting or crowd[1].wire.aborting)
        self.ask(newcomer)
        self.assertEqual(self.measures(), [10, 0, 1])
        crowd[1].lose()
        others = [self.api.connect() for _ in range(9)]
        self.assertFalse(newcomer.wire.aborting)
        for connection in (newcomer, *others):
            self.ask(connection)
        self.assertEqual(self.measures(), [10, 0, 10])
        for connection in (*crowd, newcomer, *others):
            if not connection.closed:
                connection.lose()
        self.assertEqual((self.measures(), len(self.site.waiting)), ([0, 0, 10], 0))

    def test_all_have_calls(self) -> None:
        """
        Where each has a call, the newcomer is closed at once, and they go on.
        """
        crowd = [self.api.connect() for _ in range(10)]
        for connection in crowd:
            connection.send(b"GET /v1/docker-flow-proxy/reload?fromListener=true HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIs(self.site.buildProtocol(None), None)
        self.assertEqual(self.measures(), [10, 1, 0])
