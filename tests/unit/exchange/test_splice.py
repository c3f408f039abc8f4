"""
Bodies inside the kernel, over real loopback sockets: exactly as many bytes, whatever either side does.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.exchange.splice import KEPT_PIPES, Pipes, Splice, descriptor, descriptor_to_read
from tests.dialogue import UvWire, Wire
from tests.unit.exchange.sockets import PATIENCE_S, SocketCase, SocketStream, descriptors

BODY = bytes(range(256)) * 4096  # a mebibyte


class PipesTests(SynchronousTestCase):
    """
    `Pipes`.
    """

    def test_used_again(self) -> None:
        """
        An empty pipe is used again; one with something left in it never is.
        """
        pipes = Pipes()
        self.addCleanup(pipes.close)
        first = pipes.take()
        pipes.give(first, empty=True)
        self.assertEqual(pipes.take(), first)
        before = descriptors()
        os.write(first[1], b"x")
        pipes.give(first, empty=False)
        self.assertEqual(descriptors(), before - 2)

    def test_most(self) -> None:
        """
        No more are in use at once than may be; one that is given back, empty or not, makes room.
        """
        pipes = Pipes()
        self.addCleanup(pipes.close)
        pipes.most = 2
        taken = [pipes.take(), pipes.take()]
        self.assertRaises(OSError, pipes.take)
        pipes.give(taken.pop(), empty=True)
        taken.append(pipes.take())
        self.assertRaises(OSError, pipes.take)
        pipes.give(taken.pop(), empty=False)
        taken.append(pipes.take())
        for ends in taken:
            pipes.give(ends, empty=True)

    def test_so_many(self) -> None:
        """
        A limited number is kept, and closed at the end.
        """
        before = descriptors()
        pipes = Pipes()
        taken = [pipes.take() for _ in range(KEPT_PIPES + 3)]
        for ends in taken:
            pipes.give(ends, empty=True)
        self.assertEqual(descriptors(), before + 2 * KEPT_PIPES)
        pipes.close()
        self.assertEqual(descriptors(), before)


class DescriptorTests(SynchronousTestCase):
    """
    Which transports can be spliced.
    """

    def test_who_does_not_tell(self) -> None:
        """
        A transport that does not tell what is unsent is not spliced, nor one with something unsent is spliced into.
        """
        plain: Any = Wire
        self.assertEqual((descriptor(plain), descriptor_to_read(plain)), (-1, -1))
        with socket.socket() as handle:
            stream: Any = SocketStream(handle)
            self.assertEqual((descriptor(stream), descriptor_to_read(stream)), (handle.fileno(), handle.fileno()))
            stream.unsent = 1
            self.assertEqual((descriptor(stream), descriptor_to_read(stream)), (-1, handle.fileno()))
        memory: Any = UvWire
        self.assertEqual(memory.fileno(memory), -1)


class SpliceTests(SocketCase):
    """
    `Splice`.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pipes = Pipes()
        self.addCleanup(self.pipes.close)
        self.pipes.give(self.pipes.take(), empty=True)
        self.before = descriptors()
        self.moved = 0
        self.blocked: list[bool] = []
        self.ends: list[str] = []

    def tearDown(self) -> None:
        self.assertFalse(self.reactor.readers or self.reactor.writers, "something is still watched")

    def splice(self, count: int) -> Splice:
        def moved(more: int) -> None:
            self.moved += more

        splice = Splice(
            self.reactor, self.pipes, self.source, self.target, count, moved, self.blocked.append, self.ends.append
        )
        splice.start()
        return splice

    def read(self, count: int) -> bytes:
        """
        What has arrived behind the target, up to so many bytes, while the reactor turns.
        """
        got = b""
        while len(got) < count:
            if not self.ends:
                self.reactor.turn(also=(self.peer_of_target,))  # what was moved may still be on its way there
            self.peer_of_target.setblocking(False)
            try:
                while len(got) < count and (more := self.peer_of_target.recv(count - len(got))):
                    got += more
            except BlockingIOError:
                # What was moved last may still be on its way; what never comes is waited for once, a moment.
                if self.ends and not self.reactor.turn(0.2, also=(self.peer_of_target,)):
                    break
        return got

    def test_exact(self) -> None:
        """
        Exactly so many bytes go over; what follows them stays for the source's transport.
        """
        self.peer_of_source.sendall(b"x" * 100000 + b"next head")
        self.splice(100000)
        self.assertEqual(self.read(100001), b"x" * 100000)
        self.assertEqual((self.ends, self.moved), ([""], 100000))
        self.assertEqual(self.source.handle.recv(100), b"next head")
        self.assertTrue(self.source.paused)
        self.assertEqual(descriptors(), self.before)

    def test_nothing_stays(self) -> None:
        """
        When it is over nothing is left for the collector: neither when all went over, nor when it was cut.
        """
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.peer_of_source.sendall(b"x" * 100000)
        self.splice(100000)
        self.read(100000)
        self.splice(100).cancel()
        self.assertEqual(gc.collect(), 0)

    def test_as_it_comes(self) -> None:
        """
        Bytes that come little by little go on as they come; in between the source is waited for.
        """
        self.splice(300)
        for _ in range(3):
            self.assertEqual(self.blocked[-1], False)
            self.peer_of_source.sendall(b"y" * 100)
            self.assertEqual(self.read(100), b"y" * 100)
        self.assertEqual((self.ends, self.moved), ([""], 300))

    def test_slow_target(self) -> None:
        """
        A target that does not read is waited for, and only it: nothing is lost when it reads again.
        """
        self.peer_of_target.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.target.handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.splice(len(BODY))
        self.peer_of_source.setblocking(False)
        sent = 0
        while not self.blocked[-1]:
            sent += self.peer_of_source.send(BODY[sent : sent + 65536])
            self.reactor.turn()
        self.assertEqual((bool(self.reactor.readers), bool(self.reactor.writers)), (False, True))
        for _ in range(100):
            if not self.reactor.turn(0.05):  # what the kernel had on its way is there by then
                break
        stood = self.moved
        self.assertFalse(self.reactor.turn(0.05))
        self.assertEqual(self.moved, stood)
        self.peer_of_target.setblocking(False)
        got = b""
        for _ in range(10000):
            if len(got) == len(BODY):
                break
            self.reactor.turn(0.01)
            try:
                sent += self.peer_of_source.send(BODY[sent:])
            except BlockingIOError:
                pass
            try:
                got += self.peer_of_target.recv(1 << 20)
            except BlockingIOError:
                pass
        self.assertTrue(got == BODY)
        self.assertEqual((self.ends, self.moved), ([""], len(BODY)))
        self.assertEqual(descriptors(), self.before)

    def test_source_ends_early(self) -> None:
        """
        A source that ends before its time is to blame; all descriptors are closed.
        """
        self.splice(1000)
        self.peer_of_source.sendall(b"z" * 400)
        self.assertEqual(self.read(400), b"z" * 400)
        self.peer_of_source.close()
        self.reactor.turn()
        self.assertEqual((self.ends, self.moved), (["source"], 400))
        self.assertEqual(descriptors(), self.before - 1)  # our own end of the test's connection

    def test_target_is_gone(self) -> None:
        """
        A target that resets is to blame, and a pipe with something left in it is not used again.
        """
        self.peer_of_target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer_of_target.close()
        self.peer_of_source.sendall(b"z" * 400)
        self.splice(1000)
        self.assertEqual((self.ends, self.moved), (["target"], 0))
        self.assertEqual(descriptors(), self.before - 3)

    def test_cancel(self) -> None:
        """
        Cancelled in the middle it says nothing more and holds nothing.
        """
        splice = self.splice(1000)
        self.peer_of_source.sendall(b"z" * 400)
        self.read(400)
        splice.cancel()
        splice.cancel()
        splice.lost()
        self.assertEqual((self.ends, self.moved, descriptors()), ([], 400, self.before))

    def test_reactor_gives_up(self) -> None:
        """
        A descriptor that the reactor finds broken ends it, and the side that was waited for is to blame.
        """
        self.splice(1000)
        (reader,) = self.reactor.readers
        reader.connectionLost(None)
        self.assertEqual((self.ends, descriptors()), (["source"], self.before))
        self.assertEqual(reader.logPrefix(), "splice")

    def test_no_descriptors(self) -> None:
        """
        Where a transport cannot be spliced just now nothing has been moved and nothing is held.
        """
        self.target.unsent = 1
        self.assertRaises(OSError, self.splice, 100)
        self.target.unsent = 0
        self.source.handle.close()
        self.assertRaises(OSError, self.splice, 100)
        self.assertEqual(descriptors(), self.before - 1)

    @given(st.lists(st.integers(1, 200000), min_size=1, max_size=6), st.integers(0, 3))
    @settings(max_examples=15, deadline=None)
    def test_any_sizes(self, sizes: list[int], rest: int) -> None:
        """
        Whatever the pieces, the bytes are the same and as many.
        """
        del self.ends[:], self.blocked[:]
        self.moved = 0
        data = (BODY * 2)[: sum(sizes)]
        self.splice(len(data))
        self.peer_of_source.settimeout(PATIENCE_S)
        got, start = b"", 0
        for size in sizes:
            self.peer_of_source.sendall(data[start : start + size])
            got += self.read(size)
            start += size
        self.peer_of_source.sendall(b"r" * rest)
        self.assertTrue(got == data)
        self.assertEqual((self.ends, self.moved), ([""], len(data)))
        if rest:
            self.source.handle.setblocking(True)
            self.assertEqual(self.source.handle.recv(10), b"r" * rest)
            self.source.handle.setblocking(False)
