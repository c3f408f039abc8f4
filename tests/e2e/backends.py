"""
Servers of tests: what they do on each connection is a script, so that they can also do what no server should.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

from tests.e2e.wire import Ended, Wire, digest, long_body

Script = Callable[[Wire, "Backend"], None]
"""What is done on one connection; it is closed afterwards."""

MB = 1_000_000

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"


class Backend:
    """
    A server of this process; each connection has a thread.

    Args:
        script: what it does on a connection. A connection that the other side ends, ends the script too.
        host: loopback address.
        port: 0: any that is free.

    Attributes:
        port: where it listens.
        accepted: connections so far.
        requests: whatever the script puts there.
        sent: bytes of long bodies so far, where the script counts them.
        errors: what went wrong in scripts; a test that leaves some fails.
    """

    def __init__(self, script: Script, host: str = "127.0.0.1", port: int = 0) -> None:
        self._script = script
        self.host = host
        self.requests: list[object] = []
        self.accepted = 0
        self.sent = 0
        self.errors: list[BaseException] = []
        self.changed = threading.Condition()
        self._open: set[Wire] = set()
        self._threads: list[threading.Thread] = []
        self._over = False
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind((host, port))
        self.listening.listen(512)
        self.port: int = self.listening.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return  # closed
            wire = Wire(sock)
            with self.changed:
                if self._over:
                    wire.close()
                    return
                self.accepted += 1
                self._open.add(wire)
                thread = threading.Thread(target=self._serve, args=(wire,), daemon=True)
                self._threads.append(thread)
                self.changed.notify_all()
            thread.start()

    def _serve(self, wire: Wire) -> None:
        try:
            self._script(wire, self)
        except (Ended, OSError):
            return  # the proxy ended the connection: a test that minds looks at it itself
        except BaseException as error:  # noqa: BLE001  reported by `close`
            self.errors.append(error)
        finally:
            wire.close()
            with self.changed:
                self._open.discard(wire)
                self.changed.notify_all()

    def note(self, what: object) -> None:
        """
        Remember something for the test; whoever waits in `until` looks again.
        """
        with self.changed:
            self.requests.append(what)
            self.changed.notify_all()

    def until(self, wanted: Callable[[], object], within_s: float = 10.0) -> None:
        """
        Wait until something holds that changes when the server accepts, notes or closes.
        """
        with self.changed:
            if not self.changed.wait_for(wanted, within_s):
                raise AssertionError(f"not within {within_s} s; noted: {self.requests!r:.500}")

    @property
    def open(self) -> int:
        """
        Connections whose script runs.
        """
        return len(self._open)

    def close(self) -> None:
        """
        Stop listening, cut what is open.

        Raises:
            AssertionError: a script went wrong.
        """
        with self.changed:
            self._over = True
        # `accept` in another thread is not woken by close, but by this.
        try:
            self.listening.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed by the test already
        self.listening.close()
        self._acceptor.join(10)
        with self.changed:
            left = list(self._open)
            threads = list(self._threads)
        for wire in left:
            try:
                wire.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # its script has just closed it
        for thread in threads:
            thread.join(10)
        if self.errors:
            raise AssertionError(f"the server's script went wrong: {self.errors!r}") from self.errors[0]


# --- scripts -----------------------------------------------------------------------------------------------------


def answering(body: bytes = b"hello") -> Script:
    """
    Answers every request with this body; `requests` are the messages.
    """

    def script(wire: Wire, backend: Backend) -> None:
        while True:
            backend.note(wire.request())
            wire.send(ANSWER % (len(body), body))

    return script


def echo(wire: Wire, backend: Backend) -> None:
    """
    Answers every request with its own body.
    """
    while True:
        request = wire.request()
        backend.note(request)
        wire.send(ANSWER % (len(request.body), request.body))


def silent(wire: Wire, backend: Backend) -> None:
    """
    Takes everything and never answers; notes when the other side ends.
    """
    wire.sock.settimeout(None)
    try:
        while wire.sock.recv(65536):
            continue
    finally:
        backend.note("ended")


def garbage(wire: Wire, backend: Backend) -> None:
    """
    Answers what is no HTTP.
    """
    wire.request()
    wire.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    wire.rest()


def replying(*parts: bytes, close: bool = False) -> Script:
    """
    Answers every request with these bytes, part by part, each its own segment.

    Args:
        close: and closes then.
    """

    def script(wire: Wire, backend: Backend) -> None:
        while True:
            backend.note(wire.request())
            for part in parts:
                wire.send(part)
            if close:
                return

    return script


def refused_port(host: str = "127.0.0.1") -> int:
    """
    A port at which nobody listens; connections are refused.
    """
    with socket.socket() as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


# --- long bodies ---------------------------------------------------------------------------------------------------


def sending(size: int, first: int, form: str) -> Callable[[Wire, Backend], None]:
    """
    Answers every request with a long body.

    Args:
        form: length, chunks or close.
    """

    def script(wire: Wire, backend: Backend) -> None:
        while True:
            wire.request()
            if form == "length":
                wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
            elif form == "chunks":
                wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            else:
                wire.send("HTTP/1.1 200 OK\r\n\r\n")
            for piece in long_body(size, first):
                wire.send(b"%x\r\n%b\r\n" % (len(piece), piece) if form == "chunks" else piece)
                with backend.changed:
                    backend.sent += len(piece)
            if form == "chunks":
                wire.send(b"0\r\n\r\n")
            elif form == "close":
                return

    return script


def hashing(wire: Wire, backend: Backend) -> None:
    """
    Answers every request with the digest of its body.
    """
    while True:
        head = wire.head()
        told = digest(body_pieces(wire, head.get("content-length"))).encode()
        wire.send(ANSWER % (len(told), told))


def body_pieces(wire: Wire, length: str | None) -> Iterator[bytes]:
    """
    A long body as it comes, of known length or in chunks.
    """
    if length is not None:
        yield from wire.pieces(int(length))
        return
    while size := int(wire.read_until(b"\r\n"), 16):
        yield from wire.pieces(size)
        wire.read(2)
    wire.read(2)
