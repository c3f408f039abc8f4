"""
TLS on a connection of the uv reactor.

The kind of context decides who does it: an `ssl.SSLContext` gives uvloop's TLS (fast, the way for a proxy), a Twisted
context factory (pyOpenSSL) gives Twisted's own TLS protocol over a plain uvloop transport, as on every other reactor.

uvloop's TLS cannot half-close: `loseWriteConnection` closes the whole connection there.

Source: twisted.internet.interfaces (ITLSTransport, ISSLTransport, INegotiated, IHandshakeListener),
twisted.internet._newtls; uvloop 0.23, sslproto.pyx, loop.start_tls.
"""

from __future__ import annotations

from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from twisted.internet import _newtls
from twisted.internet.interfaces import IHandshakeListener, INegotiated, IProducer, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from dfproxy.uv.sending import Sending
from dfproxy.uv.stepping import Steps
from dfproxy.uv.surroundings import DONE, LOST, UvTransport, discard, failure_of, told

# How long a handshake may take. uvloop's own default is 60 s, during which each stalled client holds a descriptor.
HANDSHAKE_TIMEOUT_S = 10.0

# How long the other side may take to answer our close_notify before the connection is cut; uvloop's default is 30 s.
SHUTDOWN_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class NamedContext:
    """
    A client's context together with the name the server has to prove, where that is not the host connected to.

    Attributes:
        context: says whether names and chains are checked at all.
        name: sent as SNI and checked; "" sends none, which a context that checks names refuses.
    """

    context: SSLContext
    name: str


class Beneath:
    """
    The plain connection as Twisted's TLS protocol sees it; `_newtls` calls these with the transport as `self`.
    """

    @staticmethod
    def write(transport: Securing, data: bytes) -> None:
        """
        Send encrypted bytes.
        """
        if transport.connected and transport._reason is None:
            transport._uv.write(data)

    @staticmethod
    def writeSequence(transport: Securing, parts: list[bytes]) -> None:
        """
        Send encrypted bytes.
        """
        if transport.connected and transport._reason is None:
            transport._uv.writelines(parts)

    @staticmethod
    def loseConnection(transport: Securing) -> None:
        """
        Close the plain connection.
        """
        Sending.loseConnection(transport)

    @staticmethod
    def registerProducer(transport: Securing, producer: IProducer, streaming: bool) -> None:
        """
        Have the TLS protocol paused by the plain connection.
        """
        Sending.registerProducer(transport, producer, streaming)

    @staticmethod
    def unregisterProducer(transport: Securing) -> None:
        """
        Release the TLS protocol.
        """
        Sending.unregisterProducer(transport)


class Securing(Sending):
    """
    What a transport does about TLS.

    Attributes:
        TLS: True once Twisted's own TLS protocol stands between the application and this transport.
        secured: True once uvloop's TLS does.
    """

    TLS = False
    secured = False
    _tlsClientDefault = False
    _early: list[bytes] | None = None

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """
        Speak TLS from here on.

        uvloop loses what it has already read: with an `SSLContext` call this from `connectionMade`, or when the other
        side waits for our answer before it sends the first byte of TLS. What is written meanwhile is sent after the
        handshake. A protocol that provides IHandshakeListener is told of its end.

        Args:
            contextFactory: an `ssl.SSLContext`, a `NamedContext`, or Twisted's context factories.
            normal: who connected is TLS's client too.
        """
        as_client = self._tlsClientDefault is normal
        if isinstance(contextFactory, NamedContext):
            self._start_uv_tls(contextFactory.context, as_client, contextFactory.name)
        elif isinstance(contextFactory, SSLContext):
            self._start_uv_tls(contextFactory, as_client, "")
        else:
            _newtls.startTLS(self, contextFactory, normal, Beneath)
            self._open_writing()

    def _start_uv_tls(self, context: SSLContext, as_client: bool, name: str) -> None:
        self._early = []
        self.write = self._early.append
        self.writeSequence = self._early.extend
        coroutine: Any = self.reactor.loop.start_tls(
            self._uv,  # type: ignore[arg-type]  # a transport by shape
            self,  # type: ignore[arg-type]  # a protocol by shape
            context,
            server_side=not as_client,
            server_hostname=name or None,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
        Steps(coroutine, self._tls_failed, self._tls_started)

    def _tls_started(self, uv: UvTransport) -> None:
        if not self.connected:
            return
        if uv.get_extra_info("ssl_object") is None:
            # Closed during the handshake without an error; uvloop then calls it a success.
            self._lost(self._reason or DONE)
            return
        self._uv = uv
        early, self._early = self._early, None
        if self.write is not discard:
            self._open_writing()
        if self._limits is not None:
            uv.set_write_buffer_limits(*self._limits)
        if self._read_paused:
            uv.pause_reading()
        self.is_secured()
        if early:
            uv.writelines(early)

    def _tls_failed(self, problem: Exception) -> None:
        if self.connected:
            self._lost(self._reason or (LOST if isinstance(problem, ConnectionError) else failure_of(problem)))

    def is_secured(self) -> None:
        """
        Show that uvloop's TLS is up.
        """
        self.secured = True
        alsoProvides(self, ISSLTransport, INegotiated)
        listener = IHandshakeListener(self._protocol, None)
        if listener is not None:
            told(listener.handshakeCompleted)

    def _open_writing(self) -> None:
        if self.TLS:
            protocol: Any = self._protocol
            self.write = protocol.write
            self.writeSequence = protocol.writeSequence
        else:
            super()._open_writing()

    def _lost(self, reason: Failure) -> None:
        raise NotImplementedError  # `Transport`, made of this, has it

    # ISSLTransport, INegotiated: uvloop's TLS. With Twisted's, `_newtls` puts others in their place.

    def getPeerCertificate(self) -> Any:
        """
        Give the other side's certificate as a pyOpenSSL X509; None when it showed none.
        """
        session = self._uv.get_extra_info("ssl_object")
        encoded = None if session is None else session.getpeercert(True)
        if encoded is None:
            return None
        from OpenSSL.crypto import FILETYPE_ASN1, load_certificate

        return load_certificate(FILETYPE_ASN1, encoded)

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """
        Give the protocol agreed on by ALPN, such as b"h2"; None when there is none.
        """
        if self.TLS:
            protocol: Any = self._protocol
            agreed: bytes | None = protocol.negotiatedProtocol
            return agreed
        session = self._uv.get_extra_info("ssl_object")
        name = None if session is None else session.selected_alpn_protocol()
        return None if name is None else name.encode("ascii")

    # What goes through Twisted's TLS protocol once there is one.

    def loseConnection(self) -> None:
        """
        Close once everything is sent and the producer, if any, has unregistered.
        """
        if not self.TLS:
            super().loseConnection()
        elif self.connected and not self.disconnecting:
            protocol: Any = self._protocol
            protocol.loseConnection()

    def loseWriteConnection(self) -> None:
        """
        Tell the other side that no more will come; with uvloop's TLS this closes both directions.
        """
        if self.secured:
            self.loseConnection()
        else:
            super().loseWriteConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Make somebody responsible for not writing too much; see `Sending.registerProducer`.
        """
        if self.TLS and self.connected:
            protocol: Any = self._protocol
            protocol.registerProducer(producer, streaming)
        else:
            super().registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """
        Release the producer; a close that waited for it goes on.
        """
        if self.TLS:
            protocol: Any = self._protocol
            if protocol is not None:
                protocol.unregisterProducer()
        else:
            super().unregisterProducer()
