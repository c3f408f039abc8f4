"""
Twisted's own reverse proxy as it is, to compare with: `python -m bench.stock PORT BACKEND_PORT`.
"""

from __future__ import annotations

import sys
from typing import Any


def main(port: str, backend: str) -> None:
    """
    Serve until the process is ended.
    """
    from twisted.internet import reactor as installed
    from twisted.web import proxy, server

    # Twisted types neither its reactor's TCP side nor twisted.web.
    reactor: Any = installed
    web: Any = server
    resource: Any = proxy.ReverseProxyResource
    reactor.listenTCP(int(port), web.Site(resource("127.0.0.1", int(backend), b"")), interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
