"""
What is known of a client's TLS connection, once for each connection.

Source: HAProxy fetches `ssl_fc_sni`, `ssl_c_used`, `ssl_c_verify`, `ssl_c_s_dn`, `ssl_c_der`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """
    Set as `request.tls` on each request of a TLS connection; on others it is not set at all.

    Attributes:
        server_name: the name that the client asked for; empty: none.
        certificate: the client's certificate (DER); empty: it has shown none.
        subject: distinguished name of that certificate, as `/C=FR/O=Acme/CN=x`.
        verify_result: OpenSSL's verdict on it, 0 is good.
    """

    server_name: str = ""
    certificate: bytes = b""
    subject: str = ""
    verify_result: int = 0
