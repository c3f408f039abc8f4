"""
From the wish for an upgrade to the moment before it, with real children and a program that is never executed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from dfproxy.errors import NotUpgraded
from dfproxy.workers.heritage import FRONT, VARIABLE, Command, Door, Left, Old, receive
from dfproxy.workers.succession import ANSWER_S, Proof, Succession, become, prove

PROVES = 'print(\'{"version": "9", "workers": 3, "services": ["a"]}\')'


def command(program: str) -> Command:
    return Command(sys.executable, (sys.executable, "-S", "-c", program), (), "/")


class ProofTests(TestCase):
    """
    The child.
    """

    @inlineCallbacks
    def test_proved(self) -> Generator[Deferred[Any], Any, None]:
        """
        The last line of what it prints is what it found; whatever it prints before is not.
        """
        proof = yield prove(reactor, command(f"print('hello'); {PROVES}"), {})
        self.assertEqual(proof, Proof("9", 3, services=("a",)))

    @inlineCallbacks
    def test_not_proved(self) -> Generator[Deferred[Any], Any, None]:
        """
        One that fails is quoted; one that says nothing sensible has proved nothing; a program that is not there fails
        too.
        """
        for program, words in (
            ("import sys; sys.exit('dfproxy: no such plugin')", "does not start: dfproxy: no such plugin"),
            ("raise ImportError('no module')", "ImportError: no module"),
            ("import os; os.kill(os.getpid(), 9)", "signal 9"),
            ("print('{}')", "proves nothing"),
            ("pass", "proves nothing"),
        ):
            error = yield self.assertFailure(prove(reactor, command(program), {}), NotUpgraded)
            self.assertIn(words, str(error))
            self.assertTrue(error.possible)
        missing = Command("/no/such/program", ("x",), (), "/")
        yield self.assertFailure(prove(reactor, missing, {}), NotUpgraded)

    @inlineCallbacks
    def test_late(self) -> Generator[Deferred[Any], Any, None]:
        """
        One that does not come to an end is killed.
        """
        self.patch(sys.modules["dfproxy.workers.succession"], "PROOF_S", 0.2)
        error = yield self.assertFailure(prove(reactor, command("import time; time.sleep(60)"), {}), NotUpgraded)
        self.assertIn("not up within", str(error))


class SuccessionTests(TestCase):
    """
    What follows.
    """

    def setUp(self) -> None:
        self.why = self.lost = ""
        self.events: list[str] = []
        self.refuse = False

    def succession(self, program: str | None = PROVES) -> Succession:
        def execute(path: str, words: list[str], environment: dict[str, str]) -> None:
            self.events.append("execute")
            self.words, self.environment = words, environment
            if self.refuse:
                raise OSError("no such file")

        def settle() -> Deferred[None]:
            self.events.append("settle")
            return succeed(None)

        return Succession(
            reactor,
            None if program is None else command(program),
            lambda: self.why,
            lambda proof: self.lost,
            settle,
            lambda: self.events.append("resume"),
            lambda chosen: Left(os.getpid(), "1", chosen),
            {"A": "b"},
            execute,
        )

    @inlineCallbacks
    def test_executed(self) -> Generator[Deferred[Any], Any, None]:
        """
        After the proof is told, what is under way may end, and then the same command is executed, with the number of
        workers that was asked for.
        """
        succession = self.succession()
        proof = yield succession.upgrade(3)
        self.assertEqual((proof.version, self.events), ("9", []))
        second = yield self.assertFailure(succession.upgrade(), NotUpgraded)
        self.assertEqual((str(second), second.possible), ("an upgrade is under way", False))
        yield deferLater(reactor, 3 * ANSWER_S)
        self.assertEqual(self.events[:2], ["settle", "execute"])
        self.assertEqual(self.words[-2:], ["--workers", "3"])
        self.assertEqual(self.environment["A"], "b")
        self.assertIn(VARIABLE, self.environment)

    @inlineCallbacks
    def test_goes_on(self) -> Generator[Deferred[Any], Any, None]:
        """
        When the program cannot be executed after all, everything goes on, and another try may be made.
        """
        succession, self.refuse = self.succession(), True
        yield succession.upgrade()
        yield deferLater(reactor, 3 * ANSWER_S)
        self.assertEqual(self.events, ["settle", "execute", "resume"])
        self.assertFalse(succession.under_way)

    @inlineCallbacks
    def test_refused(self) -> Generator[Deferred[Any], Any, None]:
        """
        What is not possible is not tried; a version that would lose something, or does not start, never takes over.
        """
        self.why = "it was told to end"
        for succession, why in ((self.succession(), self.why), (self.succession(None), self.why)):
            error = yield self.assertFailure(succession.upgrade(), NotUpgraded)
            self.assertEqual((str(error), error.possible), (why, False))
        self.why = ""
        error = yield self.assertFailure(self.succession(None).upgrade(), NotUpgraded)
        self.assertFalse(error.possible)
        self.lost = "the new version cannot take up a"
        succession = self.succession()
        error = yield self.assertFailure(succession.upgrade(), NotUpgraded)
        self.assertEqual((str(error), error.possible), (self.lost, True))
        self.assertFalse(succession.under_way)
        yield self.assertFailure(self.succession("raise SystemExit(1)").upgrade(), NotUpgraded)
        yield deferLater(reactor, 3 * ANSWER_S)
        self.assertEqual(self.events, [])


class BecomeTests(TestCase):
    """
    The last moment, with a stand-in for `execve` that looks around.
    """

    def test_handed_over(self) -> None:
        """
        The next program finds the sockets, the lock and the channels open and the list of them, is where the first
        one began, and no SIGHUP ends it. When it cannot be executed all of that is undone.
        """
        theirs, channel = os.pipe()
        with socket.create_server(("127.0.0.1", 0)) as opened:
            kept = (opened.fileno(), channel, theirs)
            door = Door(FRONT, "127.0.0.1", 0, opened.fileno())
            left = Left(os.getpid(), "1", command(PROVES), (door,), theirs, (Old(1, 2, channel),))
            hangup, folder = signal.getsignal(signal.SIGHUP), os.getcwd()

            def execute(path: str, words: list[str], environment: dict[str, str]) -> None:
                self.assertEqual([os.get_inheritable(each) for each in kept], [True] * 3)
                self.assertTrue(os.get_inheritable(int(environment[VARIABLE])))
                self.assertEqual((os.getcwd(), signal.getsignal(signal.SIGHUP)), ("/", signal.SIG_IGN))
                copy = os.dup(int(environment[VARIABLE]))
                found = receive({VARIABLE: str(copy)})
                self.assertEqual(found.left, left)
                for _, taken in found.doors:
                    taken.detach()
                raise OSError("cannot")

            self.assertRaises(OSError, become, command(PROVES), left, {}, execute)
            self.assertEqual([os.get_inheritable(each) for each in kept], [False] * 3)
            self.assertEqual((os.getcwd(), signal.getsignal(signal.SIGHUP)), (folder, hangup))
        os.close(theirs)
        os.close(channel)
