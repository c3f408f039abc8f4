"""
Real worker processes with a stand-in for the data plane: what clients see when workers die, stall, refuse or are
replaced. Times that matter to an operator are printed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineOnlyReceiver
from twisted.trial.unittest import TestCase

from dfproxy.control.publisher import Publisher
from dfproxy.errors import NotReady, Refused
from dfproxy.model.listener import Listener
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.settings import Limits, Settings
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.observe.cells import FRONTEND
from dfproxy.workers.leader import WorkerSet

LOOK_S = 0.01


def service(name: str, index: int = 0) -> Service:
    """
    A service of which only name and index matter.
    """
    return Service(name, name, (Destination(index, 80, Match(), "host", name),))


class NoNames:
    """
    Names that nobody knows.
    """

    def first_servers(self, services: tuple[Service, ...]) -> Deferred[tuple[Membership, ...]]:
        return succeed(())

    def keep(self, services: tuple[Service, ...]) -> None:
        pass

    def forget(self, names: tuple[str, ...]) -> None:
        pass


class Client(LineOnlyReceiver):
    """
    Asks one line at a time.
    """

    delimiter = b"\n"

    def __init__(self) -> None:
        self.answer: Deferred[dict[str, Any]] | None = None
        self.over: Deferred[None] = Deferred()

    def ask(self, line: bytes = b"who") -> Deferred[dict[str, Any]]:
        self.answer = Deferred()
        self.sendLine(line)
        return self.answer

    def lineReceived(self, line: bytes) -> None:
        answer, self.answer = self.answer, None
        assert answer is not None
        answer.callback(json.loads(line))

    def connectionLost(self, reason: Any = None) -> None:
        if self.answer is not None:
            self.answer.errback(reason)
        self.over.callback(None)


class WorkersCase(TestCase):
    """
    Starts workers and sees that they end.
    """

    timeout = 40

    @inlineCallbacks
    def begin(
        self, workers: int, build: str = "build", drain_s: float = 2.0, choice: str = ""
    ) -> Generator[Any, Any, None]:
        environment = {
            **os.environ,
            "DFPROXY_DATA_PLANE": f"tests.e2e.stand_in:{build}",
            "DFPROXY_REACTOR": choice,
        }
        settings = Settings(workers=workers, listeners=(Listener("127.0.0.1", 0),), limits=Limits(drain_s=drain_s))
        self.workers = WorkerSet(reactor, settings, environment)
        self.addCleanup(self.workers.stop)
        self.publisher = Publisher(self.workers, NoNames(), reactor)
        yield self.workers.start()
        ((_, self.port),) = self.workers.slots.addresses()

    def connect(self) -> Deferred[Client]:
        return connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), Client())

    @inlineCallbacks
    def ask(self, line: bytes = b"who") -> Generator[Any, Any, dict[str, Any]]:
        client = yield self.connect()
        try:
            told = yield client.ask(line)
        finally:
            client.transport.loseConnection()
            yield client.over
        return told

    @inlineCallbacks
    def until(self, wanted: Callable[[], bool], within_s: float = 15.0) -> Generator[Any, Any, float]:
        start = reactor.seconds()
        while not wanted():
            if reactor.seconds() > start + within_s:
                self.fail(f"not within {within_s} s")
            yield deferLater(reactor, LOOK_S)
        return reactor.seconds() - start

    @inlineCallbacks
    def load(self, clients: int = 4) -> Generator[Any, Any, None]:
        """
        Ask again and again on new connections until `loading` is false; notes answers, failures, and the longest wait.
        """
        self.loading, self.answers, self.failures, self.longest_s = True, 0, [], 0.0

        @inlineCallbacks
        def one() -> Generator[Any, Any, None]:
            while self.loading:
                start = reactor.seconds()
                try:
                    yield self.ask()
                    self.answers += 1
                except Exception as error:  # noqa: BLE001  whatever it is, it is a failure that is counted
                    self.failures.append(repr(error))
                self.longest_s = max(self.longest_s, reactor.seconds() - start)
                yield deferLater(reactor, 0.0)

        yield gatherResults([one() for _ in range(clients)])

    def report(self, text: str) -> None:
        sys.stdout.write(f"\n    {self.id().rsplit('.', 1)[-1]}: {text}\n")


class ChangeTests(WorkersCase):
    """
    Changes in all workers.
    """

    @inlineCallbacks
    def test_everywhere(self) -> Generator[Any, Any, None]:
        """
        Once a publish is answered, every worker knows the service; a membership reaches every worker.
        """
        yield self.begin(2)
        revision = yield self.publisher.publish((service("a"), service("b")))
        told = yield self.workers.query("ping", None)
        self.assertEqual([(t["revision"], t["services"]) for t in told], [(revision.number, 2)] * 2)
        self.workers.members(Membership("a", 0, 7, (ServerAddress("10.0.0.1", 80),)))
        told = yield self.workers.query("ping", None)
        self.assertEqual([t["servers"] for t in told], [{"a/0": ["10.0.0.1"]}] * 2)

    @inlineCallbacks
    def test_refused_by_one(self) -> Generator[Any, Any, None]:
        """
        A strategy that raises in one worker only: the caller is told why, and no worker has changed.
        """
        yield self.begin(2)
        before = yield self.publisher.publish((service("a"),))
        for name, index, why in (("refuse-x", 2, "refuse-x is refused by 2"), ("raise-x", 1, "ZeroDivisionError")):
            error = yield self.assertFailure(self.publisher.publish((service(name, index),)), Refused)
            self.assertIn(why, str(error))
        told = yield self.workers.query("ping", None)
        self.assertEqual([(t["revision"], t["services"]) for t in told], [(before.number, 1)] * 2)
        self.assertEqual(len(self.workers.pids()), 2)
        after = yield self.publisher.publish((service("c"),))
        self.assertEqual(after.number, before.number + 1)

    @inlineCallbacks
    def test_slow(self) -> Generator[Any, Any, None]:
        """
        A worker that takes its time to compile is waited for.
        """
        yield self.begin(2)
        start = reactor.seconds()
        yield self.publisher.publish((service("slow-x", 1),))
        self.assertGreater(reactor.seconds() - start, 0.5)
        told = yield self.workers.query("ping", None)
        self.assertEqual([t["services"] for t in told], [1, 1])

    @inlineCallbacks
    def test_silent_to_a_question(self) -> Generator[Any, Any, None]:
        """
        A worker that does not answer a question within 250 ms is reported as missing.
        """
        yield self.begin(1, choice="default")
        start = reactor.seconds()
        told = yield self.workers.query("silence", None)
        self.assertEqual(told, [None])
        self.assertLess(reactor.seconds() - start, 0.5)


class EndTests(WorkersCase):
    """
    Workers that go.
    """

    @inlineCallbacks
    def killed(self, workers: int) -> Generator[Any, Any, None]:
        yield self.begin(workers)
        yield self.publisher.publish(tuple(service(f"s{n}") for n in range(500)))
        load = self.load()
        yield self.until(lambda: self.answers > 50)
        victim = self.workers.pids()[0]
        before = self.answers
        known = set(self.workers.pids())
        self.longest_s = 0.0
        killed_at = reactor.seconds()
        os.kill(victim, signal.SIGKILL)
        yield self.until(lambda: self.answers > before + 200)
        self.loading = False
        yield load
        gap_s = self.longest_s
        self.report(f"{self.answers} answers, {len(self.failures)} cut, longest wait {gap_s * 1000:.0f} ms")
        self.assertLess(gap_s, 0.5)
        self.assertLessEqual(len(self.failures), 4)
        self.assertEqual([f for f in self.failures if "Refused" in f], [])
        told: list[Any] = []
        while workers == 2 and len({t["pid"] for t in told if t} - known) != 1:
            yield deferLater(reactor, LOOK_S)
            told = yield self.workers.query("ping", None)
        self.report(f"all as before after {reactor.seconds() - killed_at:.2f} s")

    def test_killed_one(self) -> Deferred[None]:
        """
        kill -9 of the only worker: its spare accepts at once; only what was in flight is cut, nothing is refused.
        """
        return self.killed(1)

    def test_killed_of_two(self) -> Deferred[None]:
        """
        kill -9 of one of two workers: the other takes over its queue.
        """
        return self.killed(2)

    @inlineCallbacks
    def test_change_meanwhile(self) -> Generator[Any, Any, None]:
        """
        Changes go on being accepted while workers are killed, and the replacements know all of them.
        """
        yield self.begin(2)
        for number in range(60):
            if number in (10, 30):
                os.kill(self.workers.pids()[0], signal.SIGKILL)
            yield self.publisher.publish((service(f"n{number}"),))
            yield deferLater(reactor, 0.02)
        told: list[Any] = []
        while [t["services"] for t in told if t] != [60, 60]:
            yield deferLater(reactor, LOOK_S)
            told = yield self.workers.query("ping", None)
        self.assertEqual({t["revision"] for t in told}, {self.publisher.snapshot.revision.number})

    @inlineCallbacks
    def test_dies_of_a_change(self) -> Generator[Any, Any, None]:
        """
        A worker that dies while it prepares counts as gone; the change is in force in the others and in its heir.
        """
        yield self.begin(2)
        yield self.publisher.publish((service("exit-x", 2),))
        yield self.until(lambda: len(self.workers.pids()) == 2)
        told: list[Any] = []
        while [t["services"] for t in told if t] != [1, 1]:
            yield deferLater(reactor, LOOK_S)
            told = yield self.workers.query("ping", None)

    @inlineCallbacks
    def test_stopped(self) -> Generator[Any, Any, None]:
        """
        A worker that stands still is found after two seconds, a change waits no longer for it, and it is killed after
        ten; clients of the other worker notice nothing.
        """
        yield self.begin(2)
        victim = self.workers.pids()[0]
        os.kill(victim, signal.SIGSTOP)
        start = reactor.seconds()
        yield self.publisher.publish((service("a"),))
        waited_s = reactor.seconds() - start
        yield gatherResults([self.ask() for _ in range(20)])
        yield self.until(lambda: victim not in self.workers.pids())
        killed_s = reactor.seconds() - start
        self.report(f"change answered after {waited_s:.2f} s, killed after {killed_s:.2f} s")
        self.assertLess(waited_s, 3.0)
        self.assertTrue(9.0 < killed_s < 12.0, killed_s)

    @inlineCallbacks
    def test_never_confirms(self) -> Generator[Any, Any, None]:
        """
        A worker that beats but never confirms a commit is replaced; the change counts.
        """
        yield self.begin(2)
        start = reactor.seconds()
        first = self.workers.pids()
        yield self.publisher.publish((service("late-x", 2),))
        self.assertLess(reactor.seconds() - start, 3.0)
        yield self.until(lambda: len(set(self.workers.pids()) - set(first)) == 1 and len(self.workers.pids()) == 2)

    @inlineCallbacks
    def test_terminated(self) -> Generator[Any, Any, None]:
        """
        SIGTERM to a worker: what is under way is answered, nobody is refused, another one takes its place.
        """
        yield self.begin(1)
        told = yield self.ask()
        client = yield self.connect()
        slow = client.ask(b"slow")
        yield deferLater(reactor, 0.05)
        load = self.load()
        os.kill(told["pid"], signal.SIGTERM)
        answered = yield slow
        self.assertEqual(answered["pid"], told["pid"])
        client.transport.loseConnection()
        yield client.over
        yield self.until(lambda: told["pid"] not in self.workers.pids())
        self.loading = False
        yield load
        self.assertEqual(self.failures, [])
        self.assertEqual(self.workers.degraded, "")

    @inlineCallbacks
    def test_graceful_stop(self) -> Generator[Any, Any, None]:
        """
        At the end requests under way are answered; what takes longer than the drain limit is cut.
        """
        yield self.begin(2, drain_s=1.0)
        slow, held = yield gatherResults([self.connect(), self.connect()])
        answer, never = slow.ask(b"slow"), held.ask(b"hold")
        never.addErrback(lambda _: None)
        yield deferLater(reactor, 0.05)
        start = reactor.seconds()
        stopped = self.workers.stop()
        yield answer
        slow.transport.loseConnection()
        yield stopped
        took_s = reactor.seconds() - start
        yield gatherResults([slow.over, held.over])
        self.assertTrue(0.9 < took_s < 2.0, took_s)
        error = yield self.assertFailure(self.publisher.publish((service("a"),)), NotReady)
        self.assertIn("stopping", str(error))

    @inlineCallbacks
    def test_counted_for_ever(self) -> Generator[Any, Any, None]:
        """
        What a killed worker has counted stays in the sums; what it had open does not.
        """
        yield self.begin(1)
        client = yield self.connect()
        yield client.ask()
        yield self.until(lambda: self.workers.totals(FRONTEND)[:2] == (1, 1))
        os.kill(self.workers.pids()[0], signal.SIGKILL)
        yield client.over
        yield self.until(lambda: self.workers.totals(FRONTEND)[:2] == (1, 0))
        yield self.ask()
        yield self.until(lambda: self.workers.totals(FRONTEND)[0] == 2)

    @inlineCallbacks
    def test_too_many(self) -> Generator[Any, Any, None]:
        """
        Three replacements in a minute: the set says that it is degraded, and goes on serving.
        """
        yield self.begin(1)
        for _ in range(3):
            victim = self.workers.pids()[0]
            yield self.until(lambda: len(self.workers.pids()) == 2)
            os.kill(victim, signal.SIGKILL)
            yield self.until(lambda victim=victim: victim not in self.workers.pids())
            yield self.ask()
        self.assertIn("3 workers were replaced", self.workers.degraded)
        yield self.ask()

    @inlineCallbacks
    def test_strange_folder(self) -> Generator[Any, Any, None]:
        """
        Files in the folder in which the proxy is started are not taken for modules: they may be anybody's.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        for name in ("dataclasses", "h2", "socket", "msgspec"):
            (folder / f"{name}.py").write_text("raise SystemExit('somebody else')\n")
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(folder)
        yield self.begin(1)
        yield self.ask()

    @inlineCallbacks
    def test_does_not_come_up(self) -> Generator[Any, Any, None]:
        """
        A data plane that cannot be built: the start fails and says why, and no process is left.
        """
        error = yield self.assertFailure(self.begin(1, build="build_raising"), NotReady)
        self.assertIn("no such strategy file", str(error))
        self.assertEqual(self.workers.pids(), ())


class LeaderOutput(ProcessProtocol):
    """
    Collects what a leader says.
    """

    def __init__(self) -> None:
        self.text = b""
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.text += data

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)


class LeaderTests(TestCase):
    """
    A leader that is killed.
    """

    timeout = 30

    @inlineCallbacks
    def test_killed(self) -> Generator[Any, Any, None]:
        """
        kill -9 of the leader: its workers finish what is under way, then end, and the port is free.
        """
        output = LeaderOutput()
        leader = reactor.spawnProcess(
            output,
            sys.executable,
            [sys.executable, "-m", "tests.e2e.lone_leader"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "DFPROXY_DATA_PLANE": "tests.e2e.stand_in:build",
            },
            childFDs={0: "w", 1: "r", 2: 2},
        )
        while b"\n" not in output.text:
            yield deferLater(reactor, LOOK_S)
        started = json.loads(output.text)
        client = yield connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", started["port"]), Client())
        answer = client.ask(b"slow")
        yield deferLater(reactor, 0.05)
        leader.signalProcess("KILL")
        told = yield answer
        self.assertIn(told["pid"], started["pids"])
        client.transport.loseConnection()
        yield client.over
        start = reactor.seconds()
        while any(os.path.exists(f"/proc/{pid}") for pid in started["pids"]):
            self.assertLess(reactor.seconds() - start, 5.0)
            yield deferLater(reactor, LOOK_S)
        yield output.ended
