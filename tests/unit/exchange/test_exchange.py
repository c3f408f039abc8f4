"""
An exchange from route to ending, in dialogues: attempts, tunnels, and that each ends exactly once.

Longer than most, but one thing: the table of what may become of a request.
"""

from __future__ import annotations

from unittest.mock import patch

from dfproxy.exchange import exchange
from dfproxy.model import ending
from dfproxy.model.ending import Ending
from dfproxy.model.settings import Limits
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
    members,
    server,
    server_is,
    waits,
)

A, B, C = HOSTS
GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
POST = ("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 2")
PUT = ("PUT /x HTTP/1.1", "Host: a.test", "Content-Length: 2")

asks = (client.sends(*GET), server.gets(*GET, FORWARDED))
answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))


class HeadTests(DialogueCase):
    """
    What of a head goes on.
    """

    def test_hop_by_hop(self) -> None:
        """
        Fields of one hop, also those that Connection names, stay behind in both directions; others keep their order.
        """
        self.talk(
            client.sends(
                "GET /x HTTP/1.1",
                "X-A: 1",
                "Host: a.test",
                "Connection: X-Hop, keep-alive",
                "x-hop: 2",
                "Keep-Alive: timeout=5",
                "TE: gzip",
                "Proxy-Connection: close",
                "Cookie: c",
            ),
            server.gets("GET /x HTTP/1.1", "X-A: 1", "Host: a.test", "Cookie: c", FORWARDED),
            server.sends(
                "HTTP/1.1 200 Fine",
                "Date: now",
                "Connection: x-own",
                "X-Own: 1",
                "Keep-Alive: 1",
                "Content-Length: 0",
            ),
            client.gets("HTTP/1.1 200 Fine", "Date: now", "Content-Length: 0"),
        )

    def test_forwarded_for(self) -> None:
        """
        The client's address comes after what others have said.
        """
        self.talk(
            client.sends(*GET, "X-Forwarded-For: 10.0.0.1"),
            server.gets(*GET, "X-Forwarded-For: 10.0.0.1", FORWARDED),
            *answers,
        )

    def test_url_as_target(self) -> None:
        """
        A whole URL is a valid target and goes on as it came.
        """
        url = ("GET http://a.test/x?y HTTP/1.1", "Host: a.test")
        self.talk(client.sends(*url), server.gets(*url, FORWARDED), *answers)


class AttemptTests(DialogueCase):
    """
    Trying again where nothing is lost.
    """

    def test_another_server(self) -> None:
        """
        A connection that is refused, or not answered, is tried at another server; also for a POST.
        """
        posts = (client.sends(*POST, body="ab"), waits(5.2), server.gets(*POST, FORWARDED, body="ab"))
        dialogue = self.talk(server_is("refuse"), *posts, *answers, connections(A, B), ended("complete"), servers=2)
        self.assertEqual(dialogue.balancer.told, ["taken web_0", "failed web_0", "taken web_1", "released web_1"])
        self.assertEqual([each.retries for each in dialogue.backend.servers], [1, 0])
        self.talk(server_is("ignore"), *posts, *answers, connections(A, B), servers=2)

    def test_left_out_server(self) -> None:
        """
        When all that are in use have failed, one that was left out is asked before the client is told 503.
        """
        dialogue = Dialogue(servers=2)
        backend = dialogue.backend
        assert backend is not None
        for _ in range(3):
            backend.outliers.misbehaved(backend.servers[0], True)
        self.assertEqual([one.host for one in backend.usable], [B])
        dialogue.run(server_is("refuse", B), *asks, *answers, connections(B, A), ended("complete"))
        dialogue.finish()

    def test_lone_server(self) -> None:
        """
        A lone server is tried three times, a second apart, before the client is told 503.
        """
        dialogue = self.talk(
            server_is("refuse"),
            client.sends(*GET),
            connections(A),
            waits(0.9),
            connections(A),
            waits(0.2),
            connections(A, A),
            waits(0.9),
            client.gets_nothing(),
            waits(0.2),
            connections(A, A, A),
            client.finds_nobody(),
            ended("connect_failed"),
        )
        self.assertEqual(dialogue.names, ["web"])

    def test_lone_server_comes_back(self) -> None:
        """
        A lone server that restarts within two seconds is not noticed by the client.
        """
        self.talk(
            server_is("refuse"),
            client.sends(*POST, body="ab"),
            waits(1.1),
            server_is("accept"),
            waits(1),
            server.gets(*POST, FORWARDED, body="ab"),
            *answers,
        )

    def test_connect_limit(self) -> None:
        """
        A server that never answers a connection is 503 after three times the limit and the pauses.
        """
        self.talk(
            server_is("ignore"),
            client.sends(*GET),
            waits(16.8),
            client.gets_nothing(),
            waits(0.9),
            client.finds_nobody(),
            ended("connect_timeout"),
        )

    def test_attempts_are_limited(self) -> None:
        """
        Four attempts in all, however many servers there are.
        """
        hosts = tuple(f"192.0.2.{n}" for n in range(11, 18))
        self.talk(
            members(*hosts),
            *[server_is("refuse", host) for host in hosts],
            client.sends(*GET),
            waits(5),
            connections(*hosts[:4]),
            client.finds_nobody(),
            ended("connect_failed"),
        )

    def test_membership_wakes(self) -> None:
        """
        Who waits for a lone server is sent to a new one as soon as that is known.
        """
        self.talk(
            server_is("refuse"),
            client.sends(*GET),
            waits(0.2),
            members(A, B),
            server.gets(*GET, FORWARDED),
            connections(A, B),
            *answers,
        )
        self.talk(
            server_is("refuse"), client.sends(*GET), waits(0.2), members(), client.finds_nobody(), ended("no_server")
        )

    def test_ejection_does_not_wake(self) -> None:
        """
        That a server is found dead is no reason to try it at once: each request still has its two pauses.
        """
        three = [step for _ in range(3) for step in (client.sends(*GET), dials())]
        refused = [Party("client", number).finds_nobody() for number in range(3)]
        self.talk(
            server_is("refuse"),
            *three,
            connections(*[A] * 3),
            waits(0.8),
            connections(*[A] * 3),
            waits(0.4),
            connections(*[A] * 7),  # the fourth is the trial of the ejected server
            waits(0.7),
            connections(*[A] * 7),
            waits(0.4),
            connections(*[A] * 10),
            *refused,
        )

    def test_waiting_is_bounded(self) -> None:
        """
        No more than so many wait for a lone server; the others are told at once.
        """
        self.talk(
            server_is("refuse"),
            client.sends(*GET),
            dials(),
            client.sends(*GET),
            dials(),
            client.sends(*GET),
            client.finds_nobody(),
            Party("client", 0).gets_nothing(),
            waits(2.2),
            Party("client", 0).finds_nobody(),
            Party("client", 1).finds_nobody(),
            limits=Limits(waiting_exchanges=2),
        )

    def test_client_goes_while_waiting(self) -> None:
        """
        A client that leaves while it waits, or while a connection is made, is not waited for; the connection is kept.
        """
        self.talk(
            server_is("refuse"), client.sends(*GET), client.resets(), waits(3), connections(A), ended("client_gone")
        )
        dialogue = Dialogue()
        dialogue.reactor.manners[A] = "accept"
        dialogue.client.send(b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")
        dialogue.run(client.resets(), ended("client_gone"), server.is_open(), dials(), *asks, *answers, connections(A))
        dialogue.finish()
        dialogue = Dialogue()
        dialogue.reactor.manners[A] = "ignore"
        dialogue.run(client.sends(*GET), client.resets(), waits(6), connections(A), ended("client_gone"))
        dialogue.finish()

    def test_connection_of_one_client(self) -> None:
        """
        After a challenge that authenticates the connection (NTLM, Negotiate) it belongs to the client: its next
        request goes there, nobody else's, and it ends with the client.
        """
        challenge = ("HTTP/1.1 401 Unauthorized", "WWW-Authenticate: NTLM abc", "Content-Length: 0")
        dialogue = Dialogue(servers=2)
        dialogue.run(
            client.sends(*GET),
            server.gets(*GET, FORWARDED),
            server.sends(*challenge),
            client.gets(*challenge),
        )
        backend = dialogue.backend
        assert backend is not None
        self.assertEqual([one.idle for one in backend.servers], [[], []])
        dialogue.run(
            *asks, *answers, client.resets(), server.is_closed(), connections(A), ended("complete", "complete")
        )
        dialogue.finish()

    def test_other_challenges(self) -> None:
        """
        A challenge to the request alone leaves the connection to everybody.
        """
        challenge = ("HTTP/1.1 401 Unauthorized", 'WWW-Authenticate: Basic realm="ntlm"', "Content-Length: 0")
        dialogue = Dialogue()
        dialogue.run(
            client.sends(*GET), server.gets(*GET, FORWARDED), server.sends(*challenge), client.gets(*challenge)
        )
        assert dialogue.backend is not None
        self.assertEqual(len(dialogue.backend.servers[0].idle), 1)
        dialogue.finish()

    def test_server_leaves_while_connecting(self) -> None:
        """
        A request that waits for a connection to a server that leaves goes to another one at once.
        """
        self.talk(
            server_is("ignore"),
            client.sends(*GET),
            members(B),
            server.gets(*GET, FORWARDED),
            *answers,
            connections(A, B),
            ended("complete"),
        )

    def test_kept_connection_closes(self) -> None:
        """
        A kept connection that closes when the next request is sent on it: that request is sent again, if it may be.
        """
        for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            line = (f"{method} /x HTTP/1.1", "Host: a.test")
            ok = ("HTTP/1.1 204 No Content",)
            self.talk(
                *asks,
                *answers,
                client.sends(*line),
                server.gets(*line, FORWARDED),
                server.closes(),
                server.gets(*line, FORWARDED),
                server.sends(*ok),
                client.gets(*ok),
                connections(A, A),
                ended("complete", "complete"),
            )

    def test_kept_connection_closes_on_a_body(self) -> None:
        """
        A PUT whose body is remembered is sent again, also in the middle of it; a POST, a long body, an answer that
        has begun are not.
        """
        puts = (client.sends(*PUT, body="a"), server.gets(*PUT, FORWARDED, body="a"))
        self.talk(
            *asks,
            *answers,
            *puts,
            server.resets(),
            server.gets(*PUT, FORWARDED, body="a"),
            client.sends(b"b"),
            server.gets(b"b"),
            *answers,
        )
        chunked = ("PUT /x HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
        self.talk(
            *asks,
            *answers,
            client.sends(*chunked, body="1\r\na\r\n"),
            server.gets(*chunked, FORWARDED, body="1\r\na\r\n"),
            client.sends(b"0\r\nX: 1\r\n\r\n"),
            server.gets(b"0\r\nX: 1\r\n\r\n"),
            server.closes(),
            server.gets(*chunked, FORWARDED, body="1\r\na\r\n0\r\nX: 1\r\n\r\n"),
            *answers,
        )
        self.talk(
            *asks,
            *answers,
            waits(0.3),
            client.sends(*POST, body="ab"),
            server.gets(*POST, FORWARDED, body="ab"),
            server.closes(),
            client.gets_answer(502),
            connections(A),
            ended("complete", "server_closed"),
        )
        for size, again in ((65536, True), (65537, False)):
            long = ("PUT /x HTTP/1.1", "Host: a.test", f"Content-Length: {size}")
            whole = len("\r\n".join([*long, FORWARDED, "", ""])) + size
            self.talk(
                *asks,
                *answers,
                client.sends(*long, body=b"x" * 60000),
                client.sends(b"x" * (size - 60000)),
                server.gets_bytes(whole),
                server.closes(),
                *((server.gets_bytes(whole), *answers) if again else (client.gets_answer(502),)),
            )
        self.talk(*asks, *answers, *asks, server.sends(b"HTTP/1.1 2"), server.closes(), client.gets_answer(502))
        one = b"HTTP/1.1 102 Processing\r\n\r\n"
        self.talk(*asks, *answers, *asks, server.sends(one), client.gets(one), server.closes(), client.gets_answer(502))

    def test_kept_connection_that_never_served(self) -> None:
        """
        One that was made for a client who left counts as kept, too.
        """
        dialogue = Dialogue()
        dialogue.client.send(b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")
        dialogue.run(client.resets(), dials(), *asks, server.closes(), server.gets(*GET, FORWARDED), *answers)
        dialogue.run(connections(A, A))
        dialogue.finish()

    def test_kept_connections_all_stale(self) -> None:
        """
        Attempts are limited on kept connections as well.
        """
        six = [step for _ in range(6) for step in (dials(), *asks)]
        done = [
            step
            for number in range(6)
            for step in (
                Party("server", number).sends(*OK, body="hi"),
                Party("client", number + 1).gets(*OK, body="hi"),
            )
        ]
        stale = [
            step
            for number in (5, 4, 3, 2)
            for step in (Party("server", number).gets(*GET, FORWARDED), Party("server", number).closes())
        ]
        self.talk(
            *six, *done, client.sends(*GET), *stale, client.gets_answer(502), ended(*["complete"] * 6, "server_closed")
        )


class TunnelTests(DialogueCase):
    """
    Upgraded connections.
    """

    UPGRADE = ("GET /x HTTP/1.1", "Host: a.test", "Upgrade: websocket", "Connection: keep-alive, Upgrade")
    PASSED = ("GET /x HTTP/1.1", "Host: a.test", "Connection: Upgrade", "Upgrade: websocket", FORWARDED)
    SWITCH = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    opens = (client.sends(*UPGRADE), server.gets(*PASSED), server.sends(*SWITCH), client.gets(*SWITCH))

    def test_both_ways(self) -> None:
        """
        After 101 bytes go both ways as they are, also those that came too early, until one side closes.
        """
        self.talk(
            client.sends(*self.UPGRADE, body=b"early"),
            server.gets(*self.PASSED),
            server.sends(*self.SWITCH, body=b"first"),
            client.gets(*self.SWITCH, body=b"first"),
            server.gets(b"early"),
            client.sends(b"\x00\xff"),
            server.gets(b"\x00\xff"),
            server.sends(b"GET / HTTP/1.1\r\n\r\n"),
            client.gets(b"GET / HTTP/1.1\r\n\r\n"),
            ended(),
            server.resets(),
            client.is_closed(),
            ended("tunnel"),
        )

    def test_too_much_too_early(self) -> None:
        """
        What came early and had to wait is read on once the tunnel is there.
        """
        self.talk(
            client.sends(*self.UPGRADE),
            client.sends(b"x" * 5000),
            client.is_paused(),
            server.gets(*self.PASSED),
            server.sends(*self.SWITCH),
            client.gets(*self.SWITCH),
            server.gets(b"x" * 5000),
            client.is_read(),
            client.sends(b"y"),
            server.gets(b"y"),
            limits=Limits(relay_buffer_bytes=4096),
        )

    def test_half_close(self) -> None:
        """
        When one side ends, the other may go on; when both have, it is over, and nothing is lost.
        """
        self.talk(
            *self.opens,
            client.ends(),
            server.is_ended(),
            server.sends(b"more"),
            client.gets(b"more"),
            server.ends(),
            client.is_closed(),
            server.is_closed(),
            ended("tunnel"),
        )
        self.talk(
            *self.opens,
            server.ends(),
            client.is_ended(),
            client.sends(b"more"),
            server.gets(b"more"),
            client.ends(),
            client.is_closed(),
            server.is_closed(),
            ended("tunnel"),
        )
        self.talk(
            *self.opens,
            server.ends(),
            server.stops_reading(),
            client.sends(b"last"),
            client.ends(),
            server.reads(),
            server.gets(b"last"),
            server.is_closed(),
        )

    def test_ended_before_the_answer(self) -> None:
        """
        A client that has ended already when the tunnel opens has ended in it.
        """
        self.talk(
            client.sends(*self.UPGRADE),
            client.ends(),
            server.gets(*self.PASSED),
            server.sends(*self.SWITCH),
            client.gets(*self.SWITCH),
            server.is_ended(),
            server.sends(b"x"),
            client.gets(b"x"),
            server.ends(),
            client.is_closed(),
        )

    def test_client_breaks_off(self) -> None:
        """
        A client that breaks off ends the server's work.
        """
        dialogue = self.talk(*self.opens, client.resets(), server.is_reset(), ended("tunnel"))
        self.assertEqual(dialogue.backend.servers[0].client_aborts, 0)

    def test_idle(self) -> None:
        """
        A tunnel idle for an hour is closed, or for as long as its destination says; each byte counts.
        """
        self.talk(
            *self.opens,
            waits(3500),
            server.sends(b"x"),
            client.gets(b"x"),
            waits(3500),
            client.sends(b"y"),
            server.gets(b"y"),
            waits(3500),
            client.is_open(),
            waits(120),
            client.is_closed(),
            server.is_reset(),
            ended("tunnel_idle"),
        )
        self.talk(*self.opens, waits(5), client.is_open(), waits(7), client.is_closed(), tunnel_timeout_s=10.0)

    def test_half_closed_tunnel_may_be_slow(self) -> None:
        """
        A side that has ended and reads slowly has the tunnel's time.
        """
        self.talk(
            *self.opens,
            client.stops_reading(),
            server.sends(b"x" * 300000),
            server.is_paused(),
            client.reads(300000),
            server.is_read(),
            client.gets_bytes(300000),
            client.stops_reading(),
            server.sends(b"x" * 200000),
            server.ends(),
            waits(100),
            client.sends(b"y"),
            server.gets(b"y"),
            client.reads(),
            client.gets_bytes(200000),
            client.ends(),
            client.is_closed(),
        )

    def test_not_offered(self) -> None:
        """
        A 101 that nobody offered, to something else, or before the request was complete is 502.
        """
        self.talk(
            *asks, server.sends(*self.SWITCH), client.gets_answer(502), server.is_reset(), ended("server_garbage")
        )
        self.talk(
            client.sends(*self.UPGRADE),
            server.gets(*self.PASSED),
            server.sends("HTTP/1.1 101 Switching", "Upgrade: h2c", "Connection: Upgrade"),
            client.gets_answer(502),
        )
        self.talk(
            client.sends(*self.UPGRADE, "Content-Length: 5", body="ab"),
            server.gets(
                "GET /x HTTP/1.1",
                "Host: a.test",
                "Content-Length: 5",
                "Connection: Upgrade",
                "Upgrade: websocket",
                FORWARDED,
                body="ab",
            ),
            server.sends(*self.SWITCH),
            client.gets_answer(502),
        )

    def test_refused(self) -> None:
        """
        A server that answers otherwise has declined, and both connections are used on.
        """
        self.talk(client.sends(*self.UPGRADE), server.gets(*self.PASSED), *answers, *asks, *answers, connections(A))


class EndingTests(DialogueCase):
    """
    Exactly one ending for each exchange.
    """

    def test_counted_once(self) -> None:
        """
        Each exchange is counted at the server that had it last: requests, statuses, bytes, latency.
        """
        dialogue = self.talk(
            client.sends(*POST, body="ab"),
            server.gets(*POST, FORWARDED, body="ab"),
            waits(0.5),
            server.sends("HTTP/1.1 404 Not Found", "Content-Length: 3", body="no!"),
            client.gets("HTTP/1.1 404 Not Found", "Content-Length: 3", body="no!"),
            *asks,
            *answers,
        )
        (one,) = dialogue.backend.servers
        self.assertEqual((one.requests, one.responses_2xx, one.responses_4xx, one.connections), (2, 1, 1, 1))
        self.assertEqual((one.bytes_in, one.bytes_out, one.latency_us), (2, 5, 500000))
        self.assertIn(one, dialogue.traffic.dirty)
        self.assertEqual(dialogue.traffic.dirty.count(one), 1)

    def test_nobody_to_ask(self) -> None:
        """
        A backend without servers is 503, counted at the backend.
        """
        dialogue = self.talk(client.sends(*GET), client.finds_nobody(), ended("no_server"), servers=0)
        tally = dialogue.backend.tally
        self.assertEqual((tally.requests, tally.responses_5xx, dialogue.traffic.dirty.count(tally)), (1, 1, 1))

    def test_server_fault(self) -> None:
        """
        A server at fault is counted as such, and the balancer is told.
        """
        dialogue = self.talk(*asks, server.closes(), client.gets_answer(502))
        self.assertEqual(dialogue.backend.servers[0].response_errors, 1)
        self.assertEqual(dialogue.balancer.told, ["taken web", "failed web"])

    def test_vocabulary(self) -> None:
        """
        Endings have distinct words, and two letters as HAProxy writes them.
        """
        words = [value for value in vars(ending).values() if isinstance(value, Ending)]
        self.assertEqual(len({each.word for each in words}), len(words))
        self.assertEqual([each.word for each in words if len(each.flags) != 2], [])

    def test_broken_strategy(self) -> None:
        """
        A strategy that raises, whenever it is asked or told, is 503 for its own requests at most.
        """
        for method, wanted in (("pick", 503), ("taken", 200), ("released", 200)):
            dialogue = Dialogue()

            def broken(*_: object) -> None:
                raise ZeroDivisionError("a plugin's fault")

            with patch.object(dialogue.balancer, method, broken):
                dialogue.backend.use(dialogue.balancer)
            for _ in range(2):
                if wanted == 503:
                    dialogue.run(client.sends(*GET), client.finds_nobody(), dials())
                else:
                    dialogue.run(*asks, *answers, dials())
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1, method)
            dialogue.balancer.told.clear()
            dialogue.finish()

    def test_limits_are_known(self) -> None:
        """
        What is remembered of a body, and how long a lone server is waited for.
        """
        self.assertEqual(
            (exchange.REPLAY_BYTES, exchange.LONE_ATTEMPTS, exchange.LONGEST_LONE_PAUSE_S), (65536, 3, 1.0)
        )
