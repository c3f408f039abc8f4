"""
A bound address as a value.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.listener import Listener


class ListenerTests(SynchronousTestCase):
    """
    `Listener`.
    """

    def test_plain_unless_said(self) -> None:
        """
        A port speaks plain HTTP unless TLS is asked for, and has no further words.
        """
        plain = Listener("127.0.0.1", 80)
        self.assertEqual((plain.tls, plain.options), (False, ()))

    def test_value(self) -> None:
        """
        Equal in all parts is equal; nobody changes it in the hands of another.
        """
        one = Listener("", 443, True, ("accept-proxy",))
        self.assertEqual({one, replace(one)}, {one})
        self.assertNotEqual(one, replace(one, tls=False))
        with self.assertRaises(FrozenInstanceError):
            one.port = 444  # type: ignore[misc]  # what must not work
