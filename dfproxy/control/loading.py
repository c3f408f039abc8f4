"""
Certificates of a change made ready, a few at a time: a thousand take half a second, and requests go on meanwhile.

In a change of some certificates one that cannot be loaded refuses it; when everything is loaded (start, new worker) it
is left out and reported, so that one bad file never keeps the others from serving.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from dfproxy.errors import Refused
from dfproxy.model.snapshot import Change
from dfproxy.tls.store import BadCertificate, CertificateStore, Staged

log = Logger()

STEP_S = 0.004
"""
How long certificates are loaded in one go, in seconds, before others get their turn.
"""


class Loading:
    """
    The certificates of one change.

    Args:
        store: where they will be put.
        clock: `IReactorTime`.
        change: what is wanted.
        unusable: why none can be used in this process; empty: they can.
    """

    def __init__(self, store: CertificateStore, clock: IReactorTime, change: Change, unusable: str = "") -> None:
        self._store = store
        self._clock = clock
        self._change = change
        self._unusable = unusable
        self._done: Deferred[Staged] = Deferred()
        self._later: IDelayedCall | None = None
        self._staged: Staged
        self._steps: Iterator[None]

    def start(self) -> Deferred[Staged]:
        """
        Load them.

        Returns:
            Deferred: what `CertificateStore.commit` takes; at once if it is quick. Fails with `Refused`.
        """
        change = self._change
        wanted = change.certificates
        if wanted and self._unusable:
            if not change.whole:
                self._done.errback(Refused(self._unusable))
                return self._done
            log.error("{count} certificates are not used: {reason}", count=len(wanted), reason=self._unusable)
            wanted = ()
        self._stage(self._store.stage(wanted, change.removed_certificates, change.whole))
        self._go_on()
        return self._done

    def give_up(self) -> None:
        """
        Nobody wants them any more; the Deferred never fires if it has not yet.
        """
        if self._later is not None and self._later.active():
            self._later.cancel()

    def _stage(self, staged: Staged) -> None:
        self._staged = staged
        self._steps = staged.steps()

    def _go_on(self) -> None:
        until = self._clock.seconds() + STEP_S
        try:
            for _ in self._steps:
                if self._clock.seconds() >= until:
                    self._later = self._clock.callLater(0, self._go_on)
                    return
        except BadCertificate as error:
            if not self._change.whole:
                self._done.errback(Refused(str(error)))
                return
            log.error("a certificate is left out: {reason}", reason=str(error))
            made = self._staged.contexts
            left = [each for each in self._staged.held.values() if each.identity != error.identity]
            self._stage(self._store.stage(left, whole=True))
            self._staged.contexts.update(made)  # not made again; commit throws away what nobody uses
            self._later = self._clock.callLater(0, self._go_on)
            return
        self._done.callback(self._staged)
