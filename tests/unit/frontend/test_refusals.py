"""
Requests that go nowhere: counted and logged.
"""

from __future__ import annotations

import json

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.refusals import note_refusal
from dfproxy.model.settings import AccessLines, Limits
from dfproxy.observe.accesslog import AccessLog
from dfproxy.wire.h1 import RequestHead, request_head

CLIENT = ("192.0.2.1", 4711)


class RefusalTests(SynchronousTestCase):
    def refuse(self, style: str, request: RequestHead | None, status: int) -> str:
        """
        The line that is written.
        """
        lines: list[bytes] = []
        log = AccessLog(
            AccessLines(style), lambda block: bool(lines.append(block)) or True, lambda: 0.0, lambda *_: "then.%03d"
        )
        clock = Clock()
        self.traffic = Traffic(clock, clock, Limits(), clock.seconds, log)  # type: ignore[arg-type]  # never connects
        self.traffic.frontend.in_flight = 3
        note_refusal(self.traffic, request, CLIENT, status)
        log.flush()
        return b"".join(lines).decode()

    def head(self) -> RequestHead:
        """
        A head that was read.
        """
        found = request_head(b"GET /none?a HTTP/1.1\r\nHost: test\r\n\r\n", 0, 1000, 10)
        assert found is not None
        found[0].client_host, found[0].client_port = CLIENT
        return found[0]

    def test_no_route(self) -> None:
        """
        A request without a route has a line with its target and 503, and counts at the frontend.
        """
        line = json.loads(self.refuse("json", self.head(), 503))
        self.assertEqual(
            {name: line[name] for name in ("client", "target", "status", "backend", "server", "ending", "attempts")},
            {
                "client": "192.0.2.1",
                "target": "/none?a",
                "status": 503,
                "backend": "services",
                "server": "-",
                "ending": "no_route",
                "attempts": 0,
            },
        )
        frontend = self.traffic.frontend
        self.assertEqual((frontend.requests, frontend.responses_5xx, frontend.responses_4xx), (1, 1, 0))
        self.assertEqual(self.traffic.dirty, [frontend])

    def test_unreadable(self) -> None:
        """
        What cannot be read has a line with its sender and status, too; in HAProxy's form it is a <BADREQ>.
        """
        line = json.loads(self.refuse("json", None, 400))
        self.assertEqual((line["client"], line["status"], line["target"]), ("192.0.2.1", 400, ""))
        self.assertEqual(self.traffic.frontend.responses_4xx, 1)
        text = self.refuse("httplog", None, 408)
        self.assertTrue(text.startswith("192.0.2.1:4711 ["), text)
        self.assertIn(" services services/<NOSRV> -1/-1/-1/-1/0 408 0 - - cR-- 3/3/0/0/0 ", text)
        self.assertTrue(text.endswith('"<BADREQ>"\n'), text)
        self.assertIn('"GET /none?a HTTP/1.1"', self.refuse("httplog", self.head(), 503))

    def test_without_log(self) -> None:
        """
        Without an access log it is counted all the same.
        """
        clock = Clock()
        traffic = Traffic(clock, clock, Limits(), clock.seconds)  # type: ignore[arg-type]  # never connects
        note_refusal(traffic, None, CLIENT, 414)
        self.assertEqual((traffic.frontend.requests, traffic.frontend.responses_4xx), (1, 1))
