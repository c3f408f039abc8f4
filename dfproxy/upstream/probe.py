"""
One check of one server: connects, where asked for speaks TLS and sends a GET, and judges the answer.

A socket of ours with no transport in between, watched by a `Poller`: ten thousand servers are checked by one process
that has other things to do. The connection is reset at its end, as HAProxy does: so none waits a minute to be gone.

Source: HAProxy `check`, `option httpchk`, `http-check expect`; RFC 9112.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from errno import EADDRNOTAVAIL, EAGAIN, EINPROGRESS, EMFILE, ENFILE, ENOBUFS, ENOMEM
from os import strerror
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    SO_ERROR,
    SO_LINGER,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    socket,
)
from struct import pack
from typing import Any, Protocol

import httptools

from dfproxy.model.checks import Check
from dfproxy.polling import Poller

UNNAMED = ", which checkStatus does not name"
"""
What is said of a status that would be right otherwise.
"""

ANSWER_BYTES = 65536
"""
How much of an answer is looked at: its head, and the part of its body in which a text is searched.
"""

READ_BYTES = 16384
"""
Read at once.
"""

SHOWN_CHARS = 120
"""
How much of a reason is told.
"""

OURS = frozenset((EADDRNOTAVAIL, EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM))
"""
Errors that say something of us, not of the server: descriptors, ports or memory are used up.
"""

_RESET = pack("ii", 1, 0)


class Secured(Protocol):
    """
    How a server is spoken to with TLS (`dfproxy.tls.servers.ServerSide`).
    """

    sni: str

    def handshake(self, session: Any, /) -> Any:
        """
        What begins one, with `wrap_bio`.
        """

    def mismatch(self, certificate: bytes | None, /) -> str:
        """
        Why a certificate does not prove the name.
        """


@dataclass(frozen=True, slots=True)
class Goal:
    """
    What is checked, and how.

    Attributes:
        host: IP address.
        port: port.
        check: how.
        tls: how it is spoken to; None: plainly.
        preface: sent before anything else: a header of the PROXY protocol.
    """

    host: str
    port: int
    check: Check
    tls: Secured | None = None
    preface: bytes = b""

    def request(self) -> bytes:
        """
        What is sent.
        """
        host = self.check.host or (f"[{self.host}]" if ":" in self.host else self.host) + f":{self.port}"
        return (
            f"{self.check.method} {self.check.path} HTTP/1.1\r\nHost: {host}\r\n"
            "User-Agent: dfproxy-check\r\nConnection: close\r\n\r\n"
        ).encode("latin-1", "replace")


Done = Callable[["str | None"], None]
"""
Told how a check ended: why it failed; empty: it succeeded; None: it could not be made, which says nothing.
"""


class Probe:
    """
    One check under way. Who has it sees to its deadline.

    Args:
        poller: watches the socket.
        goal: what is checked.
        done: told how it ended, once, perhaps at once; not if it is cancelled.
    """

    __slots__ = ("_answer", "_connected", "_done", "_goal", "_poller", "_socket", "_tls", "_unsent")

    def __init__(self, poller: Poller, goal: Goal, done: Done) -> None:
        self._poller = poller
        self._goal = goal
        self._done = done
        self._socket: socket | None = None
        self._connected = False
        self._unsent = b""
        self._answer: Answer | None = None
        self._tls: Tls | None = None

    def begin(self) -> None:
        """
        Start to connect.
        """
        goal = self._goal
        try:
            self._socket = sock = socket(
                AF_INET6 if ":" in goal.host else AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
            )
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
            error = sock.connect_ex((goal.host, goal.port))
            if error in (0, EINPROGRESS):
                self._poller.watch(sock.fileno(), self._ready)
                return
        except OSError as problem:
            error = problem.errno or 0
        if error in OURS:
            self.cancel()
            self._done(None)
        else:
            self._end(strerror(error))

    def cancel(self) -> None:
        """
        Nobody wants it any more; nobody is told.
        """
        sock, self._socket = self._socket, None
        if sock is not None:
            self._poller.forget(sock.fileno())
            sock.close()

    def _end(self, reason: str) -> None:
        self.cancel()
        # Names in certificates are the server's words, and reasons go to the log.
        self._done("".join(c if c.isprintable() else "?" for c in reason[:SHOWN_CHARS]))

    def _ready(self, mask: int) -> None:
        if self._socket is None:
            return
        try:
            if not self._connected and not self._has_connected(self._socket):
                return
            self._go_on(self._socket)
        except ssl.SSLError as error:
            self._end(f"TLS: {error.reason or error}")
        except OSError as error:
            self._end(error.strerror or str(error))

    def _has_connected(self, sock: socket) -> bool:
        error = sock.getsockopt(SOL_SOCKET, SO_ERROR)
        if error:
            self._end(strerror(error))
            return False
        try:
            sock.getpeername()
        except OSError:
            return False  # not yet: what was told was meant for another socket of this number
        self._connected = True
        goal = self._goal
        if not goal.check.path:
            self._end("")
            return False
        self._answer = Answer(goal.check)
        self._unsent = goal.preface
        if goal.tls is None:
            self._unsent += goal.request()
        else:
            self._tls = Tls(goal.tls, goal.request())
            self._unsent += self._tls.outgoing()
        return True

    def _go_on(self, sock: socket) -> None:
        """
        Send and read what can be.
        """
        answer = self._answer
        assert answer is not None
        self._send(sock)
        while self._socket is not None:
            try:
                received = sock.recv(READ_BYTES)
            except BlockingIOError:
                return
            if self._tls is not None:
                plain, refusal = self._tls.take(received)
                if refusal:
                    self._end(refusal)
                    return
                self._unsent += self._tls.outgoing()
                self._send(sock)
            else:
                plain = received
            reason = answer.take(plain, ended=not received)
            if reason is not None:
                self._end(reason)

    def _send(self, sock: socket) -> None:
        while self._unsent:
            try:
                self._unsent = self._unsent[sock.send(self._unsent) :]
            except BlockingIOError:
                return


class Tls:
    """
    TLS of one check, in memory.

    Args:
        secured: how the server is spoken to.
        request: sent once the server has shown who it is.
    """

    def __init__(self, secured: Secured, request: bytes) -> None:
        self._secured = secured
        self._request = request
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = secured.handshake(None).wrap_bio(self._incoming, self._outgoing, False, secured.sni or None)
        self._is_open = False
        self.take(None)

    def outgoing(self) -> bytes:
        """
        What is to be sent.
        """
        return self._outgoing.read()

    def take(self, received: bytes | None) -> tuple[bytes, str]:
        """
        Take what came.

        Args:
            received: from the server; b"": it has ended; None: nothing yet.

        Returns:
            The plain bytes, and why the server is not believed.

        Raises:
            ssl.SSLError: it does not speak TLS as we do.
        """
        if received:
            self._incoming.write(received)
        elif received is not None:
            self._incoming.write_eof()
        plain = b""
        try:
            if not self._is_open:
                self._object.do_handshake()
                refusal = self._secured.mismatch(self._object.getpeercert(True))
                if refusal:
                    return b"", refusal
                self._is_open = True
                self._object.write(self._request)
            while piece := self._object.read(READ_BYTES):
                plain += piece
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            if received == b"" and not self._is_open:
                raise
        return plain, ""


class Answer:
    """
    The answer to a GET, as far as it is looked at.

    Args:
        check: what it should be.
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self._parser = httptools.HttpResponseParser(self)
        self._left = ANSWER_BYTES
        self._status = 0
        self._body = b""
        self._whole = False
        self._wanted = check.body.encode()

    def take(self, received: bytes, ended: bool) -> str | None:
        """
        Take what came.

        Args:
            received: bytes of the answer.
            ended: nothing follows.

        Returns:
            Why the answer is wrong; empty: it is right; None: more is needed.
        """
        if received:
            try:
                self._parser.feed_data(received[: self._left])
            except httptools.HttpParserError as error:
                return f"no valid answer: {error}"
            self._left -= min(len(received), self._left)
        if self._status:
            right = self._status in self._check.statuses if self._check.statuses else 200 <= self._status < 400
            if not right:
                return f"answered {self._status}{UNNAMED if self._check.statuses else ''}"
            if self._wanted in self._body:
                return ""
        if self._status and (self._whole or ended or not self._left):
            return "its answer does not hold the text of checkBody"
        if ended:
            return "closed without an answer"
        return None if self._left else f"the head of its answer has more than {ANSWER_BYTES} bytes"

    def on_headers_complete(self) -> None:
        """
        A head is there; interim answers do not count (RFC 9110 15.2).
        """
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status

    def on_body(self, body: bytes) -> None:
        """
        Some of it.
        """
        self._body += body

    def on_message_complete(self) -> None:
        """
        That was all of it.
        """
        self._whole = bool(self._status)
