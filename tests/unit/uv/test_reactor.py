"""
Tests of the reactor itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import uvloop
from twisted.application.reactors import getReactorTypes
from twisted.internet import interfaces
from zope.interface.verify import verifyObject

from tests.unit.uv.running import UvTestCase

ROOT = Path(__file__).resolve().parents[3]


class ReactorTests(UvTestCase):
    """
    What is not TCP.
    """

    def test_interfaces(self) -> None:
        """
        It is a Twisted reactor, on a uvloop loop.
        """
        for name in ("Core", "Time", "TCP", "SSL", "UNIX", "UDP", "Socket", "FDSet", "Process", "Threads"):
            self.assertTrue(verifyObject(getattr(interfaces, f"IReactor{name}"), self.reactor), name)
        self.assertIsInstance(self.reactor.loop, uvloop.Loop)

    def test_plugin(self) -> None:
        """
        `--reactor uv` is known.
        """
        [uv] = [each for each in getReactorTypes() if each.shortName == "uv"]
        self.assertEqual(uv.moduleName, "dfproxy.uv.reactor")

    def test_errors_are_logged(self) -> None:
        """
        What goes wrong in the loop is in Twisted's log, with its traceback.
        """

        def fail() -> None:
            raise ValueError("in the loop")

        self.reactor.loop.call_soon(fail)
        self.turns(2)
        [failure] = self.flushLoggedErrors(ValueError)
        self.assertIn("in fail", failure.getTraceback())

    def test_timers(self) -> None:
        """
        callLater and callFromThread work.
        """
        happened: list[Any] = []
        self.reactor.callLater(0.001, happened.append, "later")
        self.reactor.callFromThread(happened.append, "thread")
        self.until(lambda: len(happened) == 2)

    def test_installed(self) -> None:
        """
        install() makes it the reactor of the process and its loop asyncio's; exits are noticed, also without a pipe
        that closes, and SIGTERM ends it.
        """
        program = """
import asyncio, os, signal, sys
from dfproxy.uv.reactor import install
install()
from twisted.internet import protocol, reactor
assert type(reactor).__name__ == "UvReactor" and asyncio.get_event_loop() is reactor.loop
class Child(protocol.ProcessProtocol):
    def processEnded(self, reason):
        print("child", reason.value.exitCode, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
reactor.callWhenRunning(reactor.spawnProcess, Child(), "/bin/sh", ["sh", "-c", "exit 3"], childFDs={})
reactor.addSystemEventTrigger("after", "shutdown", print, "stopped")
reactor.callLater(5, os._exit, 1)
reactor.run()
"""
        child = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        self.assertEqual((child.stdout, child.stderr, child.returncode), ("child 3\nstopped\n", "", 0))

    def test_nothing_of_ours(self) -> None:
        """
        The package stands by itself: importing it imports nothing else of dfproxy.
        """
        program = (
            "import sys, dfproxy.uv.reactor; "
            "print([name for name in sys.modules if name.startswith('dfproxy.') and not name.startswith('dfproxy.uv')])"
        )
        child = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
        )
        self.assertEqual(child.stdout, "[]\n")
