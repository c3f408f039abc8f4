"""
One worker as the leader sees it: the process, the channel to it, and how long it has been silent.

It decides nothing; `dfproxy.workers.leader` does, told by the callables of `Ears`.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.model.settings import Limits
from dfproxy.model.snapshot import Change, Membership
from dfproxy.workers.channel import Channel
from dfproxy.workers.heritage import Old
from dfproxy.workers.messages import Beat, Ejected, Fault, Leaving, Message, Resolve, encode

log = Logger()

LATE_S = 2.0
"""
How long a worker may be silent or owe a confirmation, in seconds. A heartbeat comes each 0.25 s; a garbage collection
or a slow disk takes tenths.
"""

LINE_BYTES = 8192
"""
Longest line of a worker's stderr that is relayed whole.
"""

LINES_PER_S = 100
"""
Lines of one worker relayed in a second; above it they are counted.
"""


class State(Enum):
    """
    Where a worker is in its life; it only moves downwards.

    `LOADING`: it is told all there is. `READY`: it takes part in changes and may be given slots. `ENDING`: it has been
    given up or told to go, and takes part in nothing. `GONE`: the process is no more.
    """

    LOADING = "loading"
    READY = "ready"
    ENDING = "ending"
    GONE = "gone"


class Ears(Protocol):
    """
    Who hears of a child.
    """

    def child_wants(self, child: Child, service: str, index: int) -> None:
        """
        A connection to that destination failed there.
        """

    def child_ejects(self, child: Child, ejected: Ejected) -> None:
        """
        It leaves a server out for its answers.
        """

    def child_leaves(self, child: Child) -> None:
        """
        Somebody told the process to end.
        """

    def child_lost(self, child: Child, reason: str) -> None:
        """
        The process has ended or can no longer be spoken to. Called once.
        """


@dataclass(slots=True)
class Owed:
    """
    An answer that is due.

    Attributes:
        what: what the worker was told to do, as it follows "has not".
        since: when it was told, in the clock's seconds.
        due: when it is late, likewise.
    """

    what: str
    since: float
    due: float


@dataclass(eq=False)
class Child(ProcessProtocol):
    """
    One worker.

    Attributes:
        number: its name in logs, and its block of the shared cells.
        state: where it is in its life.
        told: everything so far is on its way to it: it can be sent the next change.
        loaded: it has confirmed all there was when it came.
        owed: changes sent outside of rounds that it has not confirmed.
        backlog: changes committed since it was told everything.
        missed: memberships that came while it was being told.
        fault: what it said was wrong, if it did.
        kill_at: when it is killed if it still lives, in the clock's seconds; None: not planned.
        drain_until: until when it may drain if it shows signs of life.
        tunnels_until: the same while there are tunnels.
        tunnels: upgraded connections that it still waits for, by its last heartbeat.
        heard: when it was last heard of.
    """

    number: int
    reactor: Any
    ears: Ears
    build: bytes
    state: State = State.LOADING
    told: bool = False
    loaded: bool = False
    owed: int = 0
    backlog: list[Change] = field(default_factory=list)
    missed: dict[tuple[str, int], Membership] = field(default_factory=dict)
    fault: str = ""
    kill_at: float | None = None
    drain_until: float = 0.0
    tunnels_until: float = 0.0
    tunnels: int = 0
    heard: float = 0.0
    _process: Any = None
    _channel: Channel | None = None
    _due: dict[Deferred[Message], Owed] = field(default_factory=dict)
    _line: bytes = b""
    _second: int = 0
    _lines: int = 0

    def spawn(self, cells_fd: int, null_fd: int, environment: Mapping[str, str]) -> None:
        """
        Start the process.

        Args:
            cells_fd: the shared cells.
            null_fd: what it reads as standard input.
            environment: its variables.

        Raises:
            OSError: no process or no descriptor to be had.
        """
        ours, theirs = socket.socketpair()
        try:
            self._channel = Channel(self.reactor, ours, self.build, self._received, self._channel_lost)
            self._process = self.reactor.spawnProcess(
                self,
                sys.executable,
                # -P: nothing is imported from the folder in which somebody happened to start us.
                [sys.executable, "-P", "-m", "dfproxy.workers.worker"],
                env=dict(environment),
                childFDs={0: null_fd, 1: 1, 2: "r", 3: theirs.fileno(), 4: cells_fd},
            )
        except Exception:
            ours.close()
            raise
        finally:
            theirs.close()
        self.heard = self.reactor.seconds()
        self._channel.start()

    @property
    def pid(self) -> int | None:
        """
        Its process id; None once it has ended.
        """
        return self._process.pid if self._process is not None else None

    @property
    def unsent_bytes(self) -> int:
        """
        Bytes that it has not taken yet.
        """
        return self._channel.unsent_bytes if self._channel is not None else 0

    def limit(self, limits: Limits) -> None:
        """
        These bounds of the channel are in force from now on.
        """
        if self._channel is not None:
            self._channel.limit(limits)

    def send(self, payload: bytes) -> None:
        """
        Say something that is not answered; encoded.
        """
        if self._channel is not None:
            self._channel.send_payload(payload)

    def ask(
        self, question: bytes | Message, what: str, within_s: float = LATE_S, descriptors: tuple[int, ...] = ()
    ) -> Deferred[Message]:
        """
        Say something whose answer is due.

        Args:
            question: the message, or its bytes.
            what: it is told to do, as it follows "has not"; for people.
            within_s: after so many seconds it counts as late.
        """
        answer = self.ask_idly(question, descriptors)
        now = self.reactor.seconds()
        self._due[answer] = Owed(what, now, now + within_s)

        def answered(result: Message | Failure) -> Message | Failure:
            self._due.pop(answer, None)
            if not isinstance(result, Failure):
                self.heard = self.reactor.seconds()
            return result

        return answer.addBoth(answered)

    def ask_idly(self, question: bytes | Message, descriptors: tuple[int, ...] = ()) -> Deferred[Message]:
        """
        Say something whose answer nobody insists on.
        """
        payload = question if isinstance(question, bytes) else encode(question)
        if self._channel is None:
            raise RuntimeError("a worker is spoken to only after its start")
        return self._channel.ask_payload(payload, descriptors)

    def excuse(self, now: float) -> None:
        """
        It is not to blame for the silence until now: we did not listen.
        """
        self.heard = now
        for owed in self._due.values():
            owed.due = max(owed.due, now + LATE_S / 2)

    def overdue(self, now: float) -> str:
        """
        What it is late with; empty: nothing.
        """
        for owed in self._due.values():
            if owed.due < now:
                return f"has not {owed.what} in {now - owed.since:.1f} s"
        if now > max([self.heard + LATE_S, *(owed.due for owed in self._due.values())]):
            return f"has been silent for {now - self.heard:.1f} s"
        return ""

    def signal(self, name: str) -> None:
        """
        Send it a signal, such as `KILL`; fine if it has ended.
        """
        try:
            if self._process is not None:
                self._process.signalProcess(name)
        except ProcessExitedAlready:
            log.debug("worker {number} has ended already", number=self.number)

    def give_up(self, reason: str) -> None:
        """
        It is in no state to go on: kill it.
        """
        if self.state in (State.LOADING, State.READY):
            self.fault = self.fault or reason
            self.signal("KILL")

    def left(self) -> Old | None:
        """
        For the leader after us; None: it has ended. It goes on as it is.
        """
        if self.pid is None:
            return None
        channel = -1 if self._channel is None or self.state is State.ENDING else self._channel.fileno()
        return Old(self.number, self.pid, channel, self._process.pipes[2].fileno())

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Twisted: it wrote to stderr.
        """
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > LINE_BYTES:
            lines.append(self._line)
            self._line = b""
        for line in lines:
            self._relay(line[:LINE_BYTES].decode("utf-8", "replace"))

    def processExited(self, reason: Failure) -> None:
        """
        Twisted: it has ended.
        """
        if self._channel is not None:
            # Its last words, why it ended, may still wait to be read.
            self._channel.doRead()
            self._channel.close()
        self._over(reason.getErrorMessage())

    def processEnded(self, reason: Failure) -> None:
        """
        Twisted: it has ended, and all it wrote has been read.
        """
        if self._line:
            self._relay(self._line.decode("utf-8", "replace"))
            self._line = b""

    def _relay(self, line: str) -> None:
        second = int(self.reactor.seconds())
        if second != self._second:
            if self._lines > LINES_PER_S:
                log.warn("worker {number}: {count} lines left out", number=self.number, count=self._lines - LINES_PER_S)
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= LINES_PER_S:
            log.info("worker {number}: {line}", number=self.number, line=line)

    def _received(self, message: Message, number: int, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        self.heard = self.reactor.seconds()
        match message:
            case Fault():
                self.fault = message.reason
            case Resolve():
                self.ears.child_wants(self, message.service, message.index)
            case Ejected():
                self.ears.child_ejects(self, message)
            case Leaving():
                self.ears.child_leaves(self)
            case Beat():
                self.tunnels = message.tunnels
            case _:
                # The late answer to a question that nobody waits for any more.
                log.debug("worker {number} answered late", number=self.number)

    def _channel_lost(self, reason: str) -> None:
        # Without a channel it is of no use; if it is ending by itself its exit is reported right after.
        self.give_up(reason)

    def _over(self, reason: str) -> None:
        if self.state is not State.GONE:
            self.ears.child_lost(self, self.fault or reason)
