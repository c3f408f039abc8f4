"""
TLS clients for the tests: Python's own for many handshakes, OpenSSL's `s_client` for what Python cannot say.
"""

from __future__ import annotations

import socket
import ssl
import subprocess

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.e2e.proxy import Proxy, free_port
from tests.e2e.wire import LIMIT_S, Message, Wire


class TlsPort:
    """
    A port with TLS of a proxy.

    Args:
        proxy: whose it is.
        port: which.
    """

    def __init__(self, proxy: Proxy, port: int) -> None:
        self.proxy = proxy
        self.port = port

    def put(self, file: str, bundle: bytes) -> int:
        """
        Store a certificate.

        Returns:
            The status.
        """
        return self.proxy.ask(f"/v1/docker-flow-proxy/cert?certName={file}", "PUT", bundle)[0]

    def open(self, name: str | None = "demo.test", client: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """
        A connection after its handshake.

        Raises:
            OSError: the handshake fails.
        """
        sock = socket.create_connection(("127.0.0.1", self.port), LIMIT_S)
        try:
            return (client or believing()).wrap_socket(sock, server_hostname=name)
        except OSError:
            sock.close()
            raise

    def shown(self, name: str | None = "demo.test", client: ssl.SSLContext | None = None) -> str:
        """
        Common name of the certificate that a client is shown.
        """
        with self.open(name, client) as connection:
            return common_name(connection.getpeercert(True) or b"")

    def get(self, path: str = "/", name: str = "demo.test", client: ssl.SSLContext | None = None) -> Message:
        """
        One GET.
        """
        with Wire(self.open(name, client)) as wire:
            wire.send(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")
            return wire.final()

    def openssl(self, *options: str) -> str:
        """
        What `openssl s_client` says of one handshake.
        """
        command = ("openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", *options)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S
        )
        return done.stdout.decode("utf-8", "replace")


def port_options() -> tuple[int, tuple[str, ...]]:
    """
    A free port, and the options that make a proxy speak TLS there.
    """
    port = free_port()
    return port, ("--bind-ports", f"{port}:ssl")


def believing(**attributes: object) -> ssl.SSLContext:
    """
    A client that believes whatever it is shown.

    Args:
        attributes: of the context.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


def common_name(certificate: bytes) -> str:
    """
    Of a certificate in DER.
    """
    (attribute,) = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attribute.value)
