"""
Gives a connection to another protocol of ours.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocol


def hand_over(transport: Any, protocol: IProtocol) -> None:
    """
    Let another protocol have what comes on a transport from now on. It is to be connected to it afterwards.

    Args:
        transport: of Twisted or `dfproxy.uv`, plain or with TLS; nobody is registered as its producer.
    """
    beneath = transport.protocol if getattr(transport, "TLS", False) else transport
    if hasattr(beneath, "wrappedProtocol"):  # Twisted's own TLS stands in between
        beneath.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
