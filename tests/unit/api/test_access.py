"""
The door of the API: how many calls at once, and what they may bring along.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from dfproxy.api.access import PARAMETERS, PATIENCE_S, Answer, BadCall, CallQueue, Parameters, parameters
from tests.unit.api.caller import Api


class QueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.begun: list[int] = []
        self.ends: list[Deferred[Answer]] = []

    def call(self, queue: CallQueue, number: int) -> DummyRequest:
        """
        A call whose work goes on until its Deferred of `ends` fires.
        """

        async def work(request: Any) -> Answer:
            self.begun.append(number)
            end: Deferred[Answer] = Deferred()
            self.ends.append(end)
            return await end

        request = DummyRequest([b""])
        queue.render(request, work)
        return request

    def end(self) -> None:
        self.ends.pop(0).callback(Answer(200, {}))

    def test_limits(self) -> None:
        """
        Some run, some wait, one more is told to come again; who waits comes in as others end, in order.
        """
        queue = CallQueue(running=2, waiting=3)
        requests = [self.call(queue, number) for number in range(6)]
        self.assertEqual(self.begun, [0, 1])
        self.assertEqual((queue.running, queue.waiting), (2, 3))
        self.assertEqual(requests[5].responseCode, 429)
        self.assertEqual(requests[5].responseHeaders.getRawHeaders(b"Retry-After"), [b"1"])
        self.end()
        self.assertEqual(requests[0].responseCode, 200)
        self.assertEqual(self.begun, [0, 1, 2])
        while self.ends:
            self.end()
        self.assertEqual(self.begun, [0, 1, 2, 3, 4])
        self.assertEqual([request.responseCode for request in requests[:5]], [200] * 5)
        self.assertEqual((queue.running, queue.waiting), (0, 0))

    def test_gone_while_waiting(self) -> None:
        """
        A caller that hangs up before its turn leaves its place to others, and its call never happens.
        """
        queue = CallQueue(running=1, waiting=1)
        self.call(queue, 0)
        waiting = self.call(queue, 1)
        waiting.processingFailed(Failure(ConnectionLost()))
        self.assertEqual(queue.waiting, 0)
        self.call(queue, 2)
        self.end()
        self.assertEqual(self.begun, [0, 2])

    def test_gone_while_running(self) -> None:
        """
        A caller that hangs up during its call is not answered; its place is free once the call is over.
        """
        queue = CallQueue(running=1, waiting=1)
        request = self.call(queue, 0)
        self.call(queue, 1)
        request.processingFailed(Failure(ConnectionLost()))
        self.assertEqual(self.begun, [0])
        self.end()
        self.assertEqual(request.written, [])
        self.assertEqual(self.begun, [0, 1])

    def test_long_calls_step_aside(self) -> None:
        """
        Calls that take long, since a name is not answered, do not keep others from being made; there is still a limit.
        """
        clock = Clock()
        queue = CallQueue(running=1, waiting=2, clock=clock)
        requests = [self.call(queue, number) for number in range(3)]
        self.assertEqual(self.begun, [0])
        clock.advance(PATIENCE_S)
        self.assertEqual(self.begun, [0, 1])
        self.assertEqual(self.call(queue, 3).responseCode, 429)
        self.ends.pop(1).callback(Answer(200, {}))
        self.assertEqual(self.begun, [0, 1, 2])
        clock.advance(PATIENCE_S)
        requests.append(self.call(queue, 4))
        clock.advance(PATIENCE_S)
        self.assertEqual(self.begun, [0, 1, 2, 4])
        self.assertEqual(self.call(queue, 5).responseCode, 429)
        while self.ends:
            self.end()
        self.assertEqual([request.responseCode for request in requests], [200] * 4)
        self.assertEqual((queue.running, queue.waiting, clock.getDelayedCalls()), (0, 0, []))

    def test_failing_calls(self) -> None:
        """
        A call that fails gives its place back, too.
        """
        queue = CallQueue(running=1, waiting=1)
        request = self.call(queue, 0)
        self.ends.pop().errback(Failure(ZeroDivisionError()))
        self.assertEqual(request.responseCode, 500)
        self.assertEqual(queue.running, 0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_many_at_once(self) -> None:
        """
        Two thousand waiting calls that each end at once are all answered.
        """
        queue = CallQueue(running=1, waiting=2000)

        async def work(request: Any) -> Answer:
            return Answer(200, {})

        self.call(queue, 0)
        requests = [DummyRequest([b""]) for _ in range(2000)]
        for request in requests:
            queue.render(request, work)
        self.end()
        self.assertEqual({request.responseCode for request in requests}, {200})

    def test_api_limits(self) -> None:
        """
        Fifty changes run at once, two thousand wait, the next gets 429; ping and metrics go on being answered.
        """
        api = Api()
        api.publisher.hold = True
        ask = b"GET /v1/docker-flow-proxy/remove?serviceName=s HTTP/1.1\r\nHost: a\r\n\r\n"
        for _ in range(2050):
            api.connect().send(ask)
        self.assertEqual(len(api.publisher.calls), 50)
        last = api.call("GET", "remove?serviceName=s")
        self.assertEqual((last.status, last.headers["retry-after"], last.json["Status"]), (429, "1", "NOK"))
        self.assertEqual(api.call("GET", "ping").status, 200)
        scraped = api.call("GET", "/metrics")
        self.assertIn(b"\ndfproxy_api_calls_running 50\n", scraped.body)
        self.assertIn(b"\ndfproxy_api_calls_waiting 2000\n", scraped.body)


class ParameterTests(SynchronousTestCase):
    def read(self, uri: bytes, form: bytes = b"", kind: bytes = b"application/x-www-form-urlencoded") -> Parameters:
        request = DummyRequest([b""])
        request.uri = uri
        request.content = _Body(form)
        request.requestHeaders.setRawHeaders(b"Content-Type", [kind])
        return parameters(request)

    def test_decoding(self) -> None:
        """
        `+` is a blank, `%xx` a byte of UTF-8, `%2B` a plus; a value may hold `=`, and what is no escape stays.
        """
        read = self.read(b"/x?a=1+2%203&b=%2B&c=x=y&d&%C3%A4=%E2%82%AC&e=%zz%&&f=\xc3\xa4")
        self.assertEqual(
            read.query, (("a", "1 2 3"), ("b", "+"), ("c", "x=y"), ("d", ""), ("ä", "€"), ("e", "%zz%"), ("f", "ä"))
        )

    def test_form(self) -> None:
        """
        A body is read if it is a form, whatever else its type says; any other body is not.
        """
        for kind in (b"application/x-www-form-urlencoded", b"Application/X-WWW-Form-urlencoded; charset=utf-8"):
            self.assertEqual(self.read(b"/x", b"a=1", kind).form, (("a", "1"),))
        for kind in (b"text/plain", b"multipart/form-data; boundary=x"):
            self.assertEqual(self.read(b"/x", b"a=1", kind).form, ())

    def test_one_value(self) -> None:
        """
        The last value that is not empty counts, and the query more than the form, in any case of the name.
        """
        read = self.read(b"/x?Name=a&NAME=b&name=", b"name=c&other=d")
        self.assertEqual((read.value("name"), read.value("other"), read.value("none")), ("b", "d", ""))

    def test_flags(self) -> None:
        """
        Booleans as Go and gorilla/schema spell them; anything else is false.
        """
        for text in ("1", "t", "T", "TRUE", "true", "True", "on"):
            self.assertTrue(self.read(f"/x?f={text}".encode()).flag("f"))
        for text in ("0", "", "tRuE", "yes", "false", "2"):
            self.assertFalse(self.read(f"/x?f={text}".encode()).flag("f"))

    def test_too_many(self) -> None:
        """
        So many parameters are read, one more is refused.
        """
        self.assertEqual(len(self.read(b"/x?" + b"&".join([b"a=1"] * PARAMETERS)).query), PARAMETERS)
        self.assertRaises(BadCall, self.read, b"/x?" + b"&".join([b"a=1"] * (PARAMETERS + 1)))

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_any_bytes(self, query: bytes, form: bytes) -> None:
        """
        Any bytes are parameters or refused, nothing else.
        """
        try:
            read = self.read(b"/x?" + query, form)
        except BadCall:
            return
        for name, value in read.query + read.form:
            name.encode(), value.encode()


class _Body:
    """
    A body as twisted.web keeps it: read to its end already.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = len(data)

    def seek(self, position: int) -> None:
        self.at = position

    def read(self) -> bytes:
        return self.data[self.at :]
