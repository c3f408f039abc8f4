"""
TCP mode: what counts as having it.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import streams
from bench.api import Published, Refused
from bench.machine import NotStarted
from bench.proxies import Proxy


class Ours:
    """
    Stands for dfproxy and its API: takes a service or refuses it, opens its port or not.
    """

    def __init__(self, refused: str = "", listening: bool = True) -> None:
        self.refused = refused
        self.listening = listening
        self.ended = 0
        self.socket: socket.socket | None = None
        self.asked: dict[str, str] = {}

    async def publish(self, service: Published, backend: int) -> float:
        self.asked = dict(service.query)
        if self.refused:
            raise Refused("/reconfigure", self.refused)
        if self.listening:
            self.socket = socket.create_server(("127.0.0.1", int(self.asked["srcPort"])))
        return 0.0

    def end(self) -> None:
        self.ended += 1


class OursTests(SynchronousTestCase):
    """
    Ours with a service in TCP mode.
    """

    def start(self, ours: Any) -> Proxy:
        self.patch(streams, "start_dfproxy", lambda bench, name: Proxy("dfproxy", 1, ours, ours))
        nothing: Any = None
        return streams.start_ours(nothing, 5)

    def test_open(self) -> None:
        """
        The load goes to the port of the service, not to that of HTTP.
        """
        ours = Ours()
        proxy = self.start(ours)
        assert ours.socket is not None
        self.addCleanup(ours.socket.close)
        self.assertEqual(ours.asked["reqMode"], "tcp")
        self.assertEqual((proxy.port, proxy.port != 1), (int(ours.asked["srcPort"]), True))

    def test_refused(self) -> None:
        """
        A version without TCP mode: no figure, the reason in its own words, and nothing left running.
        """
        ours = Ours(refused="400 reqMode: is not supported yet")
        error = self.assertRaises(NotStarted, self.start, ours)
        self.assertIn("reqMode: is not supported yet", str(error))
        self.assertEqual(ours.ended, 1)

    def test_taken_but_not_open(self) -> None:
        """
        A service that is taken without its port being opened is no TCP mode.
        """
        self.patch(streams, "OPEN_WAIT_S", 0.05)
        ours = Ours(listening=False)
        self.assertIn("does not open", str(self.assertRaises(NotStarted, self.start, ours)))
        self.assertEqual(ours.ended, 1)

    def test_no_module(self) -> None:
        """
        nginx without its stream module takes no part.
        """
        self.patch(streams, "STREAM_MODULE", "/nowhere/ngx_stream_module.so")
        nothing: Any = None
        error = self.assertRaises(NotStarted, streams.start_nginx_stream, nothing, 5)
        self.assertEqual(str(error), "ngx_stream_module.so is not installed")
