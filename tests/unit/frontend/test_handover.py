"""
A connection goes from one protocol to another, whatever carries it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.handover import hand_over


class Plain:
    """
    A transport that knows its protocol.
    """

    TLS = False

    def __init__(self, protocol: IProtocol) -> None:
        self.protocol = protocol


class HandOverTests(SynchronousTestCase):
    """
    Who gets the bytes afterwards.
    """

    def setUp(self) -> None:
        self.before, self.after = Protocol(), Protocol()

    def wrapper(self) -> Any:
        factory: Any = WrappingFactory(None)  # type: ignore[arg-type]  # makes no protocol here
        return ProtocolWrapper(factory, self.before)

    def test_plain(self) -> None:
        """
        A transport of Twisted or of uv tells its new protocol.
        """
        transport = Plain(self.before)
        hand_over(transport, self.after)
        self.assertIs(transport.protocol, self.after)

    def test_wrapped(self) -> None:
        """
        Where Twisted's TLS is the transport, it tells the new one.
        """
        wrapper = self.wrapper()
        hand_over(wrapper, self.after)
        self.assertIs(wrapper.wrappedProtocol, self.after)

    def test_wrapped_beneath(self) -> None:
        """
        Where it was started on a transport that stays the protocol's, as well.
        """
        wrapper = self.wrapper()
        transport = Plain(wrapper)
        transport.TLS = True
        hand_over(transport, self.after)
        self.assertIs(transport.protocol, wrapper)
        self.assertIs(wrapper.wrappedProtocol, self.after)
