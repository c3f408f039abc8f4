"""
The life of a proxy in one process. The whole of it runs in `tests/e2e/test_daemon.py`, in processes of its own.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Generator
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from typing import Any

import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from dfproxy.daemon.proxy import ProxyService
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Limits, Settings

LOCAL = Settings(
    workers=0,
    api_address="127.0.0.1",
    api_port=0,
    listeners=(Listener("127.0.0.1", 0),),
    certs_dir="",
    secrets_dir="",
    limits=Limits(drain_s=0.2, tunnel_drain_s=0.2),
)


class LifeTests(TestCase):
    """
    From start to end in one process, on the reactor of the tests.
    """

    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def begun(self, settings: Settings) -> ProxyService:
        service = ProxyService(settings, reactor)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(lambda: service.stopService() if service.running else None)
        return service

    @inlineCallbacks
    def asked(self, service: ProxyService, path: str) -> Generator[Deferred[Any], Any, Any]:
        answer = yield treq.get(f"http://127.0.0.1:{service.api.number}{path}", persistent=False, timeout=5)
        return (yield answer.content())

    @inlineCallbacks
    def test_publish(self) -> Generator[Deferred[Any], Any, None]:
        """
        What the API publishes is in force in the data plane, in the text and in the metrics; what starts with it too.
        """
        service = self.begun(replace(LOCAL, services=("serviceName=a&servicePath=/a&endpoints=127.0.0.1:1",)))
        path = "/v1/docker-flow-proxy/reconfigure?serviceName=b&servicePath=/b&endpoints=127.0.0.1:1,127.0.0.1:2"
        said = json.loads((yield self.asked(service, path)))
        self.assertEqual(said["Status"], "OK")
        yield service._at_start
        self.assertEqual({route.service.name for route, _ in service._figures.routes()[0]}, {"a", "b"})
        text = yield self.asked(service, "/v1/docker-flow-proxy/config")
        self.assertIn(b"use_backend b-be", text)
        metrics = yield self.asked(service, "/metrics")
        self.assertIn(b'dfproxy_requests_total{service="a"', metrics)
        yield service.stopService()

    @inlineCallbacks
    def test_ready(self) -> Generator[Deferred[Any], Any, None]:
        """
        It is ready once what starts with it is in force, and no more when it ends; a second signal then ends at once.
        """
        service = self.begun(LOCAL)
        yield service._at_start
        self.assertEqual(service._readiness.problems(), {})
        ending = service.stopService()
        self.assertNotEqual(service._readiness.problems(), {})
        self.assertEqual(signal.getsignal(signal.SIGTERM), service._at_once)
        yield ending

    @inlineCallbacks
    def test_address_taken(self) -> Generator[Deferred[Any], Any, None]:
        """
        An address that somebody else has ends the start, with one line that names it.
        """
        other = self.begun(LOCAL)
        service = ProxyService(replace(LOCAL, api_port=other.api.number), reactor)
        with redirect_stderr(StringIO()) as written:
            self.assertRaises(SystemExit, service.privilegedStartService)
        (line,) = written.getvalue().splitlines()
        self.assertIn(str(other.api.number), line)
        yield service.plane.stop()
        yield other.stopService()
