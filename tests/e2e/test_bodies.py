"""
Long bodies, and sides that do not read, with workers: judged by digests, by what workers read, and by their memory.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.e2e.backends import ANSWER, MB, Backend, answering, body_pieces, hashing, sending
from tests.e2e.dialogues import GET
from tests.e2e.proxy import ProxyCase, until
from tests.e2e.wire import Wire, digest, long_body


class LongBodyTests(ProxyCase):
    """
    Bodies of 1 to 50 MB, judged by their digests.
    """

    def read_bytes(self) -> int:
        """
        What all workers have read by system calls that copy.
        """
        return sum(
            int(line.split()[1])
            for pid in self.proxy.worker_pids()
            for line in Path(f"/proc/{pid}/io").read_text().splitlines()
            if line.startswith("rchar:")
        )

    def download(self, client: Wire, size: int, first: int) -> None:
        """
        Ask for a long body and look at it.
        """
        client.send(GET.format("/"))
        head = client.head()
        self.assertEqual(head.status, 200)
        got = digest(body_pieces(client, head.get("content-length")))
        self.assertEqual(got, digest(long_body(size, first)))

    def test_downloads(self) -> None:
        """
        Long answers of each framing arrive whole, several on one connection.
        """
        for size, form in itertools.product((1 * MB, 50 * MB), ("length", "chunks", "close")):
            self.proxy.publish("plain", self.backend(sending(size, size % 977, form)))
            client = self.client()
            for _ in range(2 if size > MB else 5):
                self.download(client, size, size % 977)
            client.close()

    def test_uploads(self) -> None:
        """
        Long requests of each framing arrive whole, several on one connection.
        """
        self.proxy.publish("plain", self.backend(hashing))
        client = self.client()
        for size, chunked in itertools.product((1 * MB, 50 * MB, 2 * MB), (False, True)):
            if chunked:
                client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
            else:
                client.send(f"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n")
            for piece in long_body(size, 5):
                client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                client.send(b"0\r\n\r\n")
            self.assertEqual(client.response().body.decode(), digest(long_body(size, 5)))

    def test_very_many_small_chunks(self) -> None:
        """
        Chunks of two bytes, by the hundred thousand and as fast as they go, arrive whole in either direction.
        """
        count = 200_000
        small = b"2\r\nab\r\n" * count + b"0\r\n\r\n"

        def script(wire: Wire, backend: Backend) -> None:
            while True:
                got = sum(map(len, body_pieces(wire, wire.head().get("content-length"))))
                wire.send(b"HTTP/1.1 200 OK\r\nX-Got: %d\r\nTransfer-Encoding: chunked\r\n\r\n%b" % (got, small))

        self.proxy.publish("plain", self.backend(script))
        client = self.client()
        for _ in range(2):
            client.send(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + small)
            head = client.head()
            self.assertEqual(head.get("x-got"), str(2 * count))
            self.assertEqual(digest(body_pieces(client, None)), digest(iter((b"ab" * count,))))

    def test_both_ways_at_once(self) -> None:
        """
        A server that sends the body back while it comes.
        """

        def script(wire: Wire, backend: Backend) -> None:
            while True:
                length = int(wire.head().get("content-length") or 0)
                wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
                for piece in wire.pieces(length):
                    wire.send(piece)

        self.proxy.publish("plain", self.backend(script))
        for size in (70_000, 20 * MB):
            client = self.client()
            client.send(f"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n")
            upload = threading.Thread(target=lambda c=client, s=size: [c.send(piece) for piece in long_body(s, 9)])
            upload.start()
            self.addCleanup(upload.join, 10)
            self.assertEqual(client.head().status, 200)
            self.assertEqual(digest(client.pieces(size)), digest(long_body(size, 9)))

    def test_long_answers_are_spliced(self) -> None:
        """
        A long answer of known length goes from socket to socket in the kernel: the workers read next to nothing of it.
        """
        size = 30 * MB
        self.proxy.publish("plain", self.backend(sending(size, 3, "length")))
        client = self.client()
        before = self.read_bytes()
        self.download(client, size, 3)
        self.assertLess(self.read_bytes() - before, size / 10)
        # The measure tells one from the other: chunks are copied.
        self.proxy.publish("plain", self.backend(sending(size, 3, "chunks")))
        before = self.read_bytes()
        self.download(client, size, 3)
        self.assertGreater(self.read_bytes() - before, size / 2)

    def test_long_requests_are_spliced(self) -> None:
        """
        So does a long request of known length.
        """
        size = 30 * MB
        self.proxy.publish("plain", self.backend(hashing))
        client = self.client()
        before = self.read_bytes()
        client.send(f"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n")
        for piece in long_body(size, 5):
            client.send(piece)
        self.assertEqual(client.response().body.decode(), digest(long_body(size, 5)))
        self.assertLess(self.read_bytes() - before, size / 4)

    def test_mixed_load_leaves_nothing(self) -> None:
        """
        Small and large bodies, slow readers, and clients that go in the middle, all at once: what arrives is right, and
        no descriptor is left behind.
        """

        def script(wire: Wire, backend: Backend) -> None:
            while True:
                request = wire.request()
                size = int(request.target[1:])
                wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
                for piece in long_body(size, size):
                    wire.send(piece)

        def use(number: int) -> None:
            chance = random.Random(number)
            try:
                client = self.proxy.connect()
                for _ in range(6):
                    size = chance.choice((0, 100, 70_000, 300_000, 3 * MB))
                    client.send(GET.format(f"/{size}"))
                    self.assertEqual(client.head().get("content-length"), str(size))
                    if chance.random() < 0.2:
                        next(client.pieces(min(size, 1000)), b"")
                        (client.reset if chance.random() < 0.5 else client.close)()
                        client = self.proxy.connect()
                        continue
                    slow = chance.random() < 0.2
                    pieces = client.pieces(size)
                    got = digest(slowly(pieces) if slow else pieces)
                    self.assertEqual(got, digest(long_body(size, size)))
                client.close()
            except BaseException as error:  # noqa: BLE001  reported by the test
                faults.append(error)

        def slowly(pieces: Iterator[bytes]) -> Iterator[bytes]:
            for number, piece in enumerate(pieces):
                if number % 4 == 0:
                    time.sleep(0.002)
                yield piece

        self.proxy.get("/")
        before = self.proxy.sockets()
        pipes = self.proxy.pipes()
        self.proxy.publish("plain", self.backend(script))
        faults: list[BaseException] = []
        clients = [threading.Thread(target=use, args=(number,)) for number in range(32)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join(60)
        self.assertEqual(faults, [])
        self.proxy.remove("plain")
        until(lambda: self.proxy.sockets() <= before, 5, "sockets as before")
        self.assertLessEqual(self.proxy.pipes(), pipes + 2 * 32 * self.workers, "pipes are kept, but not many")

    # --- sides that do not read --------------------------------------------------------------------------------

    def stalls(self, sent: Callable[[], int]) -> int:
        """
        Wait until nothing more is sent.

        Returns:
            How much was.
        """
        last, at = -1, time.monotonic()
        while time.monotonic() - at < 0.4:
            now = sent()
            if now != last:
                last, at = now, time.monotonic()
            time.sleep(0.02)
        return last

    def test_client_that_does_not_read(self) -> None:
        """
        A client that does not read stops the server; the worker's memory does not grow, and others are served.
        """
        size = 200 * MB
        for form in ("length", "chunks", "close"):
            backend = self.backend(sending(size, 1, form))
            self.proxy.publish("plain", backend)
            other = self.backend(answering())
            self.proxy.publish("other", other, path="/other", aclName="a")
            self.proxy.get("/other")
            before = self.proxy.rss_bytes()
            client = self.client()
            client.send(GET.format("/"))
            sent = self.stalls(lambda backend=backend: backend.sent)
            self.assertLess(sent, 30 * MB, form)
            self.assertLess(self.proxy.rss_bytes() - before, 8 * MB, form)
            self.assertEqual(self.proxy.get("/other").body, b"hello")
            # Reading goes on where it stopped.
            head = client.head()
            pieces = body_pieces(client, head.get("content-length"))
            self.assertEqual(digest(pieces), digest(long_body(size, 1)), form)
            self.assertLess(self.proxy.rss_bytes() - before, 12 * MB, form)
            client.close()

    def test_server_that_does_not_read(self) -> None:
        """
        A server that does not read stops the client; the worker's memory does not grow.
        """
        go_on = threading.Event()

        def script(wire: Wire, backend: Backend) -> None:
            head = wire.head()
            go_on.wait(20)
            told = digest(body_pieces(wire, head.get("content-length"))).encode()
            wire.send(ANSWER % (len(told), told))

        size = 100 * MB
        for chunked in (False, True):
            go_on.clear()
            self.proxy.publish("plain", self.backend(script))
            before = self.proxy.rss_bytes()
            client = self.client()
            counted = [0]

            def upload(chunked: bool = chunked, client: Wire = client, counted: list[int] = counted) -> None:
                framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
                client.send(f"POST / HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n")
                for piece in long_body(size, 2):
                    client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                    counted[0] += len(piece)
                if chunked:
                    client.send(b"0\r\n\r\n")

            thread = threading.Thread(target=upload)
            thread.start()
            sent = self.stalls(lambda counted=counted: counted[0])
            self.assertLess(sent, 30 * MB)
            self.assertLess(self.proxy.rss_bytes() - before, 8 * MB)
            go_on.set()
            thread.join(20)
            self.assertEqual(client.response().body.decode(), digest(long_body(size, 2)))
            self.assertLess(self.proxy.rss_bytes() - before, 12 * MB)
