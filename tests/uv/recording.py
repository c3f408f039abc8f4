"""
Protocols, factories and producers that remember what they are told, for the behaviour suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as any_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

reactor: Any = any_reactor

BIG = bytes(range(256)) * 4096 * 8
"""8 MiB: more than the kernel takes at once on any machine."""

HERE = "127.0.0.1"


class Recorder(Protocol):
    """
    Remembers what its transport tells it, and lets a test wait for it.
    """

    def __init__(self) -> None:
        self.received = b""
        self.pieces: list[bytes] = []
        self.told: list[str] = []
        self.made: Deferred[Recorder] = Deferred()
        self.lost: Deferred[Failure] = Deferred()
        self._waiting: list[tuple[int, Deferred[bytes]]] = []
        self.on_made: Callable[[Recorder], object] = lambda protocol: None
        self.on_data: Callable[[Recorder], object] = lambda protocol: None

    @property
    def wire(self) -> Any:
        """
        The transport, for calls that its interfaces do not name.
        """
        return self.transport

    def bytes_received(self, count: int) -> Deferred[bytes]:
        """
        Wait until so many bytes have come in all.
        """
        waiting: Deferred[bytes] = Deferred()
        self._waiting.append((count, waiting))
        self._check()
        return waiting

    def _check(self) -> None:
        size = sum(map(len, self.pieces)) + len(self.received)
        ready = [each for each in self._waiting if size >= each[0]]
        if ready:
            self.received += b"".join(self.pieces)
            self.pieces.clear()
            self._waiting = [each for each in self._waiting if each not in ready]
            for _, waiting in ready:
                waiting.callback(self.received)

    def connectionMade(self) -> None:
        self.told.append("made")
        self.on_made(self)
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)
        self.on_data(self)
        self._check()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default is untyped
        self.told.append("lost")
        self.received += b"".join(self.pieces)
        self.pieces.clear()
        self.lost.callback(reason.value)


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """
    A recorder that stays when the other side has finished sending.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read_lost: Deferred[None] = Deferred()
        self.write_lost: Deferred[None] = Deferred()

    def readConnectionLost(self) -> None:
        self.told.append("read lost")
        self.read_lost.callback(None)

    def writeConnectionLost(self) -> None:
        self.told.append("write lost")
        self.write_lost.callback(None)


class Once(ClientFactory):
    """
    A factory that gives one protocol away, and lets a test wait for a failure.
    """

    noisy = False

    def __init__(self, protocol: Protocol | None = None) -> None:
        self.given = protocol
        self.failed: Deferred[BaseException] = Deferred()
        self.lost: Deferred[BaseException] = Deferred()
        self.peer: Any = None

    def buildProtocol(self, addr: Any) -> Protocol | None:
        self.peer = addr
        return self.given

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.failed.callback(reason.value)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.lost.callback(reason.value)


@implementer(IPushProducer)
class Pusher:
    """
    A push producer that writes whenever it may, `total` bytes in all.
    """

    def __init__(self, wire: Any, total: int) -> None:
        self.wire, self.left = wire, total
        self.pauses = self.resumes = 0
        self.paused = self.stopped = False
        self.first_pause: Deferred[None] = Deferred()

    def go(self) -> None:
        """
        Write until paused or done.
        """
        while self.left and not self.paused and not self.stopped:
            size = min(self.left, 65536)
            self.left -= size
            self.wire.write(b"x" * size)
        if not self.left:
            self.wire.unregisterProducer()

    def pauseProducing(self) -> None:
        self.paused = True
        self.pauses += 1
        if self.pauses == 1:
            self.first_pause.callback(None)

    def resumeProducing(self) -> None:
        self.paused = False
        self.resumes += 1
        reactor.callLater(0, self.go)

    def stopProducing(self) -> None:
        self.stopped = True


@implementer(IPullProducer)
class Puller:
    """
    A pull producer of a number of pieces.
    """

    def __init__(self, wire: Any, pieces: list[bytes]) -> None:
        self.wire, self.pieces = wire, pieces
        self.stopped = False

    def resumeProducing(self) -> None:
        if self.pieces:
            self.wire.write(self.pieces.pop(0))
        else:
            self.wire.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped = True


def turn(seconds: float = 0.0) -> Deferred[None]:
    """
    Let the reactor do what is due; with seconds, let time pass in which nothing is expected to happen.
    """
    return deferLater(reactor, seconds, lambda: None)
