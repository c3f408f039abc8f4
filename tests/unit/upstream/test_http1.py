"""
A server's connection, in dialogues: what is an answer, where it ends, and when the connection is used again.
"""

from __future__ import annotations

import socket
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from dfproxy.frontend.answers import answer
from dfproxy.model.settings import Limits
from dfproxy.upstream.http1 import ServerConnection
from dfproxy.wire.framing import CHUNKS_AT_ONCE
from tests.dialogue import (
    FORWARDED,
    Dialogue,
    DialogueCase,
    Party,
    Step,
    client,
    connections,
    dials,
    ended,
    members,
    server,
    waits,
)

A, B = "192.0.2.11", "192.0.2.12"
GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
POST = ("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 2")
CHUNKED = "Transfer-Encoding: chunked"

asks = (client.sends(*GET), server.gets(*GET, FORWARDED))
answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
first, second = Party("server", 0), Party("server", 1)


def same_early(dialogue: Dialogue, early: bool) -> None:
    """
    What is noted of the only server.
    """
    assert dialogue.backend is not None
    assert dialogue.backend.servers[0].closes_early is early


def busy(count: int) -> list[Step]:
    """
    So many clients ask at once, and all are answered.
    """
    steps: list[Step] = []
    for number in range(count):
        steps += [*([dials()] if number else []), *asks]
    for number in range(count):
        one, its_client = Party("server", number), Party("client", number)
        steps += [one.sends(*OK, body="hi"), its_client.gets(*OK, body="hi")]
    return steps


class PoolTests(DialogueCase):
    """
    Which connections are kept, and which one is used again.
    """

    def test_last_in_first_out(self) -> None:
        """
        The connection used last is used next: the others may age and go.
        """
        self.talk(*busy(3), client.sends(*GET), Party("server", 2).gets(*GET, FORWARDED), *answers)

    def test_kept_for_half_a_minute(self) -> None:
        """
        An idle connection is closed after 30 s, and not before.
        """
        self.talk(*asks, *answers, waits(29), server.is_open(), waits(2.5), server.is_closed())

    def test_so_many(self) -> None:
        """
        No more stay idle than `idle_upstreams`, or than were busy at once within the last half minute.
        """
        limits = Limits(idle_upstreams=2)

        def idle(*steps: Step) -> int:
            return len(self.talk(*steps, limits=limits).backend.servers[0].idle)

        self.assertEqual(idle(*busy(2)), 2)
        self.assertEqual(idle(*busy(4)), 4)
        again = [*asks, *[step for _ in range(2) for step in (dials(), *asks)]]
        for number in range(3):
            one, its_client = Party("server", 4 + number), Party("client", 4 + number)
            again += [one.sends(*OK, body="hi"), its_client.gets(*OK, body="hi")]
        self.assertEqual(idle(*busy(4), waits(31), dials(), *again), 2)

    def test_unasked_bytes(self) -> None:
        """
        A server that says something that nobody asked for loses the connection; the next request gets another.
        """
        self.talk(
            *asks,
            *answers,
            server.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
            server.is_reset(),
            *asks,
            *answers,
            connections(A, A),
        )
        for more in (b"HTTP/1.1 200 OK\r\n", b"\r\n"):
            self.talk(
                *asks,
                server.sends(*OK, body=b"hi" + more),
                client.gets(*OK, body="hi"),
                server.is_closed(),
                *asks,
                *answers,
                connections(A, A),
            )

    def test_more_than_announced(self) -> None:
        """
        What comes after the end of a body is not passed on, in whichever piece it comes.
        """
        self.talk(
            *asks,
            server.sends(*OK, body="h"),
            client.gets(*OK, body="h"),
            server.sends(b"iX"),
            client.gets(b"i"),
            server.is_closed(),
            client.is_open(),
        )
        self.talk(
            *asks,
            server.sends("HTTP/1.1 200 OK", CHUNKED, body="0\r\n\r\nX"),
            client.gets("HTTP/1.1 200 OK", CHUNKED, body="0\r\n\r\n"),
            server.is_closed(),
        )

    def test_server_wants_to_close(self) -> None:
        """
        After `Connection: close`, or an answer of HTTP/1.0, the connection is not used again; the client's is.
        """
        for line in ("HTTP/1.1 200 OK", "HTTP/1.0 200 OK"):
            fields = (line, "Content-Length: 2", *(["Connection: close"] if "1.1" in line else []))
            self.talk(
                *asks,
                server.sends(*fields, body="hi"),
                client.gets(*OK, body="hi"),
                server.is_closed(),
                client.is_open(),
                *asks,
                *answers,
                connections(A, A),
            )
        self.talk(
            *asks,
            server.sends("HTTP/1.0 200 OK", "Content-Length: 2", "Connection: keep-alive", body="hi"),
            client.gets(*OK, body="hi"),
            *asks,
            *answers,
            connections(A),
        )

    def test_idle_connection_closed(self) -> None:
        """
        A server that closes an idle connection, in good order or not, is asked on a new one.
        """
        for leaves in (server.closes(), server.resets()):
            self.talk(*asks, *answers, leaves, *asks, *answers, connections(A, A), ended("complete", "complete"))

    def test_server_that_left(self) -> None:
        """
        Idle connections of a server that is no member any more are closed, and busy ones once they are done.
        """
        self.talk(*asks, *answers, members(B), server.is_closed(), *asks, *answers, connections(A, B))
        self.talk(*asks, members(B), *answers, server.is_closed())

    def test_closes_early(self) -> None:
        """
        A server is noted that closes a kept connection within a second of its answer.
        """
        for pause_s, early in ((0.5, True), (1.5, False)):
            self.talk(
                *asks,
                *answers,
                waits(pause_s),
                server.closes(),
                Step("noted", check=lambda dialogue, early=early: same_early(dialogue, early)),
            )

    def test_quiet(self) -> None:
        """
        An end that has arrived is seen at the socket, before anybody reads it.
        """
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        dialogue = Dialogue()
        self.addCleanup(dialogue.traffic.deadlines.stop)
        connection = ServerConnection(dialogue.backend.servers[0], Limits(), dialogue.traffic.deadlines)
        transport: Any = SocketOnly(ours)
        connection.makeConnection(transport)
        connection.keep()
        self.assertTrue(connection.is_quiet())
        theirs.close()
        self.assertFalse(connection.is_quiet())


class SocketOnly:
    """
    A transport of which only the socket matters.
    """

    def __init__(self, handle: socket.socket) -> None:
        self.fileno = handle.fileno

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """
        Nothing is written.
        """


class AnswerTests(DialogueCase):
    """
    What is an answer, and what is none.
    """

    def test_garbage(self) -> None:
        """
        What is no answer, or an ambiguous one, is 502, and the connection is broken off.
        """
        for garbage in (
            b"220 mail.test ESMTP\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 17000,
            b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
        ):
            self.talk(
                *asks,
                server.sends(garbage),
                client.gets_answer(502),
                server.is_reset(),
                client.is_closed(),
                ended("server_garbage"),
            )

    def test_no_answer(self) -> None:
        """
        A new connection closed without an answer, or within its head, is 502 and not tried again.
        """
        for leaves in (server.closes(), server.resets()):
            self.talk(*asks, leaves, client.gets_answer(502), connections(A), ended("server_closed"))
        self.talk(*asks, server.sends(b"HTTP/1.1 200 OK\r\nX:"), server.closes(), client.gets_answer(502))

    def test_cut_answer(self) -> None:
        """
        An answer cut in its body never looks complete.
        """
        for leaves in (server.closes(), server.resets()):
            self.talk(
                *asks,
                server.sends("HTTP/1.1 200 OK", CHUNKED, body="2\r\nhi\r\n"),
                client.gets("HTTP/1.1 200 OK", CHUNKED, body="2\r\nhi\r\n"),
                leaves,
                client.is_reset(),
                client.gets_nothing(),
                ended("server_cut"),
            )
            self.talk(
                *asks,
                server.sends(*OK, body="h"),
                client.gets(*OK, body="h"),
                leaves,
                client.is_reset(),
                ended("server_cut"),
            )
        self.talk(
            *asks,
            server.sends("HTTP/1.0 200 OK", body="all"),
            client.gets("HTTP/1.1 200 OK", CHUNKED, body="3\r\nall\r\n"),
            server.resets(),
            client.is_reset(),
            ended("server_cut"),
        )

    def test_broken_chunks(self) -> None:
        """
        Chunks or trailers that are none cut the answer.
        """
        for before, broken in (("1\r\na\r\n", "zz\r\n"), ("", "2\r\nhiX"), ("1\r\na\r\n", "0\r\nno field\r\n\r\n")):
            self.talk(
                *asks,
                server.sends("HTTP/1.1 200 OK", CHUNKED, body=before),
                client.gets("HTTP/1.1 200 OK", CHUNKED, body=before),
                server.sends(broken.encode()),
                client.is_reset(),
                ended("server_garbage"),
            )

    def test_client_that_does_not_read_meanwhile(self) -> None:
        """
        A client that stops reading in the middle of very many chunks holds the server; when it reads again all of them
        have come, and nothing is lost when the server has gone.
        """
        count = 200 * CHUNKS_AT_ONCE
        for then in ((), (server.closes(),)):
            self.talk(
                *asks,
                client.stops_reading(),
                server.sends("HTTP/1.1 200 OK", CHUNKED, body=b"3\r\nabc\r\n" * count + b"0\r\n\r\n"),
                *then,
                server.is_paused(),
                waits(1),
                client.reads(),
                client.gets_chunked("HTTP/1.1 200 OK", CHUNKED, body=b"abc" * count),
                ended("complete"),
            )

    def test_interim(self) -> None:
        """
        Interim answers go on with their fields, but not to HTTP/1.0; more than twenty are none.
        """
        hints = ("HTTP/1.1 103 Early Hints", "Link: </x>")
        self.talk(
            *asks,
            server.sends(*hints),
            client.gets(*hints),
            server.sends(
                "HTTP/1.1 103 Early Hints", "Link: </y>", body=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            ),
            client.gets("HTTP/1.1 103 Early Hints", "Link: </y>", body=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        )
        self.talk(
            client.sends("GET /x HTTP/1.0", "Host: a.test"),
            server.gets(*GET, FORWARDED),
            server.sends(*hints),
            client.gets_nothing(),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "Connection: close", body="hi"),
        )
        one = b"HTTP/1.1 102 Processing\r\n\r\n"
        self.talk(*asks, server.sends(one * 20), client.gets(one * 20), *answers)
        self.talk(
            *asks,
            server.sends(one * 21),
            client.gets_bytes(len(one) * 20 + len(answer(502))),
            ended("server_garbage"),
        )

    def test_each_exchange_has_twenty(self) -> None:
        """
        Interim answers are counted for each exchange, not for each connection.
        """
        one = b"HTTP/1.1 102 Processing\r\n\r\n"
        once = (*asks, server.sends(one * 15), client.gets(one * 15), *answers)
        self.talk(*once, *once)

    @given(st.lists(st.integers(1, 90), max_size=6))
    @settings(max_examples=40, deadline=None)
    def test_any_cutting(self, cuts: list[int]) -> None:
        """
        However the answer is cut, the client gets the same bytes.
        """
        whole = b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 2\r\n\r\nhello"
        self.talk(*asks, server.sends(whole, cuts=cuts), client.gets(whole), server.is_open(), *asks, *answers)


class TimeTests(DialogueCase):
    """
    Every limit of time towards a server.
    """

    def test_silent(self) -> None:
        """
        A server silent for 20 s is 504, for as long as its destination says if that says something.
        """
        self.talk(
            *asks,
            waits(19.5),
            client.gets_nothing(),
            waits(2),
            client.gets_answer(504),
            server.is_reset(),
            ended("server_timeout"),
        )
        self.talk(*asks, waits(4), client.gets_answer(504), server_timeout_s=2.0)
        self.talk(*asks, waits(25), *answers, server_timeout_s=60.0)

    def test_silence_counts_from_the_last_byte_of_the_request(self) -> None:
        """
        While the client sends nobody waits for the server.
        """
        self.talk(
            client.sends(*POST, body="a"),
            waits(18),
            client.sends(b"b"),
            server.gets(*POST, FORWARDED, body="ab"),
            waits(18),
            client.gets_nothing(),
            waits(4),
            client.gets_answer(504),
        )

    def test_interim_moves_the_limit(self) -> None:
        """
        A server that says 102 now and then may take its time.
        """
        one = b"HTTP/1.1 102 Processing\r\n\r\n"
        self.talk(
            *asks, *[step for _ in range(3) for step in (waits(15), server.sends(one), client.gets(one))], *answers
        )

    def test_stalls(self) -> None:
        """
        A server that stalls within its answer is cut, and so is the client: the answer does not look complete.
        """
        self.talk(
            *asks,
            server.sends(*OK, body="h"),
            client.gets(*OK, body="h"),
            waits(22),
            client.is_reset(),
            server.is_reset(),
            ended("server_stalled"),
        )
        self.talk(
            *asks,
            server.sends("HTTP/1.1 200 OK", CHUNKED, body="1\r\na\r\n"),
            client.gets("HTTP/1.1 200 OK", CHUNKED, body="1\r\na\r\n"),
            waits(18),
            server.sends(b"1\r\nb\r\n"),
            client.gets(b"1\r\nb\r\n"),
            waits(18),
            client.is_open(),
            waits(4),
            client.is_reset(),
            ended("server_stalled"),
        )

    def test_upload_beside_an_answer(self) -> None:
        """
        A server that has begun to answer may be silent while it is still sent to.
        """
        large = ("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 4")
        self.talk(
            client.sends(*large),
            server.gets(*large, FORWARDED),
            server.sends("HTTP/1.1 200 OK", CHUNKED),
            client.gets("HTTP/1.1 200 OK", CHUNKED),
            *[step for _ in range(4) for step in (waits(15), client.sends(b"x"), server.gets(b"x"))],
            server.sends(b"0\r\n\r\n"),
            client.gets(b"0\r\n\r\n"),
            client.is_open(),
        )

    def test_not_to_blame(self) -> None:
        """
        While the client does not read, the server is not to blame for silence.
        """
        head = ("HTTP/1.1 200 OK", "Content-Length: 600000")
        self.talk(
            client.stops_reading(),
            *asks,
            server.sends(*head, body=b"x" * 300000),
            server.is_paused(),
            *[step for _ in range(3) for step in (waits(15), client.reads(10000))],
            client.reads(),
            server.sends(b"x" * 300000),
            client.gets_bytes(600000 + len("\r\n".join([*head, "", ""]))),
        )


class CycleTests(DialogueCase):
    """
    What is left of an exchange.
    """

    def test_lets_go(self) -> None:
        """
        An idle connection holds no exchange: nothing of a request stays in memory with it.
        """
        dialogue = self.talk(*asks, *answers)
        idle = dialogue.backend.servers[0].idle
        self.assertEqual(len(idle), 1)
        self.assertIsNone(idle[0]._exchange)
        self.assertIsInstance(dialogue.reactor, Clock)
