"""
A start that serves nothing: does this version, with these options, take up what is in force?

Runs beside the leader that serves, in a process of its own (`--check-start`): everything is built, what is in the
journal is read, and one real worker loads it. No address is bound, no lock taken, no file written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
from twisted.python.failure import Failure

from dfproxy.daemon.proxy import ProxyService
from dfproxy.errors import NotReady
from dfproxy.model.settings import Settings
from dfproxy.workers.succession import Proof


def rehearse(settings: Settings, again: Callable[[], Settings] | None = None) -> str:
    """
    Start, look, end. Runs the reactor, which can be done once in a process.

    Args:
        settings: as for a start.
        again: as of `dfproxy.daemon.proxy.make_service`.

    Returns:
        A `Proof` as JSON, in one line.

    Raises:
        DfproxyError: it would not start; the text says why.
    """
    from twisted.internet import reactor  # noqa: TID251  chosen by now, as twistd does

    alone = replace(
        settings,
        workers=min(settings.workers, 1),
        listeners=(),
        addresses=(),
        statistics=replace(settings.statistics, listeners=()) if settings.statistics else None,
        access_log="",
        config_text="",
    )
    service = ProxyService(alone, reactor, None, again)
    results: list[Proof | Failure] = []
    runs: Any = reactor

    def over(result: Proof | Failure) -> None:
        results.append(result)
        runs.stop()

    runs.callWhenRunning(lambda: service.rehearse(settings.workers).addBoth(over))
    runs.run()
    if not results:
        raise NotReady("it was told to end")
    found = results[0]
    if isinstance(found, Failure):
        found.raiseException()
    return msgspec.json.encode(found).decode()
