"""
One worker as the leader sees it, with the other end of its channel in the test's hands and no process.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.error import ProcessTerminated
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.workers.channel import Channel, ChannelLost
from dfproxy.workers.child import LATE_S, LINE_BYTES, LINES_PER_S, Child, State
from dfproxy.workers.heritage import Old
from dfproxy.workers.messages import Beat, Done, Ejected, Fault, Leaving, Message, Query, Resolve
from tests.unit.workers.pump import Pump

BUILD = b"12345678"


class PaperPipe:
    """
    Where Twisted reads what it says.
    """

    def fileno(self) -> int:
        return 99


class PaperProcess:
    """
    What `spawnProcess` gives.
    """

    pid: int | None = 4711

    def __init__(self) -> None:
        self.signals: list[str] = []
        self.pipes = {2: PaperPipe()}

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)


class Spawner(Pump):
    """
    Hands the child's end of the channel to the test.
    """

    def __init__(self) -> None:
        super().__init__()
        self.process = PaperProcess()
        self.refuse = False
        self.theirs: socket.socket | None = None
        self.arguments: dict[str, Any] = {}

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], **arguments: Any) -> PaperProcess:
        if self.refuse:
            raise OSError("no more processes")
        self.arguments = arguments
        self.theirs = socket.socket(fileno=socket.dup(arguments["childFDs"][3]))
        return self.process


class ChildCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Spawner()
        self.told: list[tuple[str, Any]] = []
        self.child = Child(3, self.reactor, self, BUILD)
        self.child.spawn(8, 9, {"A": "b"})
        self.heard: list[tuple[Message, int]] = []
        assert self.reactor.theirs is not None
        self.worker = Channel(
            self.reactor, self.reactor.theirs, BUILD, lambda m, n, _: self.heard.append((m, n)), lambda _: None
        )
        self.worker.start()
        self.addCleanup(self.worker.close)
        self.addCleanup(lambda: self.end(0))
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: LogEvent) -> None:
        if "line" in event:
            self.lines.append(event["line"])

    def child_wants(self, child: Child, service: str, index: int) -> None:
        self.told.append(("wants", (service, index)))

    def child_ejects(self, child: Child, ejected: Ejected) -> None:
        self.told.append(("ejects", ejected))

    def child_leaves(self, child: Child) -> None:
        self.told.append(("leaves", None))

    def child_lost(self, child: Child, reason: str) -> None:
        child.state = State.GONE
        self.told.append(("lost", reason))

    def end(self, code: int) -> None:
        self.child.processExited(Failure(ProcessTerminated(code)))


class ChildTests(ChildCase):
    """
    What is heard, owed and reported.
    """

    def test_started(self) -> None:
        """
        The worker finds its channel and its cells where it expects them, and its variables.
        """
        self.assertEqual(self.reactor.arguments["env"], {"A": "b"})
        self.assertEqual(self.reactor.arguments["childFDs"][4], 8)
        self.assertEqual(self.child.pid, 4711)

    def test_owes(self) -> None:
        """
        It is late when an answer is overdue, and not while it has time for one.
        """
        answer = self.child.ask(Query("a"), "started", 5.0)
        self.reactor.advance(4.9)
        self.assertEqual(self.child.overdue(self.reactor.seconds()), "")
        self.reactor.advance(0.2)
        self.assertEqual(self.child.overdue(self.reactor.seconds()), "has not started in 5.1 s")
        self.reactor.pump()
        self.worker.send(Done(), self.heard[0][1])
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), Done())
        self.assertEqual(self.child.overdue(self.reactor.seconds()), "")

    def test_silent(self) -> None:
        """
        It is late when no heartbeat comes; when we did not listen ourselves it has time again.
        """
        self.reactor.advance(LATE_S - 0.1)
        self.worker.send(Beat())
        self.reactor.pump()
        self.reactor.advance(LATE_S)
        self.assertEqual(self.child.overdue(self.reactor.seconds()), "")
        self.reactor.advance(0.1)
        self.assertIn("silent", self.child.overdue(self.reactor.seconds()))
        self.child.excuse(self.reactor.seconds())
        self.assertEqual(self.child.overdue(self.reactor.seconds()), "")

    def test_passed_on(self) -> None:
        """
        Wishes and farewells are passed on.
        """
        self.worker.send(Resolve("a", 1))
        ejected = Ejected("a", 1, "192.0.2.1", 80, 5.0)
        self.worker.send(ejected)
        self.worker.send(Leaving())
        self.reactor.pump()
        self.assertEqual(self.told, [("wants", ("a", 1)), ("ejects", ejected), ("leaves", None)])

    def test_last_words(self) -> None:
        """
        Why it ended is reported in its own words, also when they are read only after its end; questions fail.
        """
        answer = self.child.ask(Query("a"), "x")
        self.worker.send(Fault("no such plugin"))
        self.end(70)
        self.assertEqual(self.told, [("lost", "no such plugin")])
        self.failureResultOf(answer, ChannelLost)
        self.end(70)
        self.assertEqual(len(self.told), 1)

    def test_channel_lost(self) -> None:
        """
        Without a channel it is killed, unless it is ending anyway.
        """
        self.worker.close()
        self.reactor.pump()
        self.assertEqual(self.reactor.process.signals, ["KILL"])

    def test_ends_by_itself(self) -> None:
        """
        A worker that closes its channel because it was told to end is let end.
        """
        self.child.state = State.ENDING
        self.worker.close()
        self.reactor.pump()
        self.assertEqual(self.reactor.process.signals, [])

    def test_other_build(self) -> None:
        """
        A worker of another build is killed, and its end says why.
        """
        self.worker._build = b"87654321"
        self.worker.send(Beat())
        self.reactor.pump()
        self.assertEqual(self.reactor.process.signals, ["KILL"])
        self.end(9)
        self.assertIn("is not ours", self.told[0][1])

    def test_lines(self) -> None:
        """
        What it writes to stderr is relayed line by line, bounded in length and number.
        """
        self.child.childDataReceived(2, b"one\ntw")
        self.child.childDataReceived(2, b"o\n" + b"x" * (LINE_BYTES + 1))
        self.assertEqual(self.lines[:2], ["one", "two"])
        self.assertEqual(len(self.lines[2]), LINE_BYTES)
        self.child.childDataReceived(2, b"y\n" * 2 * LINES_PER_S)
        self.assertEqual(len(self.lines), LINES_PER_S)
        self.reactor.advance(1)
        self.child.childDataReceived(2, b"last")
        self.child.processEnded(Failure(ProcessTerminated(0)))
        self.assertEqual(self.lines[-1], "last")

    def test_left(self) -> None:
        """
        The leader after us is told of it with its channel, which is open, unless it is ending; of one that has ended
        it is not told.
        """
        left = self.child.left()
        assert left is not None
        self.assertEqual((left.number, left.pid, left.errors), (3, 4711, 99))
        with socket.socket(fileno=socket.dup(left.channel)) as ours:
            ours.send(b"")
            self.assertEqual(ours.family, socket.AF_UNIX)
        self.child.state = State.ENDING
        self.assertEqual(self.child.left(), Old(3, 4711, -1, 99))
        self.reactor.process.pid = None
        self.assertIsNone(self.child.left())

    def test_cannot_start(self) -> None:
        """
        Without a process there is no channel left open either.
        """
        self.reactor.refuse = True
        before = list(self.reactor.readers)
        self.assertRaises(OSError, Child(4, self.reactor, self, BUILD).spawn, 8, 9, {})
        self.assertEqual(self.reactor.readers, before)
