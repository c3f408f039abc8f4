"""
Servers that whole connections go to, and the ports where they are reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dfproxy.model.service import Route
from dfproxy.model.stream import Stream


@dataclass(frozen=True, slots=True)
class Pool:
    """
    Servers that connections of one kind go to.

    Attributes:
        stream: how it is reached; of its first member.
        members: the destinations whose servers it has, in order; one, unless it is a group.
    """

    stream: Stream
    members: tuple[Route, ...]

    @property
    def first(self) -> Route:
        """
        Who describes it.
        """
        return self.members[0]


Pools = Mapping[int, tuple[Pool, ...]]
"""
The pools of each port, in the order in which they are tried.
"""
