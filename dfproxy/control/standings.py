"""
What this process knows of checks and of the operator's orders, by service and destination.

Source: `design.md` 4: orders come with definitions, verdicts are pushed and the one with the highest epoch holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dfproxy.model.checks import Address, Order, Orders, Verdicts, with_orders
from dfproxy.model.snapshot import Change

Key = tuple[str, int]


class Standings:
    """
    Of one data plane.
    """

    def __init__(self) -> None:
        self._orders: Orders = {}
        self._verdicts: dict[Key, Verdicts] = {}

    def commit(self, change: Change) -> set[str]:
        """
        A change is in force.

        Returns:
            Names of services whose servers may stand otherwise than before.
        """
        before = self._orders
        over = (*change.removed, *change.lifted)
        self._orders = after = with_orders({} if change.whole else before, over, change.orders)
        touched = {order.service for order in change.orders} | (before.keys() - after.keys())
        return touched | {service.name for service in change.services if service.name in after}

    def judged(self, verdicts: Verdicts) -> bool:
        """
        Checks have found these down.

        Returns:
            Whether that is news.
        """
        key = (verdicts.service, verdicts.index)
        former = self._verdicts.get(key)
        if former is not None and former.epoch >= verdicts.epoch:
            return False
        self._verdicts[key] = verdicts
        return True

    def of(self, key: Key) -> tuple[Collection[Address], Mapping[Address, Order]]:
        """
        The servers of a destination that are down, and what the operator says of single ones.
        """
        verdicts = self._verdicts.get(key)
        return () if verdicts is None else frozenset(verdicts.down), self._orders.get(key[0], {})

    def forget(self, key: Key) -> None:
        """
        The destination is gone.
        """
        self._verdicts.pop(key, None)
