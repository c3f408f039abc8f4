"""
The port of the control API, on the reactor of the tests.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from dfproxy.daemon.apiport import ApiPort
from dfproxy.errors import InvalidSettings
from dfproxy.workers.heritage import API, Door, Heritage
from tests.unit.api.caller import Api


class ApiPortTests(TestCase):
    """
    `ApiPort`.
    """

    def setUp(self) -> None:
        self.site: Any = Api().site

    @inlineCallbacks
    def test_life(self) -> Generator[Deferred[Any], Any, None]:
        """
        It is as configured until it listens, then as it is; somebody else cannot have it; at its end it is free.
        """
        api = ApiPort(reactor, "127.0.0.1", 0)
        self.assertEqual((api.host, api.number, api.doors(), api.is_busy), ("127.0.0.1", 0, (), False))
        self.assertEqual(list(api.measures()), [])
        api.listen(self.site, Heritage())
        self.assertGreater(api.number, 0)
        self.assertIn("dfproxy_api_connections", [each.name for each in api.measures()])
        error = self.assertRaises(
            InvalidSettings, ApiPort(reactor, "127.0.0.1", api.number).listen, self.site, Heritage()
        )
        self.assertIn(f"127.0.0.1:{api.number}", str(error))
        number = api.number
        yield api.stop()
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", number))

    @inlineCallbacks
    def test_taken_over(self) -> Generator[Deferred[Any], Any, None]:
        """
        The socket that the version before has left is listened on, and left to the next one as what was configured.
        """
        with socket.socket() as before:
            before.bind(("127.0.0.1", 0))
            before.listen()
            number = before.getsockname()[1]
            door = Door(API, "127.0.0.1", 0, before.fileno())
            api = ApiPort(reactor, "127.0.0.1", 0)
            api.listen(self.site, Heritage(doors=[(door, socket.socket(fileno=os.dup(before.fileno())))]))
        self.assertEqual(api.number, number)
        (left,) = api.doors()
        self.assertEqual((left.kind, left.address, left.port), (API, "127.0.0.1", 0))
        socket.create_connection(("127.0.0.1", number)).close()
        yield api.stop()

    @inlineCallbacks
    def test_pause(self) -> Generator[Deferred[Any], Any, None]:
        """
        Paused, it leaves calls in the queue, from which the next one takes them.
        """
        idle = ApiPort(reactor, "127.0.0.1", 0)
        idle.pause()
        idle.resume()
        idle.close_connections()
        yield idle.stop()
        watched: Any = reactor
        api = ApiPort(reactor, "127.0.0.1", 0)
        api.listen(self.site, Heritage())
        before = len(watched.getReaders())
        api.pause()
        self.assertEqual(len(watched.getReaders()), before - 1)
        api.resume()
        self.assertEqual(len(watched.getReaders()), before)
        yield api.stop()
