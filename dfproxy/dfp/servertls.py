"""
Parameters of what comes before the first request to a server: TLS, and the header that says whose connection it is.

Source: DFP `sslVerifyNone`; HAProxy `server ... ssl verify ca-file sni verifyhost crt send-proxy send-proxy-v2`.
"""

from __future__ import annotations

from dfproxy.dfp.endpoints import is_host
from dfproxy.dfp.given import is_flag
from dfproxy.dfp.parameters import BY_NAME
from dfproxy.dfp.steps import Reader
from dfproxy.model.service import ServerTls

ANNOUNCE = {"v1": 1, "v2": 2}
"""
Values of `sendProxy`.
"""


def announce(reader: Reader, index: int) -> int:
    """
    Version of the PROXY protocol for the servers of a destination; 0: none. What is wrong is noted at the reader.
    """
    value = reader.text("sendProxy", index).strip()
    if value and value.lower() not in ANNOUNCE:
        reader.problem("sendProxy", index, "must be v1 or v2, the version of the PROXY protocol")
    return ANNOUNCE.get(value.lower(), 0)


def server_tls(reader: Reader, index: int, host: str) -> ServerTls | None:
    """
    How the servers of a destination are spoken to; None: plainly. What is wrong is noted at the reader.

    With `sslVerifyNone` nothing is verified and no name asked for (contract 4.11).

    Args:
        host: of the destination, which is verified where no other name is given.
    """
    given = reader.given
    chosen = given.value("backendTls", index)
    if chosen is not None and not is_flag(BY_NAME["backendTls"], chosen.text):
        # As false it would mean no TLS at all; DFP's own booleans are false then, and stacks have them.
        reader.problem("backendTls", index, "must be true or false")
    unverified = given.flag("sslVerifyNone", index)
    if not unverified and not given.flag("backendTls", index):
        # A value without index may be meant for other destinations.
        if not any(given.flag(name, each) for name in ("sslVerifyNone", "backendTls") for each in given.indexes):
            for name in ("backendCa", "backendServerName", "backendCertificate"):
                if reader.text(name, index):
                    reader.problem(name, index, "has no effect without backendTls=true")
        return None
    name, authorities = reader.text("backendServerName", index), reader.text("backendCa", index)
    if name and not is_host(name):
        reader.problem("backendServerName", index, "must be a host name or an IP address")
    if unverified and authorities:
        reader.problem("backendCa", index, "has no effect with sslVerifyNone=true; give backendTls=true instead")
    certificate = reader.text("backendCertificate", index)
    return ServerTls(not unverified, name or ("" if unverified else host), authorities, certificate)
