"""
An address that the data plane answers on.

Source: DFP `DEFAULT_PORTS`, `BIND_PORTS`; HAProxy `bind`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listener:
    """
    A bound address with its mode.

    Attributes:
        address: IP address to bind; empty: all IPv4 addresses.
        port: 0 to 65535; 0 lets the system choose (tests).
        tls: terminate TLS here once there is a certificate; plain HTTP until then (DFP `:ssl`).
        options: remaining HAProxy bind words, such as `accept-proxy`.
        statistics: nothing but the statistics page is here.
        stream: connections are taken as they are, nothing looks for requests in them.
    """

    address: str
    port: int
    tls: bool = False
    options: tuple[str, ...] = ()
    statistics: bool = False
    stream: bool = False

    @property
    def announced(self) -> bool:
        """
        Each connection begins with a header of the PROXY protocol.
        """
        return "accept-proxy" in self.options
