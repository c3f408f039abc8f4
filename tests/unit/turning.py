"""
A reactor that a test turns by hand: descriptors are real, time is not.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

PATIENCE_S = 5.0
"""
How long a test waits for loopback before it fails.
"""


class Turning(Clock):
    """
    `IReactorFDSet` as far as readers go, and `IReactorTime`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def turn(self, patience_s: float = 0.0) -> None:
        """
        One turn.

        Args:
            patience_s: how long something may take to happen.
        """
        self.advance(0)
        for reader in select.select(self.readers, [], [], patience_s)[0]:
            if reader in self.readers:
                reader.doRead()
        self.advance(0)

    def until(self, wanted: Callable[[], Any]) -> Any:
        """
        Turn until something is true.

        Returns:
            What was true.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not (found := wanted()):
            assert time.monotonic() < deadline, "nothing happens any more"
            self.turn(0.02)
        return found
