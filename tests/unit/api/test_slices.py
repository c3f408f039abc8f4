"""
Long answers: made in slices, paused for slow callers, cut off for those that do not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from dfproxy.api.access import CallQueue
from dfproxy.api.channel import ApiSite
from dfproxy.api.request import Verb
from dfproxy.api.slices import PIECE_BYTES, SLICE_S, STALL_S, Slices, _Sending
from tests.unit.api.caller import Connection

ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Turns(Clock):
    """
    A clock that can go on by one turn of a reactor: what is scheduled in it waits for the next.
    """

    def turn(self) -> None:
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class Long(Verb):
    """
    Sends the parts it is given.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.queue = CallQueue(50, 2000)
        self.slices = Slices(clock)
        self.parts: Iterator[str] = iter(())

    def render(self, request: Any) -> int:
        return self.queue.render(request, self.send)

    async def send(self, request: Any) -> None:
        await self.slices.send(request, b"text/plain", self.parts)


class SliceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Turns()
        self.long = Long(self.clock)
        self.site: Site = ApiSite(self.long, self.clock, 1000)
        self.made = 0

    def parts(self, count: int, text: str = "x", cost_s: float = 0.0) -> Iterator[str]:
        """
        So many parts; making each takes that long.
        """
        for _ in range(count):
            self.clock.rightNow += cost_s
            self.made += 1
            yield text

    def ask(self, parts: Iterator[str]) -> Connection:
        self.long.parts = parts
        connection = Connection(self.site, self.clock)
        connection.send(ASK)
        return connection

    def test_short_answer(self) -> None:
        """
        What is short is sent whole, with its length.
        """
        (said,) = self.ask(iter(["a", "", "bü"])).answers()
        self.assertEqual((said.status, said.body.decode(), said.headers["content-length"]), (200, "abü", "4"))
        (said,) = self.ask(iter([])).answers()
        self.assertEqual((said.body, said.headers["content-length"]), (b"", "0"))

    def test_long_answer(self) -> None:
        """
        What is long is sent as it is made, and arrives whole.
        """
        connection = self.ask(self.parts(100, "y" * 2000))
        (said,) = connection.answers()
        self.assertEqual(said.headers.get("transfer-encoding"), "chunked")
        self.assertEqual(said.body, b"y" * 200000)
        self.assertEqual(self.long.queue.running, 0)

    def test_slices(self) -> None:
        """
        Making takes at most five milliseconds in one turn of the reactor, and one part more.
        """
        connection = self.ask(self.parts(100, cost_s=0.001))
        turns = 0
        while self.made < 100:
            before = self.made
            self.clock.turn()
            turns += 1
            self.assertLessEqual((self.made - before) * 0.001, SLICE_S + 0.001)
        self.assertGreaterEqual(turns, 17)
        self.assertEqual(len(connection.answers()), 1)

    def test_together(self) -> None:
        """
        Several long answers share the slice, and all of them get on.
        """
        connections = [self.ask(self.parts(10, cost_s=0.001)) for _ in range(4)]
        self.clock.turn()
        self.assertLessEqual(self.made, 6)
        for _ in range(12):
            self.clock.turn()
        self.assertEqual([len(connection.answers()) for connection in connections], [1] * 4)

    def test_slow_caller(self) -> None:
        """
        While the caller takes nothing, nothing is made; when it goes on, the rest comes.
        """
        connection = self.ask(self.parts(100, "z" * PIECE_BYTES, cost_s=0.006))
        self.clock.turn()
        connection.protocol.pauseProducing()
        before = self.made
        self.assertLess(before, 100)
        self.clock.advance(STALL_S - 1)
        self.clock.turn()
        self.assertEqual(self.made, before)
        connection.protocol.resumeProducing()
        for _ in range(100):
            self.clock.turn()
        self.assertEqual(len(connection.answers()[0].body), 100 * PIECE_BYTES)

    def test_caller_that_does_not_read(self) -> None:
        """
        A caller that takes nothing for half a minute is cut off, and its place is free.
        """
        connection = self.ask(self.parts(100, "z" * PIECE_BYTES, cost_s=0.006))
        self.clock.turn()
        connection.protocol.pauseProducing()
        self.clock.advance(STALL_S)
        self.assertTrue(connection.wire.disconnected)
        connection.lose()
        self.assertEqual(self.long.queue.running, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone(self) -> None:
        """
        When the caller is gone, no more is made, and nothing is logged as an error.
        """
        connection = self.ask(self.parts(100, cost_s=0.006))
        self.clock.turn()
        before = self.made
        connection.lose()
        for _ in range(5):
            self.clock.turn()
        self.assertEqual(self.made, before)
        self.assertEqual(self.long.queue.running, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone_while_paused(self) -> None:
        """
        The same when the caller is gone while it takes nothing.
        """
        connection = self.ask(self.parts(100, cost_s=0.006))
        self.clock.turn()
        connection.protocol.pauseProducing()
        connection.lose()
        self.clock.turn()
        self.assertEqual(self.long.queue.running, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fails_at_once(self) -> None:
        """
        A text that cannot be made at all is a 500.
        """

        def broken() -> Iterator[str]:
            yield "x"
            raise ZeroDivisionError

        (said,) = self.ask(broken()).answers()
        self.assertEqual((said.status, said.json["Status"]), (500, "NOK"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_breaks_off(self) -> None:
        """
        A text that breaks in the middle never looks whole: the connection is closed without its end.
        """

        def broken() -> Iterator[str]:
            yield "x" * PIECE_BYTES
            raise ZeroDivisionError

        connection = self.ask(broken())
        connection.settle()
        self.assertFalse(connection.wire.value().endswith(b"0\r\n\r\n"))
        self.assertTrue(connection.wire.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        connection.lose()
        self.assertEqual(self.long.queue.running, 0)

    def test_producer(self) -> None:
        """
        What the transport pauses and resumes is a push producer.
        """
        request: Any = Deferred()
        verifyObject(IPushProducer, _Sending(request, iter(()), self.clock))
