"""
Servers that are left out for their answers, with real exchanges.
"""

from __future__ import annotations

from typing import Any

from dfproxy.health.answers import FIRST_PAUSE_S
from dfproxy.model.resilience import Resilience
from dfproxy.model.settings import Limits
from tests.dialogue import FORWARDED, HOSTS, Dialogue, DialogueCase, Party, Step, client, connections, server, waits

A, B, C = HOSTS
GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
BUSY = ("HTTP/1.1 503 Busy", "Content-Length: 4")

asks = (client.sends(*GET), server.gets(*GET, FORWARDED))
answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
first, second = Party("server", 0), Party("server", 1)


def asked(party: Party, answer: tuple[str, ...], body: str) -> tuple[Step, ...]:
    """
    One request that this server gets, and its answer.
    """
    return (
        client.sends(*GET),
        party.gets(*GET, FORWARDED),
        party.sends(*answer, body=body),
        client.gets(*answer, body=body),
    )


class EjectionTests(DialogueCase):
    """
    A server whose answers are bad is left out.
    """

    def dialogue(self, servers: int, **policy: Any) -> Dialogue:
        calm = Limits(head_timeout_s=1000.0, keep_alive_timeout_s=1000.0)
        dialogue = Dialogue(servers=servers, limits=calm, resilience=Resilience(**policy))
        self.addCleanup(dialogue.finish)
        return dialogue

    def usable(self, dialogue: Dialogue) -> list[str]:
        backend = dialogue.backend
        assert backend is not None
        return [server.host for server in backend.usable]

    def test_in_a_row(self) -> None:
        """
        Three missing answers in a row leave a server out for some seconds; then it gets requests again.
        """
        dialogue = self.dialogue(2)
        backend = dialogue.backend
        assert backend is not None
        told = []
        backend.outliers.tell = lambda fleet, server, pause_s: told.append((server.host, pause_s))
        for _ in range(3):
            backend.outliers.misbehaved(backend.servers[0], True)
        self.assertEqual(self.usable(dialogue), [B])
        self.assertEqual(told, [(A, FIRST_PAUSE_S)])
        dialogue.run(*asks, *answers, connections(B), waits(FIRST_PAUSE_S + 0.1))
        self.assertEqual(self.usable(dialogue), [A, B])

    def test_by_traffic(self) -> None:
        """
        5xx in a row, where they count, seen with real answers; a good answer in between forgives.
        """
        dialogue = self.dialogue(2, eject_errors=2)
        dialogue.run(
            *asked(first, BUSY, "busy"),
            *asked(second, OK, "hi"),
            *asked(first, OK, "hi"),
            *asked(second, OK, "hi"),
            *asked(first, BUSY, "busy"),
            *asked(second, OK, "hi"),
        )
        self.assertEqual(self.usable(dialogue), [A, B])
        dialogue.run(
            *asked(first, BUSY, "busy"),
        )
        self.assertEqual(self.usable(dialogue), [B])
        dialogue.run(waits(FIRST_PAUSE_S + 0.1))

    def test_bounded(self) -> None:
        """
        Never the last one, and of many no more than the policy's share.
        """
        dialogue = self.dialogue(3)
        backend = dialogue.backend
        assert backend is not None
        for each in backend.servers:
            for _ in range(5):
                backend.outliers.misbehaved(each, True)
        self.assertEqual(self.usable(dialogue), [B, C])
        lone = self.dialogue(1)
        assert lone.backend is not None
        for _ in range(5):
            lone.backend.outliers.misbehaved(lone.backend.servers[0], True)
        self.assertEqual(self.usable(lone), [A])
        all_but_one = self.dialogue(2, eject_most=100)
        assert all_but_one.backend is not None
        for each in all_but_one.backend.servers:
            for _ in range(5):
                all_but_one.backend.outliers.misbehaved(each, True)
        self.assertEqual(self.usable(all_but_one), [B])
        nobody = self.dialogue(3, eject_most=0)
        assert nobody.backend is not None
        for _ in range(5):
            nobody.backend.outliers.misbehaved(nobody.backend.servers[0], True)
        self.assertEqual(self.usable(nobody), [A, B, C])
        dialogue.reactor.wait(FIRST_PAUSE_S + 0.1)

    def test_hint(self) -> None:
        """
        What another worker says is done, within the same bounds and for as long; an unknown server is ignored.
        """
        dialogue = self.dialogue(3)
        backend = dialogue.backend
        assert backend is not None
        backend.outliers.hint("192.0.2.99", 8080, 7.0)
        backend.outliers.hint(B, 8080, 7.0)
        backend.outliers.hint(B, 8080, 7.0)
        backend.outliers.hint(C, 8080, 7.0)
        self.assertEqual(self.usable(dialogue), [A, C])
        dialogue.reactor.wait(6.9)
        self.assertEqual(self.usable(dialogue), [A, C])
        dialogue.reactor.wait(0.2)
        self.assertEqual(self.usable(dialogue), [A, B, C])
