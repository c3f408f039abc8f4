"""
A port where the statistics are alone: every other request there is answered 503.

Its sessions are those of the site: they end, drain and are counted like all others.

Source: DFP `STATS_PORT`; contract 9.1.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from dfproxy.exchange.downstream import Downstream
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.statistics import StatisticsPage
from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.http1 import Http1Session, Session
from dfproxy.frontend.site import ProxySite
from dfproxy.wire.h1 import RequestHead


class StatisticsSite(Factory):
    """
    The factory of that port, the frontend of its sessions, and the resource that they ask for exchanges.

    Args:
        site: whose sessions they are.
        page: the statistics.
    """

    noisy = False

    def __init__(self, site: ProxySite, page: StatisticsPage) -> None:
        self._site = site
        self._page = page
        self.resource: StatisticsSite = self
        self.traffic: Traffic = site.traffic

    def buildProtocol(self, addr: IAddress | None) -> Any:  # as `ProxySite.buildProtocol`
        return self._site.session(self)

    def exchange(self, downstream: Downstream, request: RequestHead) -> Exchange | None:
        """
        As `ReverseProxyResource.exchange`.
        """
        return self._page.exchange(self.traffic, downstream, request) if self._page.wanted(request) else None

    def speaks_http2(self, session: Http1Session, data: bytes) -> bool:
        """
        See `dfproxy.frontend.http1.Frontend`.
        """
        return self._site.speaks_http2(session, data, self)

    def session_over(self, session: Session) -> None:
        """
        See `dfproxy.frontend.http1.Frontend`.
        """
        self._site.session_over(session)
