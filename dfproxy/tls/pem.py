"""
A bundle (certificate, chain and key in one PEM file) -> a checked `Certificate`, or why it cannot serve.

Every reason is for the operator and never shows what the file holds.

Source: RFC 7468; HAProxy `crt` (certificate first, then its chain, one key anywhere); contract 6.1, ODDITY-08.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtensionOID, NameOID

from dfproxy.errors import InvalidCertificate
from dfproxy.model.certificate import Certificate, Source

BUNDLE_BYTES = 1 << 20
"""
Largest bundle, in bytes: an RSA-4096 key with ten certificates is some 30,000; a Docker secret may have 500 KB.
"""

CHAIN_CERTIFICATES = 20
"""
Most certificates in a bundle: OpenSSL clients refuse chains deeper than 100, usual ones have two or three.
"""

NAMES = 10_000
"""
Most names of one certificate; public authorities issue at most 100.
"""

_EDGE = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----[ \t]*\Z")
_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?\Z", re.ASCII)
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE")
_KINDS: tuple[tuple[type, str], ...] = (
    (ec.EllipticCurvePrivateKey, "ec"),
    (rsa.RSAPrivateKey, "rsa"),
    (ed25519.Ed25519PrivateKey, "ed25519"),
    (ed448.Ed448PrivateKey, "ed448"),
)


def read_bundle(file: str, source: Source, content: bytes, trusted: bool = False) -> Certificate:
    """
    Read and check one file.

    Args:
        file: its name.
        source: where it is.
        content: all of it.
        trusted: its owner is the machine's: the numbers of an RSA key are not examined (30 ms, 200 ms for 4096 bits),
            as no other server examines them when it reads its files. Keys that came over a network always are.

    Raises:
        InvalidCertificate: with the reason.
    """
    if len(content) > BUNDLE_BYTES:
        raise InvalidCertificate(f"is longer than {BUNDLE_BYTES} bytes")
    blocks = list(_blocks(content))
    encoded = [block for label, block in blocks if label in _CERTIFICATES]
    keys = [block for label, block in blocks if label.endswith(b"PRIVATE KEY")]
    if not encoded:
        raise InvalidCertificate("holds no certificate: PEM with BEGIN CERTIFICATE is needed")
    if len(encoded) > CHAIN_CERTIFICATES:
        raise InvalidCertificate(f"holds more than {CHAIN_CERTIFICATES} certificates")
    if not keys:
        raise InvalidCertificate("holds no private key: append the one of the certificate, in PEM")
    if len(keys) > 1:
        raise InvalidCertificate(f"holds {len(keys)} private keys; give each certificate a file of its own")
    chain = [_certificate(number, block) for number, block in enumerate(encoded, 1)]
    key, kind, public = _key(keys[0], trusted)
    _check_pair(chain, public)
    leaf = chain[0]
    return Certificate(
        file,
        source,
        b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain),
        key,
        kind,
        names_of(leaf),
        sha256(content).hexdigest(),
        leaf.not_valid_after_utc.timestamp(),
    )


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """
    DNS names a certificate is good for: its subject alternative names, then its common name, each once.

    Raises:
        InvalidCertificate: it has too many, or they cannot be read.
    """
    found: dict[str, None] = {}
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
        for each in extension.value.get_values_for_type(x509.DNSName):  # type: ignore[attr-defined]  # its type follows from the OID
            found[str(each).lower().rstrip(".")] = None
    except x509.ExtensionNotFound:
        found.clear()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidCertificate(f"its names cannot be read: {error}") from error
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        found[str(attribute.value).lower().rstrip(".")] = None
    if len(found) > NAMES:
        raise InvalidCertificate(f"has more than {NAMES} names")
    return tuple(name for name in found if _NAME.match(name))


def _blocks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """
    Label and text of each block. What stands between blocks is passed over (RFC 7468 2), as are blocks without end.
    """
    label, lines = b"", [b""]
    for line in content.splitlines():
        edge = _EDGE.match(line)
        if edge is None:
            lines.append(line)
        elif edge[1] == b"BEGIN":
            label, lines = edge[2], [line]
        elif edge[2] == label:
            yield label, b"\n".join([*lines, line, b""])
            label, lines = b"", [b""]


def _certificate(number: int, block: bytes) -> x509.Certificate:
    try:
        with warnings.catch_warnings():
            # Old authorities have serial numbers or encodings that are frowned upon; they serve nevertheless.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return x509.load_pem_x509_certificate(block.replace(b"X509 CERTIFICATE-", b"CERTIFICATE-"))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidCertificate(f"certificate {number} cannot be read: it is damaged or of an unknown kind") from error


def _key(block: bytes, trusted: bool) -> tuple[bytes, str, bytes]:
    """
    The key without encryption, its kind, and its public half.
    """
    try:
        key = load_pem_private_key(block, None, unsafe_skip_rsa_key_validation=trusted)
    except TypeError as error:
        raise InvalidCertificate("its private key is encrypted; remove the passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidCertificate("its private key cannot be read: it is damaged or of an unknown kind") from error
    kind = next((word for known, word in _KINDS if isinstance(key, known)), "")
    if not kind:
        raise InvalidCertificate("its private key is of a kind that TLS servers do not use; RSA and EC keys are fine")
    encoded = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encoded, kind, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_pair(chain: list[x509.Certificate], public: bytes) -> None:
    """
    The key must be the first certificate's.
    """
    for number, certificate in enumerate(chain, 1):
        try:
            theirs = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except (ValueError, UnsupportedAlgorithm) as error:
            if number == 1:
                raise InvalidCertificate("the public key of its certificate is of an unknown kind") from error
            continue
        if theirs == public:
            if number > 1:
                raise InvalidCertificate(
                    f"its key belongs to certificate {number}; that one must come first, before its chain"
                )
            return
    raise InvalidCertificate("its private key does not belong to its certificate")
