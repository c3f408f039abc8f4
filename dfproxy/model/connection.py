"""
What is known of a client's connection: the version of HTTP, and of TLS what there is, once for each connection.

Source: HAProxy fetches `ssl_fc_sni`, `ssl_c_used`, `ssl_c_verify`, `ssl_c_s_dn`, `ssl_c_der`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

VERSIONS = ("HTTP/1.0", "HTTP/1.1", "HTTP/2.0")
"""
Names of the versions of a request (`dfproxy.wire.h1.RequestHead`), as HAProxy's log has them.
"""


class Arrival(NamedTuple):
    """
    How a request came, before its head was complete.

    Attributes:
        first: when its first byte came, in seconds of the monotonic clock.
        idle_s: seconds for which its connection had waited for that byte.
        handshake_s: seconds that the TLS handshake took, for the first request of a connection; else 0.
    """

    first: float
    idle_s: float = 0.0
    handshake_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """
    Set as `request.tls` on each request of a TLS connection; on others it is not set at all.

    Attributes:
        server_name: the name that the client asked for; empty: none.
        certificate: the client's certificate (DER); empty: it has shown none.
        subject: distinguished name of that certificate, as `/C=FR/O=Acme/CN=x`.
        verify_result: OpenSSL's verdict on it, 0 is good.
        version: such as `TLSv1.3`.
        cipher: such as `TLS_AES_128_GCM_SHA256`.
    """

    server_name: str = ""
    certificate: bytes = b""
    subject: str = ""
    verify_result: int = 0
    version: str = ""
    cipher: str = ""
