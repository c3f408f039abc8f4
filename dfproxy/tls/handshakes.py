"""
Handshakes with clients, where they happen: counted by their outcome, and who is refused is told why.

Whoever accepts hears of those that succeed only, and uvloop closes at once when one fails: the alert, which OpenSSL has
written by then, would never leave. So a refused handshake looks unfinished until the client has gone; what it still
sends is dropped. The time limit of handshakes counts on.

Source: HAProxy counts `ssl_failed_handshake`; RFC 8446 6.2 (alerts); CPython `SSLContext.sslobject_class`, uvloop 0.23
`SSLProtocol._do_handshake`.
"""

from __future__ import annotations

import ssl
from typing import Any

from dfproxy.observe.clients import ClientCounts

DROPPED_BYTES = 65536
"""
What a client may send after it was refused before its connection is closed without waiting for it.
"""


class Telling(ssl.SSLContext):
    """
    A context whose connections (`counted_by`) know what is written to their clients.
    """

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *further: Any, **named: Any) -> ssl.SSLObject:
        """
        As every context.
        """
        session: Any = super().wrap_bio(incoming, outgoing, *further, **named)
        session.between = incoming, outgoing
        return session  # type: ignore[no-any-return]  # it is what `super` gave


def counted_by(counts: ClientCounts) -> type[ssl.SSLObject]:
    """
    The class of connections whose handshakes are counted; for `SSLContext.sslobject_class`.
    """

    class Counted(ssl.SSLObject):
        between: tuple[ssl.MemoryBIO, ssl.MemoryBIO] | None = None
        undecided = False
        refused: ssl.SSLError | None = None
        dropped = 0

        def do_handshake(self) -> None:
            if self.refused is not None:
                self.wait_for_its_end(self.refused)
            self.undecided = True
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except Exception as error:
                self.undecided = False
                counts.tls_refused += 1
                if isinstance(error, ssl.SSLError) and self.between is not None and self.between[1].pending:
                    self.refused = error.with_traceback(None)  # the traceback holds us
                    raise ssl.SSLWantReadError("the client is told that it is refused") from None
                raise
            self.undecided = False
            self.between = None
            counts.handshaken(self.version(), bool(self.session_reused))

        def wait_for_its_end(self, refused: ssl.SSLError) -> None:
            assert self.between is not None
            self.dropped += len(self.between[0].read())
            raise refused if self.dropped > DROPPED_BYTES else ssl.SSLWantReadError("its end is awaited")

        def __del__(self, _counts: Any = counts) -> None:
            if self.undecided:
                _counts.tls_left += 1

    return Counted
