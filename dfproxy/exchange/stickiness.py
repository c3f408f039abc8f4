"""
Keeps a client at its server by a cookie.

The value names a place of the service, which stays with a server as long as that is there, or a digest of its address;
both are the same on all replicas of the proxy. The cookie stays between client and proxy.

Source: HAProxy `cookie NAME insert indirect`; DFP `sessionType=sticky-server`.
"""

from __future__ import annotations

from collections.abc import Callable

from dfproxy.interfaces import IRequest
from dfproxy.model.steps import Steps, cookie_name, cookie_value
from dfproxy.upstream.live import LiveBackend, LiveServer
from dfproxy.wire.h1 import RequestHead, ResponseHead
from dfproxy.wire.headers import without

Picking = Callable[[IRequest], "LiveServer | None"]


class Stickiness:
    """
    The cookie of one route.

    Args:
        steps: of the route; they have a cookie's name.
    """

    __slots__ = ("_cookie", "_steps")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._cookie = cookie_name(steps.sticky).encode()

    def value(self, server: LiveServer) -> bytes:
        """
        What the cookie of this server's clients has.
        """
        return cookie_value(self._steps, server.host, server.port, server.place).encode()

    def take(self, request: RequestHead) -> bytes:
        """
        The client's cookie, which the server does not get to see; empty if there is none.
        """
        found = b""
        lines = request.values(b"cookie")
        if not any(self._cookie in line for line in lines):
            return found
        kept = []
        for line in lines:
            pairs = []
            for pair in line.split(b";"):
                name, equals, value = pair.partition(b"=")
                if equals and name.strip(b" \t") == self._cookie:
                    found = found or value.strip(b' \t"')
                else:
                    pairs.append(pair.strip(b" \t"))
            if pairs:
                kept.append(b"Cookie: %b\r\n" % b"; ".join(pairs))
        section = request.section
        request.kept = without(request.kept, b"cookie") + b"".join(kept)
        request.section = request.kept if section is request.kept else without(section, b"cookie") + b"".join(kept)
        return found

    def server(self, backend: LiveBackend, value: bytes) -> LiveServer | None:
        """
        The server of this cookie, if it may be used now.
        """
        if not value:
            return None
        for server in (*backend.usable, *backend.bound):
            if self.value(server) == value:
                return server
        return None

    def give(self, head: ResponseHead, server: LiveServer, value: bytes) -> None:
        """
        Put the cookie into an answer, unless the client has the right one already; a server's own of that name goes.
        """
        mine = b"\n" + b"set-cookie:"
        if mine in b"\n" + head.kept.lower():
            head.kept = b"".join(line + b"\r\n" for line in head.kept.split(b"\r\n")[:-1] if not self._is_ours(line))
        right = self.value(server)
        if right != value:
            head.kept += b"Set-Cookie: %b=%b; path=/\r\n" % (self._cookie, right)

    def _is_ours(self, line: bytes) -> bool:
        name, _, rest = line.partition(b":")
        return name.lower() == b"set-cookie" and rest.strip(b" \t").partition(b"=")[0].strip(b" \t") == self._cookie


def picking(pick: Picking) -> Picking:
    """
    The balancer's choice, unless the request has a server of its own.
    """

    def choose(request: IRequest) -> LiveServer | None:
        wanted: LiveServer | None = getattr(request, "sticky", None)
        if wanted is not None and (wanted in wanted.backend.usable or wanted in wanted.backend.bound):
            return wanted
        return pick(request)

    return choose
