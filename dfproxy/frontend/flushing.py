"""
Lets what several exchanges say on one connection go out in one write, at the end of the reactor's turn.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime


class Holding(Protocol):
    """
    Who has something to write.
    """

    def flush(self) -> None:
        """
        Write it.
        """


class Flushing:
    """
    The connections of one process that have something to write.

    One call of the reactor for all: a timer for each would cost what a write costs.

    Args:
        clock: what calls later.
    """

    __slots__ = ("_clock", "_holding")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._holding: list[Holding] = []

    def soon(self, holding: Holding) -> None:
        """
        Have it write when this turn of the reactor is over. To be called once until it is asked to.
        """
        if not self._holding:
            self._clock.callLater(0, self._flush)
        self._holding.append(holding)

    def _flush(self) -> None:
        holding, self._holding = self._holding, []
        for each in holding:
            each.flush()
