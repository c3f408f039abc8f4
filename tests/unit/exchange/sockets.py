"""
Real sockets on loopback, and a reactor that is one `select` at a time: for what happens in the kernel.
"""

from __future__ import annotations

import os
import select
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

PATIENCE_S = 5.0
"""
How long a test waits for loopback before it fails.
"""


class Selecting:
    """
    `addReader` and `addWriter`, and `turn` instead of running.
    """

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)

    def turn(self, patience_s: float = 0.0, also: tuple[socket.socket, ...] = ()) -> bool:
        """
        Wait until something can be read or written, and let it be.

        Args:
            patience_s: at most so long; 0: there must be something before a test loses its patience.
            also: sockets of the test; something to read there is something as well.

        Returns:
            Whether there was something.
        """
        readable, writable, _ = select.select({*self.readers, *also}, self.writers, [], patience_s or PATIENCE_S)
        assert patience_s or readable or writable, "nothing happens any more"
        for reader in readable:
            if reader in self.readers:
                reader.doRead()
        for writer in writable:
            if writer in self.writers:
                writer.doWrite()
        return bool(readable or writable)


class SocketStream:
    """
    A transport as far as splicing needs one.

    Attributes:
        unsent: what it says is unsent.
        paused: whether it was told to stop reading.
    """

    def __init__(self, handle: socket.socket) -> None:
        self.handle = handle
        self.unsent = 0
        self.paused = False

    def fileno(self) -> int:
        return self.handle.fileno()

    def unsentBytes(self) -> int:
        return self.unsent

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False


def descriptors() -> int:
    """
    How many descriptors this process has open.
    """
    return len(os.listdir("/proc/self/fd"))


class SocketCase(SynchronousTestCase):
    """
    A test with connections: of each, our end and the other one.
    """

    def setUp(self) -> None:
        self.reactor: Any = Selecting()
        self.peer_of_source, self.source = self.connect()
        self.peer_of_target, self.target = self.connect()

    def connect(self) -> tuple[socket.socket, Any]:
        """
        A TCP connection: the other end (which waits at most `PATIENCE_S`), and our transport.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            theirs = socket.create_connection(listening.getsockname(), PATIENCE_S)
            ours, _ = listening.accept()
        theirs.settimeout(PATIENCE_S)
        ours.setblocking(False)
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)
        return theirs, SocketStream(ours)
