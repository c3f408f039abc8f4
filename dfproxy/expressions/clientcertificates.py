"""
What a client's certificate says, for the fetches `ssl_c_...`.

A certificate is read once for many requests. One that cannot be read says nothing.

Source: HAProxy manual 7.3.4; OpenSSL X509_NAME_oneline(3), OBJ_nid2sn(3).
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

REMEMBERED = 256
"""
Certificates that are kept read, some kilobytes each.
"""

NAMES = {
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
}
"""
Names of attributes as OpenSSL has them, where RFC 4514 has none.
"""


@lru_cache(REMEMBERED)
def _read(encoded: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(encoded)
    except ValueError:
        return None  # OpenSSL took it; who asks gets nothing


def name_of(encoded: bytes, whose: Literal["subject", "issuer"], entry: str, which: int) -> bytes | None:
    """
    A distinguished name in a line, `/C=FR/O=Acme/CN=x`, or one part of it.

    Args:
        encoded: the certificate, DER.
        entry: name of the part, in any case; empty: all.
        which: 1 for the first of several, -1 for the last.
    """
    certificate = _read(encoded)
    if certificate is None:
        return None
    parts = [
        (NAMES.get(each.oid.dotted_string, each.rfc4514_attribute_name), text_of(each.value))
        for each in getattr(certificate, whose)
    ]
    if not entry:
        return "".join(f"/{name}={value}" for name, value in parts).encode() or None
    values = [value for name, value in parts if name.lower() == entry.lower()]
    at = which - 1 if which > 0 else which
    return values[at].encode() if which and -len(values) <= at < len(values) else None


def text_of(value: str | bytes) -> str:
    """
    A value that is safe in a header or a log line.
    """
    text = value if isinstance(value, str) else value.hex()
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def serial_of(encoded: bytes) -> bytes | None:
    """
    Its serial number, as bytes.
    """
    certificate = _read(encoded)
    if certificate is None:
        return None
    number = certificate.serial_number
    return number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")


def fingerprint_of(encoded: bytes) -> bytes | None:
    """
    Its SHA-1, as bytes.
    """
    certificate = _read(encoded)
    return None if certificate is None else certificate.fingerprint(SHA1())


def not_before(encoded: bytes) -> bytes | None:
    """
    From when on it is good: `YYMMDDhhmmssZ`.
    """
    certificate = _read(encoded)
    return None if certificate is None else _stamp(certificate.not_valid_before_utc)


def not_after(encoded: bytes) -> bytes | None:
    """
    Until when, likewise.
    """
    certificate = _read(encoded)
    return None if certificate is None else _stamp(certificate.not_valid_after_utc)


def _stamp(time: datetime) -> bytes:
    return time.strftime("%y%m%d%H%M%SZ").encode()
