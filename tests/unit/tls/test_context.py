"""
What contexts allow, and that they ask for client certificates.
"""

from __future__ import annotations

import ssl

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidCertificate, InvalidSettings
from dfproxy.model.settings import Tls
from dfproxy.tls.context import load, make_context
from dfproxy.tls.pem import read_bundle
from tests.certificates import known, make
from tests.unit.tls.shaking import client_context, shake


def serving(tls: Tls = Tls(), *kinds: str) -> ssl.SSLContext:  # noqa: B008  frozen
    context = make_context(tls, ("http/1.1",))
    load(context, [read_bundle(kind, "folder", known("demo.test", kind=kind).bundle) for kind in kinds or ("ec",)])
    return context


class VersionTests(SynchronousTestCase):
    """
    Versions and ciphers.
    """

    def test_old_versions_are_refused(self) -> None:
        """
        By default nothing below TLS 1.2 is spoken.
        """
        client = client_context(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        client.set_ciphers("ALL:@SECLEVEL=0")
        self.assertRaises(ssl.SSLError, shake, serving(), None, client)

    def test_lowest_version(self) -> None:
        """
        `ssl-min-ver TLSv1.3` refuses TLS 1.2.
        """
        old = client_context(maximum_version=ssl.TLSVersion.TLSv1_2)
        self.assertEqual(shake(serving(), None, old).version, "TLSv1.2")
        self.assertRaises(ssl.SSLError, shake, serving(Tls(min_version="TLSv1.3")), None, old)

    def test_highest_version(self) -> None:
        """
        `ssl-max-ver TLSv1.2` keeps to TLS 1.2.
        """
        self.assertEqual(shake(serving(Tls(max_version="TLSv1.2"))).version, "TLSv1.2")

    def test_ciphers(self) -> None:
        """
        The operator's ciphers are the only ones.
        """
        tls = Tls(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384", max_version="TLSv1.2")
        self.assertEqual(shake(serving(tls)).cipher, "ECDHE-ECDSA-AES256-GCM-SHA384")

    def test_unknown_ciphers(self) -> None:
        """
        Ciphers that do not exist are a problem at start, which names the option.
        """
        error = self.assertRaises(InvalidSettings, make_context, Tls(ciphers="NONSENSE"), ())
        self.assertEqual(error.problems[0].parameter, "--ssl-bind-ciphers")

    def test_curve(self) -> None:
        """
        A curve is taken; an unknown one is a problem at start.
        """
        self.assertEqual(shake(serving(Tls(curve="secp384r1"))).name, "demo.test")
        self.assertRaises(InvalidSettings, make_context, Tls(curve="nonsense"), ())

    def test_no_tickets(self) -> None:
        """
        Without tickets none are sent.
        """
        context = make_context(Tls(tickets=False), ())
        self.assertTrue(context.options & ssl.OP_NO_TICKET)
        self.assertEqual(context.num_tickets, 0)

    def test_protocols(self) -> None:
        """
        The protocols given are offered.
        """
        client = client_context()
        client.set_alpn_protocols(["h2", "http/1.1"])
        self.assertEqual(shake(serving(), None, client).protocol, "http/1.1")
        self.assertIsNone(shake(serving()).protocol)


class CertificateTests(SynchronousTestCase):
    """
    Certificates of a context.
    """

    def test_each_kind(self) -> None:
        """
        With one certificate of each kind a client gets the one that it understands.
        """
        server = serving(Tls(max_version="TLSv1.2"), "ec", "rsa")
        for cipher in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
            client = client_context()
            client.set_ciphers(cipher)
            self.assertEqual(shake(server, None, client).cipher, cipher)

    def test_weak_key(self) -> None:
        """
        A key that OpenSSL finds too short is refused with its reason.
        """
        weak = read_bundle("x", "folder", make("weak.test", kind="rsa", bits=1024).bundle)
        error = self.assertRaises(InvalidCertificate, load, make_context(Tls(), ()), [weak])
        self.assertIn("ee key too small", str(error))


class ClientCertificateTests(SynchronousTestCase):
    """
    With `CA_FILE` client certificates are asked for, optional, and checked.
    """

    def setUp(self) -> None:
        authority = make(common_name="CA", authority=True)
        self.server = serving(Tls(ca_file="ca.pem", client_ca=authority.certificate.decode()))
        self.known = read_bundle("c", "folder", make("client", signer=authority).bundle)

    def test_good(self) -> None:
        """
        One of that authority is accepted, and the server knows it.
        """
        client = client_context()
        load(client, [self.known])
        self.assertIsNotNone(shake(self.server, None, client).client_certificate)

    def test_none(self) -> None:
        """
        A client without certificate is let in.
        """
        self.assertIsNone(shake(self.server).client_certificate)

    def test_foreign(self) -> None:
        """
        One of another authority fails the handshake.
        """
        client = client_context()
        load(client, [read_bundle("c", "folder", known("stranger").bundle)])
        self.assertRaises(ssl.SSLError, shake, self.server, None, client)

    def test_no_authority(self) -> None:
        """
        A file without certificates is a problem at start, which names the option.
        """
        error = self.assertRaises(InvalidSettings, make_context, Tls(ca_file="ca.pem", client_ca="nothing"), ())
        self.assertEqual(error.problems[0].parameter, "--ca-file")
