"""
Sessions that know when their requests began, for access lines that tell it.

Others do not pay for it: a site makes these only if its log asks for the times.

Source: HAProxy manual 8.4 (timing events), `Th`, `Ti`, `TR`.
"""

from __future__ import annotations

from dfproxy.frontend.http1 import Frontend, Http1Session, State
from dfproxy.model.connection import Arrival


class TimedSession(Http1Session):
    """
    One client connection of HTTP/1, whose times are taken.

    Args:
        frontend: whose it is.
    """

    __slots__ = ("_first", "_free", "_handshake_s")

    def __init__(self, frontend: Frontend) -> None:
        super().__init__(frontend)
        self._free = frontend.traffic.monotonic()  # since when it waits for a request
        self._first = 0.0  # when the first byte of one came; 0.0: none has come
        self._handshake_s = 0.0

    @property
    def arrival(self) -> Arrival:
        """
        Of the present request; of one that never came, since when it was waited for.
        """
        first = self._first or self._free
        return Arrival(first, first - self._free, self._handshake_s)

    def handshakeCompleted(self) -> None:
        now = self._traffic.monotonic()
        self._handshake_s = now - self._free
        self._free = now
        super().handshakeCompleted()

    def dataReceived(self, data: bytes) -> None:
        if not self._first and self.state is State.AWAIT:
            self._first = self._traffic.monotonic()
        super().dataReceived(data)

    def _answered(self) -> None:
        self._free = now = self._traffic.monotonic()
        self._first = now if self._buffer else 0.0  # what was sent ahead is as if it came now
        self._handshake_s = 0.0
        super()._answered()
