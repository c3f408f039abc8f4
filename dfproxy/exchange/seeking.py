"""
Whoever needs a server, a request or a whole connection: how often it tries, and that it waits in the queue if there is
no place.

The queue itself is `dfproxy.upstream.places`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfproxy.model.ending import QUEUE_FULL, QUEUE_TIMEOUT, Ending
from dfproxy.upstream.live import LiveBackend, LiveServer
from dfproxy.upstream.places import Places

if TYPE_CHECKING:
    from dfproxy.exchange.traffic import Traffic


class PlaceSeeker:
    """
    What requests and connections have in common in seeking a server; a `Queued`.

    Attributes:
        backend: where it goes.
        traffic: what all share.
        over: it has ended.
        queue_s: seconds that it has waited in all; not there if it never did.
    """

    __slots__ = ("_queued", "_since", "queue_s")

    backend: LiveBackend
    traffic: Traffic
    over: bool
    queue_s: float
    _queued: bool
    _since: float

    @property
    def is_bound(self) -> bool:
        """
        See `Queued`.
        """
        return False

    def _again(self) -> None:
        """
        Pick a server and go on.
        """
        raise NotImplementedError

    def _give_up(self, ending: Ending) -> None:
        """
        There is no place for it.
        """
        raise NotImplementedError

    def _most_attempts(self) -> int:
        retries = self.backend.resilience.retries
        return self.traffic.limits.connect_attempts if retries is None else retries + 1

    def _place(self, places: Places, picked: LiveServer) -> LiveServer | None:
        """
        Have a place, or wait for one.

        Returns:
            Where it is; None: it waits now, or has been given up.
        """
        server = places.find(self, picked, self.backend.usable)
        self._queued = server is None and places.wait(self)
        if self._queued:
            self._since = self.traffic.monotonic()
            self.traffic.touch(picked)  # who waits is counted with it
        elif server is None:
            self._give_up(QUEUE_FULL)
        return server

    def place_free(self) -> bool:
        """
        See `Queued`.
        """
        self._leave_queue()
        if not self.over:
            self._again()
        return not self._queued

    def waited_long(self) -> None:
        """
        See `Queued`.
        """
        self._leave_queue()
        if not self.over:
            self._give_up(QUEUE_TIMEOUT)

    def _leave_queue(self) -> None:
        self._queued = False
        self.queue_s = getattr(self, "queue_s", 0.0) + self.traffic.monotonic() - self._since

    def _stop_queueing(self) -> None:
        """
        It needs no place any more.
        """
        if self._queued:
            self._leave_queue()
            if self.backend.places is not None:
                self.backend.places.leave(self)
