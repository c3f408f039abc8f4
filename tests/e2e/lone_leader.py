"""
A leader in a process of its own, to be killed: says its port and the pids of its workers, and waits.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import reactor

from dfproxy.model.listener import Listener
from dfproxy.model.settings import Limits, Settings
from dfproxy.workers.leader import WorkerSet


def main() -> None:
    """
    Run until killed.
    """
    settings = Settings(workers=2, listeners=(Listener("127.0.0.1", 0),), limits=Limits(drain_s=3.0))
    workers = WorkerSet(reactor, settings)

    def started(_: Any) -> None:
        ((_, port),) = workers.slots.addresses()
        sys.stdout.write(json.dumps({"port": port, "pids": workers.pids()}) + "\n")
        sys.stdout.flush()

    reactor.callWhenRunning(lambda: workers.start().addCallback(started))
    reactor.run()


if __name__ == "__main__":
    main()
