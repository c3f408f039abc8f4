"""
Loading certificates beside what runs.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.loading import STEP_S, Loading
from dfproxy.errors import Refused
from dfproxy.model.certificate import Certificate
from dfproxy.model.settings import Tls
from dfproxy.model.snapshot import Change, Revision
from dfproxy.tls.pem import read_bundle
from dfproxy.tls.store import CertificateStore, Staged
from tests.certificates import known, make


def certificate(name: str, bits: int = 0) -> Certificate:
    pair = make(name, kind="rsa", bits=bits) if bits else known(name)
    return read_bundle(name, "folder", pair.bundle)


class Slow(Clock):
    """
    Time passes with each look at it: half of a step's.
    """

    def seconds(self) -> float:
        self.rightNow += STEP_S / 2
        return super().seconds()


class LoadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = CertificateStore(Tls())

    def load(self, change: Change, clock: Clock | None = None, unusable: str = "") -> Deferred[Staged]:
        self.loading = Loading(self.store, clock or Clock(), change, unusable)
        return self.loading.start()

    def test_at_once(self) -> None:
        """
        A few are ready at once.
        """
        change = Change(Revision(1), certificates=(certificate("a.test"), certificate("b.test")))
        self.store.commit(self.successResultOf(self.load(change)))
        self.assertEqual(set(self.store.names.contexts), {"a.test", "b.test"})

    def test_piece_by_piece(self) -> None:
        """
        Many are loaded in pieces, and others get their turn between them.
        """
        clock = Slow()
        change = Change(Revision(1), certificates=tuple(certificate(f"{n}.test") for n in range(5)))
        done = self.load(change, clock)
        self.assertFalse(done.called)
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        clock.advance(0)
        self.assertEqual(len(self.successResultOf(done).held), 5)

    def test_refused(self) -> None:
        """
        One that cannot be loaded refuses the change, by its file.
        """
        change = Change(Revision(1), certificates=(certificate("a.test"), certificate("weak.test", 1024)))
        failure = self.failureResultOf(self.load(change), Refused)
        self.assertIn("weak.test: OpenSSL", failure.getErrorMessage())

    def test_left_out(self) -> None:
        """
        When everything is loaded, one that cannot be is left out and the others serve.
        """
        clock = Clock()
        bad = certificate("weak.test", 1024)
        done = self.load(Change(Revision(1), whole=True, certificates=(certificate("a.test"), bad)), clock)
        clock.advance(0)
        self.assertEqual(set(self.successResultOf(done).held), {"folder/a.test"})

    def test_unusable(self) -> None:
        """
        Where none can be used a change is refused with the reason, and a start goes on without.
        """
        change = Change(Revision(1), certificates=(certificate("a.test"),))
        self.failureResultOf(self.load(change, unusable="no TLS here"), Refused)
        whole = Change(Revision(1), whole=True, certificates=(certificate("a.test"),))
        self.assertEqual(self.successResultOf(self.load(whole, unusable="no TLS here")).held, {})

    def test_given_up(self) -> None:
        """
        A change that is aborted loads no further.
        """
        clock = Slow()
        done = self.load(Change(Revision(1), certificates=tuple(certificate(f"{n}.test") for n in range(5))), clock)
        self.assertFalse(done.called)
        self.loading.give_up()
        self.assertEqual(clock.getDelayedCalls(), [])
