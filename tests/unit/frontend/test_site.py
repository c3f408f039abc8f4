"""
The factory of client connections: how many, and how they end with the process.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.web.server import Site

from tests.dialogue import (
    FORWARDED,
    Dialogue,
    DialogueCase,
    Party,
    Step,
    client,
    dials,
    server,
    waits,
)

GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
asks = (client.sends(*GET), server.gets(*GET, FORWARDED))
answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))


def site_does(method: str) -> Step:
    return Step(f"the site does {method}", lambda dialogue: getattr(dialogue.site, method)())


class SiteTests(DialogueCase):
    """
    `ProxySite`.
    """

    def test_is_a_site(self) -> None:
        """
        It is a twisted.web site that starts nothing of its own.
        """
        dialogue = self.talk()
        self.assertIsInstance(dialogue.site, Site)
        dialogue.site.doStart()
        dialogue.site.doStop()
        self.assertIs(dialogue.site.resource, dialogue.resource)

    def test_counts(self) -> None:
        """
        Client connections are counted, now and in all.
        """
        dialogue = Dialogue()
        dialogue.run(dials(), dials(), Party("client", 0).closes())
        frontend = dialogue.traffic.frontend
        self.assertEqual((frontend.in_flight, frontend.connections, len(dialogue.site.sessions_open)), (2, 3, 2))
        self.assertEqual(dialogue.traffic.dirty, [frontend])
        dialogue.finish()
        self.assertEqual(frontend.in_flight, 0)

    def test_limit(self) -> None:
        """
        Above the limit a new connection is closed without an answer; below it there is room again.
        """
        dialogue = Dialogue()
        dialogue.site.limit = 2
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        dialogue.run(dials(), dials(), client.is_closed(), client.gets_nothing())
        self.assertEqual(dialogue.traffic.frontend.connect_errors, 1)
        dialogue.site.turn_away()  # said once a minute, not for each
        (line,) = [formatEvent(event) for event in events if "as many as may be" in str(event.get("log_format"))]
        self.assertIn("2 client connections are open", line)
        dialogue.traffic.frontend.connect_errors -= 1
        dialogue.clients.pop()
        dialogue.run(Party("client", 0).resets(), dials(), *asks, *answers)
        dialogue.finish()

    def test_draining(self) -> None:
        """
        A process that ends closes connections that have been idle for a second, answers what is under way with
        `Connection: close`, and lets a new connection ask once.
        """
        dialogue = Dialogue()
        dialogue.run(*asks, *answers, dials(), *asks, dials())
        dialogue.traffic.closing = True
        dialogue.run(
            site_does("close_idle"),
            Party("client", 0).is_open(),
            waits(1.1),
            site_does("close_idle"),
            Party("client", 0).is_closed(),
            Party("client", 1).is_open(),
            client.is_open(),
            server.sends(*OK, body="hi"),
            Party("client", 1).gets(*OK, "Connection: close", body="hi"),
            Party("client", 1).is_closed(),
            client.sends(*GET),
            server.gets(*GET, FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "Connection: close", body="hi"),
            client.is_closed(),
        )
        dialogue.finish()

    def test_cut(self) -> None:
        """
        What is still open when the time is over is cut, and the servers' work for it ends.
        """
        dialogue = Dialogue()
        dialogue.run(*asks, dials(), site_does("abort_all"), Party("client", 0).is_reset(), client.is_reset())
        dialogue.run(server.is_reset())
        dialogue.finish()
