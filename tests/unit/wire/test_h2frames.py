"""
Frames that we send, byte for byte.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire import h2frames as h2


class FrameTests(SynchronousTestCase):
    """
    The layouts of RFC 9113 section 6.
    """

    def test_layouts(self) -> None:
        """
        Length, type, flags, stream, payload: as the RFC draws them.
        """
        self.assertEqual(h2.SETTINGS_ACK.hex(), "000000040100000000")
        self.assertEqual(h2.settings((3, 100)).hex(), "000006040000000000" + "000300000064")
        self.assertEqual(h2.reset(5, h2.CANCEL).hex(), "000004030000000005" + "00000008")
        self.assertEqual(h2.window_update(0, 10).hex(), "000004080000000000" + "0000000a")
        self.assertEqual(h2.ping(b"12345678", True).hex(), "000008060100000000" + b"12345678".hex())
        self.assertEqual(h2.ping(b"12345678", False)[4], 0)
        self.assertEqual(h2.goaway(7, h2.ENHANCE_YOUR_CALM).hex(), "000008070000000000" + "000000070000000b")

    def test_heads_are_read_as_written(self) -> None:
        """
        What is written as a frame's head is read as it.
        """
        self.assertEqual(h2.read_head(h2.frame_head(16384 << 8 | h2.DATA, 1, 9)), (16384 << 8, 1, 9))
        self.assertEqual(len(h2.frame_head(0, 0, 0)), h2.HEAD_BYTES)
