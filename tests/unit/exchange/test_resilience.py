"""
An exchange whose server gives no answer, a bad one, or has no place: dialogues.
"""

from __future__ import annotations

from typing import Any

from dfproxy.frontend.answers import answer
from dfproxy.model.resilience import Resilience
from dfproxy.model.settings import Limits
from dfproxy.observe.logformat import Line, times_ms
from dfproxy.upstream.places import claim_alone, places_for
from tests.dialogue import (
    FORWARDED,
    HOSTS,
    Dialogue,
    DialogueCase,
    Party,
    client,
    connections,
    dials,
    ended,
    server,
    waits,
)

A, B, C = HOSTS
GET = ("GET /x HTTP/1.1", "Host: a.test")
POST = ("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 2")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
BUSY = ("HTTP/1.1 503 Busy", "Content-Length: 4")
LATER = answer(503, retry_after_s=2)

asks = (client.sends(*GET), server.gets(*GET, FORWARDED))
answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
first, second, third = (Party("server", number) for number in range(3))


class RepeatTests(DialogueCase):
    """
    A request that was sent goes to another server.
    """

    def test_closed(self) -> None:
        """
        A new connection that closes without an answer: an idempotent request goes on elsewhere, a POST is told 502.
        """
        elsewhere = (first.closes(), second.gets(*GET, FORWARDED), *answers, connections(A, B), ended("complete"))
        dialogue = self.talk(*asks, *elsewhere, servers=2)
        self.assertEqual(dialogue.balancer.told, ["taken web_0", "failed web_0", "taken web_1", "released web_1"])
        self.assertEqual([(each.retries, each.response_errors) for each in dialogue.backend.servers], [(1, 1), (0, 0)])
        self.talk(
            client.sends(*POST, body="ab"),
            server.gets(*POST, FORWARDED, body="ab"),
            server.closes(),
            client.gets_answer(502),
            connections(A),
            servers=2,
        )

    def test_lone(self) -> None:
        """
        Where there is no other server it is asked once, as in DFP.
        """
        self.talk(*asks, server.closes(), client.gets_answer(502), connections(A), ended("server_closed"))

    def test_silent(self) -> None:
        """
        A server that is silent for too long: another one is asked; with `retryOn=conn-failure` it is a 504.
        """
        elsewhere = (waits(2.2), second.gets(*GET, FORWARDED), *answers, ended("complete"))
        self.talk(*asks, *elsewhere, servers=2, server_timeout_s=2.0)
        plain = Resilience(retry_on=("conn-failure",))
        told = (waits(2.2), client.gets_answer(504), connections(A), ended("server_timeout"))
        self.talk(*asks, *told, servers=2, server_timeout_s=2.0, resilience=plain)

    def test_garbage(self) -> None:
        """
        Garbage is repeated only where it was asked for.
        """
        self.talk(*asks, server.sends(b"nonsense\r\n\r\n"), client.gets_answer(502), connections(A), servers=2)
        wanted = Resilience(retry_on=("junk-response",))
        said = (first.sends(b"nonsense\r\n\r\n"), second.gets(*GET, FORWARDED), *answers)
        self.talk(*asks, *said, servers=2, resilience=wanted)

    def test_statuses(self) -> None:
        """
        An answer with a status that was named is thrown away, whole or in pieces, and another server asked; the last
        one's answer stands.
        """
        wanted = Resilience(retry_statuses=(503,))
        whole = (first.sends(*BUSY, body="busy"), second.gets(*GET, FORWARDED), *answers, ended("complete"))
        dialogue = self.talk(*asks, *whole, servers=2, resilience=wanted)
        self.assertEqual(dialogue.balancer.told[:2], ["taken web_0", "failed web_0"])
        pieces = (first.sends(*BUSY, body="bu"), first.is_reset(), second.gets(*GET, FORWARDED), *answers)
        self.talk(*asks, *pieces, servers=2, resilience=wanted)
        both = (
            first.sends(*BUSY, body="busy"),
            second.gets(*GET, FORWARDED),
            second.sends(*BUSY, body="last"),
            client.gets(*BUSY, body="last"),
        )
        self.talk(*asks, *both, servers=2, resilience=wanted)

    def test_begun(self) -> None:
        """
        Nothing is repeated once the client has had a byte of an answer: one that is long, in chunks, or has nowhere
        else to be asked for.
        """
        broken = (server.resets(), client.is_reset(), connections(A), ended("server_cut"))
        long = ("HTTP/1.1 200 OK", "Content-Length: 16385")
        self.talk(*asks, server.sends(*long, body="h"), client.gets(*long, body="h"), *broken, servers=2)
        chunks = ("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
        said = (server.sends(*chunks, body="1\r\nh\r\n"), client.gets(*chunks, body="1\r\nh\r\n"))
        self.talk(*asks, *said, *broken, servers=2)
        self.talk(*asks, server.sends(*OK, body="h"), client.gets(*OK, body="h"), *broken)
        plain = Resilience(retry_on=("conn-failure",))
        self.talk(*asks, server.sends(*OK, body="h"), client.gets(*OK, body="h"), *broken, servers=2, resilience=plain)

    def test_broken_off(self) -> None:
        """
        A short answer that breaks off, or stalls, is asked for elsewhere: the client has seen nothing of it.
        """
        begun = (*asks, first.sends(*OK, body="h"), client.gets_nothing())
        elsewhere = (second.gets(*GET, FORWARDED), *answers, connections(A, B), ended("complete"))
        self.talk(*begun, first.resets(), *elsewhere, servers=2)
        self.talk(*begun, waits(2.2), *elsewhere, servers=2, server_timeout_s=2.0)
        self.talk(*begun, first.sends(b"i"), client.gets(*OK, body="hi"), ended("complete"), servers=2)
        both = (first.resets(), second.gets(*GET, FORWARDED), second.sends(*OK, body="h"), second.resets())
        self.talk(*begun, *both, client.gets(*OK, body="h"), client.is_reset(), ended("server_cut"), servers=2)
        self.talk(*begun, client.resets(), first.is_reset(), ended("client_gone"), servers=2)

    def test_retries(self) -> None:
        """
        `retries` limits the attempts.
        """
        one = Resilience(retries=1)
        said = (
            first.closes(),
            second.gets(*GET, FORWARDED),
            second.closes(),
            client.gets_answer(502),
            connections(A, B),
        )
        self.talk(*asks, *said, servers=3, resilience=one)
        none = Resilience(retries=0)
        self.talk(*asks, first.closes(), client.gets_answer(502), connections(A), servers=3, resilience=none)

    def test_budget(self) -> None:
        """
        Where nothing may be repeated nothing is.
        """
        none = Resilience(retry_budget=0)
        self.talk(*asks, first.closes(), client.gets_answer(502), connections(A), servers=2, resilience=none)


class PlaceTests(DialogueCase):
    """
    One request at once at the server.
    """

    def dialogue(self, servers: int = 1, limits: Limits | None = None, **policy: Any) -> Dialogue:
        asked = Resilience(max_connections=1, queue_timeout_s=2.0, **policy)
        dialogue = Dialogue(servers=servers, limits=limits, resilience=asked)
        backend = dialogue.backend
        assert backend is not None
        backend.places = places_for(asked, None, dialogue.reactor, claim_alone, 30.0)
        self.addCleanup(dialogue.finish)
        return dialogue

    def test_waits(self) -> None:
        """
        The second request waits until the first is answered, and goes on the same connection.
        """
        self.dialogue().run(
            *asks,
            dials(),
            client.sends(*GET),
            server.gets_nothing(),
            server.sends(*OK, body="hi"),
            Party("client", 0).gets(*OK, body="hi"),
            server.gets(*GET, FORWARDED),
            *answers,
            connections(A),
        )

    def test_times_are_told(self) -> None:
        """
        Access lines say how long each waited for a place, and how long for its connection.
        """
        dialogue = self.dialogue()
        dialogue.run(
            *asks,
            dials(),
            client.sends(*GET),
            waits(1.5),
            server.sends(*OK, body="hi"),
            Party("client", 0).gets(*OK, body="hi"),
            server.gets(*GET, FORWARDED),
            *answers,
        )
        told = [Line(exchange, ending, 0.0, 0.0, "then") for exchange, ending, _ in dialogue.logged]
        self.assertEqual([times_ms(line)[1] // 100 for line in told], [0, 15])
        self.assertEqual([hasattr(exchange, "connect_s") for exchange, _, _ in dialogue.logged], [True, False])

    def test_too_long(self) -> None:
        """
        Who waits for too long, or finds the queue full, is told when to come again.
        """
        self.dialogue(queue_limit=1).run(
            *asks,
            dials(),
            client.sends(*GET),
            dials(),
            client.sends(*GET),
            client.gets(LATER),
            ended("queue_full"),
            waits(2.1),
            Party("client", 1).gets(LATER),
            ended("queue_full", "queue_timeout"),
            server.sends(*OK, body="hi"),
            Party("client", 0).gets(*OK, body="hi"),
        )

    def test_counted(self) -> None:
        """
        That somebody waits is counted at once, although nothing changes at the server.
        """
        dialogue = self.dialogue()
        dialogue.run(*asks, dials())
        for tally in dialogue.traffic.dirty:
            tally.dirty = False
        dialogue.traffic.dirty.clear()
        dialogue.run(client.sends(*GET), server.gets_nothing())
        self.assertIn(dialogue.backend.servers[0], dialogue.traffic.dirty)  # type: ignore[union-attr]  # it has one
        dialogue.run(server.sends(*OK, body="hi"), Party("client", 0).gets(*OK, body="hi"))
        dialogue.run(server.gets(*GET, FORWARDED), *answers)

    def test_leaves(self) -> None:
        """
        A client that goes while it waits is asked no more.
        """
        self.dialogue().run(
            *asks,
            dials(),
            client.sends(*GET),
            client.resets(),
            ended("client_gone"),
            server.sends(*OK, body="hi"),
            Party("client", 0).gets(*OK, body="hi"),
            server.gets_nothing(),
        )

    def test_free_server(self) -> None:
        """
        A free server is taken instead of the one whose turn it is.
        """
        dialogue = self.dialogue(2)
        dialogue.run(*asks, dials(), client.sends(*GET), second.gets(*GET, FORWARDED))
        dialogue.run(second.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
        dialogue.run(client.sends(*GET), second.gets(*GET, FORWARDED), connections(A, B))
        dialogue.run(second.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
        dialogue.run(first.sends(*OK, body="hi"), Party("client", 0).gets(*OK, body="hi"))
