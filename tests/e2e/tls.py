"""
TLS clients for the tests: Python's own for many handshakes, OpenSSL's `s_client` for what Python cannot say.
"""

from __future__ import annotations

import atexit
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.certificates import Pair
from tests.e2e.backends import Backend, answering
from tests.e2e.proxy import Proxy, ProxyCase, free_port
from tests.e2e.wire import LIMIT_S, Message, Wire

API = "/v1/docker-flow-proxy"


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


class TlsCase(ProxyCase):
    """
    A proxy of its own for each test, since certificates cannot be taken away by a call; or one for all of a class.

    Attributes:
        shared: one for all.
        further: options.
        certificates: what its folder holds at the start, by file name.
        environment: variables.
        tls: its port with TLS.
    """

    shared = False
    further: tuple[str, ...] = ()
    certificates: dict[str, bytes] = {}
    environment: dict[str, str] = {}

    def setUp(self) -> None:
        """
        See that the proxy runs.
        """
        if self.shared:
            known = type(self).__dict__.get("_made")
            if known is None:
                known = type(self)._made = self._make(Path(tempfile.mkdtemp(prefix="dfproxy-certs-")))
                atexit.register(shutil.rmtree, known[0], True)
            self.folder, port, self.options = known
            super().setUp()
        else:
            folder = Path(self.mktemp()).absolute()
            folder.mkdir()
            self.folder, port, self.options = self._make(folder)
            self.proxy = Proxy(*self.options, workers=self.workers, environment=self.environment)
            self.addCleanup(lambda: self.proxy.end())
            self._logged = 0
            self.addCleanup(self._look_at_log)
        self.tls = TlsPort(self.proxy, port)

    def _make(self, folder: Path) -> tuple[Path, int, tuple[str, ...]]:
        for name, content in self.certificates.items():
            (folder / name).write_bytes(content)
        port, options = port_options()
        return folder, port, (*options, "--certs-dir", str(folder), *self.further)

    def put(self, file: str, pair: Pair) -> None:
        self.assertEqual(self.tls.put(file, pair.bundle), 200)

    def served(self, **parameters: str) -> Backend:
        backend = self.backend(answering(b"hello"))
        self.proxy.publish("s", backend, **parameters)
        return backend
