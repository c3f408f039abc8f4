"""
Sessions of clients that speak TLS: the same as others, and their requests know of it.

Plain sessions do not pay for it: what a request is told stands in the frontend that only sessions with TLS have.

Source: HAProxy fetches `ssl_fc`, `ssl_fc_sni`, `ssl_c_used`, `ssl_c_s_dn`, `ssl_c_der`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.traffic import Traffic
from dfproxy.expressions.clientcertificates import name_of
from dfproxy.frontend.http1 import Http1Session, Session
from dfproxy.frontend.site import ProxySite
from dfproxy.model.connection import TlsFacts
from dfproxy.tls.sni import asked_name
from dfproxy.wire.h1 import RequestHead


class SecureSite(Factory):
    """
    A site for listeners with TLS.

    Args:
        site: whose sessions they are.
    """

    noisy = False

    def __init__(self, site: ProxySite) -> None:
        self._site = site

    def buildProtocol(self, addr: IAddress | None) -> Any:  # as `ProxySite.buildProtocol`
        session = self._site.session(SecureFrontend(self._site))
        if session is not None:
            session.secure = True
        return session


class SecureFrontend:
    """
    What one session with TLS has as its frontend, and as the resource that it asks for exchanges.

    Args:
        site: the frontend of all sessions.
    """

    __slots__ = ("_facts", "_site", "resource", "traffic")

    def __init__(self, site: ProxySite) -> None:
        self._site = site
        self._facts: TlsFacts | None = None
        self.resource: SecureFrontend = self
        self.traffic: Traffic = site.traffic

    def exchange(self, downstream: Downstream, request: RequestHead) -> Exchange | None:
        """
        As `ReverseProxyResource.exchange`; the request is told of its connection first.
        """
        facts = self._facts
        if facts is None:
            self._facts = facts = facts_of(getattr(downstream, "transport", None))
        request.tls = facts
        return self._site.resource.exchange(downstream, request)

    def speaks_http2(self, session: Http1Session, data: bytes) -> bool:
        """
        See `dfproxy.frontend.http1.Frontend`.
        """
        return self._site.speaks_http2(session, data, self)

    def session_over(self, session: Session) -> None:
        """
        See `dfproxy.frontend.http1.Frontend`.
        """
        self._site.session_over(session)


def facts_of(transport: Any) -> TlsFacts:
    """
    What is known of a connection with TLS, after its handshake.

    A certificate that the client has shown is good, or there would be no connection.

    Args:
        transport: of `dfproxy.uv`; of another one nothing is known.
    """
    session: Any = getattr(transport, "getHandle", lambda: None)()
    if not hasattr(session, "getpeercert"):
        return TlsFacts()
    certificate = session.getpeercert(True) or b""
    subject = subject_of(certificate) if certificate else ""
    return TlsFacts(
        asked_name(session), certificate, subject, 0, session.version() or "", (session.cipher() or ("",))[0]
    )


def subject_of(certificate: bytes) -> str:
    """
    Distinguished name of a certificate as OpenSSL writes it in a line: `/C=FR/O=Acme/CN=x`.

    Args:
        certificate: DER.
    """
    return (name_of(certificate, "subject", "", 1) or b"").decode()
