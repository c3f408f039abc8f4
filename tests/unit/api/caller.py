"""
A caller of the API without a socket: real bytes into a real channel, real bytes out.
"""

from __future__ import annotations

import http.client
import io
import json
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Site

from dfproxy.api.control import Control
from dfproxy.api.root import make_site
from dfproxy.control.certificates import Certificates
from dfproxy.model.settings import Settings
from tests.fakes import FakeDataPlane, FakeNames, FakePublisher, FakeStrategies


class Wire(StringTransport):
    """
    A transport that remembers how it was closed.
    """

    half_closed = False
    aborting = False

    def abortConnection(self) -> None:
        self.aborting = True
        super().abortConnection()  # type: ignore[no-untyped-call]  # Twisted's has no annotations

    def loseWriteConnection(self) -> None:
        self.half_closed = True


@dataclass
class Said:
    """
    One answer, read by Python's own client.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Bytes:
    """
    What `http.client` takes for a socket.
    """

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> io.BytesIO:
        return self._stream


class Connection:
    """
    One connection to the API.
    """

    def __init__(self, site: Site, clock: Clock) -> None:
        self.clock = clock
        self.wire = Wire()
        self.protocol = site.buildProtocol(None)
        self.protocol.makeConnection(self.wire)
        self.closed = False

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def lose(self, clean: bool = False) -> None:
        """
        The caller hangs up.
        """
        self.closed = True
        self.protocol.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))

    def settle(self) -> None:
        """
        Let what is made in slices be made.
        """
        for _ in range(3):
            self.clock.advance(0)

    def answers(self, methods: tuple[str, ...] = ("GET",)) -> list[Said]:
        """
        Everything answered since last asked.
        """
        self.settle()
        stream = io.BytesIO(self.wire.value())
        self.wire.clear()
        said = []
        while stream.tell() < len(stream.getvalue()):
            method = methods[min(len(said), len(methods) - 1)]
            response = http.client.HTTPResponse(_Bytes(_Unclosed(stream)), method=method)  # type: ignore[arg-type]  # duck
            response.begin()
            body = response.read()
            said.append(Said(response.status, {k.lower(): v for k, v in response.getheaders()}, body))
        return said


class _Unclosed(io.BytesIO):
    """
    A view on the same bytes that `http.client` may close.
    """

    def __new__(cls, stream: io.BytesIO) -> Any:
        class View:
            def __getattr__(self, name: str) -> Any:
                return getattr(stream, name)

            def close(self) -> None:
                pass

            def flush(self) -> None:
                pass

        return View()


@dataclass
class Api:
    """
    The API with everything behind it faked.
    """

    publisher: Any = field(default_factory=FakePublisher)
    data_plane: FakeDataPlane = field(default_factory=FakeDataPlane)
    names: FakeNames = field(default_factory=FakeNames)
    clock: Clock = field(default_factory=Clock)
    settings: Settings = field(default_factory=Settings)
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given: dict[str, Any] = {"routes": lambda: ((), None), "totals": lambda: ()}
        # Nothing is written unless a test gives a folder.
        given["certificates"] = Certificates("/proc/no/such/folder", self.publisher, maybeDeferred)
        self.control = Control(
            settings=self.settings,
            publisher=self.publisher,
            names=self.names,
            strategies=FakeStrategies(),
            data_plane=self.data_plane,
            clock=self.clock,
            **{**given, **self.more},
        )
        self.site = make_site(self.control)

    def connect(self) -> Connection:
        return Connection(self.site, self.clock)

    def call(
        self, method: str, path: str, body: bytes = b"", headers: tuple[str, ...] = (), connection: Any = None
    ) -> Said:
        """
        One call, and its one answer. A path without leading slash is one of a verb.
        """
        if not path.startswith("/"):
            path = f"/v1/docker-flow-proxy/{path}"
        connection = connection or self.connect()
        lines = [f"{method} {path} HTTP/1.1", "Host: api", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        connection.send("\r\n".join([*lines, "", ""]).encode() + body)
        (said,) = connection.answers((method,))
        return said

    def form(self, method: str, path: str, form: str) -> Said:
        """
        One call with a form.
        """
        return self.call(method, path, form.encode(), ("Content-Type: application/x-www-form-urlencoded",))
