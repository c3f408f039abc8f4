"""
Bundles: what is read of them, and why some cannot serve.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidCertificate
from dfproxy.model.certificate import Certificate
from dfproxy.tls.pem import BUNDLE_BYTES, CHAIN_CERTIFICATES, read_bundle
from tests.certificates import encrypted, known, make


def read(content: bytes) -> Certificate:
    return read_bundle("x.pem", "folder", content)


class ReadTests(SynchronousTestCase):
    """
    Bundles that serve.
    """

    def test_names(self) -> None:
        """
        A certificate is good for its alternative names and its common name, each once and in lower case.
        """
        pair = make("Demo.test", "*.wild.test", common_name="WWW.demo.test")
        self.assertEqual(read(pair.bundle).names, ("demo.test", "*.wild.test", "www.demo.test"))

    def test_common_name_alone(self) -> None:
        """
        An old certificate without alternative names is good for its common name.
        """
        self.assertEqual(read(make(common_name="old.test").bundle).names, ("old.test",))

    def test_no_host_name(self) -> None:
        """
        A common name that is no host name is no name to be asked for; the certificate can still be the default.
        """
        self.assertEqual(read(make(common_name="My first certificate").bundle).names, ())

    def test_key_first(self) -> None:
        """
        The key may stand before the certificate, with other text around.
        """
        pair = known("demo.test")
        content = b"# a comment\r\n" + pair.key.replace(b"\n", b"\r\n") + b"\nbag attributes\n" + pair.certificate
        self.assertEqual(read(content).chain, pair.certificate)

    def test_chain(self) -> None:
        """
        The certificates of authorities follow the certificate in the order given.
        """
        authority = make(common_name="CA", authority=True)
        pair = make("demo.test", signer=authority)
        found = read(pair.certificate + authority.certificate + pair.key)
        self.assertEqual((found.chain, found.names), (pair.certificate + authority.certificate, ("demo.test",)))

    def test_kinds(self) -> None:
        """
        The kind of key is known, so that one name can have one certificate of each.
        """
        kinds = [read(known("demo.test", kind=kind).bundle).kind for kind in ("ec", "rsa", "ed25519")]
        self.assertEqual(kinds, ["ec", "rsa", "ed25519"])

    def test_expiry(self) -> None:
        """
        It is known when a certificate expires.
        """
        self.assertEqual(read(make("demo.test", days=1).bundle).not_after, 1767312000.0)

    def test_secrets_are_not_shown(self) -> None:
        """
        Neither key nor chain is in what a log would show.
        """
        shown = repr(read(known("demo.test").bundle))
        self.assertNotIn("PRIVATE", shown)
        self.assertNotIn("BEGIN", shown)


class RefusedTests(SynchronousTestCase):
    """
    Bundles that cannot serve are refused with the reason.
    """

    def refused(self, content: bytes, reason: str) -> None:
        error = self.assertRaises(InvalidCertificate, read, content)
        self.assertIn(reason, str(error))
        self.assertNotIn("BEGIN PRIVATE", str(error))

    def test_rubbish(self) -> None:
        """
        What is no PEM holds no certificate.
        """
        self.refused(b"not a certificate\n", "holds no certificate")

    def test_no_key(self) -> None:
        """
        A certificate alone, such as a CA's, is told to lack its key.
        """
        self.refused(known("demo.test").certificate, "holds no private key")

    def test_lone_key(self) -> None:
        """
        A key alone is told to lack its certificate.
        """
        self.refused(known("demo.test").key, "holds no certificate")

    def test_foreign_key(self) -> None:
        """
        A key of another certificate is found out.
        """
        self.refused(known("demo.test").certificate + known("other.test").key, "does not belong to its certificate")

    def test_foreign_kind(self) -> None:
        """
        Also one of another kind.
        """
        self.refused(
            known("demo.test").certificate + known("demo.test", kind="rsa").key, "does not belong to its certificate"
        )

    def test_forged_key(self) -> None:
        """
        An RSA key whose numbers do not fit together is refused, unless it comes from a file of the machine's owner.
        """
        pair = make("demo.test", kind="rsa")
        numbers = pair.parts[1].private_numbers()
        forged = RSAPrivateNumbers(
            numbers.p, numbers.q, numbers.d - 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, numbers.public_numbers
        ).private_key(unsafe_skip_rsa_key_validation=True)
        key = forged.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.refused(pair.certificate + key, "its private key cannot be read")
        self.assertEqual(read_bundle("x", "folder", pair.certificate + key, trusted=True).names, ("demo.test",))

    def test_wrong_order(self) -> None:
        """
        A chain in the wrong order is told so: clients would be shown the authority.
        """
        authority = make(common_name="CA", authority=True)
        pair = make("demo.test", signer=authority)
        self.refused(authority.certificate + pair.certificate + pair.key, "belongs to certificate 2")

    def test_encrypted_key(self) -> None:
        """
        A key with a passphrase is refused: nobody is there to type it.
        """
        pair = known("demo.test")
        self.refused(pair.certificate + encrypted(pair), "is encrypted")

    def test_two_keys(self) -> None:
        """
        Two keys in one file are refused; each kind of key has a file of its own.
        """
        self.refused(known("demo.test").bundle + known("other.test").key, "2 private keys")

    def test_damaged(self) -> None:
        """
        A damaged certificate or key is named.
        """
        pair = known("demo.test")
        self.refused(pair.certificate.replace(b"M", b"", 3) + pair.key, "certificate 1 cannot be read")
        self.refused(
            pair.certificate + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "key cannot be read"
        )

    def test_limits(self) -> None:
        """
        Neither endless files nor endless chains are read.
        """
        pair = known("demo.test")
        self.refused(b" " * (BUNDLE_BYTES + 1), "is longer than")
        self.refused(pair.certificate * (CHAIN_CERTIFICATES + 1) + pair.key, "more than")

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_anything(self, data: st.DataObject) -> None:
        """
        Whatever is sent is read or refused, never another exception.
        """
        content = bytearray(known("demo.test").bundle)
        for _ in range(data.draw(st.integers(0, 4))):
            place = data.draw(st.integers(0, len(content) - 1))
            content[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
        try:
            read(bytes(content))
        except InvalidCertificate as error:
            self.assertTrue(str(error))
