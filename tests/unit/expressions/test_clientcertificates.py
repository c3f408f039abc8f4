"""
What a client's certificate says.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.connection import TlsFacts
from tests.unit.expressions.test_formats import value

SUBJECT = (
    (NameOID.COUNTRY_NAME, "FR"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "first"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "last"),
    (NameOID.COMMON_NAME, "dé\nvil"),
    (NameOID.EMAIL_ADDRESS, "a@b.test"),
)


def made() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(*each) for each in SUBJECT]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the authority")]))
        .public_key(key.public_key())
        .serial_number(0x0ABCDE)
        .not_valid_before(datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2031, 12, 30, 23, 59, 58, tzinfo=datetime.UTC))
        .sign(key, SHA256())
    )


CERTIFICATE = made()
TLS = TlsFacts("a.test", CERTIFICATE.public_bytes(Encoding.DER), "/CN=x", 0, "TLSv1.3", "TLS_AES_128_GCM_SHA256")


class SaidTests(SynchronousTestCase):
    """
    The fetches, by what a header gets.
    """

    def test_names(self) -> None:
        """
        Whole names, and their parts: the first, one by number from either end, none that is not there. What would end
        a line is written out.
        """
        for text, wanted in {
            "ssl_c_i_dn": "/CN=the authority",
            "ssl_c_i_dn(cn)": "the authority",
            "ssl_c_s_dn(C)": "FR",
            "ssl_c_s_dn(ou)": "first",
            "ssl_c_s_dn(OU,2)": "last",
            "ssl_c_s_dn(OU,-1)": "last",
            "ssl_c_s_dn(OU,-2)": "first",
            "ssl_c_s_dn(OU,3)": "",
            "ssl_c_s_dn(OU,-3)": "",
            "ssl_c_s_dn(OU,0)": "",
            "ssl_c_s_dn(L)": "",
            "ssl_c_s_dn(emailAddress)": "a@b.test",
            "ssl_c_s_dn(CN)": "dé\\x0avil",
        }.items():
            self.assertEqual(value(f"%[{text}]", tls=TLS), wanted.encode(), text)

    def test_others(self) -> None:
        """
        Serial number, fingerprint, when it is good, and what is spoken.
        """
        fingerprint = CERTIFICATE.fingerprint(SHA1()).hex().upper()
        for text, wanted in {
            "ssl_c_serial,hex": "0ABCDE",
            "ssl_c_sha1,hex": fingerprint,
            "ssl_c_notbefore": "260102030405Z",
            "ssl_c_notafter": "311230235958Z",
            "ssl_fc_protocol": "TLSv1.3",
            "ssl_fc_cipher": "TLS_AES_128_GCM_SHA256",
        }.items():
            self.assertEqual(value(f"%[{text}]", tls=TLS), wanted.encode(), text)

    def test_nothing(self) -> None:
        """
        Without TLS, without certificate, or with one that cannot be read, nothing is said.
        """
        names = ("ssl_c_i_dn", "ssl_c_s_dn(CN)", "ssl_c_serial", "ssl_c_sha1", "ssl_c_notbefore", "ssl_c_notafter")
        for name in names:
            self.assertEqual(value(f"%[{name}]"), b"")
            for tls in (TlsFacts(), TlsFacts(certificate=b"rubbish")):
                self.assertEqual(value(f"%[{name}]", tls=tls), b"", name)
