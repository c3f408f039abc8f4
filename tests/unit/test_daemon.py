"""
What `dfproxy.daemon` refuses before anything is opened, and its life in one process. The whole of it runs in
`tests/e2e/test_daemon.py`, in processes of its own.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Generator
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dfproxy.daemon import ProxyService
from dfproxy.errors import InvalidSettings
from dfproxy.model.listener import Listener
from dfproxy.model.service import Balance
from dfproxy.model.settings import Limits, Settings, Tls


class RefusedTests(SynchronousTestCase):
    """
    Options that can be judged only once plugins are loaded and files read.
    """

    def problems(self, **options: Any) -> list[tuple[str, str]]:
        """
        Each refused option with the reason. The reactor is none: nothing may be touched by then.
        """
        error = self.assertRaises(InvalidSettings, ProxyService, Settings(workers=0, **options), None)
        return [(problem.parameter, problem.reason) for problem in error.problems]

    def test_plugins(self) -> None:
        """
        An unknown strategy and an unknown route order are named together, each with those that there are.
        """
        order, balance = self.problems(route_order="alphabet", balance=Balance("leastcon"))
        self.assertEqual((order[0], balance[0]), ("--route-order", "--balance"))
        self.assertIn("dfp, specific", order[1])
        self.assertIn("leastconn", balance[1])

    def test_arguments(self) -> None:
        """
        So is one that is not given what it needs.
        """
        [(option, reason)] = self.problems(balance=Balance("hdr"))
        self.assertEqual(option, "--balance")
        self.assertIn("hdr", reason)

    def test_client_ca(self) -> None:
        """
        A file of authorities that cannot be read is an error at once, not at the first handshake.
        """
        missing = str(Path(self.mktemp()))
        [(option, reason)] = self.problems(tls=Tls(ca_file=missing))
        self.assertEqual((option, reason), ("--ca-file", "cannot be read: No such file or directory"))


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
        assert service.api_port is not None
        address: Any = service.api_port.getHost()
        answer = yield treq.get(f"http://127.0.0.1:{address.port}{path}", persistent=False, timeout=5)
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
        assert service.local is not None
        self.assertEqual({route.service.name for route, _ in service.local.routes()[0]}, {"a", "b"})
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
        self.assertEqual(service._ready(), {})
        ending = service.stopService()
        self.assertNotEqual(service._ready(), {})
        self.assertEqual(signal.getsignal(signal.SIGTERM), service._at_once)
        yield ending

    @inlineCallbacks
    def test_address_taken(self) -> Generator[Deferred[Any], Any, None]:
        """
        An address that somebody else has ends the start, with one line that names it.
        """
        other = self.begun(LOCAL)
        assert other.api_port is not None
        address: Any = other.api_port.getHost()
        service = ProxyService(replace(LOCAL, api_port=address.port), reactor)
        with redirect_stderr(StringIO()) as written:
            self.assertRaises(SystemExit, service.privilegedStartService)
        (line,) = written.getvalue().splitlines()
        self.assertIn(str(address.port), line)
        assert service.local is not None and service.listeners is not None
        yield service.listeners.stop()
        yield service.local.drain(0.0)
        yield other.stopService()
