"""
Access lines: what they say, and that nobody waits for who reads them.
"""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.connection import Arrival
from dfproxy.model.ending import ANSWERED_LOCALLY, CLIENT_GONE, COMPLETE, CONNECT_FAILED, DENIED
from dfproxy.model.settings import AccessLines
from dfproxy.observe.accesslog import BLOCK_BYTES, FORMATS, AccessLog
from dfproxy.testing import FakeRequest


class Done:
    """
    An exchange that is over.
    """

    def __init__(self, request: Any = None, **about: Any) -> None:
        self.request = request or FakeRequest(b"GET", b"/x?q", [(b"Host", b"a.test:80")])
        self.request.client_port = 4711
        self.status, self.bytes_in, self.bytes_out, self.attempts = 200, 3, 42, 1
        self.started, self.answered = 100.0, 100.0125
        self.backend_name, self.server_name = "web-be8080_0", "web_1"
        vars(self).update(about)


class LogCase(SynchronousTestCase):
    """
    One log.
    """

    def setUp(self) -> None:
        self.blocks: list[bytes] = []
        self.takes = True
        self.now = 5.0421

    def log(self, style: str) -> AccessLog:
        look = AccessLines(style)
        return AccessLog(look, self.write, lambda: self.now, lambda second, style: f"{style}@{second}.%03d")

    def write(self, block: bytes) -> bool:
        if self.takes:
            self.blocks.append(block)
        return self.takes

    def line(self, style: str, done: Any, ending: Any = COMPLETE, now: float = 100.25) -> str:
        log = self.log(style)
        log.add(done, ending, now)
        log.flush()
        text = b"".join(self.blocks).decode()
        self.blocks.clear()
        return text


class LineTests(LogCase):
    """
    One line.
    """

    def test_json(self) -> None:
        """
        Everything that is known of the exchange, as one JSON object.
        """
        self.assertEqual(
            json.loads(self.line("json", Done())),
            {
                "time": "json@5.042",
                "client": "192.0.2.1",
                "method": "GET",
                "host": "a.test:80",
                "target": "/x?q",
                "status": 200,
                "backend": "web-be8080_0",
                "server": "web_1",
                "ending": "complete",
                "attempts": 1,
                "bytes_in": 3,
                "bytes_out": 42,
                "latency_ms": 12.5,
                "total_ms": 250.0,
            },
        )

    def test_json_without_an_answer(self) -> None:
        """
        Without an answer there is no latency.
        """
        line = json.loads(self.line("json", Done(answered=0.0, status=503, server_name="-"), CONNECT_FAILED))
        self.assertEqual((line["latency_ms"], line["server"], line["ending"]), (None, "-", "connect_failed"))

    @given(st.binary(max_size=60), st.binary(max_size=60))
    @settings(max_examples=75, deadline=None)
    def test_any_bytes(self, target: bytes, host: bytes) -> None:
        """
        Whatever stands in a head, the line is one line, and JSON that gives it back.
        """
        request = FakeRequest(b"GET", b"/", [])
        request.target, request.host = target, host
        line = self.line("json", Done(request))
        self.assertEqual((line.count("\n"), line[-1]), (1, "\n"))
        read = json.loads(line)
        self.assertEqual((read["target"].encode("latin-1"), read["host"].encode("latin-1")), (target, host))
        self.assertEqual(self.line("httplog", Done(request)).count("\n"), 1)

    def test_httplog(self) -> None:
        """
        HAProxy's form: client, date, frontend, backend/server, timers, status, bytes, termination, counts, request.
        """
        self.assertEqual(
            self.line("httplog", Done(attempts=3)),
            "192.0.2.1:4711 [httplog@4.792] services web-be8080_0/web_1 0/0/0/12/250 200 42 - - "
            '---- 0/0/0/0/2 0/0 "GET /x?q HTTP/1.1"\n',
        )
        for number, name in enumerate(("HTTP/1.0", "HTTP/1.1", "HTTP/2.0")):
            done = Done()
            done.request.version = number
            self.assertIn(f' "GET /x?q {name}"\n', self.line("httplog", done))
        lost = Done(answered=0.0, server_name="-", status=0, attempts=0)
        self.assertIn(
            " web-be8080_0/<NOSRV> 0/-1/-1/-1/250 -1 42 - - CD-- 0/0/0/0/0 ", self.line("httplog", lost, CLIENT_GONE)
        )

    def test_arrival(self) -> None:
        """
        HAProxy's form has the time of the first byte, and how long the head took; JSON has the time of the end.
        """
        done = Done(downstream=SimpleNamespace(arrival=Arrival(99.25, 3.0, 0.0)))
        self.assertIn(" [httplog@4.042] services web-be8080_0/web_1 750/0/0/12/1000 200 ", self.line("httplog", done))
        self.assertEqual(json.loads(self.line("json", done))["time"], "json@5.042")

    def test_long_line(self) -> None:
        """
        However long the request, a line fits into one piece of a pipe.
        """
        request = FakeRequest(b"M" * 9000, b'/"' + b"\\" * 16000, [])
        request.host = b"\xe9" * 8000
        for style in FORMATS:
            line = self.line(style, Done(request))
            self.assertLessEqual(len(line), BLOCK_BYTES)
            self.assertEqual(line[-1], "\n")
        self.assertTrue(json.loads(self.line("json", Done(request)))["target"].startswith('/"\\\\'))


class BlockTests(LogCase):
    """
    Many lines.
    """

    def test_blocks(self) -> None:
        """
        Lines are written in their order, whole, in blocks of at most a pipe's piece, and only when flushed.
        """
        log = self.log("json")
        for number in range(100):
            log.add(Done(bytes_in=number), COMPLETE, 101.0)
        self.assertEqual(self.blocks, [])
        log.flush()
        log.flush()
        self.assertTrue(all(len(block) <= BLOCK_BYTES and block[-1:] == b"\n" for block in self.blocks))
        self.assertLess(len(self.blocks), 20)
        numbers = [json.loads(line)["bytes_in"] for line in b"".join(self.blocks).splitlines()]
        self.assertEqual((numbers, log.lost), (list(range(100)), 0))

    def test_lost(self) -> None:
        """
        Lines that nobody takes are dropped and counted; later ones are written again.
        """
        log = self.log("json")
        self.takes = False
        for _ in range(30):
            log.add(Done(), COMPLETE, 101.0)
        log.flush()
        self.assertEqual((self.blocks, log.lost), ([], 30))
        self.takes = True
        log.add(Done(), COMPLETE, 101.0)
        log.flush()
        self.assertEqual((len(self.blocks), log.lost), (1, 30))

    def test_date(self) -> None:
        """
        The date is made once a second.
        """
        made: list[int] = []

        def stamp(second: int, style: str) -> str:
            made.append(second)
            return f"{second}.%03d"

        log = AccessLog(AccessLines("json"), self.write, lambda: self.now, stamp)
        for self.now in (5.0, 5.9999, 6.001, 6.5):
            log.add(Done(), COMPLETE, 101.0)
        log.flush()
        self.assertEqual(made, [5, 6])
        self.assertEqual(
            re.findall(rb'"time":"([^"]*)"', b"".join(self.blocks)), [b"5.000", b"5.999", b"6.001", b"6.500"]
        )


class ChosenTests(LogCase):
    """
    Which lines are written, and how: DFP's `DEBUG_ERRORS_ONLY`, `DEBUG_HTTP_FORMAT`, `DEBUG_TCP_FORMAT`,
    `CAPTURE_REQUEST_HEADER`.
    """

    def said(self, look: AccessLines, *about: tuple[Any, Any]) -> str:
        log = AccessLog(look, self.write, lambda: self.now, lambda *_: "then.%03d", ("host-1", 7))
        for done, ending in about:
            log.add(done, ending, 100.25)
        log.flush()
        text = b"".join(self.blocks).decode()
        self.blocks.clear()
        return text

    def test_errors_only(self) -> None:
        """
        What went well is not told; failures, retries, denials and answers from 500 on are.
        """
        look = AccessLines("json", errors_only=True)
        for done, ending, told in (
            (Done(), COMPLETE, False),
            (Done(status=404), COMPLETE, False),
            (Done(status=302), ANSWERED_LOCALLY, False),
            (Done(status=500), COMPLETE, True),
            (Done(attempts=2), COMPLETE, True),
            (Done(status=403), DENIED, True),
            (Done(status=0), CLIENT_GONE, True),
            (Done(status=503), CONNECT_FAILED, True),
        ):
            self.assertEqual(bool(self.said(look, (done, ending))), told, (done.status, ending.word))

    def test_formats(self) -> None:
        """
        A format of one's own, with DFP's prefix; whole connections have theirs.
        """
        connection = Done(is_tunnel=True)
        look = AccessLines("httplog", "HAPRoxy: ", http="%ST %HM", tcp="%ci %Tt")
        self.assertEqual(
            self.said(look, (Done(), COMPLETE), (connection, COMPLETE)), "HAPRoxy: 200 GET\nHAPRoxy: 192.0.2.1 250\n"
        )
        self.assertEqual(
            self.said(AccessLines("httplog"), (connection, COMPLETE)),
            "192.0.2.1:4711 [then.792] services web-be8080_0/web_1 0/12/250 42 -- 0/0/0/0/0 0/0\n",
        )
        self.assertEqual(json.loads(self.said(AccessLines("json", http="%ST"), (connection, COMPLETE)))["status"], 200)

    def test_numbered(self) -> None:
        """
        Lines have numbers, as HAProxy's request counter.
        """
        look = AccessLines("httplog", http="%rt %lc %ID")
        self.assertEqual(self.said(look, (Done(), COMPLETE), (Done(), COMPLETE)), "0 0 -\n1 1 -\n")

    def test_captured(self) -> None:
        """
        Captured fields, in JSON and in braces; nothing that a client sends breaks the line.
        """
        request = FakeRequest(b"GET", b"/", [(b"Host", b"a.test")])
        request.captured = (b'a"b', b"\xff\n")
        line = json.loads(self.said(AccessLines("json"), (Done(request), COMPLETE)))
        self.assertEqual(line["captured"], ['a"b', ""])
        self.assertIn(' 0/0 {a\\"b|} "GET / ', self.said(AccessLines("httplog"), (Done(request), COMPLETE)))
