"""
Bytes both ways between two sockets, until both sides have ended.

Small messages are copied (a read, a write); when a read fills the buffer the way changes to `splice(2)` until the burst
is over, and holds a pipe only that long. What the target does not take stops reading at the source, so nothing piles
up. The end of one direction is passed on when its last byte is; the other goes on. A side that breaks is told to the
other as a reset: what was cut never looks complete.

Source: splice(2); epoll(7), edge-triggered reading; RFC 9293 3.6 (half-close); HAProxy `mode tcp`, `splice-auto`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from socket import SHUT_WR, SO_ERROR, SO_LINGER, SOL_SOCKET, socket
from typing import Protocol

from dfproxy.exchange.splice import PIPE_BYTES, Pipes
from dfproxy.polling import BROKEN, ENDED, READ, Poller

COPY_BYTES = 65536
"""
What is copied in one go; a read that fills it is taken for the beginning of a bulk transfer.
"""

TURNS = 16
"""
Reads, or pipefuls, before other connections get their turn.
"""

_RESET = struct.pack("ii", 1, 0)


class Owner(Protocol):
    """
    Whose bytes they are.
    """

    def relayed(self, up: int, down: int) -> None:
        """
        So many bytes have reached the server, and the client.
        """

    def relay_ended(self, broken: str) -> None:
        """
        It is over, and both sockets are closed: "" both sides have ended; else `client` or `server`, which has broken.
        """


class Relays:
    """
    What all relays of a process share.

    Args:
        poller: watches the sockets.
        pipes: for splicing.

    Attributes:
        splice: bulk may go from socket to socket in the kernel.
    """

    def __init__(self, poller: Poller, pipes: Pipes) -> None:
        self.poller = poller
        self.pipes = pipes
        self.splice = True
        self._view: memoryview | None = None

    @property
    def view(self) -> memoryview:
        """
        What is copied through; there once there is a relay.
        """
        if self._view is None:
            self._view = memoryview(bytearray(COPY_BYTES))
        return self._view


class _Way:
    """
    One direction.
    """

    __slots__ = (
        "_burst",
        "_ends",
        "_held",
        "_is_bulk",
        "_piped",
        "_queued",
        "_relay",
        "ended",
        "finished",
        "is_final",
        "name",
        "other",
        "readable",
        "receive",
        "send",
        "source",
        "target",
    )

    def __init__(self, relay: Relay, source: socket, target: socket, name: str, other: str, held: bytes) -> None:
        self._relay = relay
        self.source = source
        self.target = target
        self.name = name
        self.other = other
        self.receive: Callable[[memoryview], int] = source.recv_into
        self.send: Callable[[bytes | memoryview], int] = target.send
        self._held = held  # read, or to be sent first, and not yet taken by the target
        self._ends: tuple[int, int] | None = None
        self._piped = 0
        self._burst = 0
        self._is_bulk = False
        self._queued = False
        self.readable = True
        self.is_final = False  # the source has said that it ends: read until there is no more
        self.ended = False
        self.finished = False

    @property
    def waits(self) -> bool:
        """
        The target has not taken all.
        """
        return bool(self._held or self._piped)

    def pump(self) -> None:
        """
        Move what can be moved now.
        """
        relay = self._relay
        view, receive, send = relay.view, self.receive, self.send
        moved = 0
        for _ in range(TURNS):
            if self._held:
                try:
                    sent = send(self._held)
                except BlockingIOError:
                    break
                except OSError:
                    relay.broke(self, self.other, moved)
                    return
                moved += sent
                self._held = self._held[sent:]  # once more if anything is left: only EAGAIN promises to be told
                continue
            if self._piped:
                try:
                    sent = os.splice(self._ends[0], self.target.fileno(), self._piped)  # type: ignore[index]  # there is a pipe
                except BlockingIOError:
                    break
                except OSError:
                    relay.broke(self, self.other, moved)
                    return
                moved += sent
                self._piped -= sent
                continue
            if self.ended:
                self._finish(moved)
                return
            if not self.readable:
                break
            if self._is_bulk:
                if not self._fill(moved):
                    return
                continue
            try:
                count = receive(view)
            except BlockingIOError:
                self.readable = False
                break
            except OSError:
                relay.broke(self, self.name, moved)
                return
            if not count:
                self.ended = True
                continue
            try:
                sent = send(view[:count])
            except BlockingIOError:
                sent = 0
            except OSError:
                relay.broke(self, self.other, moved)
                return
            moved += sent
            if sent < count:
                self._held = bytes(view[sent:count])
            elif count < COPY_BYTES:
                if not self.is_final:
                    self.readable = False  # a short read: that was all (epoll(7))
                    break
            elif relay.shared.splice:
                self._is_bulk = True
                self._burst = 0
        else:
            if not self._queued:
                self._queued = True
                relay.shared.poller.later(self._again)
        if moved:
            relay.moved(self, moved)

    def _again(self) -> None:
        self._queued = False
        if not self._relay.over:
            self.pump()

    def _fill(self, moved: int) -> bool:
        """
        Take from the source into an empty pipe.

        Returns:
            Whether the relay goes on.
        """
        pipes = self._relay.shared.pipes
        if self._ends is None:
            try:
                self._ends = pipes.take()
            except OSError:
                self._is_bulk = False  # no descriptors: it is copied, and looked at again with the next full read
                return True
        try:
            self._piped = os.splice(self.source.fileno(), self._ends[1], PIPE_BYTES)
        except BlockingIOError:
            self.readable = False
        except OSError:
            self._relay.broke(self, self.name, moved)
            return False
        else:
            self._burst += self._piped
            if self._piped:
                return True
            self.ended = True
        self.let_go()
        if self._burst < COPY_BYTES:
            self._is_bulk = False
        self._burst = 0
        return True

    def let_go(self) -> None:
        """
        Give the pipe back.
        """
        ends, self._ends = self._ends, None
        if ends is not None:
            self._relay.shared.pipes.give(ends, empty=not self._piped)

    def _finish(self, moved: int) -> None:
        """
        All of the source's bytes are with the target: pass the end on.
        """
        if not self.finished:
            self.finished = True
            try:
                self.target.shutdown(SHUT_WR)
            except OSError:
                self._relay.broke(self, self.other, moved)
                return
        if moved:
            self._relay.moved(self, moved)
        self._relay.finished()


class Relay:
    """
    One connection between a client and a server. The sockets are its own from `start` on.

    Args:
        shared: with others.
        client: not blocking.
        server: connected, not blocking.
        opening: sent to the server before anything of the client's.
        owner: told what happens.

    Attributes:
        over: it has ended.
    """

    __slots__ = ("_client", "_down", "_owner", "_server", "_up", "over", "shared", "view")

    def __init__(self, shared: Relays, client: socket, server: socket, opening: bytes, owner: Owner) -> None:
        self.shared = shared
        self.view = shared.view
        self._client = client
        self._server = server
        self._owner = owner
        self._up = _Way(self, client, server, "client", "server", opening)
        self._down = _Way(self, server, client, "server", "client", b"")
        self.over = False

    def start(self) -> None:
        """
        Begin.
        """
        poller = self.shared.poller
        try:
            poller.watch(self._client.fileno(), self._client_ready)
            poller.watch(self._server.fileno(), self._server_ready)
        except OSError:
            self.broke(self._up, "client", 0)
            return
        self._up.pump()
        if not self.over:
            self._down.pump()

    def _client_ready(self, mask: int) -> None:
        if not self.over:
            self._tell(self._up, self._down, mask)

    def _server_ready(self, mask: int) -> None:
        if not self.over:
            self._tell(self._down, self._up, mask)

    def _tell(self, reading: _Way, writing: _Way, mask: int) -> None:
        if mask & (READ | ENDED):
            reading.readable = True
            if mask & ENDED:
                reading.is_final = True
                # A side that had ended before and breaks now is read no more. (Asked, since masks may be of others.)
                if mask & BROKEN and reading.source.getsockopt(SOL_SOCKET, SO_ERROR):
                    self.broke(reading, reading.name, 0)
                    return
            reading.pump()
        if writing.waits and not self.over:
            writing.pump()

    def moved(self, way: _Way, count: int) -> None:
        """
        So many bytes have reached the target of this way.
        """
        if way is self._up:
            self._owner.relayed(count, 0)
        else:
            self._owner.relayed(0, count)

    def finished(self) -> None:
        """
        One way has nothing more to do.
        """
        if not self.over and self._up.finished and self._down.finished:
            self._close(reset=False)
            self._owner.relay_ended("")

    def broke(self, way: _Way, name: str, moved: int) -> None:
        """
        A socket is no good any more.

        Args:
            way: where that was seen.
            name: whose socket it is, `client` or `server`.
            moved: what had been moved before.
        """
        if self.over:
            return
        if moved:
            self.moved(way, moved)
        self._close(reset=True)
        self._owner.relay_ended(name)

    def cut(self, reset: bool) -> None:
        """
        End it now; the owner is not told.

        Args:
            reset: both sides see a reset; else an end, behind what has been sent.
        """
        if not self.over:
            self._close(reset)

    def _close(self, reset: bool) -> None:
        self.over = True
        for way in (self._up, self._down):
            way.let_go()
        for connection in (self._client, self._server):
            self.shared.poller.forget(connection.fileno())
            close(connection, reset)
        del self._up, self._down  # they know us: a circle would wait for the garbage collector


def close(connection: socket, reset: bool) -> None:
    """
    Close a socket.

    Args:
        reset: the other side sees a reset, and what the kernel has not sent is dropped.
    """
    if reset:
        try:
            connection.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        except OSError:
            reset = False  # it is broken already, and says so by itself
    connection.close()
