"""
What the data plane uses of a connected TCP transport, as a type.

Twisted's own TCP transports and those of `dfproxy.uv` are like this; `ITCPTransport` and its companions leave some of
it out. Three further methods are optional and asked for by name: `setBufferLimits`, `unsentBytes`, `fileno`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol


class Stream(Protocol):
    """
    A connected transport (`ITCPTransport`, `IConsumer`, `IPushProducer`).
    """

    def write(self, data: bytes) -> None: ...

    def writeSequence(self, data: Iterable[bytes]) -> None: ...

    def loseConnection(self) -> None: ...

    def loseWriteConnection(self) -> None: ...

    def abortConnection(self) -> None: ...

    def registerProducer(self, producer: Any, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def getPeer(self) -> Any: ...

    def getHost(self) -> Any: ...

    def getHandle(self) -> Any: ...
