"""
What is known of a connection with TLS.
"""

from __future__ import annotations

import ssl
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.secure import SecureFrontend, SecureSite, facts_of, subject_of
from dfproxy.model.connection import TlsFacts
from dfproxy.model.settings import Tls
from dfproxy.tls.context import load
from dfproxy.tls.pem import read_bundle
from dfproxy.tls.store import CertificateStore
from tests.certificates import START, known
from tests.unit.tls.shaking import client_context


def der(pair: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


class SubjectTests(SynchronousTestCase):
    def test_names(self) -> None:
        """
        The subject as OpenSSL writes it in a line, with its names of attributes, in the order of the certificate.
        """
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme/Ltd"),
                x509.NameAttribute(NameOID.COMMON_NAME, "x\r\ny"),
                x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b.test"),
            ]
        )
        _, key = known("demo.test").parts
        certificate = x509.CertificateBuilder(subject, subject, key.public_key(), 1, START, START).sign(key, SHA256())
        self.assertEqual(
            subject_of(certificate.public_bytes(Encoding.DER)),
            "/C=FR/O=Acme/Ltd/CN=x\\x0d\\x0ay/emailAddress=a@b.test",
        )

    def test_unreadable(self) -> None:
        """
        What cannot be read has no subject.
        """
        self.assertEqual(subject_of(b"rubbish"), "")


class FactsTests(SynchronousTestCase):
    def shaken(self, client: ssl.SSLContext, name: str | None) -> ssl.SSLObject:
        """
        Our side of a handshake.
        """
        authority = known("client")
        store = CertificateStore(Tls(ca_file="ca", client_ca=authority.certificate.decode()))
        staged = store.stage([read_bundle("a", "folder", known("demo.test").bundle)])
        for _ in staged.steps():
            pass
        store.commit(staged)
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = store.base.wrap_bio(up, down, server_side=True)
        theirs = client.wrap_bio(down, up, server_hostname=name)
        for side in (theirs, ours, theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        return ours

    def test_facts(self) -> None:
        """
        The name that was asked for, and the client's certificate with its subject.
        """
        client = client_context()
        load(client, [read_bundle("c", "folder", known("client").bundle)])
        facts = facts_of(SimpleNamespace(getHandle=lambda: self.shaken(client, "www.demo.test")))
        self.assertEqual(facts.cipher[:4], "TLS_")
        self.assertEqual(
            replace(facts, cipher=""), TlsFacts("www.demo.test", der(known("client")), "/CN=client", version="TLSv1.3")
        )

    def test_nothing_shown(self) -> None:
        """
        A client may show and ask for nothing.
        """
        facts = facts_of(SimpleNamespace(getHandle=lambda: self.shaken(client_context(), None)))
        self.assertEqual((facts.server_name, facts.certificate, facts.subject), ("", b"", ""))

    def test_other_transports(self) -> None:
        """
        Of a transport without such a handle nothing is known.
        """
        for transport in (StringTransport(), SimpleNamespace(getHandle=lambda: None), None):
            self.assertEqual(facts_of(transport), TlsFacts())


class SiteTests(SynchronousTestCase):
    """
    Sessions with TLS.
    """

    def setUp(self) -> None:
        self.asked: list[TlsFacts] = []
        self.session: Any = SimpleNamespace(secure=False)
        self.site: Any = SimpleNamespace(
            traffic=object(),
            resource=SimpleNamespace(exchange=lambda session, request: self.asked.append(request.tls)),
            session=lambda frontend: self.session,
        )

    def test_requests_are_told(self) -> None:
        """
        Each request has what is known of its connection, which is looked at once.
        """
        looks: list[int] = []
        transport = SimpleNamespace(getHandle=lambda: looks.append(1))
        frontend = SecureFrontend(self.site)
        for _ in range(2):
            frontend.exchange(SimpleNamespace(transport=transport), SimpleNamespace())  # type: ignore[arg-type]  # by shape
        self.assertEqual((self.asked, looks), ([TlsFacts(), TlsFacts()], [1]))

    def test_sessions_know(self) -> None:
        """
        A session of a listener with TLS knows that it is one; above the limit there is none.
        """
        site = SecureSite(self.site)
        self.assertTrue(site.buildProtocol(None).secure)
        self.session = None
        self.assertIsNone(site.buildProtocol(None))
