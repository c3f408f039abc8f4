"""
When a change has its effect, as the bench sees it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.api import Api
from bench.changes import change, change_many, is_alive
from bench.proxies import Proxy

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"
NO_ROUTE = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n"


class ChangeTests(SynchronousTestCase):
    """
    Against an API and a front that answer by a script.
    """

    def measure(self, fronts: list[bytes], apis: list[bytes], names: list[str], callers: int) -> list[Any]:
        """
        Make changes; each side gives its answers in their order, then the last one again.
        """
        self.asked: list[tuple[str, str]] = []

        async def run() -> list[Any]:
            async def serve(side: str, script: list[bytes], reader: Any, writer: Any) -> None:
                line = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
                self.asked.append((side, line))
                writer.write(script.pop(0) if len(script) > 1 else script[0])
                writer.close()

            front = await asyncio.start_server(lambda r, w: serve("front", fronts, r, w), "127.0.0.1", 0)
            api = await asyncio.start_server(lambda r, w: serve("api", apis, r, w), "127.0.0.1", 0)
            port, api_port = (server.sockets[0].getsockname()[1] for server in (front, api))
            nothing: Any = None
            proxy = Proxy("dfproxy", port, nothing, Api(api_port))
            async with front, api:
                if len(names) == 1:
                    return [await change(proxy, names[0], 9)]
                return await change_many(proxy, names, 9, callers)

        return asyncio.run(run())

    def test_effect(self) -> None:
        """
        The route is asked once the call is answered, until it answers; requests that did not find it are counted.
        """
        [(answered, effective, late)] = self.measure([NO_ROUTE, NO_ROUTE, OK], [OK], ["new"], 1)
        self.assertEqual(late, 2)
        self.assertLessEqual(answered, effective)
        self.assertEqual([side for side, _ in self.asked], ["api", "front", "front", "front"])
        self.assertIn("serviceName=new", self.asked[0][1])
        self.assertEqual(self.asked[1][1], "/new/")

    def test_at_once(self) -> None:
        """
        Found by the first request: nothing is late.
        """
        self.assertEqual(self.measure([OK], [OK], ["new"], 1)[0][2], 0)

    def test_refused(self) -> None:
        """
        A call that is refused is an error, never a fast change.
        """
        refused = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{}"
        self.assertRaises(RuntimeError, self.measure, [OK], [refused], ["new"], 1)

    def test_all_are_made(self) -> None:
        """
        Many callers share the changes: each is made exactly once.
        """
        names = [f"s{number}" for number in range(7)]
        self.assertEqual(len(self.measure([OK], [OK], names, 3)), 7)
        made = [path for side, path in self.asked if side == "api"]
        self.assertEqual(sorted(name for name in names for path in made if f"serviceName={name}&" in path), names)


class OpenTests(SynchronousTestCase):
    """
    Connections that have to live through changes.
    """

    def test_alive(self) -> None:
        """
        Alive is what sends the word back; what was cut, or says something else, is not.
        """
        for back, alive in ((b"still here", True), (b"still HERE", False), (b"still", False), (b"", False)):
            ours, theirs = socket.socketpair()
            theirs.sendall(back)
            theirs.shutdown(socket.SHUT_WR)
            self.assertIs(is_alive(ours, b"still here"), alive)
            ours.close()
            theirs.close()
