"""
Asks other HTTP services on behalf of the control plane: replicas of the proxy, swarm listeners.

Every question has an end: how long it may take and how much may be answered is bounded here. Who is asked what, and
what an answer means, is decided by the callers. Addresses are IP addresses; finding them is not done here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, cast

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, inlineCallbacks
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from dfproxy.errors import DfproxyError

CONNECT_S = 2.0
"""
For connecting, in seconds: who is asked is in a network of ours.
"""

KEPT_S = 20.0
"""
How long a connection is kept for the next question, in seconds; our own API closes an idle one after 30.
"""

KEPT_PER_HOST = 16
"""
Connections kept to one address. A swarm listener that starts announces everything at once.
"""

OPEN_LIMIT = 1000
"""
Questions under way at once; further ones wait. Each holds a descriptor.
"""

REPEATABLE = frozenset(("GET", "DELETE", "PUT"))
"""
Methods that may be sent again when a kept connection turns out to be closed; others get a new connection.
"""

_IPV6 = ".ipv6-literal.net"
"""
How IPv6 addresses are written where colons cannot be (the convention of UNC paths): treq takes them for names, and as
names they are not valid.
"""

# Their annotations leave these out; mypy takes calls of them for untyped otherwise.
_Pool: Any = HTTPConnectionPool
_Agent: Any = Agent
_Client: Any = HTTPClient


class Unanswered(DfproxyError):
    """
    No usable answer; the text says why.
    """


@dataclass(frozen=True, slots=True)
class Said:
    """
    An answer.

    Attributes:
        status: HTTP status.
        body: all of it.
    """

    status: int
    body: bytes


class Asking:
    """
    Puts questions; any number at once.

    Args:
        reactor: provides TCP and time.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._places = DeferredSemaphore(OPEN_LIMIT)
        self._pool = _Pool(reactor, persistent=True)
        self._pool.cachedConnectionTimeout = KEPT_S
        self._pool.maxPersistentPerHost = KEPT_PER_HOST
        endpoints = _Endpoints(reactor)
        self._keeping = _Client(_Agent.usingEndpointFactory(reactor, endpoints, self._pool))
        self._once = _Client(_Agent.usingEndpointFactory(reactor, endpoints, _Pool(reactor, persistent=False)))

    def ask(
        self,
        method: str,
        url: str,
        limit_s: float,
        limit_bytes: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Deferred[Said]:
        """
        Put one question.

        Args:
            method: of the request.
            url: with an IP address and a port.
            limit_s: seconds until the whole answer must be here, connecting included.
            limit_bytes: longest body taken.
            body: of the request.
            headers: of the request.

        Returns:
            Deferred: the answer, whatever its status. Fails with `Unanswered`.
        """
        asked: Deferred[Said] = self._places.run(self._ask, method, url, limit_bytes, body, dict(headers or {}))
        asked.addTimeout(limit_s, self._reactor)

        def failed(failure: Failure) -> Said:
            raise Unanswered(_reason(failure, limit_s)) from failure.value

        return asked.addErrback(failed)

    @inlineCallbacks
    def _ask(self, method: str, url: str, limit_bytes: int, body: bytes, headers: dict[str, str]) -> Any:
        client = self._keeping if method in REPEATABLE else self._once
        if url.startswith("http://["):
            host, _, rest = url.removeprefix("http://[").partition("]")
            url = f"http://{ip_address(host).exploded.replace(':', '-')}{_IPV6}{rest}"
        response: Any = yield client.request(
            method, url, data=body or None, headers=headers, unbuffered=True, allow_redirects=False
        )
        reading = _Body(limit_bytes)
        response.deliverBody(reading)
        said: bytes = yield reading.done
        return Said(response.code, said)

    def close(self) -> Deferred[None]:
        """
        Close the kept connections.
        """
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """
    Connects to IP addresses, without the threads that look up names.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        Where this address leads.
        """
        host = uri.host.decode("ascii")
        if host.endswith(_IPV6):
            host = host.removesuffix(_IPV6).replace("-", ":")
        endpoint = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
        return _Quiet(endpoint(self._reactor, host, uri.port, timeout=CONNECT_S))


@implementer(IStreamClientEndpoint)
class _Quiet:
    """
    Connects without a word: twisted.web's factories would leave two lines in the log for each question.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        As the endpoint does.
        """
        cast(Factory, protocolFactory).noisy = False
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting


class _Body(Protocol):
    """
    Gathers the body of an answer, up to a limit.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self.done: Deferred[bytes] = Deferred(lambda _: self._abort())

    def dataReceived(self, data: bytes) -> None:
        """
        A piece.
        """
        self._size += len(data)
        if self._size > self._limit:
            self._parts.clear()
            self._finish(Failure(Unanswered(f"answers more than {self._limit} bytes")))
            self._abort()
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The end of the body, or of the connection.
        """
        self._finish(b"".join(self._parts) if reason.check(ResponseDone) else reason)

    def _finish(self, result: Any) -> None:
        done = self.done
        if not done.called:
            done.callback(result)

    def _abort(self) -> None:
        # What stands for the transport of a body can only be stopped, which closes the connection.
        stop = getattr(self.transport, "stopProducing", None)
        if stop is not None:
            stop()


def _reason(failure: Failure, limit_s: float) -> str:
    """
    Why there is no answer, in a few words for the operator.
    """
    inner = getattr(failure.value, "reasons", None)  # twisted.web wraps what happened to the connection
    error = (inner[-1] if inner else failure).value
    if isinstance(error, Unanswered):
        return str(error)
    if isinstance(error, DeferredTimeout | CancelledError):
        return f"no answer within {limit_s:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectError):
        return f"cannot connect: {error.osError or type(error).__name__}"
    return f"{type(error).__name__}: {error}"
