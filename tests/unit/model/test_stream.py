"""
Streams as values.
"""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.balance import Balance
from dfproxy.model.match import HostPattern
from dfproxy.model.stream import Stream


class StreamTests(SynchronousTestCase):
    """
    `Stream`.
    """

    def test_travels(self) -> None:
        """
        It reaches a worker, or comes back from a record, as it was.
        """
        whole = Stream(
            1, (HostPattern("suffix", b".test", True),), 2.5, True, True, "g", Balance("uri", ("depth", "3"))
        )
        for stream in (Stream(443), whole):
            self.assertEqual(msgspec.msgpack.decode(msgspec.msgpack.encode(stream), type=Stream), stream)
