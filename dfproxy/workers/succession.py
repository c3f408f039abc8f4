"""
An upgrade: the leader becomes the next version of itself, in the same process.

First a child proves that what would be executed starts: it reads the same options, imports everything, takes up what
is in the journal and has one real worker load it (`--check-start`). Only then the process executes the new program,
with what must not be let go of kept open by number (`dfproxy.workers.heritage`). Whatever fails before that leaves
everything as it was, and says why.

Source: `execve(2)`; nginx "Upgrading Executable on the Fly"; HAProxy master-worker reload.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.errors import NotUpgraded
from dfproxy.workers.heritage import VARIABLE, Command, Left, write

log = Logger()

PROOF_S = 60.0
"""
How long the child may take, in seconds: an interpreter, a journal of 10,000 services and a worker are some seconds.
"""

ANSWER_S = 0.05
"""
Between the proof and what follows, in seconds: whoever asked for the upgrade hears of the proof.
"""

SAID_BYTES = 16 << 20
"""
Most that the child may say: the names of 10,000 services are some 300 KB.
"""

REASON_CHARS = 600
"""
How much of what it said last is told when it fails.
"""

ERROR_BYTES = 32768
"""
Of the end of what it says on standard error so much is kept: a traceback.
"""

Execute = Callable[[str, list[str], dict[str, str]], object]


class Proof(msgspec.Struct, frozen=True):
    """
    What the child found.

    Attributes:
        version: of dfproxy.
        workers: how many there would be.
        revision: number of the last one in the journal.
        services: names in it.
        certificates: identities of those read from files.
        quarantined: services that cannot be loaded, with the reason.
    """

    version: str
    workers: int
    revision: int = 0
    services: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    quarantined: dict[str, str] = {}


class Succession:
    """
    Makes the leader its own successor.

    Args:
        reactor: `IReactorProcess`, `IReactorTime`.
        command: how this process was started; None: nobody knows.
        impossible: why there can be no upgrade now; empty: there can.
        missing: what would be lost with this proof; empty: nothing.
        settle: lets what is under way in this process end, begins nothing new.
        resume: the opposite, when nothing came of it.
        left: all that is left to the successor.
        environment: variables of the successor.
        execute: `os.execve`.
        begun: called when an upgrade is tried.
        over: called with the reason when nothing came of it.
    """

    def __init__(
        self,
        reactor: Any,
        command: Command | None,
        impossible: Callable[[], str],
        missing: Callable[[Proof], str],
        settle: Callable[[], Deferred[None]],
        resume: Callable[[], None],
        left: Callable[[Command], Left],
        environment: Mapping[str, str],
        execute: Execute = os.execve,
        begun: Callable[[], None] = lambda: None,
        over: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._begun = begun
        self._over = over
        self._reactor = reactor
        self._command = command
        self._impossible = impossible
        self._missing = missing
        self._settle = settle
        self._resume = resume
        self._left = left
        self._environment = environment
        self._execute = execute
        self.under_way = False

    @inlineCallbacks
    def upgrade(self, workers: int | None = None) -> Generator[Deferred[Any], Any, Proof]:
        """
        Have the new version proved, and become it right after.

        Args:
            workers: how many there are to be; None: as the options say.

        Returns:
            Deferred: the proof. Fails with `NotUpgraded`; then all goes on as it was.
        """
        why = "an upgrade is under way" if self.under_way else self._impossible()
        command = self._command
        if command is None:
            why = why or "how this process was started is not known"
        if why:
            log.warn("no upgrade: {why}", why=why)
            raise NotUpgraded(why, possible=False)
        assert command is not None
        if workers is not None:
            command = command.with_option("workers", str(workers))
        self.under_way = True
        self._begun()
        try:
            log.info("upgrade: trying {program}", program=command.program)
            proof: Proof = yield prove(self._reactor, command, self._environment)
            missing = self._missing(proof)
            if missing:
                raise NotUpgraded(missing)
        except NotUpgraded as error:
            self.under_way = False
            log.error("no upgrade, this version goes on: {why}", why=str(error))
            self._over(str(error))
            raise
        log.info("upgrade: version {version} starts, and takes over now", version=proof.version)
        self._reactor.callLater(ANSWER_S, self._go, command)
        return proof

    def _go(self, command: Command) -> None:
        self._become(command).addErrback(lambda failure: log.failure("the upgrade went wrong", failure))

    @inlineCallbacks
    def _become(self, command: Command) -> Generator[Deferred[Any], Any, None]:
        yield self._settle()
        try:
            become(command, self._left(command), self._environment, self._execute)
        except Exception as error:  # noqa: BLE001  whatever it is, this version serves on
            log.error("no upgrade, this version goes on: {why}", why=str(error))
            self._over(str(error))
        self.under_way = False
        self._resume()


def prove(reactor: Any, command: Command, environment: Mapping[str, str]) -> Deferred[Proof]:
    """
    Have a child show that this starts.

    Returns:
        Deferred: what it found. Fails with `NotUpgraded` and what it said last.
    """
    child = _Child(reactor)
    words = command.words("--check-start")
    try:
        reactor.spawnProcess(child, command.program, words, env=dict(environment), path=command.folder)
    except OSError as error:
        child.over.errback(NotUpgraded(f"{command.program} cannot be started: {error.strerror}"))
    return child.over


def become(command: Command, left: Left, environment: Mapping[str, str], execute: Execute = os.execve) -> None:
    """
    Execute the new program. Does not come back unless it cannot.

    Raises:
        OSError: it cannot be executed; everything is as it was.
    """
    kept = [door.descriptor for door in left.doors]
    kept += [each for old in left.workers for each in (old.channel, old.errors)]
    kept += [left.lock, *left.programs.values()]
    kept = [descriptor for descriptor in kept if descriptor >= 0]
    descriptor, folder = write(left), os.getcwd()
    hangup = signal.getsignal(signal.SIGHUP)
    try:
        os.chdir(command.folder)
        for each in (*kept, descriptor):
            os.set_inheritable(each, True)
        # One that comes before the new one listens would end it; what is ignored stays so.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        sys.stdout.flush()
        sys.stderr.flush()
        execute(command.program, command.words(), {**environment, VARIABLE: str(descriptor)})
    finally:
        signal.signal(signal.SIGHUP, hangup)
        for each in kept:
            os.set_inheritable(each, False)
        os.close(descriptor)
        os.chdir(folder)


class _Child(ProcessProtocol):
    """
    The one who proves it.

    Attributes:
        over: fires with the proof.
    """

    def __init__(self, reactor: Any) -> None:
        self.over: Deferred[Proof] = Deferred()
        self._said = b""
        self._errors = b""
        self._late = False
        self._timer = reactor.callLater(PROOF_S, self._give_up)

    def outReceived(self, data: bytes) -> None:
        """
        Twisted: it wrote to stdout.
        """
        self._said += data[: SAID_BYTES - len(self._said)]

    def errReceived(self, data: bytes) -> None:
        """
        Twisted: it wrote to stderr. What came last says why it ended.
        """
        self._errors = (self._errors + data)[-ERROR_BYTES:]

    def processEnded(self, reason: Failure) -> None:
        """
        Twisted: it has ended, and all it said has been read.
        """
        if self._timer.active():
            self._timer.cancel()
        status = getattr(reason.value, "exitCode", None)
        if self._late:
            self._fail(f"the new version was not up within {PROOF_S:.0f} s")
        elif status != 0:
            self._fail(f"the new version does not start: {self._last_words() or reason.getErrorMessage()}")
        else:
            try:
                proof = msgspec.json.decode(self._said.strip().rpartition(b"\n")[2], type=Proof)
            except ValueError as error:
                self._fail(f"the new version proves nothing: {error}")
            else:
                self.over.callback(proof)

    def _last_words(self) -> str:
        """
        What an operator needs of what it said: of a traceback where and why.
        """
        lines = [line.strip() for line in self._errors.decode("utf-8", "replace").splitlines() if line.strip(" ^~\t")]
        if any(line.startswith("Traceback") for line in lines):
            lines = lines[-3:]
        return "; ".join(lines)[-REASON_CHARS:]

    def _fail(self, reason: str) -> None:
        self.over.errback(NotUpgraded(reason))

    def _give_up(self) -> None:
        self._late = True
        transport: Any = self.transport
        try:
            transport.signalProcess("KILL")
        except ProcessExitedAlready:
            log.debug("it has ended in the same moment")
