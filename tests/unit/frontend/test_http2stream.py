"""
One stream of an HTTP/2 connection, in dialogues.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.answers import page
from dfproxy.frontend.http2stream import Http2Stream
from dfproxy.model.settings import Limits
from dfproxy.wire import h2frames as h2
from dfproxy.wire.h2 import STREAM_WINDOW
from dfproxy.wire.hpack import Encoder
from tests.dialogue import FORWARDED, Party, client, connections, ended, server, server_is, waits
from tests.http2 import GET, POST, Pair, Talk, data, frame, headers

GOT = ("GET /x HTTP/1.1", "Host: a.test", FORWARDED)
SMALL_WINDOW = ((h2.INITIAL_WINDOW_SIZE, 5),)


def posted(*fields: str) -> tuple[str, ...]:
    return ("POST /x HTTP/1.1", "Host: a.test", *fields, FORWARDED)


CHUNKED = posted("Transfer-Encoding: chunked")


def own(stream: int, status: int, head: bool = False, more: str = "") -> tuple[str, ...]:
    """
    Lines of our own answer.
    """
    text = page(status)
    first = f"{stream} :status={status} content-length={len(text)} cache-control=no-cache content-type=text/html{more}"
    return (f"{first} END",) if head else (first, f"{stream} {len(text)} bytes END")


class RequestTests(SynchronousTestCase):
    """
    What the server gets.
    """

    def test_head(self) -> None:
        """
        Method, path and fields in their order, Host from `:authority`, cookies in one, and who asks.
        """
        talk = Talk(self)
        talk.request(1, ("cookie", "a=1"), ("x-b", "2"), ("cookie", "c=3"), ("te", "trailers"))
        talk.run(server.gets("GET /x HTTP/1.1", "Host: a.test", "x-b: 2", "cookie: a=1; c=3", FORWARDED))

    def test_same_list_again(self) -> None:
        """
        A list that is the same to the byte is read once; each request is one of its own, with the fields of its list.
        """
        talk = Talk(self)
        encoder = Encoder()

        def asks(stream: int, path: str) -> None:
            start = (*GET[:1], (":path", path), *GET[2:], ("x-a", "1"))
            fields = [(name.encode(), value.encode(), False) for name, value in start]
            talk.sends(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, encoder.encode(fields)))

        seen = []
        for number, path in enumerate(("/x", "/x", "/x", "/y", "/y", "/y", "/x", "/x")):
            asks(2 * number + 1, path)
            talk.run(server.gets(f"GET {path} HTTP/1.1", "Host: a.test", "x-a: 1", FORWARDED))
            session = talk.dialogue.client.protocol
            seen.append(session._known)
            talk.run(server.sends("HTTP/1.1 200 OK", "Content-Length: 0"))
            talk.lines()
        self.assertIs(seen[2], seen[1])
        self.assertIs(seen[5], seen[4])
        self.assertIsNot(seen[3], seen[2])

    def test_known_length(self) -> None:
        """
        A body whose length was said goes on with that length.
        """
        talk = Talk(self)
        talk.request(1, ("content-length", "6"), start=POST, end=False)
        talk.run(server.gets(*posted("content-length: 6")))
        talk.sends(data(1, b"abc"))
        talk.run(server.gets(b"abc"))
        talk.sends(data(1, b"def", end=True))
        talk.run(server.gets(b"def"))

    def test_unknown_length(self) -> None:
        """
        Any other goes on in chunks, and what came at once in one write with the head.
        """
        talk = Talk(self)
        talk.sends(headers(1, *POST, end=False) + data(1, b"abc") + data(1, b"def", end=True))
        talk.run(server.gets(*CHUNKED, body="6\r\nabcdef\r\n0\r\n\r\n"))

    def test_trailers(self) -> None:
        """
        Fields after the body are the chunks' trailers; those that may not stand there are left out.
        """
        talk = Talk(self)
        talk.sends(headers(1, *POST, end=False), data(1, b"abc"), headers(1, ("x-sum", "1"), ("host", "b.test")))
        talk.run(server.gets(*CHUNKED, body="3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"))

    def test_expectation(self) -> None:
        """
        The server says whether it wants the body; its 100 reaches the client.
        """
        talk = Talk(self)
        talk.request(1, ("expect", "100-continue"), ("content-length", "2"), start=POST, end=False)
        talk.run(server.gets(*posted("expect: 100-continue", "content-length: 2")))
        talk.run(server.sends("HTTP/1.1 100 Continue"))
        talk.hears("1 :status=100")
        talk.sends(data(1, b"hi", end=True))
        talk.run(server.gets(b"hi"), server.sends("HTTP/1.1 204 No Content"))
        talk.hears("1 :status=204 END")

    def test_smuggling(self) -> None:
        """
        What would be something else in HTTP/1 is reset, and nothing reaches a server.
        """
        bad: tuple[Pair, ...] = (
            ("x", "a\r\nGET /admin HTTP/1.1"),
            ("x\r\ny", "a"),
            ("x: y", "a"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("content-length", "1, 2"),
        )
        talk = Talk(self)
        for stream, pair in zip(range(1, 100, 2), bad):
            talk.request(stream, pair)
            talk.hears(f"{stream} reset PROTOCOL_ERROR")
        talk.sends(headers(101, GET[0], (":path", "/ HTTP/1.1\r\nX: y"), *GET[2:]))
        talk.hears("101 reset PROTOCOL_ERROR")
        talk.run(connections())
        self.assertEqual(talk.dialogue.traffic.frontend.responses_4xx, len(bad) + 1)

    def test_lying_length(self) -> None:
        """
        A body that is not as long as it said never looks complete to the server.
        """
        for wrong in (data(1, b"abc", end=True), data(1, b"abcde")):
            talk = Talk(self)
            talk.request(1, ("content-length", "4"), start=POST, end=False)
            talk.run(server.gets(*posted("content-length: 4")))
            talk.sends(wrong)
            talk.hears("1 reset PROTOCOL_ERROR")
            talk.run(server.gets_nothing(), server.is_reset(), ended("client_gone"))


class AnswerTests(SynchronousTestCase):
    """
    What the client gets.
    """

    def asked(self, method: str = "GET", **options: object) -> Talk:
        talk = Talk(self, **options)  # type: ignore[arg-type]  # Dialogue's
        talk.request(1, start=((":method", method), *GET[1:]))
        talk.run(server.gets(f"{method} /x HTTP/1.1", *GOT[1:]))
        return talk

    def test_lengths(self) -> None:
        """
        With a length, in chunks, or until the server closes: frames, and the end with the last.
        """
        talk = self.asked()
        talk.run(server.sends("HTTP/1.1 200 OK", "Content-Length: 4", body="ab"))
        talk.hears("1 :status=200 content-length=4", "1 'ab'")
        talk.run(server.sends(b"cd"))
        talk.hears("1 'cd' END")
        talk = self.asked()
        talk.run(server.sends("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body="2\r\nab\r\n0\r\n\r\n"))
        talk.hears("1 :status=200", "1 'ab' END")
        talk = self.asked()
        talk.run(server.sends("HTTP/1.1 200 OK", body="ab"), server.closes())
        talk.hears("1 :status=200", "1 'ab'", "1 '' END")

    def test_without_body(self) -> None:
        """
        HEAD, 204, 304 and a length of nothing end with the head.
        """
        for method, said in (
            ("HEAD", ("200 OK", "Content-Length: 5")),
            ("GET", ("204 No Content",)),
            ("GET", ("304 Not Modified",)),
            ("GET", ("200 OK", "Content-Length: 0")),
        ):
            talk = self.asked(method)
            talk.run(server.sends(f"HTTP/1.1 {said[0]}", *said[1:]))
            self.assertTrue(all(line.endswith("END") for line in talk.lines()))

    def test_trailers(self) -> None:
        """
        Trailers of chunks come after the body.
        """
        talk = self.asked()
        talk.run(server.sends("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body="2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n"))
        talk.hears("1 :status=200", "1 'ab'", "1 x-sum=1 END")

    def test_interim(self) -> None:
        """
        Interim answers come before the answer.
        """
        talk = self.asked()
        talk.run(server.sends("HTTP/1.1 103 Early Hints", "Link: </a.css>"), server.sends("HTTP/1.1 204 No Content"))
        talk.hears("1 :status=103 link=</a.css>", "1 :status=204 END")

    def test_no_upgrade(self) -> None:
        """
        A server that changes the protocol, which nobody asked for, has failed.
        """
        talk = self.asked()
        talk.run(server.sends("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: x"))
        talk.hears(*own(1, 502))

    def test_cut_off(self) -> None:
        """
        An answer that the server does not complete is reset, never ended; others go on.
        """
        talk = self.asked()
        talk.run(server.sends("HTTP/1.1 200 OK", "Content-Length: 4", body="ab"), server.closes())
        talk.hears("1 :status=200 content-length=4", "1 'ab'", "1 reset INTERNAL_ERROR")
        talk.request(3)
        talk.run(Party("server", 1).gets(*GOT), ended("server_cut"), client.is_open())

    def test_our_own(self) -> None:
        """
        No route, no server, garbage, CONNECT, too many fields: our answers, and the connection stays.
        """
        talk = Talk(self)
        talk.sends(headers(1, (":method", "CONNECT"), (":authority", "a.test:1")))
        talk.hears(*own(1, 400))
        talk.request(3, *((f"x-{number}", "y") for number in range(101)))
        talk.hears(*own(3, 431))
        talk.request(5, start=((":method", "HEAD"), GET[1], (":scheme", "x"), GET[3]))
        talk.hears(*own(5, 400, head=True))
        backend, talk.dialogue.backend = talk.dialogue.backend, None
        talk.request(7)
        talk.hears(*own(7, 503))
        talk.dialogue.backend = backend
        self.assertEqual(talk.dialogue.traffic.frontend.requests, 4)
        talk.request(9)
        talk.run(server.gets(*GOT), server.sends(b"garbage\r\n\r\n"))
        talk.hears(*own(9, 502))
        talk.run(server_is("refuse"))
        talk.request(11)
        talk.run(waits(5))
        first, *rest = own(11, 503)
        talk.hears(f"{first} retry-after=2", *rest)
        talk.run(client.is_open())


class WindowTests(SynchronousTestCase):
    """
    Backpressure, stream by stream.
    """

    def test_answer_waits_for_its_window(self) -> None:
        """
        A stream without a window holds its own server and no other.
        """
        talk = Talk(self, settings=SMALL_WINDOW)
        talk.sends(headers(1, *GET), headers(3, *GET))
        one, three = Party("server", 0), Party("server", 1)
        talk.run(one.gets(*GOT), three.gets(*GOT))
        talk.run(one.sends("HTTP/1.1 200 OK", "Content-Length: 13", body="0123456789"), one.is_paused())
        talk.hears("1 :status=200 content-length=13", "1 '01234'")
        talk.run(three.sends("HTTP/1.1 200 OK", "Content-Length: 3", body="hi"), three.is_read())
        talk.hears("3 :status=200 content-length=3", "3 'hi'")
        talk.run(three.sends(b"!"))
        talk.hears("3 '!' END")
        talk.sends(h2.window_update(1, 2))
        talk.hears("1 '56'")
        talk.run(one.is_paused())
        talk.sends(h2.window_update(1, 4))
        talk.hears("1 '789'")
        talk.run(one.is_read(), one.sends(b"abc"))
        talk.hears("1 'a'")
        talk.sends(h2.settings((h2.INITIAL_WINDOW_SIZE, 7)))
        talk.hears("settings taken", "1 'bc' END")
        talk.run(ended("complete", "complete"))

    def test_trailers_wait_as_well(self) -> None:
        """
        The end, with trailers or without, comes after all that waits.
        """
        talk = Talk(self, settings=SMALL_WINDOW)
        talk.request(1)
        chunks = "7\r\n0123456\r\n0\r\nX-Sum: 1\r\n\r\n"
        talk.run(server.gets(*GOT), server.sends("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=chunks))
        talk.hears("1 :status=200", "1 '01234'")
        talk.sends(h2.window_update(1, 9))
        talk.hears("1 '56'", "1 x-sum=1 END")

    def test_window_that_stays_shut(self) -> None:
        """
        A stream whose window does not open for the client's time is reset; the connection and its others stay.
        """
        talk = Talk(self, settings=SMALL_WINDOW)
        talk.sends(headers(1, *GET), headers(3, *GET))
        one = Party("server", 0)
        talk.run(one.gets(*GOT), one.sends("HTTP/1.1 200 OK", "Content-Length: 13", body="0123456789"), waits(15))
        talk.sends(h2.window_update(1, 1))
        talk.lines()
        talk.run(Party("server", 1).gets(*GOT), Party("server", 1).sends("HTTP/1.1 103 Early Hints"), waits(15))
        talk.hears("3 :status=103")
        talk.run(waits(7))
        self.assertIn("1 reset CANCEL", talk.lines())
        talk.run(one.is_reset(), client.is_open())
        self.assertIn("client_stalled", talk.dialogue.endings)

    def test_complete_answer_frees_its_server(self) -> None:
        """
        An answer that has come whole and waits for its window keeps no server.
        """
        talk = Talk(self, settings=SMALL_WINDOW)
        talk.request(1)
        talk.run(server.gets(*GOT), server.sends("HTTP/1.1 200 OK", "Content-Length: 10", body="0123456789"))
        talk.run(ended("complete"))
        talk.request(3)
        talk.run(server.gets(*GOT), connections("192.0.2.11"))
        talk.lines()
        talk.sends(h2.window_update(1, 5))
        talk.hears("1 '56789' END")

    def test_body_waits_for_its_server(self) -> None:
        """
        A client gets no window back while the server does not take the body, and no time-out is held against it.
        """
        talk = Talk(self, limits=Limits(relay_buffer_bytes=4096, server_timeout_s=100.0))
        talk.request(1, start=POST, end=False)
        talk.run(server.gets(*CHUNKED), server.stops_reading())
        for _ in range(STREAM_WINDOW // 16384):
            talk.sends(data(1, b"x" * 16384))
        talk.hears()
        talk.run(waits(30), client.is_open(), server.reads())
        talk.hears(f"1 window +{STREAM_WINDOW}")
        talk.dialogue.reactor.connections[0].heard = b""
        talk.sends(data(1, b"", end=True))
        talk.run(server.gets(b"0\r\n\r\n"))


class EndTests(SynchronousTestCase):
    """
    How streams end.
    """

    def test_reset(self) -> None:
        """
        The client's reset ends the work for that stream: before, within and after the answer.
        """
        talk = Talk(self, settings=SMALL_WINDOW)
        begun = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n0123456789"
        for number, (stream, said) in enumerate(((1, b""), (3, begun))):
            talk.request(stream)
            party = Party("server", number)
            talk.run(party.gets(*GOT), party.sends(said))
            talk.lines()
            talk.sends(h2.reset(stream, h2.CANCEL))
            talk.run(party.is_reset())
        talk.hears()
        talk.run(ended("client_gone", "client_gone"), client.is_open())
        talk.request(5)
        talk.run(server.gets(*GOT))

    def test_body_that_stalls(self) -> None:
        """
        A body that pauses too long is answered 408, or reset if the answer has begun; the connection stays.
        """
        talk = Talk(self)
        talk.request(1, start=POST, end=False)
        talk.run(server.gets(*CHUNKED), waits(15))
        talk.sends(data(1, b"x"))
        talk.run(server.gets(b"1\r\nx\r\n"), waits(15))
        talk.hears()
        talk.run(waits(7), ended("request_body_timeout"), server.is_reset())
        self.assertEqual(talk.lines()[:2], list(own(1, 408)))
        talk.run(waits(4), client.is_open())

    def test_body_that_trickles(self) -> None:
        """
        One that comes byte by byte within a frame does not pause.
        """
        talk = Talk(self)
        talk.request(1, start=POST, end=False)
        talk.run(server.gets(*CHUNKED))
        whole = data(1, b"0123456789", end=True)
        talk.sends(whole[:9])
        for place in range(9, len(whole)):
            talk.run(waits(10))
            talk.sends(whole[place : place + 1])
        talk.run(server.gets(b"a\r\n0123456789\r\n0\r\n\r\n"))

    def test_early_answer(self) -> None:
        """
        An answer before the end of the request is whole; the rest of the request is dropped, and after a while reset.
        """
        talk = Talk(self)
        talk.request(1, start=POST, end=False)
        talk.run(server.gets(*CHUNKED), server.sends("HTTP/1.1 413 Too Large", "Content-Length: 2", body="no"))
        talk.hears("1 :status=413 content-length=2", "1 'no' END")
        talk.sends(data(1, b"x" * 1000))
        talk.hears()
        talk.run(waits(1))
        talk.hears()
        talk.run(waits(3))
        talk.hears("1 reset NO_ERROR")
        talk.run(ended("complete"), client.is_open())

    def test_early_answer_and_end(self) -> None:
        """
        If the client ends the request by then, there is nothing to reset.
        """
        talk = Talk(self)
        talk.request(1, start=POST, end=False)
        talk.run(server.gets(*CHUNKED), server.sends("HTTP/1.1 413 Too Large", "Content-Length: 0"))
        talk.hears("1 :status=413 content-length=0 END")
        talk.sends(data(1, b"", end=True))
        talk.run(waits(3))
        talk.hears()
        talk.run(waits(14), client.is_closed())

    def test_nothing_of_http1(self) -> None:
        """
        Tunnels and splices, which HTTP/2 has not, are answered with nothing.
        """
        talk = Talk(self)
        talk.request(1)
        stream = talk.dialogue.resource.exchanges[0].downstream
        assert isinstance(stream, Http2Stream)
        self.assertIsNone(stream.splice_into())
        self.assertIsNone(stream.splice_from())
        self.assertIs(stream.transport, talk.dialogue.client)
        talk.run(server.gets(*GOT))
