"""
Handshakes are counted by their outcome.
"""

from __future__ import annotations

import gc
import ssl

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.settings import Tls
from dfproxy.observe.clients import COUNTED, ClientCounts
from dfproxy.tls.handshakes import DROPPED_BYTES
from dfproxy.tls.store import CertificateStore
from tests.unit.tls.shaking import client_context, shake
from tests.unit.tls.test_store import certificate, change


class CountTests(SynchronousTestCase):
    """
    `counted_by`, by way of the store.
    """

    def setUp(self) -> None:
        self.counts = ClientCounts()
        self.store = CertificateStore(Tls(), counts=self.counts)
        change(self.store, certificate("a", "demo.test"))

    def counted(self) -> dict[str, int]:
        return {name: value for name, value in zip(COUNTED, self.counts.values(), strict=False) if value}

    def test_versions(self) -> None:
        """
        By version, each once.
        """
        shake(self.store.base, "demo.test")
        self.assertEqual(self.counted(), {"tls13": 1})
        for _ in range(2):
            shake(self.store.base, "demo.test", client_context(maximum_version=ssl.TLSVersion.TLSv1_2))
        self.assertEqual(self.counted(), {"tls13": 1, "tls12": 2})

    def test_refused(self) -> None:
        """
        What OpenSSL refuses is a failure, as is what is no TLS; the former by a name that is not known.
        """
        strict = CertificateStore(Tls(strict_sni=True), counts=self.counts)
        change(strict, certificate("a", "demo.test"))
        self.assertRaises(ssl.SSLError, shake, strict.base, "other.test")
        self.assertEqual(self.counted(), {"tls_refused": 1})
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = self.store.base.wrap_bio(incoming, outgoing, True)
        incoming.write(b"GET / HTTP/1.1\r\n\r\n")
        self.assertRaises(ssl.SSLError, session.do_handshake)
        del session
        self.assertEqual(self.counted(), {"tls_refused": 2})

    def test_told(self) -> None:
        """
        A client that is refused is told why; what it still sends is dropped, up to a limit, and counted once.
        """
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = self.store.base.wrap_bio(incoming, outgoing, True)
        old = client_context(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
        client = old.wrap_bio(outgoing, incoming, server_hostname="demo.test")
        self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
        self.assertRaises(ssl.SSLWantReadError, session.do_handshake)
        self.assertIn("ALERT_PROTOCOL_VERSION", str(self.assertRaises(ssl.SSLError, client.do_handshake).reason))
        for _ in range(DROPPED_BYTES // 1024):
            incoming.write(b"x" * 1024)
            self.assertRaises(ssl.SSLWantReadError, session.do_handshake)
            self.assertEqual(incoming.pending, 0)
        incoming.write(b"x")
        self.assertNotIsInstance(self.assertRaises(ssl.SSLError, session.do_handshake), ssl.SSLWantReadError)
        self.assertEqual(self.counted(), {"tls_refused": 1})

    def test_left(self) -> None:
        """
        A handshake that nobody goes on with is one that was left, once it is given up.
        """
        session = self.store.base.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), True)
        self.assertRaises(ssl.SSLWantReadError, session.do_handshake)
        self.assertEqual(self.counted(), {})
        del session
        gc.collect()  # the exception holds it, by its frames
        self.assertEqual(self.counted(), {"tls_left": 1})
