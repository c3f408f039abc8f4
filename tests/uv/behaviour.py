"""
What a TCP protocol sees of its transport, the same on every reactor.

Run it with `trial --reactor epoll tests.uv.behaviour` and `trial --reactor uv tests.uv.behaviour`; `test_behaviour.py`
does both, each in a process of its own, since a process has one reactor. Long, and still one thing: a list of promises.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import ProcessProtocol, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.uv.recording import BIG, HERE, HalfRecorder, Once, Puller, Pusher, Recorder, reactor, turn


class BehaviourTests(TestCase):
    """
    The promises of ITCPTransport and the reactor's TCP interfaces.
    """

    timeout = 8

    def setUp(self) -> None:
        self.protocols: list[Protocol] = []
        # The last cleanup: ports and connectors have been closed by then.
        self.addCleanup(self.end_connections)

    @inlineCallbacks
    def end_connections(self) -> Any:
        """
        End what a test left open.
        """
        recorders = [each for each in self.protocols if isinstance(each, Recorder)]
        for _ in range(100):
            open_ones = [each for each in recorders if each.told and each.told[-1] != "lost"]
            if not open_ones:
                break
            for each in open_ones:
                each.wire.abortConnection()
            yield turn()

    def listen(self, protocol: Protocol | None, interface: str = HERE) -> Any:
        port = reactor.listenTCP(0, self.once(protocol), interface=interface)
        self.addCleanup(port.stopListening)
        return port

    def once(self, protocol: Protocol | None) -> Once:
        """
        Make a factory of one protocol, which is ended with the test.
        """
        if protocol is not None:
            self.protocols.append(protocol)
        return Once(protocol)

    def connect(self, where: Any, protocol: Recorder, **options: Any) -> Once:
        factory = self.once(protocol)
        reactor.connectTCP(where.host, where.port, factory, **options)
        return factory

    @inlineCallbacks
    def pair(self, server: Recorder, client: Recorder) -> Any:
        """
        Connect two protocols with each other.
        """
        self.connect(self.listen(server).getHost(), client)
        yield server.made
        yield client.made

    def raw_client(self, port: Any) -> socket.socket:
        """
        Connect a plain socket to a port.
        """
        raw = socket.create_connection((HERE, port.getHost().port))
        self.addCleanup(raw.close)
        return raw

    # Addresses and bytes

    @inlineCallbacks
    def test_both_ends_know_each_other(self) -> Any:
        """
        What is the peer for one side is the host for the other, and bytes arrive both ways.
        """
        server, client = Recorder(), Recorder()
        yield self.pair(server, client)
        self.assertEqual(client.wire.getPeer(), server.wire.getHost())
        self.assertEqual(server.wire.getPeer(), client.wire.getHost())
        self.assertEqual(server.wire.getPeer().host, HERE)
        client.wire.write(b"ping")
        client.wire.writeSequence([b" ", b"pong"])
        server.wire.write(b"answer")
        self.assertEqual((yield server.bytes_received(9)), b"ping pong")
        self.assertEqual((yield client.bytes_received(6)), b"answer")

    @inlineCallbacks
    def test_version_six(self) -> Any:
        """
        IPv6 connections carry IPv6 addresses.
        """
        server, client = Recorder(), Recorder()
        port = self.listen(server, "::1")
        self.connect(port.getHost(), client)
        yield client.made
        yield server.made
        self.assertEqual((client.wire.getPeer().host, type(client.wire.getPeer()).__name__), ("::1", "IPv6Address"))
        client.wire.write(b"six")
        self.assertEqual((yield server.bytes_received(3)), b"six")

    @inlineCallbacks
    def test_name_is_looked_up(self) -> Any:
        """
        A host name leads to its address.
        """
        server, client = Recorder(), Recorder()
        port = self.listen(server)
        reactor.connectTCP("localhost", port.getHost().port, self.once(client))
        yield client.made
        yield server.made
        self.assertEqual(client.wire.getPeer().host, HERE)

    @inlineCallbacks
    def test_bound_address_is_used(self) -> Any:
        """
        A client that asks for a local address has it.
        """
        server, client = Recorder(), Recorder()
        port = self.listen(server)
        self.connect(port.getHost(), client, bindAddress=("127.0.0.2", 0))
        yield client.made
        yield server.made
        self.assertEqual(server.wire.getPeer().host, "127.0.0.2")

    @inlineCallbacks
    def test_options(self) -> Any:
        """
        TCP_NODELAY and SO_KEEPALIVE can be set and asked.
        """
        server, client = Recorder(), Recorder()
        yield self.pair(server, client)
        for wanted in (True, False):
            client.wire.setTcpNoDelay(wanted)
            client.wire.setTcpKeepAlive(wanted)
            self.assertEqual((client.wire.getTcpNoDelay(), client.wire.getTcpKeepAlive()), (wanted, wanted))

    @inlineCallbacks
    def test_protocol_is_replaced(self) -> Any:
        """
        After `transport.protocol = other` the other gets the bytes, and hears of the end.
        """
        first, other, client = Recorder(), Recorder(), Recorder()
        yield self.pair(first, client)

        def switch(protocol: Recorder) -> None:
            other.transport = protocol.transport
            protocol.wire.protocol = other

        first.on_data = switch
        client.wire.write(b"one")
        yield first.bytes_received(3)
        client.wire.write(b"two")
        self.assertEqual((yield other.bytes_received(3)), b"two")
        client.wire.loseConnection()
        yield other.lost
        self.assertEqual(first.told, ["made"])

    # Closing

    @inlineCallbacks
    def test_close_tells_both(self) -> Any:
        """
        loseConnection ends the connection for both sides, cleanly, and so says the client's factory.
        """
        server, client = Recorder(), Recorder()
        port = self.listen(server)
        factory = self.connect(port.getHost(), client)
        yield client.made
        yield server.made
        client.wire.loseConnection()
        client.wire.loseConnection()
        for waiting in (client.lost, server.lost, factory.lost):
            self.assertIsInstance((yield waiting), error.ConnectionDone)
        self.assertEqual(client.told, ["made", "lost"])

    @inlineCallbacks
    def test_close_sends_everything_first(self) -> Any:
        """
        8 MiB written just before loseConnection all arrive, though the reader starts late.
        """
        server, client = Recorder(), Recorder()
        server.on_made = lambda protocol: protocol.wire.pauseProducing()
        yield self.pair(server, client)
        client.wire.write(BIG)
        client.wire.loseConnection()
        yield turn(0.05)
        self.assertEqual(client.told, ["made"])
        server.wire.resumeProducing()
        self.assertIsInstance((yield server.lost), error.ConnectionDone)
        self.assertEqual(len(server.received), len(BIG))
        self.assertTrue(server.received == BIG, "bytes changed on the way")

    @inlineCallbacks
    def test_close_while_receiving(self) -> Any:
        """
        An answer written in dataReceived right before loseConnection arrives.
        """
        server, client = Recorder(), Recorder()

        def answer(protocol: Recorder) -> None:
            protocol.wire.write(b"bye")
            protocol.wire.loseConnection()

        server.on_data = answer
        yield self.pair(server, client)
        client.wire.write(b"hello")
        yield client.lost
        self.assertEqual(client.received, b"bye")

    @inlineCallbacks
    def test_close_at_once(self) -> Any:
        """
        A protocol may close in connectionMade.
        """
        server, client = Recorder(), Recorder()
        server.on_made = lambda protocol: protocol.wire.loseConnection()
        yield self.pair(server, client)
        self.assertIsInstance((yield server.lost), error.ConnectionDone)
        self.assertIsInstance((yield client.lost), error.ConnectionDone)

    @inlineCallbacks
    def test_late_calls_are_ignored(self) -> Any:
        """
        After the end every method of the transport may still be called, and does nothing.
        """
        server, client = Recorder(), Recorder()
        yield self.pair(server, client)
        wire, peer = client.wire, client.wire.getPeer()
        wire.loseConnection()
        yield client.lost
        wire.write(b"late")
        wire.writeSequence([b"late"])
        wire.loseConnection()
        wire.abortConnection()
        wire.unregisterProducer()
        producer = Pusher(wire, 1)
        wire.registerProducer(producer, True)
        self.assertTrue(producer.stopped)
        self.assertEqual(wire.getPeer(), peer)
        yield server.lost
        self.assertEqual((client.told, server.received), (["made", "lost"], b""))

    @inlineCallbacks
    def test_abort(self) -> Any:
        """
        abortConnection throws away what waits, tells its own protocol ConnectionAborted and resets the other side.
        """
        server, client = Recorder(), Recorder()
        server.on_made = lambda protocol: protocol.wire.pauseProducing()
        yield self.pair(server, client)
        client.wire.write(BIG)
        client.wire.abortConnection()
        client.wire.abortConnection()
        client.wire.write(b"late")
        self.assertEqual(client.told, ["made"])
        self.assertIsInstance((yield client.lost), error.ConnectionAborted)
        server.wire.resumeProducing()
        self.assertIsInstance((yield server.lost), error.ConnectionLost)

    @inlineCallbacks
    def test_reset_by_peer(self) -> Any:
        """
        A reset from the other side is ConnectionLost, not ConnectionDone.
        """
        server = HalfRecorder()
        raw = self.raw_client(self.listen(server))
        yield server.made
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        self.assertIsInstance((yield server.lost), error.ConnectionLost)

    @inlineCallbacks
    def test_write_to_reset_connection(self) -> Any:
        """
        Writing to a connection that the other side has reset ends it with ConnectionLost.
        """
        server = Recorder()
        raw = self.raw_client(self.listen(server))
        yield server.made
        server.wire.pauseProducing()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        yield turn(0.02)
        server.wire.write(b"anyone?")
        self.assertIsInstance((yield server.lost), error.ConnectionLost)

    @inlineCallbacks
    def test_failing_protocol(self) -> Any:
        """
        What dataReceived raises is logged and ends the connection with it, an OSError like any other.
        """
        for problem in (ValueError("broken"), OSError(5, "disk")):
            server, client = Recorder(), Recorder()

            def fail(protocol: Recorder, problem: Exception = problem) -> None:
                raise problem

            server.on_data = fail
            yield self.pair(server, client)
            client.wire.write(b"x")
            self.assertIs((yield server.lost), problem)
            yield client.lost
            self.assertEqual([each.value for each in self.flushLoggedErrors(type(problem))], [problem])

    @inlineCallbacks
    def test_refused_protocol(self) -> Any:
        """
        A factory that builds no protocol has the connection closed.
        """
        client = Recorder()
        self.connect(self.listen(None).getHost(), client)
        self.assertIsInstance((yield client.lost), error.ConnectionDone)

    # Half-closing

    @inlineCallbacks
    def test_half_close(self) -> Any:
        """
        A side that has finished sending still receives; each is told once, in order.
        """
        server, client = HalfRecorder(), HalfRecorder()
        yield self.pair(server, client)
        client.wire.write(b"request")
        client.wire.loseWriteConnection()
        yield client.write_lost
        client.wire.write(b"too late")
        yield server.read_lost
        self.assertEqual(server.received + b"".join(server.pieces), b"request")
        server.wire.write(b"response")
        server.wire.loseWriteConnection()
        yield client.read_lost
        yield server.write_lost
        self.assertEqual((yield client.bytes_received(8)), b"response")
        client.wire.loseConnection()
        server.wire.loseConnection()
        self.assertIsInstance((yield client.lost), error.ConnectionDone)
        self.assertIsInstance((yield server.lost), error.ConnectionDone)
        self.assertEqual(client.told, ["made", "write lost", "read lost", "lost"])
        self.assertEqual(server.told, ["made", "read lost", "write lost", "lost"])

    @inlineCallbacks
    def test_half_close_sends_everything_first(self) -> Any:
        """
        8 MiB written just before loseWriteConnection all arrive before the end; the writer hears when they have left.
        """
        server, client = HalfRecorder(), HalfRecorder()
        server.on_made = lambda protocol: protocol.wire.pauseProducing()
        yield self.pair(server, client)
        client.wire.write(BIG)
        client.wire.loseWriteConnection()
        yield turn(0.05)
        self.assertEqual(client.told, ["made"])
        server.wire.resumeProducing()
        yield client.write_lost
        yield server.read_lost
        self.assertTrue((yield server.bytes_received(len(BIG))) == BIG, "bytes changed on the way")

    @inlineCallbacks
    def test_half_close_of_one_who_stays_not(self) -> Any:
        """
        For a protocol that knows no half-closing the other side's end is the end.
        """
        server, client = Recorder(), HalfRecorder()
        yield self.pair(server, client)
        client.wire.loseWriteConnection()
        self.assertIsInstance((yield server.lost), error.ConnectionDone)
        yield client.read_lost
        client.wire.loseConnection()
        yield client.lost

    # Receiving no faster than wanted

    @inlineCallbacks
    def test_paused_from_the_start(self) -> Any:
        """
        A protocol that pauses in connectionMade gets nothing until it resumes, then everything.
        """
        server, client = Recorder(), Recorder()
        server.on_made = lambda protocol: protocol.wire.pauseProducing()
        client.on_made = lambda protocol: protocol.wire.write(b"early")
        yield self.pair(server, client)
        yield turn(0.05)
        self.assertEqual(server.pieces, [])
        server.wire.pauseProducing()
        server.wire.resumeProducing()
        server.wire.resumeProducing()
        self.assertEqual((yield server.bytes_received(5)), b"early")

    @inlineCallbacks
    def test_client_paused_from_the_start(self) -> Any:
        """
        The same for who connects.
        """
        server, client = Recorder(), Recorder()
        client.on_made = lambda protocol: protocol.wire.pauseProducing()
        server.on_made = lambda protocol: protocol.wire.write(b"early")
        yield self.pair(server, client)
        yield turn(0.05)
        self.assertEqual(client.pieces, [])
        client.wire.resumeProducing()
        self.assertEqual((yield client.bytes_received(5)), b"early")

    @inlineCallbacks
    def test_end_waits_behind_the_bytes(self) -> Any:
        """
        What came before the other side closed is still delivered to who was paused meanwhile.
        """
        server, client = Recorder(), Recorder()
        server.on_made = lambda protocol: protocol.wire.pauseProducing()
        yield self.pair(server, client)
        client.wire.write(b"last words")
        client.wire.loseConnection()
        yield client.lost
        yield turn(0.02)
        self.assertEqual(server.told, ["made"])
        server.wire.resumeProducing()
        yield server.lost
        self.assertEqual(server.received, b"last words")

    # Sending no faster than possible

    @inlineCallbacks
    def test_push_producer(self) -> Any:
        """
        A push producer is paused when the other side does not read, and resumed when it does; all arrives.
        """
        server, client = Recorder(), Recorder()
        server.on_made = lambda protocol: protocol.wire.pauseProducing()
        yield self.pair(server, client)
        total = 4 * len(BIG)
        producer = Pusher(client.wire, total)
        client.wire.registerProducer(producer, True)
        producer.go()
        yield producer.first_pause
        yield turn(0.05)
        left = producer.left
        yield turn(0.05)
        self.assertTrue(0 < left < total)
        self.assertEqual((producer.left, producer.paused), (left, True))
        server.wire.resumeProducing()
        yield server.bytes_received(total)
        self.assertTrue(producer.resumes >= 1 and producer.left == 0 and not producer.stopped)

    @inlineCallbacks
    def test_second_producer_is_refused(self) -> Any:
        """
        There is one producer at a time.
        """
        server, client = Recorder(), Recorder()
        yield self.pair(server, client)
        client.wire.registerProducer(Pusher(client.wire, 1), True)
        self.assertRaises(RuntimeError, client.wire.registerProducer, Pusher(client.wire, 1), True)
        client.wire.unregisterProducer()
        client.wire.registerProducer(Pusher(client.wire, 1), True)

    @inlineCallbacks
    def test_pull_producer(self) -> Any:
        """
        A pull producer is asked for one piece after the other, small or big, until it unregisters.
        """
        server, client = Recorder(), Recorder()
        yield self.pair(server, client)
        pieces = [b"a" * size for size in (1, 70000, 3, 2000000, 5)]
        total = sum(map(len, pieces))
        producer = Puller(client.wire, pieces)
        client.wire.registerProducer(producer, False)
        yield server.bytes_received(total)
        yield turn()
        self.assertEqual((producer.pieces, producer.stopped), ([], False))
        client.wire.write(b"!")
        yield server.bytes_received(total + 1)

    @inlineCallbacks
    def test_close_waits_for_producer(self) -> Any:
        """
        loseConnection lets a registered producer finish: the connection ends when it unregisters.
        """
        server, client = Recorder(), Recorder()
        yield self.pair(server, client)
        producer = Puller(client.wire, [b"one ", b"two ", b"three"])
        client.wire.registerProducer(producer, False)
        client.wire.loseConnection()
        self.assertIsInstance((yield client.lost), error.ConnectionDone)
        yield server.lost
        self.assertEqual((server.received, producer.stopped), (b"one two three", False))

    @inlineCallbacks
    def test_producer_hears_of_the_end(self) -> Any:
        """
        When the connection is lost, the registered producer is stopped.
        """
        server, client = Recorder(), Recorder()
        yield self.pair(server, client)
        producer = Pusher(client.wire, 1)
        client.wire.registerProducer(producer, True)
        server.wire.abortConnection()
        yield client.lost
        self.assertTrue(producer.stopped)

    # Connecting

    @inlineCallbacks
    def test_refused(self) -> Any:
        """
        Nobody listens: ConnectionRefusedError.
        """
        port = reactor.listenTCP(0, Once(), interface=HERE)
        where = port.getHost()
        yield port.stopListening()
        factory = self.connect(where, Recorder())
        self.assertIsInstance((yield factory.failed), error.ConnectionRefusedError)

    @inlineCallbacks
    def test_timeout(self) -> Any:
        """
        Nobody answers: TimeoutError after the time given.
        """
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        deaf.bind((HERE, 0))
        deaf.listen(0)
        name = deaf.getsockname()
        # One or two fill the queue of a listener that never accepts; the kernel leaves further ones unanswered.
        for _ in range(3):
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex(name)
        factory = Once(Recorder())
        began = reactor.seconds()
        reactor.connectTCP(*name, factory, timeout=0.2)
        self.assertIsInstance((yield factory.failed), error.TimeoutError)
        self.assertTrue(0.15 < reactor.seconds() - began < 2)
        # And one who gives up earlier.
        factory = Once(Recorder())
        connector = reactor.connectTCP(*name, factory, timeout=5)
        yield turn(0.02)
        connector.stopConnecting()
        self.assertIsInstance((yield factory.failed), error.UserError)

    @inlineCallbacks
    def test_local_address_not_to_be_had(self) -> Any:
        """
        A local address that is not ours fails the attempt with ConnectBindError.
        """
        port = self.listen(Recorder())
        factory = self.connect(port.getHost(), Recorder(), bindAddress=("192.0.2.1", 0))
        self.assertIsInstance((yield factory.failed), error.ConnectBindError)

    @inlineCallbacks
    def test_connector_connects_again(self) -> Any:
        """
        A connector may be used again after its connection has ended.
        """
        server, client = Recorder(), Recorder()
        port = self.listen(server)
        factory = self.once(client)
        connector = reactor.connectTCP(HERE, port.getHost().port, factory)
        yield client.made
        yield server.made
        connector.disconnect()
        yield factory.lost
        port.factory.given, factory.given, factory.lost = Recorder(), Recorder(), Deferred()
        connector.connect()
        yield factory.given.made
        yield port.factory.given.made
        connector.disconnect()
        self.assertIsInstance((yield factory.lost), error.ConnectionDone)

    # Listening

    @inlineCallbacks
    def test_address_in_use(self) -> Any:
        """
        A taken address is CannotListenError, at once; given up, it can be had.
        """
        port = reactor.listenTCP(0, Once(), interface=HERE)
        number = port.getHost().port
        self.assertRaises(error.CannotListenError, reactor.listenTCP, number, Once(), interface=HERE)
        yield port.stopListening()
        again = reactor.listenTCP(number, Once(), interface=HERE)
        yield again.stopListening()

    @inlineCallbacks
    def test_stop_listening_keeps_connections(self) -> Any:
        """
        A port that stops listening leaves its connections alone.
        """
        server, client = Recorder(), Recorder()
        port = reactor.listenTCP(0, self.once(server), interface=HERE)
        self.connect(port.getHost(), client)
        yield client.made
        yield server.made
        yield port.stopListening()
        client.wire.write(b"still here")
        self.assertEqual((yield server.bytes_received(10)), b"still here")

    @inlineCallbacks
    def test_adopt_port(self) -> Any:
        """
        A listening socket from elsewhere is served through a duplicate: its owner may close his, or keep and reuse it.
        """
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind((HERE, 0))
        listener.listen(7)
        listener.setblocking(False)
        copy = os.dup(listener.fileno())
        server, client = Recorder(), Recorder()
        port = reactor.adoptStreamPort(copy, socket.AF_INET, self.once(server))
        os.close(copy)
        self.assertEqual(port.getHost().port, listener.getsockname()[1])
        self.connect(port.getHost(), client)
        yield client.made
        yield server.made
        client.wire.write(b"adopted")
        self.assertEqual((yield server.bytes_received(7)), b"adopted")
        yield port.stopListening()
        # Unchanged by all this: who kept it can listen on.
        backlog = struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32), 28)[0]
        self.assertEqual(backlog, 7)
        second, another = Recorder(), Recorder()
        port = reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, self.once(second))
        self.addCleanup(port.stopListening)
        self.connect(port.getHost(), another)
        yield another.made
        yield second.made

    @inlineCallbacks
    def test_adopt_connection(self) -> Any:
        """
        A connection accepted elsewhere is served through a duplicate.
        """
        listener = socket.create_server((HERE, 0))
        self.addCleanup(listener.close)
        raw = socket.create_connection(listener.getsockname())
        self.addCleanup(raw.close)
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        server = Recorder()
        factory = self.once(server)
        reactor.adoptStreamConnection(accepted.fileno(), socket.AF_INET, factory)
        accepted.close()
        yield server.made
        self.assertEqual(factory.peer.port, raw.getsockname()[1])
        raw.sendall(b"passed on")
        self.assertEqual((yield server.bytes_received(9)), b"passed on")
        raw.close()
        self.assertIsInstance((yield server.lost), error.ConnectionDone)

    # Beside TCP

    @inlineCallbacks
    def test_end_of_a_child_process(self) -> Any:
        """
        The exit of a spawned process is noticed.
        """
        ended: Deferred[int] = Deferred()

        class Child(ProcessProtocol):
            def processEnded(self, reason: Failure) -> None:
                ended.callback(reason.value.exitCode)  # type: ignore[union-attr]  # ProcessTerminated has it

        reactor.spawnProcess(Child(), sys.executable, [sys.executable, "-S", "-c", "raise SystemExit(3)"], env={})
        self.assertEqual((yield ended), 3)
