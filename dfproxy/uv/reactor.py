"""
The uv reactor: Twisted's asyncio reactor on a uvloop loop, with uvloop's transports for TCP and TLS.

`twistd --reactor uv`, or `install()` before anything imports `twisted.internet.reactor`, or `UvReactor()` for a reactor
of one's own.
UNIX sockets, datagrams, processes, timers and threads stay as Twisted's asyncio reactor has them.

Source: twisted.internet.asyncioreactor; twisted.internet.interfaces (IReactorTCP, IReactorSSL, IReactorSocket).
"""

from __future__ import annotations

import asyncio
import signal
import socket
from ssl import SSLContext
from typing import Any

import uvloop
from twisted.internet import process
from twisted.internet._signals import SignalHandling, _MultiSignalHandling
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from dfproxy.uv.client import Connector
from dfproxy.uv.ports import Port, adopt_connection
from dfproxy.uv.surroundings import StillPaused, failure_of
from dfproxy.uv.tls import NamedContext
from dfproxy.uv.transport import Transport

log = Logger()

INTERNET = (socket.AF_INET, socket.AF_INET6)


class ChildSignal:
    """
    Notices the end of child processes.

    uvloop takes the signal wake-up descriptor on which Twisted's own way relies, but runs Python's signal handlers.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._before: Any = None

    def install(self) -> None:
        """
        Watch for SIGCHLD, and reap what ended before.
        """
        self._before = signal.signal(signal.SIGCHLD, self._child_ended)
        process.reapAllProcesses()

    def uninstall(self) -> None:
        """
        Put back what watched before.
        """
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if self._before is None else self._before)

    def _child_ended(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(process.reapAllProcesses)


class UvReactor(AsyncioSelectorReactor):
    """
    A reactor whose TCP and TLS transports are uvloop's.

    Attributes:
        loop: the uvloop loop it runs on.
        transports: the open TCP and TLS connections. The reactor keeps them, so that a connection that neither reads
            nor writes is not lost to the garbage collector.
        ports: the ports that accept connections.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """
        Make a reactor.

        Args:
            loop: a uvloop loop; a new one when None.
        """
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop() if loop is None else loop
        self.transports: set[Transport] = set()
        self.ports: set[Port] = set()
        self.loop.set_exception_handler(self._report)
        super().__init__(self.loop)

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """
        Give Twisted's log what would go to asyncio's.
        """
        problem = context.get("exception")
        if isinstance(problem, StillPaused):
            return
        message = context.get("message", "Unhandled error in the event loop.")
        if problem is None:
            log.error("{message}", message=message, context=context)
        else:
            log.failure("{message}", failure_of(problem), message=message)

    def _signalsFactory(self) -> SignalHandling:
        return _MultiSignalHandling((ReactorBase._signalsFactory(self), ChildSignal(self.loop)))

    # IReactorTCP

    def listenTCP(self, port: Any, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> Port:
        """
        Listen on a new socket.

        Raises:
            CannotListenError: the address is not to be had.
        """
        listening = Port(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def connectTCP(
        self, host: str, port: Any, factory: Any, timeout: float = 30.0, bindAddress: Any = None
    ) -> Connector:
        """
        Connect to a server.
        """
        connector = Connector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    # IReactorSSL

    def listenSSL(
        self, port: Any, factory: IProtocolFactory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        """
        Listen for TLS.

        Args:
            contextFactory: an `ssl.SSLContext` for uvloop's TLS, or Twisted's context factories for Twisted's.

        Raises:
            CannotListenError: the address is not to be had.
        """
        if not isinstance(contextFactory, SSLContext):
            return super().listenSSL(port, factory, contextFactory, backlog, interface)  # type: ignore[no-untyped-call]  # Twisted's is untyped
        listening = Port(port, factory, backlog, interface, self)
        listening._type = "TLS"
        listening.tls_context = contextFactory
        listening.startListening()
        return listening

    def connectSSL(
        self,
        host: str,
        port: Any,
        factory: Any,
        contextFactory: Any,
        timeout: float = 30,
        bindAddress: Any = None,
    ) -> Any:
        """
        Connect with TLS.

        Args:
            contextFactory: an `ssl.SSLContext` (the server proves `host`) or a `NamedContext` for uvloop's TLS, or
                Twisted's context factories for Twisted's.
        """
        if not isinstance(contextFactory, (SSLContext, NamedContext)):
            return super().connectSSL(host, port, factory, contextFactory, timeout, bindAddress)  # type: ignore[no-untyped-call]  # Twisted's is untyped
        connector = Connector(host, port, factory, timeout, bindAddress, self, contextFactory)
        connector.connect()
        return connector

    def connectTLS(
        self,
        host: str,
        port: Any,
        factory: Any,
        context: Any,
        name: str,
        timeout: float = 30.0,
        preamble: bytes = b"",
    ) -> Connector:
        """
        Connect with uvloop's TLS; as `connectSSL`, for who resumes sessions.

        Args:
            context: an `ssl.SSLContext`, or anything with its `wrap_bio`.
            name: sent as SNI; "" sends none.
            preamble: sent as it is, before the handshake; some hundred bytes at most.
        """
        connector = Connector(host, port, factory, timeout, None, self, NamedContext(context, name), preamble)
        connector.connect()
        return connector

    # IReactorSocket

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: Any, factory: IProtocolFactory) -> Any:
        """
        Accept on a socket that already listens; duplicated, the caller closes his.
        """
        if addressFamily not in INTERNET:
            return super().adoptStreamPort(fileDescriptor, addressFamily, factory)  # type: ignore[no-untyped-call]  # Twisted's is untyped
        port = Port._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        port.startListening()
        return port

    def adoptTLSPort(
        self, fileDescriptor: int, addressFamily: Any, factory: IProtocolFactory, context: SSLContext
    ) -> Port:
        """
        Accept on a socket that already listens, with uvloop's TLS; duplicated, the caller closes his.
        """
        port = Port._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        port._type = "TLS"
        port.tls_context = context
        port.startListening()
        return port

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: Any, factory: IProtocolFactory) -> Any:
        """
        Serve a connection that was accepted elsewhere; duplicated, the caller closes his.
        """
        if addressFamily not in INTERNET:
            return super().adoptStreamConnection(fileDescriptor, addressFamily, factory)  # type: ignore[no-untyped-call]  # Twisted's is untyped
        return adopt_connection(self, fileDescriptor, addressFamily, factory)

    def adoptTLSConnection(
        self, fileDescriptor: int, addressFamily: Any, factory: IProtocolFactory, context: SSLContext
    ) -> Any:
        """
        Serve a connection that was accepted elsewhere, with uvloop's TLS; duplicated, the caller closes his.
        """
        return adopt_connection(self, fileDescriptor, addressFamily, factory, context)

    # IReactorFDSet

    def removeAll(self) -> list[Any]:
        """
        Let go of all that is watched, for the end of the reactor, which tells each that its connection is lost.
        """
        removed: list[Any] = super().removeAll()  # type: ignore[no-untyped-call]  # Twisted's is untyped
        ours = [*self.ports, *self.transports]
        self.transports.clear()
        for each in ours:
            each.pauseProducing()
        return removed + ours


def install(loop: asyncio.AbstractEventLoop | None = None) -> None:
    """
    Make a uv reactor *the* reactor of this process.

    Args:
        loop: a uvloop loop; a new one, made asyncio's current one, when None.

    Raises:
        ReactorAlreadyInstalledError: something has imported `twisted.internet.reactor`.
    """
    from twisted.internet.main import installReactor

    reactor = UvReactor(loop)
    asyncio.set_event_loop(reactor.loop)
    installReactor(reactor)
