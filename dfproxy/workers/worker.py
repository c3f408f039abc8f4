"""
One worker process: carries traffic, applies the changes it is sent, and confirms them.

It decides nothing: what it accepts on, whom it knows and when it ends come from the leader by the channel on
descriptor 3; its counters go to the shared cells on descriptor 4. When the leader is gone it finishes what is under
way and ends.

Longer than other modules, but one thing: what one process does on each message.
"""

from __future__ import annotations

import gc
import importlib
import io
import mmap
import os
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import provider

from dfproxy.errors import Refused
from dfproxy.frontend.listeners import Listeners
from dfproxy.model.settings import Limits, Settings
from dfproxy.observe.cells import Cells
from dfproxy.tls.sni import pass_over_unreadable_names
from dfproxy.workers.channel import Channel
from dfproxy.workers.definitions import gathered
from dfproxy.workers.memory import give_back
from dfproxy.workers.messages import (
    Abort,
    Adopt,
    Answer,
    Beat,
    Begin,
    Commit,
    Done,
    Drain,
    Ejected,
    Fault,
    Judged,
    Leaving,
    Members,
    Message,
    Part,
    Prepare,
    Query,
    Refusal,
    Release,
    Resolve,
    build_id,
)

CHANNEL_FD = 3
"""
Where the leader left our end of the channel.
"""

CELLS_FD = 4
"""
Where the leader left the shared cells.
"""

BEAT_S = 0.25
"""
Seconds between heartbeats.
"""

COUNT_S = 0.1
"""
Seconds between two writings of the shared cells.
"""

LEAVE_S = 2.0
"""
How long a worker that was told to end by a signal goes on accepting when the leader does not answer, in seconds.
"""

REASON_CHARS = 2000
"""
Length of a reason for a refusal: enough for a plugin's message, too little to fill a log.
"""

GC_THRESHOLDS = (50000, 20, 100)
"""
Collections are rarer than by default (700, 10, 10): with 10,000 services alive this takes the slowest allocation in
10,000 from 508 to 57 µs.
"""

FREEZE_SERVICES = 100
"""
With fewer services loaded than these the collector is left alone.
"""

FAILED = 70
"""
Exit code of a worker that could not go on (`sysexits.h` EX_SOFTWARE).
"""


class Worker:
    """
    The part of a worker that talks with the leader.

    Args:
        reactor: the one that runs.
        sock: our end of the channel.
        cells_fd: the shared cells.
        build: makes the data plane of this process from settings, reactor and cells. It provides `IDataPlane`, has
            `site`, the factory of listeners, and `drain(deadline_s)`, a Deferred that fires when nothing is under
            way but tunnels, which have `limits.tunnel_drain_s`; `tunnels()`, if it has one, counts these.
            `counters()`, if it has one, writes what changed to the cells. If it has an attribute `ask_names`, that
            is set to a callable of service name and index, to be called when a connection failed. If it has
            `tell_ejected`, that is set to what tells the other workers, whose words go to `ejected`. `secure_site`, if
            it has one, is the factory of listeners with TLS, and `on_secure` is set to a callable of the context of
            listeners, to be called when there is a certificate. `statistics_site`, if it has one, is the factory of
            the port of the statistics. `streams`, if it has one, has `doors` that take whole connections, and its
            `on_ports` is set to a callable of the ports where that may be.
        leave: ends the process with that exit code.
    """

    def __init__(
        self,
        reactor: Any,
        sock: socket.socket,
        cells_fd: int,
        build: Callable[[Settings, Any, Cells], Any],
        leave: Callable[[int], None],
    ) -> None:
        self._reactor = reactor
        self._cells_fd = cells_fd
        self._build = build
        self._leave = leave
        self._limits = Limits()
        self._plane: Any = None
        self._listeners: Listeners | None = None
        self._parts: list[Part] = []
        self._steps: deque[tuple[Message, int]] = deque()
        self._stepping = False
        self._prepared = False
        self._draining = False
        self._overdue: Any = None
        self._loaded = 0
        self._frozen = 0
        self._beats = LoopingCall(self._beat)
        self._beats.clock = reactor
        self._counts = LoopingCall(self._count)
        self._counts.clock = reactor
        self._channel = Channel(reactor, sock, build_id(), self._received, self._leader_gone)

    def start(self) -> None:
        """
        Begin to listen to the leader.
        """
        self._channel.start()

    def terminate(self) -> None:
        """
        Somebody wants this process to end: drain as soon as others accept in its place.
        """
        if not self._draining and self._plane is not None:
            self._channel.send(Leaving())
            self._reactor.callLater(LEAVE_S, self.drain, self._limits.drain_s)
        else:
            self.drain(self._limits.drain_s)

    def drain(self, deadline_s: float) -> None:
        """
        Accept nothing more, finish what is under way, end the process.

        Args:
            deadline_s: what is not finished after so many seconds is cut, except tunnels: they have
                `limits.tunnel_drain_s` if that is longer.
        """
        if self._draining:
            return
        self._draining = True
        if self._plane is None or self._listeners is None:
            self._leave(0)
            return
        self._listeners.stop()
        over: Deferred[Any] = maybeDeferred(self._plane.drain, deadline_s)
        # The data plane keeps the deadline; this one is for a data plane that does not.
        tunnels_until = self._reactor.seconds() + self._limits.tunnel_drain_s + 1.0
        self._overdue = self._reactor.callLater(deadline_s + 1.0, self._insist, over, tunnels_until)
        over.addErrback(lambda failure: _tell("draining failed", failure))
        over.addCallback(lambda _: self._finished())

    def _insist(self, over: Deferred[Any], tunnels_until: float) -> None:
        """
        The time to drain is over, unless there are tunnels.
        """
        if self._tunnels() and self._reactor.seconds() < tunnels_until:
            self._overdue = self._reactor.callLater(BEAT_S, self._insist, over, tunnels_until)
        else:
            over.cancel()

    def _tunnels(self) -> int:
        """
        Upgraded connections that are waited for.
        """
        count = getattr(self._plane, "tunnels", None)
        return int(count()) if callable(count) else 0

    def _finished(self) -> None:
        if self._overdue is not None and self._overdue.active():
            self._overdue.cancel()
        self._count()
        self._channel.close()
        self._leave(0)

    def _leader_gone(self, reason: str) -> None:
        """
        Nobody is left to be told why.
        """
        self.drain(self._limits.drain_s)

    def _received(self, message: Message, number: int, descriptors: list[int]) -> None:
        try:
            if isinstance(message, Part | Prepare | Commit | Abort | Members | Judged):
                self._steps.append((message, number))
                self._step()
            else:
                self._obey(message, number, descriptors)
        except Exception as error:  # noqa: BLE001  whatever it is, the leader must hear of it
            traceback.print_exc()
            self._fail(f"{type(error).__name__}: {error}")

    def _step(self) -> None:
        """
        Take definitions and memberships in the order they came: a change may take its time to get ready, and what
        follows must find it committed.
        """
        while self._steps and not self._stepping:
            message, number = self._steps.popleft()
            match message:
                case Part():
                    self._parts.append(message)
                case Prepare():
                    self._prepare(message, number)
                case Commit():
                    self._commit(message, number)
                case Abort():
                    self._parts.clear()
                    if self._prepared:
                        self._prepared = False
                        self._plane.abort(message.revision)
                case Members():
                    self._plane.members(message.membership)
                case Judged():
                    self._plane.verdicts(message.verdicts)

    def _obey(self, message: Message, number: int, descriptors: list[int]) -> None:
        match message:
            case Begin():
                self._begin(message, number)
            case Query():
                self._query(message, number)
            case Adopt():
                self._adopt(message, number, descriptors)
            case Release():
                self._release(message, number)
            case Drain():
                self.drain(message.deadline_s)
            case Ejected():
                self._plane.ejected(message.service, message.index, message.host, message.port, message.pause_s)
            case _:
                self._fail(f"{type(message).__name__} is nothing that a leader says")

    def _begin(self, begin: Begin, number: int) -> None:
        self._limits = begin.settings.limits
        self._channel.limit(self._limits)
        gc.set_threshold(*GC_THRESHOLDS)
        try:
            memory = memoryview(mmap.mmap(self._cells_fd, 0))
            self._plane = self._build(begin.settings, self._reactor, Cells(memory, begin.number, begin.cells))
            plane, streams = self._plane, getattr(self._plane, "streams", None)
            self._listeners = Listeners(
                self._reactor,
                plane.site,
                getattr(plane, "secure_site", None),
                getattr(plane, "statistics_site", None),
                None if streams is None else streams.doors,
            )
            if streams is not None:
                streams.on_ports = self._listeners.share
        except Exception as error:  # noqa: BLE001  whatever a plugin raises is told to the leader
            traceback.print_exc()
            self._fail(f"{type(error).__name__}: {error}")
            return
        os.close(self._cells_fd)
        if hasattr(self._plane, "on_secure"):
            self._plane.on_secure = self._listeners.secure
        if hasattr(self._plane, "ask_names"):
            self._plane.ask_names = self._ask_names
        if hasattr(self._plane, "tell_ejected"):
            self._plane.tell_ejected = self._tell_ejected
        give_back()
        self._beats.start(BEAT_S)
        self._counts.start(COUNT_S)
        self._channel.send(Done(), number)

    def _prepare(self, prepare: Prepare, number: int) -> None:
        change = gathered(self._parts, prepare)
        self._parts = []
        self._loaded += len(change.services)
        self._stepping = True
        ready = maybeDeferred(self._plane.prepare, change)
        ready.addCallbacks(lambda _: self._ready(number), lambda failure: self._refused(failure, number))
        ready.addErrback(self._broken)

    def _ready(self, number: int) -> None:
        self._prepared = True
        self._channel.send(Done(), number)
        self._next()

    def _refused(self, failure: Failure, number: int) -> None:
        if not isinstance(failure.value, Refused):
            _tell("a change cannot be prepared", failure)
        self._channel.send(Refusal(_reason(failure)), number)
        self._next()

    def _commit(self, commit: Commit, number: int) -> None:
        if not self._prepared:
            self._channel.send(Refusal("nothing is prepared"), number)
            return
        self._prepared = False
        self._stepping = True
        applied = maybeDeferred(self._plane.commit, commit.revision)
        applied.addCallback(lambda _: self._applied(number))
        # A commit cannot fail; one that does leaves a data plane of which nothing is known.
        applied.addErrback(self._broken)

    def _applied(self, number: int) -> None:
        if self._loaded >= max(FREEZE_SERVICES, 2 * self._frozen):
            # Only each time there is twice as much: whatever cyclic garbage there is at that moment stays for ever.
            self._frozen = self._loaded
            gc.freeze()
            give_back()
        self._channel.send(Done(), number)
        self._next()

    def _next(self) -> None:
        self._stepping = False
        self._step()

    def _query(self, query: Query, number: int) -> None:
        answer = maybeDeferred(self._plane.query, query.what, query.argument)
        # One data plane lives here; what it answers comes as a list of one.
        answer.addCallback(lambda values: self._channel.send(Answer(values[0]), number))
        answer.addErrback(lambda failure: _tell(f"query {query.what} failed", failure))

    def _adopt(self, adopt: Adopt, number: int, descriptors: list[int]) -> None:
        if self._draining or self._listeners is None or len(descriptors) != len(adopt.slots):
            for descriptor in descriptors:
                os.close(descriptor)
            return
        for slot, descriptor in zip(adopt.slots, descriptors):
            self._listeners.adopt(slot, descriptor)
        self._channel.send(Done(), number)

    def _release(self, release: Release, number: int) -> None:
        if self._listeners is not None:
            for slot in release.slots:
                self._listeners.release(slot).addErrback(lambda failure: _tell("releasing failed", failure))
        self._channel.send(Done(), number)

    def _ask_names(self, service: str, index: int) -> None:
        self._channel.send(Resolve(service, index))

    def _tell_ejected(self, service: str, index: int, host: str, port: int, pause_s: float) -> None:
        self._channel.send(Ejected(service, index, host, port, pause_s))

    def _beat(self) -> None:
        # Otherwise nobody needs to know, and counting is looking at every connection.
        self._channel.send(Beat(self._tunnels() if self._draining else 0))

    def _count(self) -> None:
        counters = getattr(self._plane, "counters", None)
        if callable(counters):
            counters()

    def _broken(self, failure: Failure) -> None:
        _tell("a change failed half-way", failure)
        self._fail(_reason(failure))

    def _fail(self, reason: str) -> None:
        self._channel.send(Fault(reason[:REASON_CHARS]))
        self._channel.close()
        self._leave(FAILED)


def _reason(failure: Failure) -> str:
    error = failure.value
    text = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
    return text[:REASON_CHARS]


def _tell(what: str, failure: Failure) -> None:
    sys.stderr.write(f"{what}\n{failure.getTraceback()}")


class Relayed(io.TextIOBase):
    """
    A stderr that never blocks and never fails: the leader that reads it may stand still, or be gone.

    Args:
        descriptor: the pipe to the leader.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    def write(self, text: str) -> int:
        """
        Write what the pipe takes; drop the rest.
        """
        try:
            os.write(self._descriptor, text.encode("utf-8", "replace"))
        except OSError:
            # There is nobody to tell.
            return len(text)
        return len(text)

    def writable(self) -> bool:
        """
        It is.
        """
        return True


@provider(ILogObserver)
def _write_event(event: LogEvent) -> None:
    """
    An observer for what the leader relays: it adds the time itself.

    What Twisted says of each socket that is opened or closed is left out: of an address that stays open another worker
    takes over a socket, and "Port 80 Closed" would tell what is not so.
    """
    if event.get("log_namespace") == "log_legacy" and event["log_level"] is LogLevel.info:
        return
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if text:
        sys.stderr.write(f"{event['log_level'].name} {event.get('log_namespace', '-')}: {text}\n")
        sys.stderr.flush()


def _install_reactor(choice: str) -> Any:
    """
    The reactor of this process: the uv reactor unless the environment asks for another or there is none.
    """
    if choice != "default":
        try:
            uv = importlib.import_module("dfproxy.uv.reactor")
        except ImportError as error:
            sys.stderr.write(f"no uv reactor ({error}): using the default one, which is slower\n")
        else:
            uv.install()
    from twisted.internet import reactor  # only now: the import installs one if there is none

    return reactor


def _builder(name: str) -> Callable[[Settings, Any, Cells], Any]:
    """
    The function that makes the data plane.

    Args:
        name: `module:function`.
    """
    module, _, function = name.partition(":")
    build: Callable[[Settings, Any, Cells], Any] = getattr(importlib.import_module(module), function)
    return build


def main() -> None:
    """
    Run one worker until the leader or SIGTERM ends it.
    """
    sys.stderr = Relayed(2)
    pass_over_unreadable_names()
    globalLogBeginner.beginLoggingTo([_write_event], redirectStandardIO=False)
    reactor = _install_reactor(os.environ.get("DFPROXY_REACTOR", ""))
    code = 0

    def leave(exit_code: int) -> None:
        nonlocal code
        code = code or exit_code
        if reactor.running:
            reactor.stop()

    build = _builder(os.environ.get("DFPROXY_DATA_PLANE", "dfproxy.service:make_data_plane"))
    sock = socket.socket(fileno=CHANNEL_FD)
    os.set_inheritable(CHANNEL_FD, False)
    os.set_inheritable(CELLS_FD, False)
    worker = Worker(reactor, sock, CELLS_FD, build, leave)
    # The whole process group gets a terminal's ^C; the leader decides what follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(worker.terminate))
    reactor.callWhenRunning(worker.start)
    reactor.run(installSignalHandlers=False)
    sys.stderr.flush()
    # Interpreter teardown of 10,000 services takes a tenth of a second, and nothing is left to be written.
    os._exit(code)


if __name__ == "__main__":
    main()
