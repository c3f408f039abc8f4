"""
Whom a name belongs to: the origin that has published it, until that withdraws it.

Within an origin the last one wins; between origins nobody takes a name from the other.

Source: `design.md` 9.
"""

from __future__ import annotations

from collections.abc import Mapping

from dfproxy.errors import Claimed
from dfproxy.model.service import Service

ORIGINS = {
    "dfp": "calls of the API and swarm listeners",
    "environment": "what was declared at start: options and variables",
    "docker": "labels of services of the Swarm",
    "file": "files",
}
"""
Who publishes, as callers are told.
"""


class Claims:
    """
    Who owns what while a batch of changes is looked at, one after the other.

    Args:
        present: what is in force.
    """

    def __init__(self, present: Mapping[str, Service]) -> None:
        self._present = present
        self._owners: dict[str, str] = {}

    def refusal(
        self, services: Mapping[str, Service], removed: tuple[str, ...], origin: str, by_operator: bool = False
    ) -> Claimed | None:
        """
        Whether one change takes what belongs to another origin. If it does not, what it publishes is its own from now
        on, and what it removes is free.

        Args:
            services: what it publishes, by name; each has its origin.
            removed: names that it removes.
            origin: on whose behalf it removes.
            by_operator: somebody goes back to what was there before, whoever it belongs to.

        Returns:
            Why it must not be made; None: it may.
        """
        for name, wanted in [*((n, s.origin) for n, s in services.items()), *((n, origin) for n in removed)]:
            owner = self._owner(name)
            if owner and owner != wanted and not by_operator:
                return Claimed(f"{name} belongs to another origin ({ORIGINS.get(owner, owner)})")
        self._owners.update({name: service.origin for name, service in services.items()})
        self._owners.update(dict.fromkeys(removed, ""))
        return None

    def _owner(self, name: str) -> str:
        if name in self._owners:
            return self._owners[name]
        service = self._present.get(name)
        return "" if service is None else service.origin
