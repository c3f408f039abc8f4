"""
Twisted's own reactor conformance suites, run on the uv reactor.

They are what Twisted holds its own reactors to. A few look into Twisted's own transports instead of at the interfaces;
these are skipped, each with its reason; `tests/uv/behaviour.py` says the same by what can be seen from outside.

`SUITES=tcp,tls` in the environment runs only some.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.trial.unittest import SkipTest

SUITES = "core,time,threads,fdset,sigchld,stdio,udp,newtls,tls,unix,tcp,process"

TIMEOUT_S = 5
"""A suite's test that needs longer has lost an event; most take milliseconds."""

NO_LOG_CONTEXT = "looks at the log context of each received piece; entering it would cost more than the piece"
CACHED = "replaces dataReceived of a connected protocol; uvloop keeps the one it was given, that is the point"

SKIPPED = {
    "AdoptStreamConnectionTestsBuilder.*": "closes the socket object of a transport; uvloop shows one that cannot be "
    "closed. tests/uv/behaviour.py adopts a connection that was accepted elsewhere",
    "*.test_logPrefix": NO_LOG_CONTEXT,
    "TCPTransportTestsBuilder.test_writeSequeceWithoutWrite": CACHED,
    "TCPTransportTestsBuilder.test_writeSequenceWithUnicodeRaisesException": "wants Twisted's words; it is a TypeError",
    "TCPTransportTestsBuilder.test_streamingProducer": "sets bufferSize and expects a pause the kernel did not ask "
    "for; behaviour.py has a producer paused and resumed by a slow reader",
    "TCPConnectionTestsBuilder.test_resumeProducing": "expects the transport among the reactor's own readers",
    "*.test_changeUID": "as root it starts Python as another user, who may not read it; on epoll too",
    "TCP6ClientTestsBuilder.test_connectPortUnderflow": "wants getnameinfo's words; an OverflowError refuses it",
}
"""Class and test (`*` is any) to the reason why it is not run."""


def reason_to_skip(case: str, test: str) -> str:
    """
    Why a test of a suite is not run; "" when it is.
    """
    for name in (f"{case}.{test}", f"{case}.*", f"*.{test}"):
        if name in SKIPPED:
            return SKIPPED[name]
    return ""


def skipping(reason: str) -> Callable[[Any], None]:
    """
    Make a test that is skipped.
    """

    def skipped(self: Any) -> None:
        raise SkipTest(reason)

    return skipped


def take_suite(suite: str) -> None:
    """
    Put the classes that a suite generates for the uv reactor into this module, where trial finds them.
    """
    module = importlib.import_module(f"twisted.internet.test.test_{suite}")
    for name, case in list(vars(module).items()):
        if not name.endswith("_UVTests"):
            continue
        case.__module__ = __name__
        case.timeout = TIMEOUT_S
        for test in dir(case):
            reason = reason_to_skip(name.removesuffix("_UVTests"), test) if test.startswith("test") else ""
            if reason:
                setattr(case, test, skipping(reason))
        globals()[name] = case


# Before the suites are imported: they generate a class for each reactor named here.
ReactorBuilder._reactors = ["tests.uv.building.UV"]
for each in os.environ.get("SUITES", SUITES).split(","):
    take_suite(each)
