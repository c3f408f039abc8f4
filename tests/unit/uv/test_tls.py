"""
Tests of TLS: uvloop's for an ssl.SSLContext, Twisted's for its own context factories.

Twisted's TLS writes by the global reactor's clock, so most of it is left to tests/uv/test_conformance.py.
"""

from __future__ import annotations

import datetime
import select
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.error import ConnectionAborted, ConnectionDone, TimeoutError
from twisted.internet.interfaces import IHandshakeListener, INegotiated, ISSLTransport, ITLSTransport
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from zope.interface import implementer
from zope.interface.verify import verifyObject

from dfproxy.uv.tls import NamedContext
from tests.unit.uv.running import HERE, Giving, Recorder, UvTestCase

NAME = "backend.example"


def certificate() -> tuple[bytes, bytes]:
    """
    Make a key and a certificate for NAME, signed by itself; PEM both.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    return (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
        made.public_bytes(serialization.Encoding.PEM),
    )


KEY, CERTIFICATE = certificate()


@implementer(IHandshakeListener)
class Listening(Recorder):
    """
    A recorder that is told when the handshake is through.
    """

    handshakes = 0

    def handshakeCompleted(self) -> None:
        self.handshakes += 1


def _peeked(connection: socket.socket) -> bytes:
    try:
        return connection.recv(100, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


class TLSTests(UvTestCase):
    """
    Connections with TLS.
    """

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.key, self.chain = Path(folder.name, "key.pem"), Path(folder.name, "chain.pem")
        self.key.write_bytes(KEY)
        self.chain.write_bytes(CERTIFICATE)
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_context.load_cert_chain(self.chain, self.key)
        self.server_context.set_alpn_protocols(["h2", "http/1.1"])
        self.client_context = ssl.create_default_context(cadata=CERTIFICATE.decode())
        self.client_context.set_alpn_protocols(["h2"])
        self.server, self.client = Listening(), Listening()

    def listen(self, context: Any, *servers: Recorder) -> Any:
        port = self.reactor.listenSSL(0, Giving(*(servers or (self.server,))), context, interface=HERE)
        self.addCleanup(port.stopListening)
        return port

    def secured(self) -> None:
        """
        Connect both with uvloop's TLS.
        """
        port = self.listen(self.server_context)
        context = NamedContext(self.client_context, NAME)
        self.reactor.connectSSL(HERE, port.getHost().port, Giving(self.client), context)
        self.wait(self.client.made)
        self.wait(self.server.made)

    def test_something_with_its_wrap_bio(self) -> None:
        """
        `connectTLS` takes what wraps a connection as a context does, and asks for no name where none is given.
        """
        context, asked = self.client_context, []
        context.check_hostname = False

        class Wrapping:
            def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
                asked.append(named["server_hostname"])
                return context.wrap_bio(*arguments, **named)

        port = self.listen(self.server_context)
        self.reactor.connectTLS(HERE, port.getHost().port, Giving(self.client), Wrapping(), "", 5.0)
        self.wait(self.client.made)
        self.assertEqual(asked, [None])
        self.assertTrue(self.client.transport.secured)

    def test_preamble(self) -> None:
        """
        What is to come before the handshake does: the first bytes on the wire, and then TLS.
        """
        port = self.listen(self.server_context)
        with socket.create_server((HERE, 0)) as listening:
            listening.settimeout(10)
            self.client_context.check_hostname = False
            place = listening.getsockname()[1]
            self.reactor.connectTLS(HERE, place, Giving(self.client), self.client_context, NAME, 5.0, b"before")
            self.until(lambda: bool(select.select([listening], [], [], 0)[0]))
            accepted, _ = listening.accept()
        with accepted:
            accepted.setblocking(False)
            self.until(lambda: len(_peeked(accepted)) > 6)
            self.assertEqual(accepted.recv(6), b"before")
            self.assertEqual(_peeked(accepted)[:1], b"\x16")
            self.reactor.adoptTLSConnection(accepted.fileno(), socket.AF_INET, Giving(self.server), self.server_context)
        self.wait(self.client.made)
        self.client.wire.write(b"over tls")
        self.until(lambda: self.server.received == b"over tls")
        self.assertIsNotNone(port)

    def test_uvloops(self) -> None:
        """
        An SSLContext gives uvloop's TLS: bytes both ways by its own write, certificate and ALPN as Twisted shows them.
        """
        self.secured()
        for side in (self.client, self.server):
            for interface in (ISSLTransport, ITLSTransport, INegotiated):
                self.assertTrue(verifyObject(interface, side.wire))
            self.assertEqual(type(side.wire.write.__self__).__name__, "_SSLProtocolTransport")
            self.assertEqual((side.wire.negotiatedProtocol, side.handshakes), (b"h2", 1))
        self.assertEqual(self.client.wire.getPeerCertificate().get_serial_number(), 7)
        self.assertIsNone(self.server.wire.getPeerCertificate())
        self.client.wire.writeSequence([b"over ", b"tls"])
        self.server.wire.write(b"and back")
        self.until(lambda: (self.server.received, self.client.received) == (b"over tls", b"and back"))
        self.assertTrue(self.server.wire.fileno() > 0)
        self.client.wire.loseConnection()
        self.assertIsInstance(self.wait(self.client.lost), ConnectionDone)
        self.assertIsInstance(self.wait(self.server.lost), ConnectionDone)

    def test_big(self) -> None:
        """
        Everything written before loseConnection arrives, though the reader starts late.
        """
        self.secured()
        big = bytes(range(256)) * 16384
        self.server.wire.pauseProducing()
        self.client.wire.write(big)
        self.client.wire.loseConnection()
        self.turns(5)
        self.assertEqual(self.server.received, b"")
        self.server.wire.resumeProducing()
        self.wait(self.server.lost)
        self.assertTrue(self.server.received == big)

    def test_wrong_name(self) -> None:
        """
        A server that does not prove the name asked for fails the attempt, and says why.
        """
        port = self.listen(self.server_context)
        for context in (NamedContext(self.client_context, "other.example"), self.client_context):
            factory = Giving(self.client)
            self.reactor.connectSSL(HERE, port.getHost().port, factory, context)
            self.assertIsInstance(self.wait(factory.failed), ssl.SSLCertVerificationError)
        self.assertFalse(self.server.made.called)

    def test_silent_server(self) -> None:
        """
        The time-out of a connection attempt covers the handshake; the plain connection is closed with it.
        """
        port = self.reactor.listenTCP(0, Giving(self.server), interface=HERE)
        self.addCleanup(port.stopListening)
        factory = Giving(self.client)
        context = NamedContext(self.client_context, NAME)
        self.reactor.connectSSL(HERE, port.getHost().port, factory, context, timeout=0.05)
        self.assertIsInstance(self.wait(factory.failed), TimeoutError)
        self.wait(self.server.lost)

    def test_no_tls(self) -> None:
        """
        Who doesn't speak TLS is closed without a protocol ever being made, and without noise in the log.
        """
        raw = self.raw_client(self.listen(self.server_context))
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        raw.setblocking(False)
        self.turns(20)
        self.until(lambda: len(self.reactor.transports) == 0)
        self.assertFalse(self.server.made.called)

    def test_half_close_closes(self) -> None:
        """
        TLS by uvloop has no half-close: loseWriteConnection closes, after everything is sent.
        """
        self.secured()
        self.client.wire.write(b"last")
        self.client.wire.loseWriteConnection()
        self.wait(self.client.lost)
        self.wait(self.server.lost)
        self.assertEqual(self.server.received, b"last")

    def test_abort(self) -> None:
        """
        abortConnection ends it at once, for the own side with ConnectionAborted.
        """
        self.secured()
        self.client.wire.abortConnection()
        self.assertIsInstance(self.wait(self.client.lost), ConnectionAborted)
        self.wait(self.server.lost)

    def test_failing_protocol(self) -> None:
        """
        What dataReceived raises is logged and ends the connection with it.
        """
        problem = ValueError("broken")

        def fail(data: bytes) -> None:
            raise problem

        self.server.dataReceived = fail  # type: ignore[method-assign]  # before the connection takes it
        self.secured()
        self.client.wire.write(b"x")
        self.assertIs(self.wait(self.server.lost), problem)
        self.wait(self.client.lost)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def upgrade(self, server_context: Any, client_context: Any) -> None:
        """
        Connect plainly, start TLS on both sides in connectionMade, and write before the handshake.
        """

        def starting(recorder: Recorder, context: Any, early: bytes) -> Recorder:
            def made(transport: Any) -> Any:
                transport.startTLS(context)
                transport.write(early)
                transport.writeSequence([b"!"])
                return transport

            recorder.made.addCallback(made)
            return recorder

        port = self.reactor.listenTCP(0, Giving(starting(self.server, server_context, b"server")), interface=HERE)
        self.addCleanup(port.stopListening)
        client = Giving(starting(self.client, client_context, b"client"))
        self.reactor.connectTCP(HERE, port.getHost().port, client)
        self.until(lambda: (self.server.received, self.client.received) == (b"client!", b"server!"))
        self.assertTrue(ISSLTransport.providedBy(self.client.wire))
        self.assertEqual((self.client.handshakes, self.server.handshakes), (1, 1))
        self.client.wire.loseConnection()
        self.assertIsInstance(self.wait(self.client.lost), ConnectionDone)
        self.assertIsInstance(self.wait(self.server.lost), ConnectionDone)

    def test_start_tls(self) -> None:
        """
        startTLS in connectionMade makes it a TLS connection; what was written meanwhile is sent after the handshake.
        """
        self.upgrade(self.server_context, NamedContext(self.client_context, NAME))

    def test_mixed(self) -> None:
        """
        Twisted's TLS on one side and uvloop's on the other understand each other.
        """
        port = self.listen(DefaultOpenSSLContextFactory(str(self.key), str(self.chain)))
        context = NamedContext(self.client_context, NAME)
        self.reactor.connectSSL(HERE, port.getHost().port, Giving(self.client), context)
        self.wait(self.client.made)
        self.client.wire.write(b"x" * 100000)
        self.until(lambda: len(self.server.received) == 100000)
        self.client.wire.loseConnection()
        self.wait(self.server.lost)

    def test_failing_handshake(self) -> None:
        """
        When a handshake begun by startTLS fails, the protocol is told why, and nothing it wrote has left.
        """
        self.server.made.addCallback(lambda wire: (wire.startTLS(self.server_context), wire.write(b"secret")))
        port = self.reactor.listenTCP(0, Giving(self.server), interface=HERE)
        raw = self.raw_client(port)
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIsInstance(self.wait(self.server.lost), ssl.SSLError)
        raw.setblocking(False)
        self.turns(2)
        received = b""
        try:
            received = raw.recv(1000)
        except ConnectionResetError:
            pass
        self.assertNotIn(b"secret", received)

    def test_ended_during_handshake(self) -> None:
        """
        A connection may be closed or aborted while the handshake lasts; the protocol hears of it once.
        """
        for end, reason in (("abortConnection", ConnectionAborted), ("loseConnection", ConnectionDone)):
            server = Recorder()
            port = self.reactor.listenTCP(0, Giving(server), interface=HERE)
            self.raw_client(port)
            wire = self.wait(server.made)
            wire.startTLS(self.server_context)
            self.turns(2)
            getattr(wire, end)()
            self.assertIsInstance(self.wait(server.lost), reason)
            port.stopListening()

    def test_adopted_port(self) -> None:
        """
        A listening socket from elsewhere can be served with TLS, and a context changed later serves later handshakes.
        """
        with socket.create_server((HERE, 0)) as listener:
            factory = Giving(self.server)
            port = self.reactor.adoptTLSPort(listener.fileno(), socket.AF_INET, factory, self.server_context)
            self.addCleanup(port.stopListening)
            context = NamedContext(self.client_context, NAME)
            self.reactor.connectSSL(HERE, port.getHost().port, Giving(self.client), context)
            self.wait(self.server.made)
            self.wait(self.client.made)
