"""
What is under way at a server that goes; the end of the whole process is in `tests.unit.control.test_apply`.
"""

from __future__ import annotations

from typing import Any

from dfproxy.control.draining import Draining
from dfproxy.model.settings import Limits
from tests.dialogue import (
    FORWARDED,
    HOSTS,
    Dialogue,
    DialogueCase,
    Party,
    client,
    connections,
    ended,
    members,
    server,
    waits,
)

A, B, C = HOSTS
GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
UPGRADE = ("GET /x HTTP/1.1", "Host: a.test", "Connection: Upgrade", "Upgrade: websocket")
SWITCHED = ("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")


class WithdrawnTests(DialogueCase):
    """
    Requests have three seconds, tunnels ten.
    """

    def dialogue(self, servers: int = 1, **about: Any) -> Dialogue:
        limits = Limits(drain_s=3.0, tunnel_drain_s=10.0, server_timeout_s=100.0, keep_alive_timeout_s=1000.0)
        dialogue = Dialogue(servers=servers, limits=limits, **about)
        draining = Draining(dialogue.traffic, dialogue.site)
        assert dialogue.backend is not None
        dialogue.backend.withdrawn = draining.withdrawn
        self.addCleanup(dialogue.finish)
        return dialogue

    def test_finishes(self) -> None:
        """
        What was asked before the server went is answered, and nothing new is asked there.
        """
        self.dialogue(2).run(
            *(client.sends(*GET), server.gets(*GET, FORWARDED)),
            members(B),
            waits(2.8),
            *(server.sends(*OK, body="hi"), client.gets(*OK, body="hi"), server.is_closed()),
            *(client.sends(*GET), Party("server", 1).gets(*GET, FORWARDED), connections(A, B)),
            *(Party("server", 1).sends(*OK, body="hi"), client.gets(*OK, body="hi"), ended("complete", "complete")),
        )

    def test_cut(self) -> None:
        """
        What has begun and is not over in time is cut.
        """
        self.dialogue().run(
            *(client.sends(*GET), server.gets(*GET, FORWARDED)),
            *(server.sends(*OK, body="h"), client.gets(*OK, body="h")),
            members(),
            waits(2.8),
            client.is_open(),
            waits(0.4),
            *(client.is_reset(), server.is_reset(), ended("withdrawn")),
        )

    def test_goes_elsewhere(self) -> None:
        """
        What has no answer yet is asked of another server, if it may be; else the client is told to come again.
        """
        self.dialogue(2).run(
            *(client.sends(*GET), server.gets(*GET, FORWARDED), members(B), waits(3.2)),
            Party("server", 1).gets(*GET, FORWARDED),
            *(Party("server", 1).sends(*OK, body="hi"), client.gets(*OK, body="hi"), ended("complete")),
        )
        self.dialogue().run(
            *(client.sends(*GET), server.gets(*GET, FORWARDED), members(), waits(3.2)),
            *(client.gets_answer(503, retry_after_s=2), ended("withdrawn")),
        )

    def test_tunnel(self) -> None:
        """
        A tunnel has its own, longer time.
        """
        dialogue = self.dialogue()
        dialogue.run(client.sends(*UPGRADE))
        dialogue.wire("server", -1).heard = b""
        dialogue.run(server.sends(*SWITCHED))
        dialogue.client.heard = b""
        dialogue.run(
            *(
                members(),
                waits(9.5),
                client.sends(b"up"),
                server.gets(b"up"),
                server.sends(b"down"),
                client.gets(b"down"),
            ),
            *(waits(0.7), client.is_closed(), ended("withdrawn")),
        )

    def test_returned(self) -> None:
        """
        A server that is there again when the time is over keeps what it has.
        """
        self.dialogue().run(
            *(client.sends(*GET), server.gets(*GET, FORWARDED), members(), waits(1), members(A), waits(4)),
            *(server.sends(*OK, body="hi"), client.gets(*OK, body="hi"), ended("complete")),
        )

    def test_service_gone(self) -> None:
        """
        The same when the whole service goes.
        """
        dialogue = self.dialogue()
        dialogue.run(client.sends(*GET), server.gets(*GET, FORWARDED))
        assert dialogue.backend is not None
        dialogue.backend.retire()
        dialogue.run(waits(2.8), client.gets_nothing(), waits(0.4), client.gets_answer(503, retry_after_s=2))
