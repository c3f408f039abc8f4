"""
Frames cut anywhere, descriptors on their way, and the limits of a channel.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.errors import Overloaded
from dfproxy.model.settings import Limits
from dfproxy.workers.channel import FRAME_BYTES, HEAD, OUTSTANDING, UNSENT_BYTES, Channel, ChannelLost, Frames
from dfproxy.workers.messages import Answer, Beat, Done, Fault, Message, Query, encode
from tests.unit.workers.pump import Pump

BUILD = b"12345678"


def frame(number: int, payload: bytes, descriptors: int = 0, build: bytes = BUILD) -> bytes:
    return HEAD.pack(len(payload), build, number, descriptors) + payload


class FramesTests(SynchronousTestCase):
    """
    Bytes to frames.
    """

    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=60), st.integers(0, 2)), max_size=6),
        st.lists(st.integers(1, 40), min_size=1, max_size=30),
    )
    def test_cut_anywhere(self, sent: list[tuple[int, bytes, int]], cuts: list[int]) -> None:
        """
        However the bytes are cut, the same frames come out with their own descriptors.
        """
        stream, arrivals, fd = b"", [], 100
        expected = []
        for number, payload, count in sent:
            own = list(range(fd, fd + count))
            fd += count
            arrivals.append((len(stream), own))
            stream += frame(number, payload, count)
            expected.append((number, own, payload))
        frames, at, turn, found = Frames(BUILD), 0, 0, []
        while at < len(stream):
            end = min(len(stream), at + cuts[turn % len(cuts)])
            # Descriptors come with the first byte of their frame.
            came = [one for start, own in arrivals if at <= start < end for one in own]
            found += frames.feed(stream[at:end], came)
            at, turn = end, turn + 1
        self.assertEqual(found, expected)

    def test_other_build(self) -> None:
        """
        A frame of another build is refused, with both named.
        """
        error = self.assertRaises(ChannelLost, Frames(BUILD).feed, frame(1, b"", build=b"87654321"), [])
        self.assertIn("3837363534333231 is not ours, 3132333435363738", str(error))

    def test_too_large(self) -> None:
        """
        An oversized frame is refused by its head, before it is kept.
        """
        head = HEAD.pack(FRAME_BYTES + 1, BUILD, 0, 0)
        self.assertRaises(ChannelLost, Frames(BUILD).feed, head, [])

    def test_descriptors_missing(self) -> None:
        """
        A frame without the descriptors it announces is refused; those that came for others are closed.
        """
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        frames = Frames(BUILD)
        self.assertRaises(ChannelLost, frames.feed, frame(1, b"", 1) + frame(2, b"", 1), [reading])
        frames.close()
        self.assertRaises(OSError, os.fstat, reading)


class ChannelCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.pump = Pump()
        ours, theirs = socket.socketpair()
        self.heard: list[tuple[Message, int]] = []
        self.descriptors: list[int] = []
        self.lost: list[str] = []
        self.left = Channel(self.pump, ours, BUILD, lambda *_: None, self.lost.append)
        self.right = Channel(self.pump, theirs, BUILD, self.hear, self.lost.append)
        self.raw = theirs
        for end in (self.left, self.right):
            end.start()
            self.addCleanup(end.close)
        self.addCleanup(lambda: [os.close(fd) for fd in self.descriptors])

    def hear(self, message: Message, number: int, descriptors: list[int]) -> None:
        self.heard.append((message, number))
        self.descriptors += descriptors


class ChannelTests(ChannelCase):
    """
    Two ends over a real socket pair.
    """

    def test_interfaces(self) -> None:
        """
        Any reactor with descriptors can drive it.
        """
        verifyObject(IReadDescriptor, self.left)
        verifyObject(IWriteDescriptor, self.left)

    def test_question_and_answer(self) -> None:
        """
        Answers find their questions, in whatever order they come.
        """
        first, second = self.left.ask(Query("a")), self.left.ask(Query("b"))
        self.pump.pump()
        for message, number in reversed(self.heard):
            self.right.send(Answer(message.what), number)
        self.pump.pump()
        self.assertEqual(self.successResultOf(first), Answer("a"))
        self.assertEqual(self.successResultOf(second), Answer("b"))

    def test_descriptors(self) -> None:
        """
        Descriptors arrive with their message, usable, and not inherited by children.
        """
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.left.send(Beat())
        self.left.send(Done(), descriptors=(writing,))
        self.left.send(Beat())
        self.pump.pump()
        os.close(writing)
        self.assertEqual([message for message, _ in self.heard], [Beat(), Done(), Beat()])
        (arrived,) = self.descriptors
        self.assertFalse(os.get_inheritable(arrived))
        os.write(arrived, b"x")
        self.assertEqual(os.read(reading, 1), b"x")

    def test_large(self) -> None:
        """
        A message larger than the socket's buffer goes through in pieces, with its descriptors and in order.
        """
        reading, writing = os.pipe()
        for fd in (reading, writing):
            self.addCleanup(os.close, fd)
        large = Fault("x" * 3_000_000)
        self.left.send(large, descriptors=(reading,))
        self.left.send(Beat(), descriptors=(writing,))
        self.assertGreater(self.left.unsent_bytes, 0)
        self.pump.pump()
        self.assertEqual(self.heard, [(large, 0), (Beat(), 0)])
        # Each descriptor came once, with its own message.
        os.write(self.descriptors[1], b"x")
        self.assertEqual(os.read(self.descriptors[0], 1), b"x")
        self.assertEqual(self.left.unsent_bytes, 0)
        self.assertEqual(self.pump.writers, [])

    def test_other_side_gone(self) -> None:
        """
        When the other side is gone its owner hears of it once, and those who wait are told.
        """
        waiting = self.left.ask(Query("a"))
        self.right.close()
        self.pump.pump()
        self.failureResultOf(waiting, ChannelLost)
        self.assertEqual(len(self.lost), 1)
        self.failureResultOf(self.left.ask(Query("a")), ChannelLost)
        self.left.send(Beat())

    def test_garbage(self) -> None:
        """
        What is no message ends the channel.
        """
        self.raw.send(frame(0, b"\xff\xff"))
        self.pump.pump()
        self.assertIn("not a message of ours", self.lost[0])

    def test_too_many_questions(self) -> None:
        """
        Questions without answers are bounded.
        """
        waiting: list[Deferred[Message]] = [self.left.ask(Query("a")) for _ in range(OUTSTANDING)]
        self.failureResultOf(self.left.ask(Query("a")), Overloaded)
        self.pump.pump()
        self.right.send(Answer(), self.heard[0][1])
        self.pump.pump()
        waiting.append(self.left.ask(Query("a")))
        self.left.close()
        for answer in waiting[1:]:
            self.failureResultOf(answer, ChannelLost)

    def test_does_not_read(self) -> None:
        """
        A side that never reads is given up before memory is.
        """
        payload = encode(Fault("x" * 1_000_000))
        for _ in range(UNSENT_BYTES // len(payload) + 3):
            self.left.send_payload(payload)
        self.assertIn("wait unread", self.lost[0])

    def test_too_large(self) -> None:
        """
        Nobody can say more than fits into a frame.
        """
        self.assertRaises(ValueError, self.left.send_payload, bytes(FRAME_BYTES + 1))

    def test_limits(self) -> None:
        """
        Once both sides know the operator's bounds these count, for what is said, heard and outstanding.
        """
        limits = Limits(channel_frame_bytes=1000, channel_outstanding=2)
        self.left.limit(limits)
        self.assertRaises(ValueError, self.left.send_payload, bytes(1001))
        waiting = [self.left.ask(Query("a")) for _ in range(2)]
        self.failureResultOf(self.left.ask(Query("a")), Overloaded)
        self.right.limit(limits)
        self.right.limit(replace(limits, channel_frame_bytes=FRAME_BYTES + 1))
        self.right.send_payload(bytes(FRAME_BYTES + 1))
        self.pump.pump()
        self.assertIn("above the limit of 1000", self.lost[0])
        for answer in waiting:
            self.failureResultOf(answer, ChannelLost)
