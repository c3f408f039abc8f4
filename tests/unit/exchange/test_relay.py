"""
Bytes both ways between two sockets, over real loopback sockets.
"""

from __future__ import annotations

import hashlib
import random
import socket
import struct
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.exchange.relay import COPY_BYTES, Relay, Relays
from dfproxy.exchange.splice import Pipes
from dfproxy.polling import Poller
from tests.unit.exchange.sockets import descriptors
from tests.unit.turning import Turning

MIB = 1 << 20


def pair(buffer_bytes: int = 0) -> tuple[socket.socket, socket.socket]:
    """
    Two ends of one TCP connection: the test's, and the relay's.
    """
    with socket.socket() as listening:
        if buffer_bytes:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        mine = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    for end in (mine, theirs):
        end.setblocking(False)
        if buffer_bytes:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    return mine, theirs


def reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


class Party:
    """
    A client or a server: what it has got, and how it ended.
    """

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.got = bytearray()
        self.ended = ""
        self.unsent = b""

    def work(self, most: int = 1 << 30) -> None:
        """
        Send what can be sent, take what has come.
        """
        if self.end.fileno() < 0:
            return
        while self.unsent:
            try:
                self.unsent = self.unsent[self.end.send(self.unsent) :]
            except BlockingIOError:
                break
        while not self.ended and most > 0:
            try:
                data = self.end.recv(min(most, 65536))
            except BlockingIOError:
                return
            except ConnectionResetError:
                self.ended = "reset"
                return
            if not data:
                self.ended = "end"
            self.got += data
            most -= len(data)


class RelayCase(SynchronousTestCase):
    """
    A relay between two parties.
    """

    opening = b""
    buffer_bytes = 0

    def setUp(self) -> None:
        self.reactor = Turning()
        self.poller = Poller(self.reactor)
        self.pipes = Pipes()
        self.addCleanup(self.pipes.close)
        self.begin()

    def begin(self, **parts: Any) -> None:
        """
        A relay with new sockets.
        """
        client, ours = pair(self.buffer_bytes)
        server, theirs = pair(self.buffer_bytes)
        self.client, self.server = Party(client), Party(server)
        self.up = self.down = 0
        self.broken: list[str] = []
        self.relay = Relay(Relays(self.poller, self.pipes), ours, theirs, self.opening, self)
        for end in (client, server):
            self.addCleanup(end.close)
        self.addCleanup(lambda relay=self.relay: relay.cut(reset=True))
        for name, value in parts.items():
            setattr(self.relay.shared, name, value)
        self.relay.start()

    def has(self, party: Party, text: bytes) -> bool:
        return party.got.endswith(text)

    def relayed(self, up: int, down: int) -> None:
        self.assertFalse(self.broken)
        self.up += up
        self.down += down

    def relay_ended(self, broken: str) -> None:
        self.broken.append(broken)

    def until(self, wanted: Any) -> None:
        """
        Let all work until that is true.
        """

        def look() -> Any:
            self.client.work()
            self.server.work()
            return wanted()

        self.reactor.until(look)


class RelayTests(RelayCase):
    """
    `Relay`.
    """

    def test_small(self) -> None:
        """
        Messages go both ways, and are counted; no pipe is needed for them.
        """
        before = descriptors()
        for number in range(20):
            question, answer = b"question %d" % number, b"answer %d" % number
            self.client.unsent = question
            self.until(partial(self.has, self.server, question))
            self.server.unsent = answer
            self.until(partial(self.has, self.client, answer))
        self.assertEqual((self.up, self.down), (len(self.server.got), len(self.client.got)))
        self.assertEqual(descriptors(), before)

    def test_half_closed(self) -> None:
        """
        Who has said all still hears everything; the connection is over when both have, and both sides are closed.
        """
        before = descriptors()
        self.client.unsent = b"all of it"
        self.client.work()
        self.client.end.shutdown(socket.SHUT_WR)
        self.until(lambda: self.server.ended)
        self.assertEqual((self.server.got, self.server.ended, self.broken), (b"all of it", "end", []))
        self.server.unsent = bytes(3 * MIB)
        self.until(lambda: len(self.client.got) == 3 * MIB)
        self.assertEqual((self.client.ended, self.relay.over), ("", False))
        self.server.end.shutdown(socket.SHUT_WR)
        self.until(lambda: self.client.ended)
        self.assertEqual((self.client.ended, self.broken), ("end", [""]))
        self.assertEqual(descriptors(), before - 2 + 2 * len(self.pipes._empty) - 1)  # its sockets and epoll are gone

    def test_server_ends_first(self) -> None:
        """
        The same the other way round.
        """
        self.server.unsent = b"bye"
        self.server.work()
        self.server.end.shutdown(socket.SHUT_WR)
        self.until(lambda: self.client.ended)
        self.assertEqual((self.client.got, self.broken), (b"bye", []))
        self.client.unsent = b"thanks"
        self.until(lambda: self.server.got == b"thanks")
        self.client.end.close()
        self.until(lambda: self.broken)
        self.assertEqual((self.broken, self.server.ended), ([""], "end"))

    def test_resets(self) -> None:
        """
        A side that breaks is told to the other as a reset: what was cut does not look complete.
        """
        for broken in ("client", "server"):
            parties = {"client": self.client, "server": self.server}
            reset(parties.pop(broken).end)
            (other,) = parties.values()
            self.until(partial(getattr, other, "ended"))
            self.assertEqual((self.broken, other.ended), ([broken], "reset"))
            self.begin()

    def test_reset_behind_the_end(self) -> None:
        """
        Also one that comes after that side has ended.
        """
        self.client.end.shutdown(socket.SHUT_WR)
        self.until(lambda: self.server.ended)
        self.client.end.close()  # unlike a reset at once: an answer meets a socket that is gone
        self.server.unsent = b"x"
        self.server.work()
        self.until(lambda: self.broken)
        self.assertEqual(self.broken, ["client"])

    def test_bulk(self) -> None:
        """
        Much of it arrives whole, both ways at once, and goes past us; the pipes are empty and kept for the next.
        """
        data = random.Random(1).randbytes(8 * MIB)
        self.client.unsent = self.server.unsent = data
        self.until(lambda: len(self.client.got) == len(self.server.got) == len(data))
        self.assertEqual(hashlib.sha256(self.client.got).digest(), hashlib.sha256(data).digest())
        self.assertEqual(hashlib.sha256(self.server.got).digest(), hashlib.sha256(data).digest())
        self.assertEqual((self.up, self.down), (len(data), len(data)))
        self.assertTrue(self.pipes._empty)
        self.client.unsent = b"small again"
        self.until(lambda: self.server.got.endswith(b"small again"))

    def test_without_splice(self) -> None:
        """
        The same by copying, and where no pipe can be had.
        """
        data = random.Random(2).randbytes(3 * MIB)

        class Without(Pipes):
            def take(self) -> tuple[int, int]:
                raise OSError(24, "too many")

        for parts in ({"splice": False}, {"pipes": Without()}):
            self.begin(**parts)
            self.client.unsent = data
            self.until(lambda: len(self.server.got) == len(data))
            self.assertEqual(self.server.got, data)
        self.assertFalse(self.pipes._empty)

    def test_cut(self) -> None:
        """
        Cut by us: a reset for both, or an end behind what was sent; nobody is told.
        """
        for with_reset, seen in ((True, "reset"), (False, "end")):
            self.server.unsent = b"last words"
            self.until(lambda: self.client.got == b"last words")
            self.relay.cut(with_reset)
            self.relay.cut(with_reset)
            self.until(lambda: self.client.ended and self.server.ended)
            self.assertEqual((self.client.ended, self.server.ended, self.broken), (seen, seen, []))
            self.begin()


class OpeningTests(RelayCase):
    """
    What the server is sent first.
    """

    opening = b"PROXY UNKNOWN\r\n"

    def test_first(self) -> None:
        """
        It comes before the client's bytes, also if those are there already, and without them.
        """
        self.until(lambda: self.server.got == self.opening)
        self.client.unsent = b"hello"
        self.until(lambda: self.server.got == self.opening + b"hello")


class SlowTests(RelayCase):
    """
    Little buffers, and parties that do not read.
    """

    buffer_bytes = 4096

    def test_backpressure(self) -> None:
        """
        What nobody takes stays with its sender: for a server that does not read we hold no more than kernel buffers,
        and all arrives once it reads.
        """
        data = random.Random(3).randbytes(6 * MIB)
        self.client.unsent = data
        for _ in range(200):
            self.client.work()
            self.reactor.turn()
        self.assertGreater(len(self.client.unsent), 2 * MIB)
        self.assertLess(self.up, 3 * MIB)
        self.until(lambda: len(self.server.got) == len(data))
        self.assertEqual(self.server.got, data)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(st.booleans(), st.integers(1, 4 * COPY_BYTES), st.integers(0, 3)), max_size=12))
    def test_any_course(self, course: list[tuple[bool, int, int]]) -> None:
        """
        Whatever is sent in whatever pieces, with whatever pauses in reading: each side gets the other's bytes.
        """
        self.begin()
        chance = random.Random(4)
        sent = {True: bytearray(), False: bytearray()}
        for from_client, size, turns in course:
            data = chance.randbytes(size)
            sent[from_client] += data
            party = self.client if from_client else self.server
            party.unsent += data
            for _ in range(turns):
                self.client.work(chance.choice((0, 100, 1 << 20)))
                self.server.work(chance.choice((0, 100, 1 << 20)))
                self.reactor.turn()
        self.until(lambda: not self.client.unsent and not self.server.unsent)
        self.client.end.shutdown(socket.SHUT_WR)
        self.server.end.shutdown(socket.SHUT_WR)
        self.until(lambda: self.broken and self.client.ended and self.server.ended)
        self.assertEqual((self.server.got, self.client.got), (sent[True], sent[False]))
        self.assertEqual((self.broken, self.up, self.down), ([""], len(sent[True]), len(sent[False])))
