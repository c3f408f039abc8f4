"""
The `ssl` contexts of TLS with clients: versions, ciphers, tickets, client certificates, protocols, certificates.

A context that the handshake is switched to brings its certificate, ciphers and the authorities that client
certificates are checked against, but neither `verify_mode` nor versions nor options: those are the base context's. So
all contexts are made alike, here.

What Python cannot set: the TLS 1.3 suites, several curves in an order, DH parameters, keys of session tickets.

Source: HAProxy `bind` (`ssl-min-ver`, `no-tls-tickets`, `ca-file`, `verify optional`); OpenSSL SSL_set_SSL_CTX(3).
"""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace

from dfproxy.errors import InvalidCertificate, InvalidSettings, Problem
from dfproxy.model.certificate import Certificate
from dfproxy.model.settings import Tls

VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
"""
Names of versions, as `Tls` has them.
"""


def make_context(tls: Tls, protocols: tuple[str, ...], kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    """
    A context without certificate.

    Args:
        tls: what the operator chose.
        protocols: offered by ALPN, the preferred one first.
        kind: its class.

    Raises:
        InvalidSettings: OpenSSL does not take what was chosen.
    """
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    restrict(context, tls)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if not tls.server_order:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if not tls.tickets:
        # In TLS 1.3 the option only makes tickets stateful; none at all are sent with this.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if tls.curve:
        _set("--ssl-bind-options", f"curves {tls.curve}", lambda: context.set_ecdh_curve(tls.curve))
    if tls.client_ca:
        _set("--ca-file", tls.ca_file, lambda: context.load_verify_locations(cadata=tls.client_ca))
        context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(list(protocols))
    return context


def restrict(context: ssl.SSLContext, tls: Tls) -> None:
    """
    Versions and ciphers, which count towards servers as well (contract 6.2).

    Raises:
        InvalidSettings: OpenSSL does not take what was chosen.
    """
    _set("--ssl-bind-options", tls.min_version, lambda: _set_versions(context, tls))
    if tls.ciphers:
        _set("--ssl-bind-ciphers", tls.ciphers, lambda: context.set_ciphers(tls.ciphers))


def load(context: ssl.SSLContext, certificates: Iterable[Certificate]) -> None:
    """
    Give a context its certificates: one, or one of each kind of key.

    Raises:
        InvalidCertificate: OpenSSL does not take one, such as a key that is too short.
    """
    for certificate in certificates:
        try:
            _load(context, certificate)
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or str(error)
            raise InvalidCertificate(f"OpenSSL does not take it: {str(reason).replace('_', ' ').lower()}") from error


def checker(tls: Tls) -> Callable[[Certificate], None]:
    """
    A check whether OpenSSL takes a certificate here: raises `InvalidCertificate` if it does not.
    """
    scratch = make_context(tls, ())

    def check(certificate: Certificate) -> None:
        load(scratch, (certificate,))
        for line in certificate.listed or ():
            if line.ciphers:
                try:
                    make_context(replace(tls, ciphers=line.ciphers), ())
                except InvalidSettings as error:
                    raise InvalidCertificate(f"line {line.place} of its list: OpenSSL takes no such ciphers") from error

    return check


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """
    Python takes certificates from files only: this one is nowhere but in memory, and has no name.
    """
    descriptor = os.memfd_create("dfproxy-certificate")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(certificate.chain + certificate.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _set_versions(context: ssl.SSLContext, tls: Tls) -> None:
    with warnings.catch_warnings():
        # An operator who asks for TLS 1.0 gets it.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = VERSIONS[tls.min_version]
        if tls.max_version:
            context.maximum_version = VERSIONS[tls.max_version]


def _set(option: str, value: str, change: Callable[[], object]) -> None:
    try:
        change()
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise InvalidSettings((Problem(option, value, f"OpenSSL does not take it: {reason}"),)) from error
