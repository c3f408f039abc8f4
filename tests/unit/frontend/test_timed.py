"""
Sessions that know when their requests began.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.http1 import Http1Session
from dfproxy.frontend.timed import TimedSession
from dfproxy.model.settings import AccessLines
from dfproxy.observe.accesslog import AccessLog
from tests.dialogue import Dialogue, Step, client, server, waits

FORMAT = "%Th/%Ti/%TR/%Tq/%Tr/%Ta/%Tt %ST %r"
HEAD = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")


class TimesTests(SynchronousTestCase):
    """
    What lines say of a connection.
    """

    def setUp(self) -> None:
        self.lines: list[str] = []
        self.dialogue = Dialogue()
        self.addCleanup(self.dialogue.traffic.deadlines.stop)

    def written(self, block: bytes) -> bool:
        self.lines += block.decode().splitlines()
        return True

    def talk(self, *steps: Step) -> list[str]:
        """
        The lines that this leaves, on a connection of its own.
        """
        traffic = self.dialogue.traffic
        lines = AccessLines("httplog", http=FORMAT)
        log = AccessLog(lines, self.written, self.dialogue.reactor.seconds, lambda *_: "then.%03d")
        traffic.access_log = log
        self.dialogue.dial()
        self.dialogue.run(*steps)
        log.flush()
        return self.lines

    def test_slow_head(self) -> None:
        """
        Waiting for the first byte, then for the rest of the head, then for the server; the next request of the
        connection waits since the answer before.
        """
        second = (client.sends(HEAD[:20]), waits(0.5), client.sends(HEAD[20:]), server.sends(*OK, body="hi"))
        self.assertEqual(
            self.talk(
                *(waits(1), client.sends(HEAD[:5]), waits(0.75), client.sends(HEAD[5:9]), waits(0.25)),
                *(client.sends(HEAD[9:]), waits(0.75), server.sends(*OK, body="hi"), waits(1.25)),
                *second,
            ),
            [
                "0/1000/1000/2000/750/1750/2750 200 GET /x HTTP/1.1",
                "0/1250/500/1750/0/500/1750 200 GET /x HTTP/1.1",
            ],
        )

    def test_sent_ahead(self) -> None:
        """
        A request that was sent while another one was answered has waited for nobody.
        """
        self.assertEqual(
            self.talk(
                *(client.sends(HEAD + HEAD), waits(0.5), server.sends(*OK, body="hi"), waits(0.25)),
                server.sends(*OK, body="hi"),
            ),
            ["0/0/0/0/500/500/500 200 GET /x HTTP/1.1", "0/0/0/0/250/250/250 200 GET /x HTTP/1.1"],
        )

    def test_never_complete(self) -> None:
        """
        A head that never comes, or is none, has no time of its own; the line begins with its first byte.
        """
        self.assertEqual(self.talk(waits(1), client.sends("NONSENSE")), ["0/1000/-1/-1/-1/0/1000 400 <BADREQ>"])

    def test_handshake(self) -> None:
        """
        The handshake counts for the first request only, and is not waiting.
        """
        shakes = Step("the handshake is over", lambda dialogue: session(dialogue).handshakeCompleted())
        self.assertEqual(
            self.talk(
                *(waits(0.25), shakes, waits(1), client.sends(HEAD), server.sends(*OK, body="hi"), waits(2)),
                *(client.sends(HEAD), server.sends(*OK, body="hi")),
            ),
            ["250/1000/0/1250/0/0/1250 200 GET /x HTTP/1.1", "0/2000/0/2000/0/0/2000 200 GET /x HTTP/1.1"],
        )

    def test_only_where_a_log_asks(self) -> None:
        """
        Without a log, or with one that does not tell these times, nothing is measured.
        """
        self.assertIs(type(session(self.dialogue)), Http1Session)
        self.talk()
        self.assertIs(type(session(self.dialogue)), TimedSession)
        self.dialogue.traffic.access_log = AccessLog(AccessLines("json"), self.written, lambda: 0.0, lambda *_: "%03d")
        self.dialogue.dial()
        self.assertIs(type(session(self.dialogue)), Http1Session)


def session(dialogue: Dialogue) -> Any:
    """
    The last one.
    """
    return dialogue.client.protocol
