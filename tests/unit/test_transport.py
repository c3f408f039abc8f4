"""
What the data plane uses of a transport: the transports that it is given have it.
"""

from __future__ import annotations

import inspect

from twisted.internet.tcp import Client, Server
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.transport import Stream
from dfproxy.uv.transport import Transport
from tests.dialogue import UvWire, Wire

OPTIONAL = ("setBufferLimits", "unsentBytes", "fileno")


class StreamTests(SynchronousTestCase):
    """
    `Stream`.
    """

    def test_who_is_one(self) -> None:
        """
        Twisted's own TCP transports, ours on uvloop and those of the dialogues can do all that is asked of one.
        """
        wanted = [name for name, _ in inspect.getmembers(Stream, inspect.isfunction) if not name.startswith("_")]
        self.assertGreater(len(wanted), 10)
        for kind in (Client, Server, Transport, Wire, UvWire):
            # `write` of ours is set when the connection is made: it is uvloop's own.
            missing = [name for name in wanted if not hasattr(kind, name) and name not in ("write", "writeSequence")]
            self.assertEqual(missing, [], kind)

    def test_optional(self) -> None:
        """
        What is asked for by name is there on uvloop, and `unsentBytes` tells who it is: Twisted's have none.
        """
        self.assertEqual([hasattr(Transport, name) for name in OPTIONAL], [True, True, True])
        self.assertFalse(hasattr(Server, "unsentBytes"))
