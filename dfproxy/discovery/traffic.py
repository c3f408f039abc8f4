"""
Tells who asks names which destinations have traffic.

The counters that the leader has anyway are compared with what they were a second ago, piece by piece: workers do
nothing for it, and no turn of the reactor takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

LOOK_S = 1.0
"""
Between the end of one look at all counters and the next, in seconds. Names with traffic are asked each 2 s.
"""


class TrafficWatch:
    """
    Looks again and again.

    Args:
        clock: `IReactorTime`.
        look: begins a look; each step gives the destinations (service and index) of a piece that had requests since
            the last look.
        busy: told of each.
    """

    def __init__(
        self,
        clock: Any,
        look: Callable[[], Iterator[Iterable[tuple[str, int]]]],
        busy: Callable[[str, int], None],
    ) -> None:
        self._clock = clock
        self._look = look
        self._busy = busy
        self._pieces: Iterator[Iterable[tuple[str, int]]] = iter(())
        self._call: Any = None

    def start(self) -> None:
        """
        Begin.
        """
        self._call = self._clock.callLater(LOOK_S, self._begin)

    def stop(self) -> None:
        """
        End.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _begin(self) -> None:
        self._pieces = self._look()
        self._step()

    def _step(self) -> None:
        piece = next(self._pieces, None)
        for service, index in piece or ():
            self._busy(service, index)
        self._call = (
            self._clock.callLater(LOOK_S, self._begin) if piece is None else self._clock.callLater(0, self._step)
        )
