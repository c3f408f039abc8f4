"""
What is under way when something goes: all when the process ends, and what is at one server when that is withdrawn.

Requests have some time, tunnels their own, longer one; then they are cut, and the log says how many.

Source: HAProxy `hard-stop-after`, `grace`; Docker's `stop_grace_period`.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.site import ProxySite
from dfproxy.upstream.live import LiveServer

log = Logger()

LOOK_S = 0.1
"""
How often it is looked whether everything has ended, in seconds.
"""

TELL_S = 15.0
"""
How often the log says what is still waited for, in seconds.
"""


class Draining:
    """
    What is under way in one process, and the time it has.

    Args:
        traffic: what its exchanges share; its limits say how long.
        site: whose connections they are.
    """

    def __init__(self, traffic: Traffic, site: ProxySite) -> None:
        self._traffic = traffic
        self._site = site

    # --- the process ends

    def everything(self, deadline_s: float) -> Deferred[None]:
        """
        Let all end; accepting has stopped already.

        Args:
            deadline_s: requests that are still under way after so many seconds are cut. Tunnels have
                `limits.tunnel_drain_s` if that is longer.

        Returns:
            Deferred: None when nothing is open any more.
        """
        traffic, site = self._traffic, self._site
        traffic.closing = True
        site.close_idle()
        done: Deferred[None] = Deferred()
        until = traffic.clock.seconds() + deadline_s
        tunnels_until = max(until, traffic.clock.seconds() + traffic.limits.tunnel_drain_s)
        tell_at, cut = 0.0, False

        def look() -> None:
            nonlocal tell_at, cut
            site.close_idle()
            now, tunnels = traffic.clock.seconds(), site.tunnels()
            requests = len(site.sessions_open) - tunnels
            if tunnels and now < tunnels_until or requests and now < until:
                late = now >= until
                if late:
                    site.abort_requests()
                if now >= tell_at or late and not cut:
                    tell_at, cut = now + TELL_S, late
                    _tell(0 if late else requests, until - now, tunnels, tunnels_until - now)
                return
            site.abort_all()
            looking.stop()
            traffic.deadlines.stop()
            done.callback(None)

        looking = LoopingCall(look)
        looking.clock = traffic.clock
        looking.start(LOOK_S, now=False)
        return done

    # --- a server goes

    def withdrawn(self, server: LiveServer) -> None:
        """
        A server gets nothing new any more: what is under way there has its time from now on.
        """
        if server.in_flight:
            limits, clock = self._traffic.limits, self._traffic.clock
            clock.callLater(limits.drain_s, self._cut, server, False)
            clock.callLater(max(limits.drain_s, limits.tunnel_drain_s), self._cut, server, True)

    def _cut(self, server: LiveServer, tunnels: bool) -> None:
        if server.present or not server.in_flight:
            return
        count = self._site.withdraw(server, tunnels)
        if count:
            log.info(
                "{count} {what} at {server} ({host}:{port}), which is not there any more, had no more time: cut",
                count=count,
                what="connections" if tunnels else "requests",
                server=server.name,
                host=server.host,
                port=server.port,
            )


def _tell(requests: int, requests_s: float, tunnels: int, tunnels_s: float) -> None:
    said = [f"{requests} connections with requests, at most {round(requests_s)} s more"] if requests else []
    said += [f"{tunnels} tunnels, at most {round(tunnels_s)} s more"] if tunnels else []
    log.info("waiting for {what}", what=" and for ".join(said))
