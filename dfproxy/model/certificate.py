"""
A certificate with its chain and key, read and checked.

`dfproxy.tls.pem` makes these; an existing one holds together. Source: DFP's certificate files, contract 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Source = Literal["folder", "secret", "list"]
"""
Where a certificate comes from: the folder of certificates, a secret, or elsewhere, named by a list of certificates.
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """
    What one line of a list of certificates says of a file (HAProxy `crt-list`).

    Attributes:
        place: number of the line; earlier ones count before later ones.
        names: whom it is shown to, may begin with `*.`; None: the certificate's own names.
        excluded: names that the wildcards among them do not stand for.
        protocols: offered by ALPN; empty: as everywhere.
        ciphers: OpenSSL cipher list; empty: as everywhere.
    """

    place: int
    names: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    ciphers: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    One bundle. Key and chain are left out of `repr`, so that no log or traceback shows them.

    Attributes:
        file: name of its file, without folder unless only a list names it.
        source: where the file is.
        chain: PEM, the certificate itself first.
        key: its private key, PEM, not encrypted.
        kind: of the key: `ec`, `rsa`, `ed25519`, `ed448`. One name may have a certificate of each kind.
        names: DNS names it is good for, in lower case, without doubles; may begin with `*.`.
        digest: SHA-256 of the file, hexadecimal.
        not_after: when it expires, in seconds since 1970.
        listed: what the list of certificates says of it, nothing: no client is shown it; None: there is no list.
    """

    file: str
    source: Source
    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)
    kind: str
    names: tuple[str, ...]
    digest: str
    not_after: float
    listed: tuple[Listed, ...] | None = None

    @property
    def identity(self) -> str:
        """
        What it is replaced by: a later one of the same file. Has a slash, which no name of a service has.
        """
        return identity(self.source, self.file)


def identity(source: Source, file: str) -> str:
    """
    `Certificate.identity` of a file that may not have been read.
    """
    return f"{source}/{file}"
