"""
The bounds that hold where the operator says nothing.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.settings import Limits, Settings

KIB = 1024


class LimitsTests(SynchronousTestCase):
    """
    Defaults of `Limits`: those of Docker Flow Proxy where it has one.
    """

    def test_times(self) -> None:
        """
        Time-outs in seconds.
        """
        limits = Limits()
        self.assertEqual((limits.head_timeout_s, limits.keep_alive_timeout_s, limits.client_timeout_s), (5, 15, 20))
        self.assertEqual((limits.connect_timeout_s, limits.server_timeout_s, limits.tunnel_timeout_s), (5, 20, 3600))
        self.assertEqual((limits.idle_upstream_s, limits.drain_s, limits.tunnel_drain_s), (30, 30, 300))

    def test_sizes(self) -> None:
        """
        Sizes in bytes, and numbers.
        """
        limits = Limits()
        heads = (limits.request_head_bytes, limits.response_head_bytes, limits.fields)
        self.assertEqual(heads, (16 * KIB, 16 * KIB, 100))
        self.assertEqual((limits.relay_buffer_bytes, limits.chunk_extension_bytes), (256 * KIB, 4 * KIB))
        self.assertEqual((limits.trailer_bytes, limits.interim_answers), (8 * KIB, 20))
        self.assertEqual((limits.connect_attempts, limits.idle_upstreams), (4, 64))

    def test_frozen(self) -> None:
        """
        What bounds a running proxy does not change under it.
        """
        with self.assertRaises(FrozenInstanceError):
            Settings().limits.fields = 1  # type: ignore[misc]  # what must not work
