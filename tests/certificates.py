"""
Certificates for tests: made when asked for, signed by themselves or by an authority of the test's own.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""From when on all are good."""


@dataclass(frozen=True)
class Pair:
    """
    A certificate and its key.

    Attributes:
        certificate: PEM.
        key: PEM.
    """

    certificate: bytes
    key: bytes
    parts: Any = None

    @property
    def bundle(self) -> bytes:
        """
        As it is stored: certificate, then key.
        """
        return self.certificate + self.key


def make(
    *names: str,
    kind: str = "ec",
    common_name: str | None = None,
    signer: Pair | None = None,
    authority: bool = False,
    days: int = 3650,
    bits: int = 2048,
    key_of: Pair | None = None,
) -> Pair:
    """
    A new certificate.

    Args:
        names: its DNS names; the first is its common name unless that is given.
        kind: of the key.
        signer: who signs it; None: itself.
        authority: it may sign others.
        days: from `START` on.
        bits: of an RSA key.
        key_of: take the key of this one instead of making one.
    """
    key: Any
    if key_of is not None:
        key = key_of.parts[1]
    elif kind == "rsa":
        key = rsa.generate_private_key(65537, bits)
    elif kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    name = common_name if common_name is not None else names[0] if names else ""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    issuer, issuer_key = signer.parts if signer else (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(START + datetime.timedelta(days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
    digest = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else SHA256()
    certificate = builder.sign(issuer_key, digest)
    encoded = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), encoded, (subject, key))


@cache
def known(*names: str, kind: str = "ec") -> Pair:
    """
    The same as `make`, but only once for the same arguments: keys take their time.
    """
    return make(*names, kind=kind)


def encrypted(pair: Pair) -> bytes:
    """
    Its key with a passphrase.
    """
    key: bytes = pair.parts[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    return key
