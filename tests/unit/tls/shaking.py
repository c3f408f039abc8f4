"""
Handshakes in memory, both sides in this process.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Shaken:
    """
    What a client saw.

    Attributes:
        name: common name of the server's certificate.
        version: of TLS.
        protocol: agreed on by ALPN.
        cipher: its name.
        client_certificate: what the server saw of the client, DER; None: nothing.
    """

    name: str
    version: str
    protocol: str | None
    cipher: str
    client_certificate: bytes | None


def client_context(**options: Any) -> ssl.SSLContext:
    """
    A client that believes everything.

    Args:
        options: attributes of the context.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    return context


def shake(server: ssl.SSLContext, name: str | None = None, client: ssl.SSLContext | None = None) -> Shaken:
    """
    One handshake, and a byte each way.

    Raises:
        ssl.SSLError: it fails, at either side.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = (client or client_context()).wrap_bio(to_client, to_server, server_hostname=name)
    waiting = [theirs, ours]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            break
    # In TLS 1.3 the server's opinion of the client's certificate comes only with its first bytes.
    ours.write(b"!")
    theirs.read(1)
    shown = x509.load_der_x509_certificate(theirs.getpeercert(True) or b"")
    (common_name,) = shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    agreed = theirs.cipher()
    return Shaken(
        str(common_name.value),
        theirs.version() or "",
        theirs.selected_alpn_protocol(),
        agreed[0] if agreed else "",
        ours.getpeercert(True),
    )
