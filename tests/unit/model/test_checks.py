"""
Orders of an operator as values.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.checks import DRAIN, MAINT, READY, Order, with_orders


class OrderTests(SynchronousTestCase):
    """
    What holds after what.
    """

    def test_key_is_no_name(self) -> None:
        """
        An order can stand among names of services, and be mistaken for none.
        """
        self.assertEqual(Order("s", "10.0.0.1", 80).key, "s 10.0.0.1 80")

    def test_replaced(self) -> None:
        """
        A later order about the same server replaces the earlier one; others stay.
        """
        one, other = Order("s", "10.0.0.1", 80, DRAIN), Order("s", "10.0.0.2", 80, MAINT)
        later = Order("s", "10.0.0.1", 80, READY, 5)
        before = with_orders({}, (), (one, other))
        after = with_orders(before, (), (later,))
        self.assertEqual(after, {"s": {later.address: later, other.address: other}})
        self.assertEqual(before["s"][one.address], one, "what was handed out stays as it was")

    def test_nothing_said(self) -> None:
        """
        An order that says nothing ends the one of its server, and leaves nothing behind.
        """
        before = with_orders({}, (), (Order("s", "10.0.0.1", 80, DRAIN),))
        self.assertEqual(with_orders(before, (), (Order("s", "10.0.0.1", 80),)), {})

    def test_over(self) -> None:
        """
        When a service goes its orders go, and what is said at the same moment holds.
        """
        before = with_orders({}, (), (Order("s", "10.0.0.1", 80, DRAIN), Order("t", "10.0.0.1", 80, DRAIN)))
        self.assertEqual(set(with_orders(before, ("s",), ())), {"t"})
        again = Order("s", "10.0.0.2", 80, MAINT)
        self.assertEqual(with_orders(before, ("s",), (again,))["s"], {again.address: again})

    def test_unchanged(self) -> None:
        """
        Where nothing changes nothing is copied.
        """
        before = with_orders({}, (), (Order("s", "10.0.0.1", 80, DRAIN),))
        self.assertIs(with_orders(before, ("t",), ()), before)
