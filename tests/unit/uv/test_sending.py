"""
Tests of the sending half: what the behaviour suite cannot ask of both reactors.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from tests.unit.uv.running import Recorder, UvTestCase

MEGABYTE = bytes(1 << 20)


@implementer(IPushProducer)
class Told:
    """
    A producer that remembers what it is told.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class SendingTests(UvTestCase):
    """
    Limits and producers.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server, self.client = Recorder(), Recorder()
        self.pair(self.server, self.client)
        self.server.wire.pauseProducing()
        self.wire = self.client.wire
        self.producer = Told()

    def fill(self) -> None:
        """
        Write until the kernel takes no more.
        """
        while not self.wire.unsentBytes():
            self.wire.write(MEGABYTE)

    def test_unsent_bytes(self) -> None:
        """
        unsentBytes is 0 as long as the kernel takes all, then what it did not take, then 0 again.
        """
        self.wire.write(b"small")
        self.assertEqual(self.wire.unsentBytes(), 0)
        self.fill()
        before = self.wire.unsentBytes()
        self.wire.write(b"12345")
        self.assertEqual(self.wire.unsentBytes(), before + 5)
        self.server.wire.resumeProducing()
        self.until(lambda: self.wire.unsentBytes() == 0)
        self.wire.abortConnection()
        self.wait(self.client.lost)
        self.assertEqual(self.wire.unsentBytes(), 0)

    def test_limit(self) -> None:
        """
        The producer is paused when more than the limit waits, not before, and resumes once.
        """
        self.wire.setBufferLimits(4 << 20)
        self.wire.registerProducer(self.producer, True)
        self.fill()
        while self.wire.unsentBytes() + len(MEGABYTE) <= 4 << 20:
            self.wire.write(MEGABYTE)
        self.assertEqual(self.producer.told, [])
        self.wire.write(MEGABYTE)
        self.assertEqual(self.producer.told, ["pause"])
        self.wire.write(MEGABYTE)
        self.assertEqual(self.producer.told, ["pause"])
        self.server.wire.resumeProducing()
        self.until(lambda: self.producer.told == ["pause", "resume"])
        self.assertTrue(self.wire.unsentBytes() <= 1 << 20)

    def test_registered_when_full(self) -> None:
        """
        A producer that registers while too much waits is paused at once.
        """
        self.fill()
        self.wire.write(MEGABYTE)
        self.wire.registerProducer(self.producer, True)
        self.assertEqual(self.producer.told, ["pause"])

    def test_close_waits_for_push_producer(self) -> None:
        """
        loseConnection waits for a push producer to unregister; what it writes meanwhile is sent, nothing is received.
        """
        self.server.wire.resumeProducing()
        self.wire.registerProducer(self.producer, True)
        self.wire.loseConnection()
        self.server.wire.write(b"unheard")
        self.wire.write(b"still sent")
        self.until(lambda: self.server.received == b"still sent")
        self.assertTrue(self.wire.connected)
        self.wire.unregisterProducer()
        self.wire.write(b"not sent")
        self.assertIsInstance(self.wait(self.client.lost), ConnectionDone)
        self.wait(self.server.lost)
        self.assertEqual((self.server.received, self.client.received), (b"still sent", b""))
        self.assertEqual(self.producer.told, [])

    def test_half_close_waits_for_producer(self) -> None:
        """
        loseWriteConnection waits for the producer too.
        """
        self.server.wire.resumeProducing()
        self.wire.registerProducer(self.producer, True)
        self.wire.loseWriteConnection()
        self.wire.write(b"still sent")
        self.until(lambda: self.server.received == b"still sent")
        self.turns(3)
        self.assertFalse(self.server.lost.called)
        self.wire.unregisterProducer()
        self.wait(self.server.lost)

    def test_stop_consuming(self) -> None:
        """
        stopConsuming releases the producer and closes.
        """
        self.wire.registerProducer(self.producer, True)
        self.wire.stopConsuming()
        self.assertIsInstance(self.wait(self.client.lost), ConnectionDone)
        self.assertEqual(self.producer.told, [])

    def test_limit_survives_pull_producer(self) -> None:
        """
        After a pull producer has gone, the limit set before holds again.
        """
        self.wire.setBufferLimits(8 << 20)
        self.wire.registerProducer(self.producer, False)
        self.wire.unregisterProducer()
        second = Told()
        self.wire.registerProducer(second, True)
        self.fill()
        self.wire.write(MEGABYTE)
        self.assertEqual(second.told, [])
