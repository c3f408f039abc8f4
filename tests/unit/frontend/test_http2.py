"""
An HTTP/2 client's connection, in dialogues: what streams share.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.settings import Limits
from dfproxy.wire import h2frames as h2
from dfproxy.wire.h2 import CONNECTION_WINDOW, FRAMES_AT_ONCE, STREAM_WINDOW
from tests.dialogue import FORWARDED, Party, client, ended, server, waits
from tests.http2 import GET, POST, Talk, data, frame, headers, literal

ASKED = ("GET /x HTTP/1.1", "Host: a.test", FORWARDED)
ANSWERED = ("HTTP/1.1 200 OK", "Content-Length: 2")

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


class ChoiceTests(SynchronousTestCase):
    """
    Who speaks HTTP/2.
    """

    def test_prior_knowledge(self) -> None:
        """
        A client that begins with the preface is answered with SETTINGS, however its bytes are cut.
        """
        for cuts in (0, 1, 5, 24):
            talk = Talk(self, begun=False)
            talk.sends(h2.PREFACE, h2.settings(), headers(1, *GET), cuts=cuts)
            talk.run(server.gets(*ASKED), server.sends(*ANSWERED, body="hi"))
            lines = talk.lines()
            self.assertTrue(lines[0].startswith("settings 3=100"), lines)
            self.assertEqual(lines[2:], ["settings taken", "1 :status=200 content-length=2", "1 'hi' END"])

    def test_alpn(self) -> None:
        """
        A client that chose h2 in the handshake is sent SETTINGS at once, and must send the preface.
        """
        talk = Talk(self, begun=False)
        wire = talk.dialogue.client
        wire.negotiatedProtocol = b"h2"  # type: ignore[attr-defined]  # as a transport with TLS has it
        wire.protocol.handshakeCompleted()
        self.assertTrue(talk.lines()[0].startswith("settings 3=100"))
        talk.sends(b"GET / HTTP/1.1\r\n\r\n")
        talk.hears("goaway 0 PROTOCOL_ERROR")

    def test_other_protocols_stay(self) -> None:
        """
        A client that chose HTTP/1.1, or nothing, speaks HTTP/1.1.
        """
        talk = Talk(self, begun=False)
        wire = talk.dialogue.client
        for chosen in (b"http/1.1", None):
            wire.negotiatedProtocol = chosen  # type: ignore[attr-defined]  # as above
            wire.protocol.handshakeCompleted()
        talk.run(client.sends("GET /x HTTP/1.1", "Host: a.test"), server.gets(*ASKED))

    def test_switched_off(self) -> None:
        """
        Where it is switched off the preface is a bad request.
        """
        talk = Talk(self, begun=False)
        talk.dialogue.site.http2 = None
        talk.sends(h2.PREFACE)
        talk.run(client.gets_answer(400))

    def test_not_in_the_middle(self) -> None:
        """
        After a request of HTTP/1.1 the preface changes nothing that was said.
        """
        talk = Talk(self, begun=False)
        talk.run(
            client.sends("GET /x HTTP/1.1", "Host: a.test"),
            server.gets(*ASKED),
            server.sends(*ANSWERED, body="hi"),
            client.gets(*ANSWERED, body="hi"),
        )
        talk.sends(h2.PREFACE + h2.settings())
        self.assertEqual(talk.lines()[-1], "settings taken")


class ManyStreamsTests(SynchronousTestCase):
    """
    Several exchanges at once.
    """

    def test_answered_in_any_order(self) -> None:
        """
        Each stream has its own server connection, and answers come as they are ready.
        """
        talk = Talk(self)
        talk.sends(*(headers(stream, *GET) for stream in (1, 3, 5)))
        servers = [Party("server", number) for number in range(3)]
        talk.run(*(party.gets(*ASKED) for party in servers))
        for number, stream in ((1, 3), (2, 5), (0, 1)):
            talk.run(servers[number].sends(*ANSWERED, body="hi"))
            talk.hears(f"{stream} :status=200 content-length=2", f"{stream} 'hi' END")
        talk.run(ended("complete", "complete", "complete"))

    def test_connections_are_kept(self) -> None:
        """
        Requests that follow each other use one connection to the server.
        """
        talk = Talk(self)
        for stream in range(1, 20, 2):
            talk.request(stream)
            talk.run(server.gets(*ASKED), server.sends(*ANSWERED, body="hi"))
        self.assertEqual(len(talk.dialogue.reactor.connections), 1)
        talk.lines()

    def test_one_write_a_turn(self) -> None:
        """
        What several streams say in one turn of the reactor goes out in one write.
        """
        talk = Talk(self)
        talk.sends(*(headers(stream, *GET) for stream in (1, 3, 5)))
        writes: list[bytes] = []
        wire = talk.dialogue.client
        wire.write = writes.append  # type: ignore[method-assign]  # watched
        for number in range(3):
            connection = talk.dialogue.reactor.connections[number]
            connection.heard = b""
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        self.assertEqual(writes, [])
        talk.dialogue.reactor.settle()
        self.assertEqual(len(writes), 1)
        self.assertEqual(len(talk.hearing.read(writes[0])), 6)

    def test_too_many(self) -> None:
        """
        Above the limit a stream is refused before any server hears of it.
        """
        talk = Talk(self, limits=Limits(client_streams=2))
        talk.sends(*(headers(stream, *GET) for stream in (1, 3, 5)))
        talk.hears("5 reset REFUSED_STREAM")
        self.assertEqual(len(talk.dialogue.reactor.connections), 2)
        for connection in talk.dialogue.reactor.connections:
            connection.heard = b""

    def test_reset_in_the_same_breath(self) -> None:
        """
        A request that is reset in the same packet costs the servers nothing.
        """
        talk = Talk(self)
        talk.sends(headers(1, *GET) + h2.reset(1, h2.CANCEL))
        self.assertEqual(talk.dialogue.reactor.attempts, [])

    def test_rapid_reset_ends_the_connection(self) -> None:
        """
        A client that goes on so is sent away, and no work is left.
        """
        talk = Talk(self)
        for stream in range(1, 1001, 2):
            talk.sends(headers(stream, *GET), h2.reset(stream, h2.CANCEL), cuts=0)
        self.assertIn("ENHANCE_YOUR_CALM", talk.lines()[-1])
        talk.run(waits(3), client.is_reset())


class ConnectionWindowTests(SynchronousTestCase):
    """
    The connection's window, and a client that does not read.
    """

    def test_holds_all_and_lets_all_go(self) -> None:
        """
        With the connection's window empty all answers wait, their servers are held, and they take turns when it opens.
        """
        talk = Talk(self, settings=((h2.INITIAL_WINDOW_SIZE, 1 << 20),))
        talk.sends(headers(1, *GET), headers(3, *GET))
        one, three = Party("server", 0), Party("server", 1)
        talk.run(one.gets(*ASKED), three.gets(*ASKED))
        body = "x" * 65535
        talk.run(one.sends("HTTP/1.1 200 OK", "Content-Length: 65546", body=body + "y" * 10), one.is_paused())
        talk.run(three.sends("HTTP/1.1 200 OK", "Content-Length: 20", body="z" * 10), three.is_paused())
        self.assertEqual(talk.lines()[-1], "3 :status=200 content-length=20")
        talk.sends(h2.window_update(0, 5))
        talk.hears("1 'yyyyy'")
        talk.sends(h2.window_update(0, 5))
        talk.hears("3 'zzzzz'")
        talk.sends(h2.window_update(0, 100))
        talk.hears("1 'yyyyy'", "3 'zzzzz'")
        talk.run(one.is_read(), three.is_read(), one.sends(b"e"), three.sends(b"z" * 10))
        talk.hears("1 'e' END", "3 'zzzzzzzzzz' END")

    def test_full_transport(self) -> None:
        """
        A client that does not read holds its servers; when it reads again all goes on.
        """
        talk = Talk(self, settings=((h2.INITIAL_WINDOW_SIZE, 1 << 20),), limits=Limits(relay_buffer_bytes=4096))
        talk.sends(h2.window_update(0, 1 << 20), headers(1, *GET), headers(3, *GET))
        one, three = Party("server", 0), Party("server", 1)
        talk.run(one.gets(*ASKED), three.gets(*ASKED), client.stops_reading())
        talk.run(one.sends("HTTP/1.1 200 OK", "Content-Length: 10001", body="x" * 10000), one.is_paused())
        talk.run(three.is_paused(), client.reads(), one.is_read(), three.is_read())
        self.assertEqual(talk.lines(), ["1 :status=200 content-length=10001", "1 10000 bytes"])
        talk.run(one.sends(b"y"), three.sends(*ANSWERED, body="hi"))
        talk.hears("1 'y' END", "3 :status=200 content-length=2", "3 'hi' END")

    def test_much_is_written_at_once(self) -> None:
        """
        What servers say in one turn is written at its end, unless it is much: then the client that does not read it is
        known before others add to it.
        """
        talk = Talk(self, settings=((h2.INITIAL_WINDOW_SIZE, 1 << 20),))
        talk.sends(h2.window_update(0, 1 << 20), headers(1, *GET), headers(3, *GET))
        one, three = Party("server", 0), Party("server", 1)
        talk.run(one.gets(*ASKED), three.gets(*ASKED))
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 400002\r\n\r\n"
        talk.dialogue.wire("server", 0).send(head + b"x")
        self.assertEqual(talk.lines(), [])
        talk.run(client.stops_reading())
        talk.lines()
        talk.dialogue.wire("server", 0).send(b"x" * 400_000)
        self.assertTrue(talk.dialogue.wire("server", 1).paused)
        talk.run(three.is_paused(), client.reads(), three.is_read(), three.sends(*ANSWERED, body="hi"))
        self.assertEqual(talk.lines()[-2:], ["3 :status=200 content-length=2", "3 'hi' END"])

    def test_held_from_the_beginning(self) -> None:
        """
        A server is held as well whose connection is made, or whose request comes, while the client does not read.
        """
        talk = Talk(self, settings=((h2.INITIAL_WINDOW_SIZE, 1 << 20),), limits=Limits(relay_buffer_bytes=4096))
        talk.sends(h2.window_update(0, 1 << 20), headers(1, *GET))
        one, three = Party("server", 0), Party("server", 1)
        talk.run(one.gets(*ASKED), client.stops_reading())
        talk.dialogue.client.send(headers(3, *GET))  # its connection is under way
        talk.dialogue.wire("server", 0).send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + b"x" * 10000)
        talk.run(three.gets(*ASKED), three.is_paused())
        talk.request(5)
        talk.run(one.gets(*ASKED), one.is_paused())
        talk.run(three.sends(*ANSWERED, body="hi"), one.sends(*ANSWERED, body="ho"), waits(1), client.reads())
        lines = ["1 :status=200 content-length=10000", "1 10000 bytes END"]
        lines += ["3 :status=200 content-length=2", "3 'hi' END", "5 :status=200 content-length=2", "5 'ho' END"]
        self.assertEqual(talk.lines(), lines)

    def test_client_that_stands_still(self) -> None:
        """
        One that reads nothing for its time-out is cut off, and the work for it ends.
        """
        talk = Talk(self, settings=((h2.INITIAL_WINDOW_SIZE, 1 << 20),), limits=Limits(relay_buffer_bytes=4096))
        talk.request(1)
        talk.run(server.gets(*ASKED), client.stops_reading())
        talk.run(server.sends("HTTP/1.1 200 OK", "Content-Length: 10001", body="x" * 10000))
        talk.run(waits(19), client.is_open(), waits(3), client.is_reset(), ended("client_stalled"), server.is_reset())

    def test_window_that_stays_shut(self) -> None:
        """
        One that does not open the connection's window for that time, as well.
        """
        talk = Talk(self, settings=((h2.INITIAL_WINDOW_SIZE, 1 << 20),))
        talk.request(1)
        talk.run(server.gets(*ASKED), server.sends("HTTP/1.1 200 OK", "Content-Length: 70001", body="x" * 70000))
        talk.run(waits(15), client.is_open())
        talk.sends(h2.window_update(0, 1))
        talk.run(waits(15), client.is_open(), waits(8), client.is_reset(), ended("client_stalled"), server.is_reset())

    def test_uploads(self) -> None:
        """
        The connection's window is given back while a server does not take its body: others go on.
        """
        talk = Talk(self, limits=Limits(relay_buffer_bytes=4096))
        talk.sends(headers(1, *POST, end=False), headers(3, *POST, end=False))
        talk.dialogue.reactor.connections[0].room = 0
        for _ in range(STREAM_WINDOW // 16384):
            talk.sends(data(1, b"x" * 16384))
        self.assertEqual([line for line in talk.lines() if line.startswith("1 window")], [])
        for _ in range(3 * CONNECTION_WINDOW // 16384):
            talk.sends(data(3, b"y" * 16384))
        lines = talk.lines()
        self.assertEqual([line for line in lines if not line.endswith("reset")], lines)
        self.assertIn(f"0 window +{CONNECTION_WINDOW // 2}", lines)
        talk.dialogue.reactor.connections[1].heard = b""
        talk.run(Party("server", 0).reads())
        talk.dialogue.reactor.connections[0].heard = b""
        self.assertEqual(talk.lines(), [f"1 window +{STREAM_WINDOW}"])


class TimeTests(SynchronousTestCase):
    """
    A client that does nothing, or too little.
    """

    def test_very_many_frames(self) -> None:
        """
        Frames by the thousand come out whole and as one piece, but others get their turn in between, and the client
        waits meanwhile; also when it then breaks a rule.
        """
        count = 3 * FRAMES_AT_ONCE
        for last in (data(1, b"", end=True), data(0, b"a")):
            talk = Talk(self)
            talk.sends(headers(1, *POST, end=False), data(1, b"a") * count, last)
            wire = talk.dialogue.client
            self.assertEqual((wire.pauses, wire.resumes), (1, 1))
            if last[8]:
                asked = ("POST /x HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked", FORWARDED)
                talk.run(server.gets_chunked(*asked, body=b"a" * count), server.sends(*ANSWERED, body="hi"))
                talk.hears("1 :status=200 content-length=2", "1 'hi' END")
            else:
                self.assertEqual(talk.lines()[-1], "goaway 1 PROTOCOL_ERROR")
                talk.run(ended("client_gone"), server.is_reset())
                talk.dialogue.wire("server", 0).heard = b""

    def test_idle(self) -> None:
        """
        Without a request for the keep-alive time the connection is closed in good order; pings do not keep it.
        """
        talk = Talk(self)
        talk.request(1)
        talk.run(server.gets(*ASKED), server.sends(*ANSWERED, body="hi"), waits(10))
        talk.sends(h2.ping(b"12345678", False))
        talk.run(client.is_open(), waits(7), client.is_closed())
        self.assertEqual(talk.lines()[-1], "goaway 1 NO_ERROR")

    def test_waiting_is_not_idle(self) -> None:
        """
        While a server works the client may be silent for as long as the server may.
        """
        talk = Talk(self)
        talk.request(1)
        talk.run(server.gets(*ASKED), waits(18), client.is_open(), server.sends(*ANSWERED, body="hi"))
        talk.hears("1 :status=200 content-length=2", "1 'hi' END")

    def test_nothing_after_the_opening(self) -> None:
        """
        A client that opens and asks nothing is closed after the time of a head.
        """
        talk = Talk(self)
        talk.run(waits(4), client.is_open(), waits(3), client.is_closed())
        self.assertEqual(talk.lines(), ["goaway 0 NO_ERROR"])

    def test_half_a_preface(self) -> None:
        """
        Half a preface after the handshake is waited for as long as a head.
        """
        talk = Talk(self, begun=False)
        wire = talk.dialogue.client
        wire.negotiatedProtocol = b"h2"  # type: ignore[attr-defined]  # as a transport with TLS has it
        wire.protocol.handshakeCompleted()
        talk.sends(h2.PREFACE[:10])
        talk.run(waits(8))
        self.assertNotEqual(wire.fate == "open" and not wire.ended, True)

    def test_list_of_fields_that_does_not_end(self) -> None:
        """
        A list of fields has the time of a head, however it trickles, and whatever else is under way.
        """
        talk = Talk(self)
        talk.request(1)
        talk.run(server.gets(*ASKED))
        block = literal(*GET)
        talk.sends(frame(h2.HEADERS, 0, 3, block[:1]))
        for place in range(1, 8):
            talk.run(waits(1))
            if talk.dialogue.client.ended:
                break
            talk.sends(frame(h2.CONTINUATION, 0, 3, block[place : place + 1]))
        self.assertEqual(talk.lines(), ["goaway 1 NO_ERROR"])
        talk.run(ended("client_gone"), server.is_reset())
        self.assertEqual(talk.dialogue.traffic.frontend.responses_4xx, 1)


class EndTests(SynchronousTestCase):
    """
    How connections end.
    """

    def test_fault(self) -> None:
        """
        A broken rule of the connection is named; the work ends; what the client still sends is read for a while.
        """
        talk = Talk(self)
        talk.request(1)
        talk.run(server.gets(*ASKED))
        talk.sends(frame(h2.PING, 0, 0, b"1"))
        talk.hears("goaway 1 FRAME_SIZE_ERROR")
        talk.run(client.is_ended(), ended("client_gone"), server.is_reset())
        talk.sends(b"more")
        talk.run(waits(3), client.is_reset())

    def test_client_goes(self) -> None:
        """
        When the client closes or breaks, its servers are let go of.
        """
        for going in (client.closes(), client.resets(), client.ends()):
            talk = Talk(self)
            talk.request(1)
            talk.run(server.gets(*ASKED), going, ended("client_gone"), server.is_reset())

    def test_client_leaves(self) -> None:
        """
        After the client's GOAWAY it gets what it has asked for, and the connection is closed.
        """
        talk = Talk(self)
        talk.request(1)
        talk.sends(h2.goaway(0, h2.NO_ERROR))
        talk.run(client.is_open(), server.gets(*ASKED), server.sends(*ANSWERED, body="hi"), client.is_closed())
        talk.hears("1 :status=200 content-length=2", "1 'hi' END", "goaway 1 NO_ERROR")
        idle = Talk(self)
        idle.sends(h2.goaway(0, h2.NO_ERROR))
        idle.run(client.is_closed())

    def test_drain(self) -> None:
        """
        When the process drains the client is told; what it sent before it knew is served; then the connection closes.
        """
        talk = Talk(self)
        talk.request(1)
        talk.dialogue.site.close_idle()
        talk.dialogue.site.close_idle()
        talk.hears(f"goaway {h2.LARGEST_STREAM} NO_ERROR", "ping 0000000000000000")
        talk.request(3)
        talk.sends(h2.ping(b"\0" * 8, True))
        talk.hears("goaway 3 NO_ERROR")
        talk.request(5)
        one, three = Party("server", 0), Party("server", 1)
        talk.run(one.gets(*ASKED), one.sends(*ANSWERED, body="hi"), client.is_open())
        talk.run(three.gets(*ASKED), three.sends(*ANSWERED, body="hi"), client.is_closed())
        self.assertEqual(len(talk.lines()), 4)

    def test_drain_of_idle_and_deaf_clients(self) -> None:
        """
        An idle connection closes when the client knows; one that does not answer the ping, a second later.
        """
        talk = Talk(self)
        talk.dialogue.site.close_idle()
        talk.sends(h2.ping(b"\0" * 8, True))
        talk.run(client.is_closed())
        talk = Talk(self)
        talk.dialogue.site.close_idle()
        talk.run(client.is_open(), waits(1.5), client.is_closed())

    def test_sessions_are_counted(self) -> None:
        """
        A connection that changed to HTTP/2 is one connection, and none when it is gone.
        """
        talk = Talk(self)
        self.assertEqual((talk.dialogue.traffic.frontend.connections, len(talk.dialogue.site.sessions_open)), (1, 1))
        talk.run(client.resets())
        self.assertEqual((talk.dialogue.traffic.frontend.in_flight, len(talk.dialogue.site.sessions_open)), (0, 0))


class AnythingTests(SynchronousTestCase):
    """
    Whatever the bytes, all of it in memory: an answer or a clean close, and nothing left.
    """

    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=40),
                st.sampled_from(
                    [
                        headers(1, *GET),
                        headers(3, *POST, end=False),
                        data(3, b"abc"),
                        data(3, b"abc", end=True),
                        headers(3, ("x-a", "b")),
                        h2.reset(3, h2.CANCEL),
                        h2.window_update(0, 1000),
                        h2.window_update(1, 1),
                        h2.settings((h2.INITIAL_WINDOW_SIZE, 3)),
                        h2.ping(b"12345678", False),
                        h2.goaway(0, h2.NO_ERROR),
                    ]
                ),
            ),
            max_size=8,
        ),
        st.booleans(),
    )
    @SETTINGS
    def test_nothing_is_left(self, pieces: list[bytes], answered: bool) -> None:
        """
        Each exchange ends once, each server is released, nothing is logged.
        """
        talk = Talk(self)
        for piece in pieces:
            talk.sends(piece)
            for connection in talk.dialogue.reactor.connections if answered else ():
                if connection.heard.endswith((b"\r\n\r\n", b"0\r\n\r\n")) and connection.connected:
                    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")
                connection.heard = b""
            talk.dialogue.reactor.settle()
        talk.dialogue.reactor.wait(30)
        for connection in talk.dialogue.reactor.connections:
            connection.heard = b""
        self.doCleanups()
