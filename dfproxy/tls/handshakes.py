"""
Counts handshakes with clients by their outcome, where they happen: whoever accepts is told of those that succeed only.

Source: HAProxy counts `ssl_failed_handshake`; CPython `SSLContext.sslobject_class`.
"""

from __future__ import annotations

import ssl
from typing import Any

from dfproxy.observe.clients import ClientCounts


def counted_by(counts: ClientCounts) -> type[ssl.SSLObject]:
    """
    The class of connections whose handshakes are counted; for `SSLContext.sslobject_class`.
    """

    class Counted(ssl.SSLObject):
        undecided = False

        def do_handshake(self) -> None:
            self.undecided = True
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except Exception:
                self.undecided = False
                counts.tls_refused += 1
                raise
            self.undecided = False
            counts.handshaken(self.version(), bool(self.session_reused))

        def __del__(self, _counts: Any = counts) -> None:
            if self.undecided:
                _counts.tls_left += 1

    return Counted
