"""
Framed messages with descriptors between the leader and one worker, over a Unix socket pair.

A frame is a head of 17 bytes (length of the payload, build id, number, count of descriptors) and the payload.
Descriptors travel with the first bytes of their frame (SCM_RIGHTS). The socket is read by an object of our own on
the reactor, not by a transport, because no transport of a fast reactor receives descriptors.

What is outstanding is bounded both ways: bytes not yet taken by the other side, and questions not yet answered.
A channel that breaks a rule is lost; whoever owns it treats the other side as dead.

Source: `unix(7)`, `cmsg(3)`.
"""

from __future__ import annotations

import os
import socket
import struct
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from zope.interface import implementer

from dfproxy.errors import DfproxyError, Overloaded
from dfproxy.model.settings import Limits
from dfproxy.workers.messages import Message, decode, encode

FRAME_BYTES = Limits().channel_frame_bytes
"""
Payload of one frame until the settings are known. Changes travel in parts far below it; it bounds what a broken peer
makes us keep.
"""

UNSENT_BYTES = 64 * 1024 * 1024
"""
Bytes that wait for the other side to read. A worker that is stopped is replaced long before they gather; a whole
snapshot of 10,000 services is about 10 MiB.
"""

OUTSTANDING = Limits().channel_outstanding
"""
Questions without an answer yet, until the settings are known.
"""

DESCRIPTORS = 200
"""
Descriptors with one frame; the kernel takes 253 (SCM_MAX_FD).
"""

ANCILLARY_BYTES = socket.CMSG_LEN(DESCRIPTORS * array("i").itemsize)
"""
Room for the descriptors of one frame.
"""

READ_BYTES = 256 * 1024
"""
Read at once.
"""

HEAD = struct.Struct("!I8sIB")
"""
Length of the payload, build id, number, count of descriptors.
"""


class ChannelLost(DfproxyError):
    """
    The other side is gone, or speaks what we do not understand.
    """


class Frames:
    """
    Cuts a stream of bytes and descriptors into frames.

    Args:
        build: the build id that each frame must have.

    Attributes:
        frame_bytes: longest payload.
    """

    def __init__(self, build: bytes) -> None:
        self.frame_bytes = FRAME_BYTES
        self._build = build
        self._bytes = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: list[int]) -> list[tuple[int, list[int], bytes]]:
        """
        Take what came.

        Returns:
            Each complete frame: number, descriptors (the caller closes them), payload.

        Raises:
            ChannelLost: an oversized frame, one of another build, or one whose descriptors did not come.
        """
        self._bytes += data
        self._descriptors.extend(descriptors)
        frames: list[tuple[int, list[int], bytes]] = []
        start = 0
        try:
            while (frame := self._cut(start)) is not None:
                frames.append(frame)
                start += HEAD.size + len(frame[2])
        except ChannelLost:
            self._descriptors.extend(fd for _, taken, _ in frames for fd in taken)
            raise
        if start:
            del self._bytes[:start]
        return frames

    def close(self) -> None:
        """
        Close descriptors whose frame never came.
        """
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _cut(self, start: int) -> tuple[int, list[int], bytes] | None:
        if len(self._bytes) - start < HEAD.size:
            return None
        length, build, number, count = HEAD.unpack_from(self._bytes, start)
        if build != self._build:
            raise ChannelLost(f"build {build.hex()} is not ours, {self._build.hex()}: start dfproxy again")
        if length > self.frame_bytes:
            raise ChannelLost(f"frame of {length} bytes is above the limit of {self.frame_bytes}")
        end = start + HEAD.size + length
        if len(self._bytes) < end:
            return None
        if len(self._descriptors) < count:
            raise ChannelLost(f"{count} descriptors announced, {len(self._descriptors)} came")
        taken = [self._descriptors.popleft() for _ in range(count)]
        return number, taken, bytes(self._bytes[start + HEAD.size : end])


@implementer(IReadDescriptor, IWriteDescriptor)
class Channel:
    """
    One end.

    Args:
        reactor: `IReactorFDSet`.
        sock: our end of the pair; ours from now on.
        build: build id, the same at both ends.
        receive: called with each message that is no answer to a question of ours: message, its number (0: it
            wants no answer), its descriptors, which it must close.
        lost: called once with the reason when the channel is over, unless `close` was called.
    """

    def __init__(
        self,
        reactor: Any,
        sock: socket.socket,
        build: bytes,
        receive: Callable[[Message, int, list[int]], None],
        lost: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._socket = sock
        self._build = build
        self._receive = receive
        self._lost = lost
        self._frames = Frames(build)
        self._unsent: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._unsent_bytes = 0
        self._asked: dict[int, Deferred[Message]] = {}
        self._number = 0
        self._outstanding = OUTSTANDING
        self._open = True
        sock.setblocking(False)

    def start(self) -> None:
        """
        Begin to read.
        """
        self._reactor.addReader(self)

    def limit(self, limits: Limits) -> None:
        """
        These bounds are in force from now on; each side calls it once both know them.
        """
        self._frames.frame_bytes = limits.channel_frame_bytes
        self._outstanding = limits.channel_outstanding

    @property
    def unsent_bytes(self) -> int:
        """
        Bytes that the other side has not taken yet.
        """
        return self._unsent_bytes

    def send(self, message: Message, number: int = 0, descriptors: tuple[int, ...] = ()) -> None:
        """
        Say something. Nothing happens when the channel is over.

        Args:
            number: of the question that this answers.
            descriptors: stay open, and the caller's, until the frame is answered or the channel lost.
        """
        self.send_payload(encode(message), number, descriptors)

    def send_payload(self, payload: bytes, number: int = 0, descriptors: tuple[int, ...] = ()) -> None:
        """
        `send` for a message that is encoded already, because several workers get it.
        """
        if not self._open:
            return
        if len(payload) > self._frames.frame_bytes or len(descriptors) > DESCRIPTORS:
            raise ValueError(f"{len(payload)} bytes and {len(descriptors)} descriptors are too much for one frame")
        if self._unsent_bytes > UNSENT_BYTES:
            self._end(f"{self._unsent_bytes} bytes wait unread")
            return
        frame = HEAD.pack(len(payload), self._build, number, len(descriptors)) + payload
        self._unsent.append((memoryview(frame), descriptors))
        self._unsent_bytes += len(frame)
        if len(self._unsent) == 1:
            self.doWrite()

    def ask(self, message: Message, descriptors: tuple[int, ...] = ()) -> Deferred[Message]:
        """
        Say something that is answered.

        Returns:
            Deferred: the answer. Fails with `ChannelLost`, or `Overloaded` when too many are outstanding.
        """
        return self.ask_payload(encode(message), descriptors)

    def ask_payload(self, payload: bytes, descriptors: tuple[int, ...] = ()) -> Deferred[Message]:
        """
        `ask` for a message that is encoded already.
        """
        if not self._open:
            return fail(ChannelLost("the channel is closed"))
        if len(self._asked) >= self._outstanding:
            return fail(Overloaded(f"{self._outstanding} questions wait for their answers"))
        self._number = self._number % 0xFFFFFFFF + 1
        answer: Deferred[Message] = Deferred()
        self._asked[self._number] = answer
        self.send_payload(payload, self._number, descriptors)
        return answer

    def close(self) -> None:
        """
        End it. Questions that wait fail; `lost` is not called.
        """
        self._lost = _nobody
        self._end("closed")

    def fileno(self) -> int:
        """
        The socket, for the reactor.
        """
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """
        What the reactor's log calls it.
        """
        return "channel"

    def doRead(self) -> None:
        """
        The reactor: there is something to read.
        """
        try:
            # Not `socket.recv_fds`: it ignores its flags, and what came would be inherited by children.
            data, ancillary, flags, _ = self._socket.recvmsg(READ_BYTES, ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(str(error))
            return
        descriptors = array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        try:
            frames = self._frames.feed(data, descriptors.tolist())
        except ChannelLost as error:
            self._end(str(error))
            return
        if flags & socket.MSG_CTRUNC:
            self._end("descriptors were lost: the limit of open files is too low")
        elif not data:
            self._end("the other side closed")
        for at, (number, received, payload) in enumerate(frames):
            if not self._open:
                _close_all([fd for _, fds, _ in frames[at:] for fd in fds])
                return
            try:
                message = decode(payload)
            except ValueError as error:
                _close_all(received)
                self._end(f"not a message of ours: {error}")
                continue
            self._dispatch(message, number, received)

    def doWrite(self) -> None:
        """
        The reactor: there is room for more.
        """
        while self._unsent:
            frame, descriptors = self._unsent[0]
            try:
                if descriptors:
                    sent = socket.send_fds(self._socket, [frame], list(descriptors))
                else:
                    sent = self._socket.send(frame)
            except BlockingIOError:
                self._reactor.addWriter(self)
                return
            except OSError as error:
                self._end(str(error))
                return
            self._unsent_bytes -= sent
            if sent < len(frame):
                # The descriptors left with the first byte.
                self._unsent[0] = (frame[sent:], ())
            else:
                self._unsent.popleft()
        self._reactor.removeWriter(self)

    def connectionLost(self, reason: Any) -> None:
        """
        The reactor: reading or writing raised.
        """
        self._end(str(reason))

    def _dispatch(self, message: Message, number: int, descriptors: list[int]) -> None:
        asked = self._asked.pop(number, None)
        if asked is None:
            self._receive(message, number, descriptors)
            return
        _close_all(descriptors)
        asked.callback(message)

    def _end(self, reason: str) -> None:
        if not self._open:
            return
        self._open = False
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._frames.close()
        self._socket.close()
        self._unsent.clear()
        self._unsent_bytes = 0
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            answer.errback(ChannelLost(reason))
        self._lost(reason)


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _nobody(reason: str) -> None:
    """
    Nobody wants to hear of it.
    """
