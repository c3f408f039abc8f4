"""
TLS with servers: what a destination asks for -> a context and the name that its servers have to prove.

OpenSSL checks the chain; the name is checked here once the handshake is over and before a byte of a request is sent,
since a failed check of Python's own does not tell whose certificate it was.

Source: HAProxy `server ... ssl verify required ca-file sni verifyhost crt`; RFC 9525 (names), RFC 6066 3 (SNI holds no
IP addresses).
"""

from __future__ import annotations

import os
import ssl
import stat
from hashlib import sha256
from typing import Any
from weakref import WeakValueDictionary

from cryptography import x509
from service_identity.cryptography import extract_patterns
from service_identity.exceptions import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity

from dfproxy.errors import InvalidCertificate, InvalidRoute
from dfproxy.model.service import ServerTls
from dfproxy.model.settings import Tls
from dfproxy.tls.context import load, restrict
from dfproxy.tls.pem import read_bundle
from dfproxy.wire.networks import is_address

FILE_BYTES = 1 << 20
"""
Largest file of authorities or client certificate, in bytes; all authorities of Debian are some 220,000.
"""

SHOWN_NAMES = 8
"""
How many names of a wrong certificate are told.
"""


class Handshake:
    """
    A context for one handshake, which resumes a session; in this alone it differs from `ssl.SSLContext`.

    Args:
        context: of the destination.
        session: of a former connection to the same server; None: there is none.
    """

    __slots__ = ("_context", "_session")

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        self._context = context
        self._session = session

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool, server_hostname: str | None
    ) -> ssl.SSLObject:
        """
        See `ssl.SSLContext.wrap_bio`.
        """
        return self._context.wrap_bio(incoming, outgoing, server_side, server_hostname or None, self._session)


class ServerSide:
    """
    How the servers of a destination are spoken to.

    Args:
        context: checks chains, or nothing.
        name: asked for by SNI, empty: none; what a verified server has to prove.
        verify: whether servers are verified.

    Attributes:
        sni: the name that is asked for; empty: none.
    """

    __slots__ = ("__weakref__", "_context", "_name", "_proven", "_wanted", "sni")

    def __init__(self, context: ssl.SSLContext, name: str, verify: bool) -> None:
        self._context = context
        self._name = name
        self._wanted: list[Any] = [_identity(name)] if verify else []
        self._proven = b""
        self.sni = "" if is_address(name) else name.rstrip(".")

    def handshake(self, session: ssl.SSLSession | None) -> Handshake:
        """
        What is handed to the reactor for one connection.
        """
        return Handshake(self._context, session)

    def mismatch(self, certificate: bytes | None) -> str:
        """
        Why this certificate does not prove the name; empty: it does, or it need not.

        Args:
            certificate: DER, of a chain that has been verified.
        """
        if not self._wanted or (certificate and certificate == self._proven):
            return ""
        if not certificate:
            return f"no certificate was shown for {self._name}"
        try:
            patterns = extract_patterns(x509.load_der_x509_certificate(certificate))
            verify_service_identity(patterns, self._wanted, [])
        except VerificationError:
            return f"the certificate of {_shown(patterns)} does not prove the name {self._name}"
        except Exception as error:  # noqa: BLE001  whatever a server sends that cannot be read proves nothing
            return f"the certificate shown for {self._name} proves no name: {error}"
        self._proven = certificate
        return ""


class ServerSides:
    """
    Makes them. What means the same is made once: authorities take their memory and milliseconds.

    Args:
        certs_dir: where files without a folder are looked for.
        tls: versions and ciphers.
    """

    def __init__(self, certs_dir: str, tls: Tls | None = None) -> None:
        self._certs_dir = certs_dir
        self._tls = tls or Tls()
        self._contexts: WeakValueDictionary[tuple[bool, bytes, bytes], ssl.SSLContext] = WeakValueDictionary()
        self._made: WeakValueDictionary[tuple[ssl.SSLContext, str], ServerSide] = WeakValueDictionary()

    def make(self, wanted: ServerTls) -> ServerSide:
        """
        Read the files and make the context; the same object as long as neither they nor what is wanted have changed.

        Raises:
            InvalidRoute: a file cannot be read or used, or the name cannot be one of a certificate.
        """
        authorities = self._read("backendCa", wanted.ca) if wanted.ca else b""
        bundle = self._read("backendCertificate", wanted.certificate) if wanted.certificate else b""
        key = (wanted.verify, sha256(authorities).digest() if authorities else b"", sha256(bundle).digest())
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = _context(wanted, authorities, bundle, self._tls)
        made = self._made.get((context, wanted.server_name))
        if made is None:
            made = ServerSide(context, wanted.server_name, wanted.verify)
            self._made[context, wanted.server_name] = made
        return made

    def _read(self, parameter: str, file: str) -> bytes:
        path = os.path.join(self._certs_dir, file)
        try:
            # A pipe would be waited for, and for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as opened:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise InvalidRoute(f"{parameter}: {path} is no file")
                content = opened.read(FILE_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "its name cannot be one"
            raise InvalidRoute(f"{parameter}: {path} cannot be read: {reason}") from error
        if not content or len(content) > FILE_BYTES:
            raise InvalidRoute(
                f"{parameter}: {path} is {'empty' if not content else f'longer than {FILE_BYTES} bytes'}"
            )
        return content


def _context(wanted: ServerTls, authorities: bytes, bundle: bytes, tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    restrict(context, tls)
    context.check_hostname = False  # `ServerSide.mismatch` does
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.verify_mode = ssl.CERT_REQUIRED if wanted.verify else ssl.CERT_NONE
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError) as error:
            raise InvalidRoute(f"backendCa: {wanted.ca} holds no certificate in PEM that OpenSSL takes") from error
    elif wanted.verify:
        context.load_default_certs()
    if bundle:
        try:
            load(context, (read_bundle(wanted.certificate, "folder", bundle, True),))
        except InvalidCertificate as error:
            raise InvalidRoute(f"backendCertificate: {wanted.certificate}: {error}") from error
    return context


def _identity(name: str) -> Any:
    try:
        return IPAddress_ID(name) if is_address(name) else DNS_ID(name.rstrip("."))
    except ValueError as error:
        raise InvalidRoute(f"backendServerName: {name} can be the name of no certificate") from error


def _shown(patterns: Any) -> str:
    """
    Whose certificate it is, for the log.
    """
    names = [_text(each.pattern) for each in patterns]
    further = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {further} more" if further > 0 else "")


def _text(pattern: object) -> str:
    """
    A name as text: DNS patterns are objects with bytes, addresses print themselves.
    """
    inner = getattr(pattern, "pattern", pattern)
    return inner.decode("ascii", "backslashreplace") if isinstance(inner, bytes) else str(inner)
