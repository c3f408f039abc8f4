"""
What else is counted of clients' connections.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.observe.clients import ClientCounts, measures
from dfproxy.observe.metrics import FIELDS


class CountsTests(SynchronousTestCase):
    """
    `ClientCounts` and its measures.
    """

    def test_handshakes(self) -> None:
        """
        Each handshake is counted once, by version and whether a session was resumed.
        """
        counts = ClientCounts()
        for version in ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", None):
            for resumed in (False, True):
                counts.handshaken(version, resumed)
        values = counts.values()
        self.assertEqual(len(values), len(FIELDS))
        shown = {f"{each.name}{labels}": value for each in measures(values) for labels, value in each.samples}
        start = "dfproxy_tls_handshakes_total"
        self.assertEqual(shown.pop(f'{start}{{version="older",resumed="any"}}'), 6)
        self.assertEqual(
            {name for name, value in shown.items() if value == 1},
            {f'{start}{{version="{v}",resumed="{r}"}}' for v in ("1.2", "1.3") for r in ("yes", "no")},
        )

    def test_others(self) -> None:
        """
        Failures by reason, and HTTP/2, under their names.
        """
        counts = ClientCounts()
        counts.tls_refused, counts.tls_left = 1, 2
        counts.http2_open, counts.http2_connections, counts.http2_streams = 3, 4, 5
        shown = {f"{each.name}{labels}": value for each in measures(counts.values()) for labels, value in each.samples}
        self.assertEqual(
            {name: value for name, value in shown.items() if value},
            {
                'dfproxy_tls_handshakes_failed_total{reason="refused"}': 1,
                'dfproxy_tls_handshakes_failed_total{reason="left"}': 2,
                "dfproxy_http2_connections": 3,
                "dfproxy_http2_connections_total": 4,
                "dfproxy_http2_streams_total": 5,
            },
        )
