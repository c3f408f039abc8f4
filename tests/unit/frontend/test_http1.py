"""
A client's connection, in dialogues: requests, bodies, what we say ourselves, time, who is made to wait.

Longer than most, but one thing: the table of what a client may do and what then happens.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dfproxy.frontend.http1 import LINGER_BYTES
from dfproxy.model.settings import Limits
from dfproxy.wire.framing import CHUNKS_AT_ONCE
from tests.dialogue import (
    FORWARDED,
    DialogueCase,
    Wire,
    client,
    connections,
    ended,
    server,
    waits,
)

GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
POST = ("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 6")
CHUNKED_POST = ("POST /x HTTP/1.1", "Host: a.test")
CHUNKED = "Transfer-Encoding: chunked"

asks = (client.sends(*GET), server.gets(*GET, FORWARDED))
answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
MEBIBYTE = b"m" * (1 << 20)


class KeepAliveTests(DialogueCase):
    """
    One request after the other.
    """

    def test_both_sides_are_kept(self) -> None:
        """
        Two requests on one connection use one connection to the server.
        """
        self.talk(*asks, *answers, *asks, *answers, ended("complete", "complete"), connections("192.0.2.11"))

    def test_client_wants_to_close(self) -> None:
        """
        `Connection: close` is kept from the server, repeated to the client and done.
        """
        self.talk(
            client.sends(*GET, "Connection: close"),
            server.gets(*GET, FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "Connection: close", body="hi"),
            client.is_closed(),
            server.is_open(),
        )

    def test_http_1_0(self) -> None:
        """
        A client of HTTP/1.0 is closed after the answer, unless it asks otherwise; the server gets HTTP/1.1.
        """
        self.talk(
            client.sends("GET /x HTTP/1.0", "Host: a.test", "Connection: keep-alive"),
            server.gets(*GET, FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "Connection: keep-alive", body="hi"),
            client.sends("GET /x HTTP/1.0"),
            server.gets("GET /x HTTP/1.1", "Host: ", FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "Connection: close", body="hi"),
            client.is_closed(),
        )

    def test_pipeline(self) -> None:
        """
        Requests sent ahead are answered in order, and only one is at a server at a time.
        """
        second = ("GET /2 HTTP/1.1", "Host: a.test")
        self.talk(
            client.sends(*GET, body=b"\r\n".join([s.encode() for s in (*second, "", "")])),
            server.gets(*GET, FORWARDED),
            *answers,
            server.gets(*second, FORWARDED),
            *answers,
            connections("192.0.2.11"),
        )

    def test_pipeline_and_half_close(self) -> None:
        """
        What a client has asked before it closes its sending side is all answered, then the connection is closed.
        """
        second = ("GET /2 HTTP/1.1", "Host: a.test")
        self.talk(
            client.sends(*GET, body=b"\r\n".join([s.encode() for s in (*second, "", "")])),
            client.ends(),
            server.gets(*GET, FORWARDED),
            *answers,
            server.gets(*second, FORWARDED),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "Connection: close", body="hi"),
            client.is_closed(),
        )

    def test_pipeline_is_bounded(self) -> None:
        """
        A client that sends requests without end is not read beyond the limit, and read again once it is answered.
        """
        ahead = b"GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n" * 200
        limits = Limits(relay_buffer_bytes=4096)
        dialogue = self.talk(
            client.sends(*GET),
            client.sends(ahead),
            client.is_paused(),
            server.gets(*GET, FORWARDED),
            *answers,
            server.gets("GET /2 HTTP/1.1", "Host: a.test", FORWARDED),
            client.is_read(),
            limits=limits,
        )
        self.assertEqual(dialogue.client.pauses, 1)

    def test_unread_answer_holds_the_next_request(self) -> None:
        """
        A client that does not read its answers cannot make us collect more of them.
        """
        long = ("HTTP/1.1 200 OK", f"Content-Length: {1 << 20}")
        head = len("\r\n".join([*long, "", ""]))
        self.talk(
            client.stops_reading(),
            *asks,
            server.sends(*long, body=MEBIBYTE),
            client.sends(*GET),
            server.gets_nothing(),
            client.reads(),
            client.gets_bytes(head + (1 << 20)),
            server.gets(*GET, FORWARDED),
            *answers,
        )


class BodyTests(DialogueCase):
    """
    Bodies in both directions.
    """

    def test_length(self) -> None:
        """
        A body of known length goes on as it is.
        """
        self.talk(
            client.sends(*POST, body="abc"),
            server.gets(*POST, FORWARDED, body="abc"),
            client.sends(b"def"),
            server.gets(b"def"),
            *answers,
        )

    def test_chunks_are_framed_again(self) -> None:
        """
        Chunks may be of other sizes on the other side; extensions go, trailers stay but for those that frame or route.
        """
        self.talk(
            client.sends(*CHUNKED_POST, CHUNKED, body="2;x=y\r\nab\r\n1\r\nc\r\n"),
            server.gets(*CHUNKED_POST, CHUNKED, FORWARDED, body="3\r\nabc\r\n"),
            client.sends(b"000\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n"),
            server.gets(b"0\r\nX-Sum: 1\r\n\r\n"),
            server.sends("HTTP/1.1 200 OK", CHUNKED, body="1;q\r\nx\r\n1\r\ny\r\n0\r\nX-End: 1\r\nTe: no\r\n\r\n"),
            client.gets("HTTP/1.1 200 OK", CHUNKED, body="2\r\nxy\r\n0\r\nX-End: 1\r\n\r\n"),
            client.is_open(),
            ended("complete"),
        )

    def test_nothing_after_the_head(self) -> None:
        """
        Answers to HEAD, 204 and 304 have no body, whatever their fields say, and the connections are kept.
        """
        head = ("HEAD /x HTTP/1.1", "Host: a.test")
        self.talk(
            client.sends(*head),
            server.gets(*head, FORWARDED),
            server.sends("HTTP/1.1 200 OK", "Content-Length: 500"),
            client.gets("HTTP/1.1 200 OK", "Content-Length: 500"),
            client.sends(*head),
            server.gets(*head, FORWARDED),
            server.sends("HTTP/1.1 200 OK", CHUNKED),
            client.gets("HTTP/1.1 200 OK"),
            *asks,
            server.sends("HTTP/1.1 204 No Content", "X: 1"),
            client.gets("HTTP/1.1 204 No Content", "X: 1"),
            *asks,
            server.sends("HTTP/1.1 304 Not Modified", "Content-Length: 9", "ETag: 1"),
            client.gets("HTTP/1.1 304 Not Modified", "Content-Length: 9", "ETag: 1"),
            *asks,
            server.sends("HTTP/1.1 200 OK", "Content-Length: 0"),
            client.gets("HTTP/1.1 200 OK", "Content-Length: 0"),
            connections("192.0.2.11"),
        )

    def test_until_close(self) -> None:
        """
        What a server ends by closing goes on in chunks; to a client of HTTP/1.0, ended by closing.
        """
        self.talk(
            *asks,
            server.sends("HTTP/1.0 200 OK", "X: 1", body="ab"),
            client.gets("HTTP/1.1 200 OK", "X: 1", CHUNKED, body="2\r\nab\r\n"),
            server.sends(b"c"),
            client.gets(b"1\r\nc\r\n"),
            server.closes(),
            client.gets(b"0\r\n\r\n"),
            client.is_open(),
            client.sends("GET /x HTTP/1.0", "Connection: keep-alive", "Host: a.test"),
            server.gets(*GET, FORWARDED),
            server.sends("HTTP/1.1 200 OK", CHUNKED, body="2\r\nab\r\n"),
            client.gets("HTTP/1.1 200 OK", "Connection: close", body="ab"),
            server.sends(b"0\r\n\r\n"),
            client.is_closed(),
        )

    def test_continue(self) -> None:
        """
        A client that waits for 100 gets it from the server, and then sends.
        """
        self.talk(
            client.sends(*POST, "Expect: 100-continue"),
            server.gets(*POST, "Expect: 100-continue", FORWARDED),
            server.sends("HTTP/1.1 100 Continue"),
            client.gets("HTTP/1.1 100 Continue"),
            client.sends(b"abcdef"),
            server.gets(b"abcdef"),
            *answers,
        )

    def test_slow_upload_after_continue(self) -> None:
        """
        A server that has said 100 waits for the client, not we for it, however long the upload takes.
        """
        self.talk(
            client.sends(*POST, "Expect: 100-continue"),
            server.gets(*POST, "Expect: 100-continue", FORWARDED),
            server.sends("HTTP/1.1 100 Continue"),
            client.gets("HTTP/1.1 100 Continue"),
            waits(15),
            client.sends(b"abc"),
            waits(15),
            client.sends(b"def"),
            server.gets(b"abcdef"),
            *answers,
        )

    def test_slow_upload_on_a_kept_connection(self) -> None:
        """
        An upload may take longer than idle connections are kept.
        """
        self.talk(
            *asks,
            *answers,
            client.sends(*POST),
            waits(15),
            client.sends(b"abc"),
            waits(18),
            client.sends(b"def"),
            server.gets(*POST, FORWARDED, body="abcdef"),
            *answers,
        )

    def test_early_answer(self) -> None:
        """
        An answer before the request's body is complete arrives, then both connections are closed.
        """
        refusal = ("HTTP/1.1 403 Forbidden", "Content-Length: 2")
        self.talk(
            client.sends(*POST, body="abc"),
            server.gets(*POST, FORWARDED, body="abc"),
            server.sends(*refusal, body="no"),
            client.gets(*refusal, "Connection: close", body="no"),
            client.is_ended(),
            server.is_reset(),
            client.sends(b"def"),
            client.sends(*GET),
            waits(2.2),
            client.is_reset(),
            connections("192.0.2.11"),
            ended("complete"),
        )

    def test_early_answer_goes_on(self) -> None:
        """
        An answer that begins early does not stop the request's body: both may be under way at once.
        """
        self.talk(
            client.sends(*POST, body="abc"),
            server.gets(*POST, FORWARDED, body="abc"),
            server.sends("HTTP/1.1 200 OK", CHUNKED, body="1\r\nA\r\n"),
            client.gets("HTTP/1.1 200 OK", CHUNKED, body="1\r\nA\r\n"),
            client.sends(b"def"),
            server.gets(b"def"),
            server.sends(b"0\r\n\r\n"),
            client.gets(b"0\r\n\r\n"),
            client.is_open(),
        )

    def test_broken_chunks(self) -> None:
        """
        Chunks that are none are 400; in the middle of an answer they end the connection, not the answer.
        """
        self.talk(client.sends(*CHUNKED_POST, CHUNKED, body="zz\r\n"), client.gets_answer(400), client.is_ended())
        self.talk(
            client.sends(*CHUNKED_POST, CHUNKED, body="1\r\na\r\n"),
            server.gets(*CHUNKED_POST, CHUNKED, FORWARDED, body="1\r\na\r\n"),
            client.sends(b"zz\r\n"),
            client.gets_answer(400),
            server.is_reset(),
            ended("bad_request"),
        )
        self.talk(
            client.sends(*CHUNKED_POST, CHUNKED, body="1\r\na\r\n"),
            server.gets(*CHUNKED_POST, CHUNKED, FORWARDED, body="1\r\na\r\n"),
            server.sends("HTTP/1.1 200 OK", "Content-Length: 9", body="part"),
            client.gets("HTTP/1.1 200 OK", "Content-Length: 9", body="part"),
            client.sends(b"zz\r\n"),
            client.is_reset(),
            server.is_reset(),
            ended("bad_request"),
        )

    def test_very_many_chunks(self) -> None:
        """
        Chunks by the thousand come out whole, but others get their turn in between, and the client waits meanwhile.
        """
        count = 5 * CHUNKS_AT_ONCE
        dialogue = self.talk(
            client.sends(*CHUNKED_POST, CHUNKED, body=b"1\r\na\r\n" * count + b"0\r\n\r\n"),
            server.gets_chunked(*CHUNKED_POST, CHUNKED, FORWARDED, body=b"a" * count),
            *answers,
            *asks,
            server.sends("HTTP/1.1 200 OK", CHUNKED, body=b"1\r\nb\r\n" * count + b"0\r\n\r\n"),
            client.gets_chunked("HTTP/1.1 200 OK", CHUNKED, body=b"b" * count),
            *asks,
            *answers,
            connections("192.0.2.11"),
        )
        for wire in (dialogue.clients[0], dialogue.reactor.connections[0]):
            self.assertEqual((wire.pauses, wire.resumes), (1, 1))

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_any_cutting(self, data: st.DataObject) -> None:
        """
        However the network cuts them, the same bytes come out on the other side.
        """
        body = b"0123456789abcdef"
        chunks = b"4;e\r\n0123\r\nC\r\n456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n"

        def cuts(length: int) -> list[int]:
            return data.draw(st.lists(st.integers(1, length + 60), max_size=5))

        self.talk(
            client.sends(*CHUNKED_POST, CHUNKED, body=chunks, cuts=cuts(len(chunks))),
            server.gets_chunked(*CHUNKED_POST, CHUNKED, FORWARDED, body=body, trailers="X-Sum: 1"),
            server.sends("HTTP/1.1 200 OK", CHUNKED, body=chunks, cuts=cuts(len(chunks))),
            client.gets_chunked("HTTP/1.1 200 OK", CHUNKED, body=body, trailers="X-Sum: 1"),
            waits(0.3),
            client.sends(*POST, body=b"abcdefGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", cuts=cuts(60)),
            server.gets(*POST, FORWARDED, body="abcdef"),
            server.sends("HTTP/1.1 200 OK", "Content-Length: 16", body=body, cuts=cuts(16)),
            client.gets("HTTP/1.1 200 OK", "Content-Length: 16", body=body),
            server.gets(*GET, FORWARDED),
            *answers,
            connections("192.0.2.11"),
        )


class OwnAnswerTests(DialogueCase):
    """
    What we say ourselves.
    """

    def test_not_http(self) -> None:
        """
        What is no HTTP is 400 and closed; no server hears of it.
        """
        self.talk(client.sends(b"GET /x\r\n\r\n"), client.gets_answer(400), client.is_ended(), connections())

    def test_too_long(self) -> None:
        """
        A target that is too long is 414, a head that is too long or has too many fields 431.
        """
        long = "x" * 17000
        self.talk(client.sends(f"GET /{long} HTTP/1.1".encode()), client.gets_answer(414), client.is_ended())
        self.talk(client.sends(*GET, f"X: {long}"), client.gets_answer(431), client.is_ended())
        self.talk(client.sends(*GET, *["X: 1"] * 100), client.gets_answer(431), client.is_ended())

    def test_no_route(self) -> None:
        """
        Without a route it is 503, to HEAD without the page, and never 404.
        """
        for method, bodiless in (("GET", False), ("HEAD", True)):
            dialogue = self.talk()
            dialogue = type(dialogue)()
            dialogue.backend = None
            dialogue.run(
                client.sends(f"{method} /x HTTP/1.1", "Host: a.test"),
                client.gets_answer(503, bodiless),
                client.is_closed(),
            )
            dialogue.finish()
            self.assertEqual(dialogue.traffic.frontend.responses_5xx, 1)
            self.assertEqual(dialogue.traffic.frontend.requests, 1)

    def test_linger(self) -> None:
        """
        After an answer to what it still sends a client is not cut off at once, but after two seconds or a mebibyte.
        """
        garbage = (client.sends(b"GET /x\r\n\r\n"), client.gets_answer(400), client.is_ended())
        self.talk(*garbage, client.sends(b"x" * 1000), client.is_ended(), client.closes(), client.is_closed())
        self.talk(*garbage, waits(1), client.is_ended(), waits(2.2), client.is_reset())
        self.talk(*garbage, client.sends(b"x" * (LINGER_BYTES + 1)), client.is_reset())

    def test_linger_while_the_answer_is_read(self) -> None:
        """
        An early answer that a client reads slowly arrives whole.
        """
        long = ("HTTP/1.1 200 OK", "Content-Length: 200000")
        size = len("\r\n".join([*long, "Connection: close", "", ""])) + 200000
        self.talk(
            client.stops_reading(),
            client.sends(*POST, body="abc"),
            server.gets(*POST, FORWARDED, body="abc"),
            server.sends(*long, body=b"x" * 200000),
            *[step for _ in range(4) for step in (waits(1.5), client.reads(50000))],
            client.reads(),
            client.gets_bytes(size),
        )


class TimeTests(DialogueCase):
    """
    Every limit of time towards a client.
    """

    def test_head(self) -> None:
        """
        A head that does not come in five seconds is 408, even if no byte came.
        """
        self.talk(waits(4.9), client.gets_nothing(), waits(1.3), client.gets_answer(408), client.is_ended())
        self.talk(client.sends(b"GET /"), waits(6.2), client.gets_answer(408), client.is_ended(), ended())

    def test_later_head(self) -> None:
        """
        A later head has five seconds from its first byte.
        """
        self.talk(
            *asks,
            *answers,
            waits(1),
            client.sends(b"GET"),
            waits(3),
            client.sends(b" /x"),
            client.gets_nothing(),
            waits(3.2),
            client.gets_answer(408),
        )

    def test_keep_alive(self) -> None:
        """
        A connection idle for fifteen seconds is closed in silence.
        """
        self.talk(*asks, *answers, waits(14.5), client.is_open(), waits(2), client.is_closed(), client.gets_nothing())

    def test_pause_in_the_body(self) -> None:
        """
        A body that pauses for 20 s is 408; once the answer has begun, the connection is cut.
        """
        self.talk(
            client.sends(*POST, body="abc"),
            server.gets(*POST, FORWARDED, body="abc"),
            waits(19),
            client.sends(b"d"),
            server.gets(b"d"),
            waits(19),
            client.gets_nothing(),
            waits(2.5),
            client.gets_answer(408),
            server.is_reset(),
            ended("request_body_timeout"),
        )
        self.talk(
            client.sends(*POST, body="abc"),
            server.gets(*POST, FORWARDED, body="abc"),
            server.sends("HTTP/1.1 200 OK", CHUNKED, body="1\r\nA\r\n"),
            client.gets("HTTP/1.1 200 OK", CHUNKED, body="1\r\nA\r\n"),
            waits(15),
            server.sends(b"1\r\nB\r\n"),
            client.gets(b"1\r\nB\r\n"),
            waits(6.5),
            client.is_reset(),
            server.is_reset(),
            ended("request_body_timeout"),
        )

    def test_told_408(self) -> None:
        """
        The status that is counted and logged for such a request is the one the client was told.
        """
        dialogue = self.talk(client.sends(*POST), server.gets(*POST, FORWARDED), waits(22), client.gets_answer(408))
        self.assertEqual([status for _, _, status in dialogue.logged], [408])
        self.assertEqual(dialogue.backend.servers[0].responses_4xx, 1)

    def test_client_does_not_read(self) -> None:
        """
        A client that takes nothing for 20 s is cut, and the server's work for it ends.
        """
        self.talk(
            client.stops_reading(),
            *asks,
            server.sends("HTTP/1.1 200 OK", f"Content-Length: {1 << 21}", body=MEBIBYTE),
            server.is_paused(),
            waits(19),
            client.is_open(),
            waits(3),
            client.is_reset(),
            server.is_reset(),
            ended("client_stalled"),
        )

    def test_client_does_not_read_while_it_sends(self) -> None:
        """
        Nor can it stay by sending the rest of its request, nor while the server does not read that.
        """
        answer = server.sends("HTTP/1.1 200 OK", f"Content-Length: {1 << 21}", body=MEBIBYTE)
        self.talk(
            client.stops_reading(),
            client.sends(*POST),
            server.gets(*POST, FORWARDED),
            answer,
            client.sends(b"abcdef"),
            server.gets(b"abcdef"),
            waits(22),
            client.is_reset(),
            ended("client_stalled"),
        )
        large = ("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 2000000")
        self.talk(
            client.stops_reading(),
            client.sends(*large),
            server.gets(*large, FORWARDED),
            answer,
            server.stops_reading(),
            client.sends(MEBIBYTE),
            client.is_paused(),
            waits(22),
            client.is_reset(),
            ended("client_stalled"),
        )

    def test_slow_client_is_not_cut(self) -> None:
        """
        A client that reads slowly but steadily gets everything, also when it is to be closed afterwards.
        """
        for last in ((), ("Connection: close",)):
            head = ("HTTP/1.1 200 OK", "Content-Length: 600000")
            size = len("\r\n".join([*head, *last, "", ""])) + 600000
            self.talk(
                client.stops_reading(),
                client.sends(*GET, *last),
                server.gets(*GET, FORWARDED),
                server.sends(*head, body=b"x" * 600000),
                *[step for _ in range(6) for step in (waits(15), client.reads(90000))],
                client.reads(),
                client.gets_bytes(size),
                ended("complete"),
            )

    def test_unsent_answer_is_not_kept_for_ever(self) -> None:
        """
        A closing connection whose client does not take the rest is cut after 20 s.
        """
        self.talk(
            client.stops_reading(),
            client.sends(*GET, "Connection: close"),
            server.gets(*GET, FORWARDED),
            server.sends(*OK, body="hi"),
            client.is_open(),
            waits(22),
            client.is_reset(),
            ended("complete"),
        )


class ClientGoneTests(DialogueCase):
    """
    Clients that leave.
    """

    def test_reset(self) -> None:
        """
        A client that breaks off ends the work at the server, in each phase.
        """
        self.talk(*asks, client.resets(), server.is_reset(), ended("client_gone"))
        self.talk(
            client.sends(*POST, body="abc"),
            server.gets(*POST, FORWARDED, body="abc"),
            client.resets(),
            server.is_reset(),
            ended("client_gone"),
        )
        self.talk(
            *asks,
            server.sends(*OK, body="h"),
            client.gets(*OK, body="h"),
            client.resets(),
            server.is_reset(),
            ended("client_gone"),
        )
        self.talk(
            *asks,
            server.sends("HTTP/1.1 200 OK", CHUNKED),
            client.gets("HTTP/1.1 200 OK", CHUNKED),
            client.resets(),
            server.is_reset(),
            ended("client_gone"),
        )
        dialogue = self.talk(*asks, *answers, client.resets(), server.is_open(), ended("complete"))
        self.assertEqual(dialogue.backend.servers[0].client_aborts, 0)

    def test_end_in_a_body(self) -> None:
        """
        A client that ends in the middle of its request is gone.
        """
        self.talk(
            client.sends(*POST, body="abc"),
            server.gets(*POST, FORWARDED, body="abc"),
            client.ends(),
            client.is_reset(),
            server.is_reset(),
            ended("client_gone"),
        )

    def test_half_close(self) -> None:
        """
        A client that only ends its sending side still gets the answer, after which we close.
        """
        self.talk(
            *asks,
            client.ends(),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "Connection: close", body="hi"),
            client.is_closed(),
        )

    def test_probe(self) -> None:
        """
        One that has ended its sending side gets a 102 after a second; if it is gone, the server's work ends.
        """
        self.talk(
            *asks,
            client.ends(),
            waits(0.8),
            client.gets_nothing(),
            waits(0.4),
            client.gets("HTTP/1.1 102 Processing"),
            waits(3),
            client.gets_nothing(),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "Connection: close", body="hi"),
            client.is_closed(),
        )
        self.talk(
            *asks, client.closes(), waits(0.8), server.is_open(), waits(0.4), server.is_reset(), ended("client_gone")
        )
        self.talk(
            client.sends("GET /x HTTP/1.0", "Host: a.test"),
            server.gets(*GET, FORWARDED),
            client.ends(),
            waits(2),
            client.gets_nothing(),
            server.sends(*OK, body="hi"),
            client.gets(*OK, "Connection: close", body="hi"),
        )

    def test_end_between_requests(self) -> None:
        """
        A client that ends between requests, or in a head, is closed in silence.
        """
        self.talk(*asks, *answers, client.ends(), client.is_closed())
        self.talk(client.sends(b"GET /x HT"), client.ends(), client.is_closed(), client.gets_nothing())


class BackpressureTests(DialogueCase):
    """
    Who waits for whom.
    """

    def test_slow_client(self) -> None:
        """
        While a client does not read, its server is not read either: no more than the relay buffer is kept.
        """
        steps = (
            client.stops_reading(),
            *asks,
            server.sends("HTTP/1.1 200 OK", f"Content-Length: {1 << 20}", body=MEBIBYTE[:300000]),
            server.is_paused(),
            server.sends(MEBIBYTE[300000:]),
            client.reads(100000),
            server.is_paused(),
            client.reads(),
            server.is_read(),
            client.gets_bytes((1 << 20) + len("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n")),
            *asks,
            *answers,
        )
        dialogue = self.talk(*steps)
        self.assertEqual([(w.pauses, w.resumes) for w in dialogue.reactor.connections], [(1, 1)])
        self.talk(*steps, wire=Wire)  # as Twisted's own transports: another limit, nothing told of the unsent

    def test_slow_server(self) -> None:
        """
        While a server does not read, its client is not read either, and its pause is not held against it.
        """
        large = ("POST /x HTTP/1.1", "Host: a.test", f"Content-Length: {1 << 20}")
        dialogue = self.talk(
            client.sends(*large),
            server.gets(*large, FORWARDED),
            server.stops_reading(),
            client.sends(MEBIBYTE[:300000]),
            client.is_paused(),
            client.sends(MEBIBYTE[300000:]),
            *[step for _ in range(3) for step in (waits(15), server.reads(10000))],
            client.is_paused(),
            server.reads(),
            client.is_read(),
            server.gets_bytes(1 << 20),
            *answers,
        )
        self.assertEqual((dialogue.client.pauses, dialogue.client.resumes), (1, 1))

    def test_server_that_never_reads(self) -> None:
        """
        A server that takes nothing of an upload for 20 s is given up: 504.
        """
        large = ("POST /x HTTP/1.1", "Host: a.test", f"Content-Length: {1 << 20}")
        self.talk(
            client.sends(*large),
            server.gets(*large, FORWARDED),
            server.stops_reading(),
            client.sends(MEBIBYTE[:300000]),
            waits(22),
            client.gets_answer(504),
            server.is_reset(),
            ended("server_timeout"),
        )

    def test_waiting_for_a_connection(self) -> None:
        """
        While there is no connection yet no more of a body is taken than the relay buffer; then it goes on.
        """
        large = ("POST /x HTTP/1.1", "Host: a.test", f"Content-Length: {1 << 20}")
        dialogue = self.talk(limits=Limits())
        dialogue = type(dialogue)()
        dialogue.reactor.manners["192.0.2.11"] = "refuse"
        dialogue.run(client.sends(*large, body=MEBIBYTE[:300000]), client.is_read(), client.sends(b"m"))
        dialogue.run(client.is_paused())
        dialogue.reactor.manners.clear()
        dialogue.run(
            waits(1.1),
            client.is_read(),
            server.gets_bytes(300001 + len("\r\n".join([*large, FORWARDED, "", ""]))),
            client.sends(MEBIBYTE[300001:]),
            server.gets_bytes((1 << 20) - 300001),
            *answers,
        )
        dialogue.finish()
