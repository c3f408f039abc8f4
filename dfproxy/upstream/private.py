"""
Kept connections that were announced as one client's (PROXY protocol): each goes on with that client only.

What a connection was announced with names both ends of the client's connection, so a connection that is found by it can
never bring a request under somebody else's address.

Source: HAProxy `send-proxy`, whose connections are shared by the same source and destination only.
"""

from __future__ import annotations

from typing import Any


class Private:
    """
    Those of one server.

    Attributes:
        count: how many.
    """

    __slots__ = ("_kept", "count")

    def __init__(self) -> None:
        self._kept: dict[bytes, list[Any]] = {}  # of `ServerConnection`, whose module imports this one
        self.count = 0

    def of(self, greeting: bytes) -> list[Any]:
        """
        Those announced with this header, the last used at the end. Who takes some out calls `settle`.
        """
        return self._kept.get(greeting, [])

    def settle(self, greeting: bytes, before: int) -> None:
        """
        Some may have been taken out.

        Args:
            before: how many there were.
        """
        kept = self._kept.get(greeting)
        if kept is not None:
            self.count += len(kept) - before
            if not kept:
                del self._kept[greeting]

    def keep(self, connection: Any, limit: int) -> Any | None:
        """
        Keep one.

        Args:
            limit: most that are kept.

        Returns:
            One that is to be closed instead, out of here: of the client that has not used any for longest.
        """
        if not limit:
            return connection
        kept = self._kept.pop(connection.greeting, None) or []
        kept.append(connection)
        self._kept[connection.greeting] = kept
        self.count += 1
        if self.count <= limit:
            return None
        greeting, oldest = next(iter(self._kept.items()))
        self.count -= 1
        left = oldest.pop(0)
        if not oldest:
            del self._kept[greeting]
        return left

    def remove(self, connection: Any) -> None:
        """
        It is not kept any more.

        Raises:
            ValueError: it was not.
        """
        kept = self.of(connection.greeting)
        kept.remove(connection)
        self.settle(connection.greeting, len(kept) + 1)

    def clear(self) -> list[Any]:
        """
        Let go of all of them, and give them out.
        """
        kept, self._kept = self._kept, {}
        self.count = 0
        return [each for connections in kept.values() for each in connections]
