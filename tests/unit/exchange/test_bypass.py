"""
Bodies that go past us, over real sockets: who is told what.
"""

from __future__ import annotations

from typing import Any

from dfproxy.exchange.bypass import Bypass, Upload
from dfproxy.exchange.splice import Pipes
from tests.unit.exchange.sockets import SocketCase, descriptors


class Told:
    """
    Stands for the exchange and its connection to the server; notes what it is told.
    """

    def __init__(self, transport: Any, left: int) -> None:
        self.bytes_in = self.bytes_out = 0
        self.transport = transport
        self.left = left
        self.reading_held = False
        self.connection: Any = self
        self.calls: list[Any] = []

    def relayed(self, count: int) -> None:
        self.left -= count

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append((name, *arguments) if arguments else name)


class BypassTests(SocketCase):
    """
    Answers.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pipes = Pipes()
        self.addCleanup(self.pipes.close)
        self.told: Any = Told(self.source, 1000)
        self.bypass = Bypass(self.told, self.told)

    def start(self) -> bool:
        return self.bypass.start(self.reactor, self.pipes, self.target)

    def test_whole(self) -> None:
        """
        The body goes past us, is counted, and the connection is read again when it is complete.
        """
        self.peer_of_source.sendall(b"x" * 600)
        self.assertTrue(self.start())
        self.assertTrue(self.source.paused)
        self.peer_of_source.sendall(b"x" * 500)
        while "relayed_all" not in self.told.calls:
            self.reactor.turn()
        self.assertEqual((self.told.bytes_out, self.told.left, self.source.paused), (1000, 0, False))
        self.assertEqual(self.told.calls[-2:], [("progress", False), "relayed_all"])
        self.assertIn(("wait_for_client", False), self.told.calls)
        self.assertEqual(self.source.handle.recv(1000), b"x" * 100)

    def test_not_now(self) -> None:
        """
        It is copied instead when the client does not read, has something unsent, or no descriptor is left.
        """
        for held, unsent in ((True, 0), (False, 5)):
            self.told.reading_held = held
            self.target.unsent = unsent
            self.assertFalse(self.start())
        self.target.unsent, self.told.reading_held = 0, False
        self.source.handle.close()
        self.assertFalse(self.start())
        self.assertEqual(self.told.calls, [])

    def test_broken(self) -> None:
        """
        A server that ends early is told to its connection, a client that is gone to the exchange.
        """
        self.start()
        self.peer_of_source.close()
        self.reactor.turn()
        self.assertEqual(self.told.calls[-1], "cut_short")
        self.told.calls.clear()
        self.peer_of_source, self.told.transport = self.connect()
        self.target.handle.shutdown(1)
        self.peer_of_source.sendall(b"x")
        self.start()
        self.reactor.turn() if not self.told.calls else None
        self.assertEqual(self.told.calls[-1], "client_broke")

    def test_cancel(self) -> None:
        """
        An exchange that is over has nothing left that is watched or open; later news is ignored.
        """
        before = descriptors()
        self.start()
        self.bypass.cancel()
        self.bypass.cancel()
        self.assertFalse(self.reactor.readers or self.reactor.writers)
        self.assertEqual(descriptors(), before + 2)  # the pipe is kept
        self.start()
        self.told.calls.clear()
        self.told.connection = None
        self.peer_of_source.close()
        self.reactor.turn()
        self.assertEqual(self.told.calls, [])


class UploadTests(SocketCase):
    """
    Requests.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pipes = Pipes()
        self.addCleanup(self.pipes.close)
        self.told: Any = Told(self.target, 0)
        self.upload = Upload(self.told, self.told, 1000)

    def start(self) -> bool:
        return self.upload.start(self.reactor, self.pipes, self.source)

    def test_whole(self) -> None:
        """
        The body goes past us, is counted, and the exchange is told when all of it is with the server.
        """
        self.assertTrue(self.start())
        self.peer_of_source.sendall(b"x" * 1100)
        while "request_passed" not in self.told.calls:
            self.reactor.turn()
        self.assertEqual(self.told.bytes_in, 1000)
        self.assertIn(("wait_for_server", False), self.told.calls)
        self.assertIn(("request_progress", False), self.told.calls)
        self.assertEqual(self.source.handle.recv(1000), b"x" * 100)

    def test_not_now(self) -> None:
        """
        It is copied instead when something is unsent towards the server.
        """
        self.target.unsent = 5
        self.assertFalse(self.start())

    def test_client_is_gone(self) -> None:
        """
        A client that ends early is told to the exchange.
        """
        self.start()
        self.peer_of_source.close()
        self.reactor.turn()
        self.assertEqual(self.told.calls[-1], "client_broke")

    def test_server_takes_no_more(self) -> None:
        """
        A server that takes no more may still answer: that is for its connection to say.
        """
        self.target.handle.shutdown(1)
        self.peer_of_source.sendall(b"x")
        self.start()
        if self.reactor.readers or self.reactor.writers:
            self.reactor.turn()
        self.assertFalse(self.reactor.readers or self.reactor.writers)
        names = {call if isinstance(call, str) else call[0] for call in self.told.calls}
        self.assertFalse(names & {"client_broke", "request_passed"})
        self.upload.cancel()
