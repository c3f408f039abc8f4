"""
The data plane of a worker alone in a process, on the uv reactor, to be asked what its transports are.

    python -m tests.e2e.lone_plane SERVER_PORT

Serves one route to that server. Prints its port; answers each line on standard input with the answer to that query,
as JSON; ends with its standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from twisted.protocols.basic import LineOnlyReceiver

from dfproxy.uv import reactor as uv


class Questions(LineOnlyReceiver):
    """
    Standard input and output.
    """

    delimiter = b"\n"

    def __init__(self, plane: Any, stop: Callable[[], None]) -> None:
        self._plane = plane
        self._stop = stop

    def lineReceived(self, line: bytes) -> None:
        asked = self._plane.query(line.decode(), None)
        asked.addCallback(lambda values: self.sendLine(json.dumps(values[0]).encode()))

    def connectionLost(self, reason: Any = None) -> None:
        self._stop()


def main(server_port: str) -> None:
    """
    Serve.
    """
    uv.install()
    # Only now: these import the reactor, and it has to be the one just installed.
    from twisted.internet import reactor
    from twisted.internet.stdio import StandardIO

    from dfproxy.frontend.listeners import Listeners
    from dfproxy.model.listener import Listener
    from dfproxy.model.match import Match
    from dfproxy.model.service import Destination, Service
    from dfproxy.model.settings import Settings
    from dfproxy.model.snapshot import Change, Membership, Revision, ServerAddress
    from dfproxy.service import make_data_plane

    listener = Listener("127.0.0.1", 0)
    plane = make_data_plane(Settings(listeners=(listener,)), reactor, None)
    service = Service("a", "a", (Destination(0, int(server_port), Match(), "127.0.0.1", "a"),))
    servers = Membership("a", 0, 1, (ServerAddress("127.0.0.1", int(server_port)),))
    plane.prepare(Change(Revision(1, ""), (service,), memberships=(servers,)))
    plane.commit(Revision(1, ""))
    port = Listeners(reactor, plane.site).bind(listener)
    sys.stdout.write(f"{port.getHost().port}\n")
    sys.stdout.flush()
    StandardIO(Questions(plane, reactor.stop))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
