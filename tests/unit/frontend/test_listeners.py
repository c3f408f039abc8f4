"""
Adopting, releasing and binding listening sockets, over real ones.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from dfproxy.errors import InvalidSettings
from dfproxy.frontend.accepting import AcceptingPort
from dfproxy.frontend.listeners import Listeners, Slot
from dfproxy.model.listener import Listener
from dfproxy.wire.proxyprotocol import Announcement


class Greeting(Protocol):
    """
    Says hello.
    """

    def connectionMade(self) -> None:
        self.factory.accepted.append(self)
        self.transport.write(b"hello")


class Greetings(Factory):
    protocol = Greeting
    noisy = False

    def __init__(self) -> None:
        self.accepted: list[Greeting] = []


class Client(Protocol):
    """
    Waits for a word.
    """

    def __init__(self) -> None:
        self.word: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        word, self.word = self.word, Deferred()
        word.callback(data)


class ListenersTests(TestCase):
    """
    What a worker does with the sockets it is given.
    """

    timeout = 10

    def setUp(self) -> None:
        self.factory = Greetings()
        self.listeners = Listeners(reactor, self.factory)
        self.clients: list[Client] = []
        self.addCleanup(self.listeners.stop)

    def tearDown(self) -> Deferred[None]:
        for client in self.clients:
            client.transport.abortConnection()
        for accepted in self.factory.accepted:
            accepted.transport.abortConnection()
        return deferLater(reactor, 0.0)

    @inlineCallbacks
    def connect(self, port: int) -> Any:
        client = yield connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Client())
        self.clients.append(client)
        return client

    @inlineCallbacks
    def test_adopt_and_release(self) -> Any:
        """
        A released slot accepts nothing more but keeps its queue for the next worker; what was accepted stays open.
        """
        held = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(held.close)
        held.setblocking(False)
        slot = Slot(4, Listener("127.0.0.1", held.getsockname()[1]))
        for _ in range(2):
            self.listeners.adopt(slot, os.dup(held.fileno()))
        self.assertEqual(self.listeners.slots, (4,))
        client = yield self.connect(slot.listener.port)
        word = yield client.word
        self.assertEqual(word, b"hello")
        yield self.listeners.release(4)
        yield self.listeners.release(4)
        later = yield self.connect(slot.listener.port)
        self.factory.accepted[0].transport.write(b"again")
        word = yield client.word
        self.assertEqual(word, b"again")
        self.assertEqual(len(self.factory.accepted), 1)
        heir = Listeners(reactor, self.factory)
        self.addCleanup(heir.stop)
        heir.adopt(slot, os.dup(held.fileno()))
        word = yield later.word
        self.assertEqual(word, b"hello")

    @inlineCallbacks
    def test_bind(self) -> Any:
        """
        Without workers it opens its own address; an address that is taken is named with the reason.
        """
        port = self.listeners.bind(Listener("127.0.0.1", 0)).getHost().port
        client = yield self.connect(port)
        yield client.word
        error = self.assertRaises(InvalidSettings, self.listeners.bind, Listener("127.0.0.1", port))
        self.assertIn(f"127.0.0.1:{port}: Address already in use", str(error))
        yield self.listeners.stop()
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", port), 2)


class SecureGreeting(Greeting):
    """
    Says that it is secure.
    """

    def connectionMade(self) -> None:
        self.factory.accepted.append(self)
        self.transport.write(b"secure")


class TlsReactor:
    """
    The reactor, with a TLS that does not encrypt: what counts is on which socket it is spoken.
    """

    def __init__(self) -> None:
        self.contexts: list[object] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def adoptTLSPort(self, descriptor: int, family: int, factory: Any, context: object) -> Any:
        self.contexts.append(context)
        return reactor.adoptStreamPort(descriptor, family, factory)

    def adoptTLSConnection(self, descriptor: int, family: int, factory: Any, context: object) -> Any:
        self.contexts.append(context)
        return reactor.adoptStreamConnection(descriptor, family, factory)


class SecureTests(ListenersTests):
    """
    Listeners that are meant to speak TLS; the tests above hold for them as well.
    """

    def setUp(self) -> None:
        super().setUp()
        secure = Greetings()
        secure.protocol = SecureGreeting
        secure.accepted = self.factory.accepted
        self.tls = TlsReactor()
        self.listeners = Listeners(self.tls, self.factory, secure)
        self.addCleanup(self.listeners.stop)

    @inlineCallbacks
    def said(self, port: int) -> Any:
        client = yield self.connect(port)
        return (yield client.word)

    def slot(self, number: int, tls: bool) -> Slot:
        held = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(held.close)
        held.setblocking(False)
        slot = Slot(number, Listener("127.0.0.1", held.getsockname()[1], tls=tls))
        self.listeners.adopt(slot, os.dup(held.fileno()))
        return slot

    @inlineCallbacks
    def test_switch(self) -> Any:
        """
        Slots and own ports that are meant to speak TLS do so from the moment there is a certificate, on the same port,
        as do those that come later; others stay plain, and what was accepted stays open.
        """
        plain, secure = self.slot(1, False), self.slot(2, True)
        own = self.listeners.bind(Listener("127.0.0.1", 0, tls=True)).getHost().port
        ports = (plain.listener.port, secure.listener.port, own)
        for port in ports:
            word = yield self.said(port)
            self.assertEqual(word, b"hello")
        self.listeners.secure(self)  # type: ignore[arg-type]  # stands for a context
        later = self.slot(3, True)
        for port, wanted in zip((*ports, later.listener.port), (b"hello", b"secure", b"secure", b"secure")):
            word = yield self.said(port)
            self.assertEqual(word, wanted)
        self.assertEqual(self.tls.contexts, [self, self, self])
        self.clients[1].transport.write(b"x")
        self.factory.accepted[1].transport.write(b"still here")
        word = yield self.clients[1].word
        self.assertEqual(word, b"still here")
        yield self.listeners.release(2)
        yield self.listeners.stop()
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", own), 2)

    @inlineCallbacks
    def test_announced(self) -> Any:
        """
        Where connections are announced they are served once their header has come, and with TLS from then on, too.
        """
        listener = Listener("127.0.0.1", 0, tls=True, options=("accept-proxy",))
        port = self.listeners.bind(listener).getHost().port
        held = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(held.close)
        self.listeners.adopt(Slot(1, listener), os.dup(held.fileno()))
        for wanted in (b"hello", b"secure"):
            for each in (port, held.getsockname()[1]):
                client = yield self.connect(each)
                word = client.word
                client.transport.write(b"PROXY ")
                yield deferLater(reactor, 0.01)
                self.assertFalse(word.called)
                client.transport.write(b"UNKNOWN\r\n")
                said = yield word
                self.assertEqual(said, wanted)
            self.listeners.secure(self)  # type: ignore[arg-type]  # stands for a context
        self.assertEqual(self.tls.contexts, [self, self])

    def test_released_before(self) -> None:
        """
        A slot that was released meanwhile is not taken up again.
        """
        self.slot(1, True)
        self.listeners.release(1)
        self.listeners.secure(self)  # type: ignore[arg-type]  # stands for a context
        self.assertEqual((self.listeners.slots, self.tls.contexts), ((), []))

    def test_own_address_is_taken(self) -> None:
        """
        An address for TLS that is taken is named with the reason, too.
        """
        port = self.listeners.bind(Listener("127.0.0.1", 0, tls=True)).getHost().port
        error = self.assertRaises(InvalidSettings, self.listeners.bind, Listener("127.0.0.1", port, tls=True))
        self.assertIn("Address already in use", str(error))


class PaperDoors:
    """
    Whoever takes connections as they are: says so, or gives them on.
    """

    def port(self, listening: socket.socket, number: int, otherwise: Any) -> Any:
        return Looking(listening, number, otherwise)

    def announced(self, number: int, otherwise: Any) -> Any:
        raise AssertionError("nothing is announced here")


class Looking(AcceptingPort):
    """
    A port that looks.
    """

    def __init__(self, listening: socket.socket, number: int, otherwise: Any) -> None:
        self.number, self.otherwise = number, otherwise
        super().__init__(reactor, listening)

    def begin(self, connection: socket.socket) -> None:
        with connection:
            if self.otherwise is None:
                connection.send(b"stream")
            else:
                self.otherwise(connection, Announcement())


class StreamTests(ListenersTests):
    """
    Listeners in a process that takes whole connections; the tests above hold for them as well.
    """

    def setUp(self) -> None:
        super().setUp()
        self.listeners = Listeners(reactor, self.factory, streams=PaperDoors())
        self.addCleanup(self.listeners.stop)

    @inlineCallbacks
    def said(self, port: int) -> Any:
        client = yield self.connect(port)
        return (yield client.word)

    @inlineCallbacks
    def test_ports_of_services(self) -> Any:
        """
        An address that a service asks for accepts when it is served, and is gone when it is closed, served or not.
        """
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            wanted = Listener("127.0.0.1", port, stream=True)
            self.assertRaises(OSError, self.listeners.open, wanted)
        self.listeners.open(wanted)
        yield self.listeners.serve((wanted,))
        word = yield self.said(port)
        self.assertEqual(word, b"stream")
        yield self.listeners.close((wanted,))
        self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", port), 2)
        self.listeners.open(wanted)
        yield self.listeners.close((wanted,))
        self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", port), 2)
        for served in (True, False):
            self.listeners.open(wanted)
            if served:
                yield self.listeners.serve((wanted,))
            yield self.listeners.stop()
            self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", port), 2)

    @inlineCallbacks
    def test_shared(self) -> Any:
        """
        Where streams come to a port of HTTP its connections are looked at first, slots and own ports alike, and no
        longer when they are gone; what was accepted stays open, and what nobody takes is served as ever.
        """
        held = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(held.close)
        held.setblocking(False)
        slot = held.getsockname()[1]
        self.listeners.adopt(Slot(1, Listener("127.0.0.1", slot)), os.dup(held.fileno()))
        own = self.listeners.bind(Listener("127.0.0.1", 0)).getHost().port
        yield self.said(slot)
        for ports, looked_at in ((frozenset({slot, own}), 2), (frozenset({own}), 1), (frozenset(), 0)):
            self.listeners.share(ports)
            looking = [port for port in reactor.getReaders() if isinstance(port, Looking)]
            self.assertEqual({port.number for port in looking}, ports)
            self.assertEqual(len(looking), looked_at)
            for port in (slot, own):
                word = yield self.said(port)
                self.assertEqual(word, b"hello")
        self.factory.accepted[0].transport.write(b"still here")
        word = yield self.clients[0].word
        self.assertEqual(word, b"still here")
