"""
Load: what counts as a request answered, what as failed, and what the proxy paid for it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import load
from bench.load import LoadFailed, Run, run_wrk
from bench.proxies import Proxy

SAID = """Running 1s test @ http://127.0.0.1:1/
  1 threads and 2 connections
{errors}  4000 requests in 1.02s, 500.00KB read
{other}Requests/sec:   3921.00
"""


class Used:
    """
    The processes of a proxy, as far as a run asks: their CPU seconds.
    """

    def __init__(self, *readings: float) -> None:
        self._readings = iter(readings)

    def cpu_s(self) -> float:
        return next(self._readings)


class RunTests(SynchronousTestCase):
    """
    One run of wrk; a stand-in says what wrk would say.
    """

    def wrk(self, errors: str = "", other: str = "", status: int = 0) -> None:
        """
        From now on wrk says this.
        """
        program = Path(self.mktemp())
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{SAID.format(errors=errors, other=other)}END\nexit {status}\n")
        program.chmod(0o755)
        self.patch(load, "find_program", lambda name: str(program.resolve()))

    def run_against(self, status: int = 200) -> Run:
        proxy: Any = Proxy("someone", 1, Used(10.0, 10.5))  # type: ignore[arg-type]  # processes that only count
        return run_wrk(proxy, "/", 2, 1, status=status)

    def test_cost(self) -> None:
        """
        Requests are set against the CPU time between the run's begin and end, not against all that was ever used.
        """
        self.wrk()
        run = self.run_against()
        self.assertEqual((run.requests, run.cpu_s), (4000, 0.5))
        self.assertEqual(run.per_cpu_s, 8000)
        self.assertEqual(run.cpu_us, 125)

    def test_failed(self) -> None:
        """
        A run in which answers were wrong or connections failed is no figure but an error, which says how many.
        """
        self.wrk(other="  Non-2xx or 3xx responses: 7\n")
        self.assertIn("7 of a wrong status", str(self.assertRaises(LoadFailed, self.run_against)))
        self.wrk(errors="  Socket errors: connect 1, read 2, write 0, timeout 4\n")
        self.assertIn("7 failed", str(self.assertRaises(LoadFailed, self.run_against)))
        self.wrk(status=1)
        self.assertRaises(LoadFailed, self.run_against)

    def test_refusals_wanted(self) -> None:
        """
        Where a 503 is what is measured, a run in which some answers were none is an error.
        """
        self.wrk(other="  Non-2xx or 3xx responses: 4000\n")
        self.assertEqual(self.run_against(503).requests, 4000)
        self.wrk(other="  Non-2xx or 3xx responses: 3999\n")
        self.assertIn("1 of a wrong status", str(self.assertRaises(LoadFailed, self.run_against, 503)))


RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nhello, world!\n"


class SteadyTests(SynchronousTestCase):
    """
    The steady client against a server that answers by a script.
    """

    def ask(self, *answers: bytes | None, keep: bool = True) -> tuple[list[str], int, int]:
        """
        Let it ask until each of the answers has been given; None: no answer comes.

        Returns:
            Failures in words, how many answers were right, and how many connections it took.
        """
        script = list(answers)
        seen: dict[str, list[tuple[float, Any]]] = {"failed": [], "waits": []}
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    if not script:
                        await asyncio.sleep(60)
                    answer = script.pop(0)
                    if answer is None:
                        await asyncio.sleep(60)
                    elif not answer:
                        return
                    else:
                        writer.write(answer)
            except (asyncio.IncompleteReadError, asyncio.CancelledError):
                return
            finally:
                writer.close()

        async def run() -> None:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server:
                asking = asyncio.create_task(load._ask_steadily(port, "/", 0.0, 0.0, keep, seen))
                wanted = sum(answer is not None for answer in answers)
                until = time.monotonic() + 3
                while len(seen["failed"]) + len(seen["waits"]) < wanted and time.monotonic() < until:
                    await asyncio.sleep(0.005)
                if None in answers:
                    await asyncio.sleep(load.LATE_S + 0.1)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()

        asyncio.run(run())
        return [words for _, words in seen["failed"]], len(seen["waits"]), connections

    def test_every_failure(self) -> None:
        """
        A wrong status, a wrong body, a cut answer and a closed connection each count once; the right ones as well.
        """
        wrong = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        other = RIGHT.replace(b"hello", b"HELLO")
        failed, answered, _ = self.ask(RIGHT, wrong, RIGHT, other, b"", RIGHT)
        self.assertEqual(len(failed), 3)
        self.assertIn("503", failed[0])
        self.assertEqual(failed[2], "IncompleteReadError")
        self.assertEqual(answered, 3)

    def test_connections(self) -> None:
        """
        Connections are kept, or each request has its own, as asked.
        """
        self.assertEqual(self.ask(RIGHT, RIGHT, RIGHT)[1:], (3, 1))
        self.assertGreaterEqual(self.ask(RIGHT, RIGHT, RIGHT, keep=False)[2], 3)

    def test_unanswered_at_the_end(self) -> None:
        """
        A request that is still without an answer when the load is stopped has failed, if it has waited for long.
        """
        self.patch(load, "LATE_S", 0.2)
        failed, answered, _ = self.ask(RIGHT, None)
        self.assertEqual((failed, answered), (["no answer when stopped"], 1))
        self.patch(load, "LATE_S", 60.0)
        self.assertEqual(self.ask(RIGHT)[:2], ([], 1))

    def test_refused(self) -> None:
        """
        A connection that is refused is a failure, and counts again with each attempt.
        """
        seen: dict[str, list[tuple[float, Any]]] = {"failed": [], "waits": []}

        async def run() -> None:
            server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            server.close()
            await server.wait_closed()
            asking = asyncio.create_task(load._ask_steadily(port, "/", 0.0, 0.0, True, seen))
            until = time.monotonic() + 3
            while len(seen["failed"]) < 3 and time.monotonic() < until:
                await asyncio.sleep(0.005)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

        asyncio.run(run())
        self.assertEqual({words for _, words in seen["failed"]}, {"ConnectionRefusedError"})
        self.assertGreaterEqual(len(seen["failed"]), 3)
