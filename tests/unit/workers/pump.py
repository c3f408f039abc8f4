"""
A reactor by hand: time that stands still, and real descriptors looked at when told.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet.task import Clock


class Pump(Clock):
    """
    `IReactorFDSet` and `IReactorTime` for tests.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.writers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def addWriter(self, writer: Any) -> None:
        if writer not in self.writers:
            self.writers.append(writer)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def removeWriter(self, writer: Any) -> None:
        if writer in self.writers:
            self.writers.remove(writer)

    def pump(self) -> None:
        """
        Read and write until nothing is ready any more.
        """
        while True:
            readable, writable, _ = select.select(self.readers, self.writers, [], 0)
            if not readable and not writable:
                return
            for reader in readable:
                if reader in self.readers:
                    reader.doRead()
            for writer in writable:
                if writer in self.writers:
                    writer.doWrite()
