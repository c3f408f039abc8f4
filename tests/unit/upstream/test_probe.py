"""
One check of one server, with real sockets, and how answers are judged.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.checks import Check
from dfproxy.model.service import ServerTls
from dfproxy.polling import READ, WRITE
from dfproxy.tls.servers import ServerSides
from dfproxy.upstream.probe import ANSWER_BYTES, Answer, Goal, Probe

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Watching:
    """
    A `Poller` that is asked by hand.
    """

    def __init__(self) -> None:
        self.owners: dict[int, Callable[[int], None]] = {}

    def watch(self, descriptor: int, ready: Callable[[int], None]) -> None:
        self.owners[descriptor] = ready

    def forget(self, descriptor: int) -> None:
        self.owners.pop(descriptor, None)

    def turn(self, seconds: float) -> None:
        """
        Tell what happens within that time.
        """
        watched = list(self.owners)
        readable, writable, _ = select.select(watched, watched if seconds == 0 else [], [], seconds)
        for descriptor in {*readable, *writable}:
            if descriptor in self.owners:
                self.owners[descriptor](READ * (descriptor in readable) | WRITE * (descriptor in writable))


class ProbeCase(SynchronousTestCase):
    """
    A server that does what a test says, on one connection.
    """

    def setUp(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listening.close)
        self.port = self.listening.getsockname()[1]
        self.asked = b""
        self.poller = Watching()

    def serve(self, script: Callable[[socket.socket], None]) -> None:
        def run() -> None:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    script(connection)
                except OSError:
                    return  # the check is over

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)

    def answering(self, *pieces: bytes) -> Callable[[socket.socket], None]:
        def script(connection: socket.socket) -> None:
            while b"\r\n\r\n" not in self.asked:
                received = connection.recv(1000)
                if not received:
                    return
                self.asked += received
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)

        return script

    def probed(self, goal: Goal) -> str:
        """
        How a check ends.
        """
        told: list[str] = []
        probe = Probe(self.poller, goal, told.append)  # type: ignore[arg-type]  # asked by hand
        probe.begin()
        for _ in range(500):
            if told:
                break
            self.poller.turn(0)
            self.poller.turn(0.01)
        self.assertEqual(len(told), 1, "it ends once")
        self.assertEqual(self.poller.owners, {}, "nothing is watched any more")
        return told[0]


class ProbeTests(ProbeCase):
    """
    Plain ones.
    """

    def goal(self, preface: bytes = b"", **check: object) -> Goal:
        return Goal("127.0.0.1", self.port, Check(**check), None, preface)  # type: ignore[arg-type]  # by name

    def test_connects(self) -> None:
        """
        Without a path a connection is enough; nothing is sent.
        """
        received: list[bytes] = []

        def listen(connection: socket.socket) -> None:
            try:
                received.append(connection.recv(100))
            except ConnectionResetError:
                received.append(b"reset")

        self.serve(listen)
        self.assertEqual(self.probed(self.goal()), "")
        self.doCleanups()
        self.assertEqual(received, [b"reset"], "as HAProxy does, so that no socket waits a minute to be gone")

    def test_refused(self) -> None:
        """
        Nobody listens.
        """
        self.listening.close()
        self.assertEqual(self.probed(self.goal()), "Connection refused")
        self.assertEqual(self.probed(self.goal(path="/")), "Connection refused")

    def test_not_made(self) -> None:
        """
        Without descriptors of our own nothing is found out, and the server is not blamed.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = os.dup(0)
        os.close(taken)
        told: list[str | None] = []
        probe = Probe(self.poller, self.goal(), told.append)  # type: ignore[arg-type]  # asked by hand
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken, hard))
        try:
            probe.begin()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(told, [None])

    def test_get(self) -> None:
        """
        The GET is a whole request of HTTP/1.1.
        """
        self.serve(self.answering(OK))
        self.assertEqual(self.probed(self.goal(path="/health?x", preface=b"PROXY UNKNOWN\r\n")), "")
        self.assertEqual(
            self.asked,
            b"PROXY UNKNOWN\r\nGET /health?x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: dfproxy-check\r\n"
            b"Connection: close\r\n\r\n" % self.port,
        )

    def test_host(self) -> None:
        """
        A service with a domain is asked for it.
        """
        self.assertIn(b"\r\nHost: a.test\r\n", Goal("::1", 80, Check("/", host="a.test")).request())
        self.assertIn(b"\r\nHost: [::1]:80\r\n", Goal("::1", 80, Check("/")).request())

    def test_wrong_status(self) -> None:
        """
        500 is a failure, and said.
        """
        self.serve(self.answering(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"))
        self.assertEqual(self.probed(self.goal(path="/")), "answered 500")

    def test_wrong_body(self) -> None:
        """
        So is an answer without the text.
        """
        self.serve(self.answering(OK))
        self.assertIn("checkBody", self.probed(self.goal(path="/", body="fine")))

    def test_closed(self) -> None:
        """
        So is no answer.
        """
        self.serve(self.answering())
        self.assertEqual(self.probed(self.goal(path="/")), "closed without an answer")

    def test_cancelled(self) -> None:
        """
        Nobody is told of a check that is cancelled.
        """
        told: list[str] = []
        probe = Probe(self.poller, self.goal(path="/"), told.append)  # type: ignore[arg-type]  # asked by hand
        probe.begin()
        probe.cancel()
        probe.cancel()
        self.assertEqual((told, self.poller.owners), ([], {}))


class TlsTests(ProbeCase):
    """
    A GET over TLS.
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = str(Path(self.mktemp()).absolute())
        self.certificate = self.make_certificate("web.test")

    def make_certificate(self, name: str) -> str:
        """
        A self-signed certificate with its key, in a file.
        """
        Path(self.folder).mkdir(exist_ok=True)
        file = Path(self.folder) / f"{name}.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            + [
                "-subj",
                f"/CN={name}",
                "-addext",
                f"subjectAltName=DNS:{name}",
                "-keyout",
                str(file),
                "-out",
                str(file) + ".crt",
            ],
            check=True,
            capture_output=True,
        )
        with file.open("a") as pem:
            pem.write(Path(str(file) + ".crt").read_text())
        return str(file)

    def over_tls(self, script: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)

        def run(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as secured:
                script(secured)

        return run

    def goal(self, tls: ServerTls, **check: object) -> Goal:
        side = ServerSides(self.folder).make(tls)
        return Goal("127.0.0.1", self.port, Check(**check), side)  # type: ignore[arg-type]  # by name

    def test_get(self) -> None:
        """
        A server that proves its name is asked; its answer counts.
        """
        self.serve(self.over_tls(self.answering(OK)))
        tls = ServerTls(True, "web.test", self.certificate + ".crt")
        self.assertEqual(self.probed(self.goal(tls, path="/x", body="ok")), "")
        self.assertTrue(self.asked.startswith(b"GET /x HTTP/1.1\r\n"))

    def test_wrong_status(self) -> None:
        """
        Also a bad one.
        """
        self.serve(self.over_tls(self.answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")))
        tls = ServerTls(False, "", "")
        self.assertEqual(self.probed(self.goal(tls, path="/x")), "answered 503")

    def test_stranger(self) -> None:
        """
        One that proves another name fails, and is asked nothing.
        """
        self.serve(self.over_tls(self.answering(OK)))
        tls = ServerTls(True, "other.test", self.certificate + ".crt")
        self.assertIn("other.test", self.probed(self.goal(tls, path="/x")))
        self.assertEqual(self.asked, b"")

    def test_unknown_authority(self) -> None:
        """
        One whose certificate nobody vouches for fails.
        """
        self.serve(self.over_tls(self.answering(OK)))
        self.assertIn("TLS: ", self.probed(self.goal(ServerTls(True, "web.test"), path="/x")))

    def test_plain_server(self) -> None:
        """
        One that does not speak TLS fails.
        """

        def plain(connection: socket.socket) -> None:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 What\r\n\r\n")

        self.serve(plain)
        self.assertIn("TLS: ", self.probed(self.goal(ServerTls(False, ""), path="/x")))


class AnswerTests(SynchronousTestCase):
    """
    Bytes of answers.
    """

    def judged(self, *pieces: bytes, **check: object) -> str | None:
        answer = Answer(Check("/", **check))  # type: ignore[arg-type]  # by name
        for piece in pieces:
            reason = answer.take(piece, False)
            if reason is not None:
                return reason
        return answer.take(b"", True)

    def test_statuses(self) -> None:
        """
        From 200 to 399, or those that are named.
        """
        for status, wanted, right in (
            (200, (), True),
            (302, (), True),
            (400, (), False),
            (199, (), False),
            (404, (404,), True),
            (200, (404,), False),
        ):
            head = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
            said = self.judged(head, statuses=wanted)
            self.assertEqual((said == "", "checkStatus" in str(said)), (right, bool(wanted) and not right), status)

    def test_interim(self) -> None:
        """
        103 is no answer yet.
        """
        self.assertEqual(self.judged(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", OK), "")

    def test_body(self) -> None:
        """
        Text is found in chunks and in bodies that end with the connection.
        """
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n4\r\n ok!\r\n0\r\n\r\n"
        self.assertEqual(self.judged(chunked, body="all ok"), "")
        self.assertEqual(self.judged(b"HTTP/1.0 200 OK\r\n\r\nall", b" ok", body="all ok"), "")
        self.assertIn("checkBody", str(self.judged(b"HTTP/1.0 200 OK\r\n\r\nall", body="all ok")))

    def test_endless(self) -> None:
        """
        A server that never stops is not read for ever.
        """
        answer = Answer(Check("/", body="never"))
        answer.take(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", False)
        reasons = [answer.take(b"x" * 8192, False) for _ in range(ANSWER_BYTES // 8192 + 1)]
        self.assertIn("checkBody", str(reasons[-1]))
        self.assertEqual(reasons[0], None)
        endless = Answer(Check("/"))
        head = [
            endless.take(b"HTTP/1.1 200 OK\r\n" if not n else b"A: %b\r\n" % (b"x" * 8000), False) for n in range(10)
        ]
        self.assertNotIn("", head)
        self.assertTrue(any(head))

    def test_garbage(self) -> None:
        """
        What is no HTTP is no answer.
        """
        self.assertIn("no valid answer", str(self.judged(b"SSH-2.0-OpenSSH\r\n")))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(1, 30), max_size=12), st.sampled_from([OK, OK.replace(b"200", b"503")]))
    def test_any_cut(self, cuts: list[int], whole: bytes) -> None:
        """
        However it is cut, it is judged alike.
        """
        pieces, rest = [], whole
        for cut in cuts:
            pieces.append(rest[:cut])
            rest = rest[cut:]
        found = self.judged(*(piece for piece in (*pieces, rest) if piece), body="ok")
        self.assertEqual(found, "" if b"200" in whole else "answered 503")
