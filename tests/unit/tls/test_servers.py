"""
TLS with servers: files, names, and what a wrong certificate is told to be.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidRoute
from dfproxy.model.service import ServerTls
from dfproxy.model.settings import Tls
from dfproxy.tls.pem import read_bundle
from dfproxy.tls.servers import FILE_BYTES, ServerSide, ServerSides
from dfproxy.tls.store import CertificateStore
from tests.certificates import Pair, known, make
from tests.unit.tls.shaking import shake


def der(pair: Pair) -> bytes:
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)


class ServerSidesTests(SynchronousTestCase):
    """
    `ServerSides`.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "ca.pem").write_bytes(known("ca").certificate)
        (self.folder / "own.pem").write_bytes(known("own").bundle)
        self.sides = ServerSides(str(self.folder))

    def test_made_once(self) -> None:
        """
        What means the same is the same object, and becomes another one with other content of a file.
        """
        wanted = ServerTls(True, "a", "ca.pem", "own.pem")
        first = self.sides.make(wanted)
        self.assertIs(self.sides.make(wanted), first)
        self.assertIs(self.sides.make(ServerTls(True, "a", str(self.folder / "ca.pem"), "own.pem")), first)
        other = self.sides.make(ServerTls(True, "b", "ca.pem", "own.pem"))
        self.assertIsNot(other, first)
        self.assertIs(other._context, first._context)
        (self.folder / "ca.pem").write_bytes(known("another ca").certificate)
        self.assertIsNot(self.sides.make(wanted), first)

    def test_restricted(self) -> None:
        """
        The operator's versions and ciphers count towards servers too: what a server of another kind speaks is refused.
        """
        server = CertificateStore(Tls(max_version="TLSv1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
        staged = server.stage([read_bundle("a", "folder", known("a.test").bundle)])
        self.assertEqual(len(list(staged.steps())), 1)
        server.commit(staged)
        for tls, fine in (
            (Tls(), True),
            (Tls(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"), True),
            (Tls(min_version="TLSv1.3"), False),
            (Tls(max_version="TLSv1.2", ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"), False),
        ):
            client = ServerSides(str(self.folder), tls).make(ServerTls(False))._context
            if fine:
                self.assertEqual(shake(server.base, "a.test", client).cipher, "ECDHE-ECDSA-AES128-GCM-SHA256")
            else:
                self.assertRaises(ssl.SSLError, shake, server.base, "a.test", client)

    def test_sni(self) -> None:
        """
        A name is asked for, without the dot at its end; an address is not, nor is nothing.
        """
        for name, sni in (("a.test.", "a.test"), ("10.0.0.1", ""), ("::1", "")):
            self.assertEqual(self.sides.make(ServerTls(True, name, "ca.pem")).sni, sni)
        self.assertEqual(self.sides.make(ServerTls(False)).sni, "")

    def test_unusable_files(self) -> None:
        """
        A file that is missing, no file, empty, too long or something else is refused, by parameter and name.
        """
        (self.folder / "empty").write_bytes(b"")
        (self.folder / "long").write_bytes(b"x" * (FILE_BYTES + 1))
        (self.folder / "text").write_bytes(b"hello")
        os.mkfifo(self.folder / "pipe")
        for file in ("missing", "pipe", "empty", "long", "text", ".", "a\0b"):
            for wanted, parameter in (
                (ServerTls(True, "a", file), "backendCa"),
                (ServerTls(True, "a", "ca.pem", file), "backendCertificate"),
            ):
                error = self.assertRaises(InvalidRoute, self.sides.make, wanted)
                self.assertIn(parameter, str(error))
                self.assertIn(file, str(error))
        error = self.assertRaises(InvalidRoute, self.sides.make, ServerTls(True, "a", "ca.pem", "ca.pem"))
        self.assertIn("private key", str(error))

    def test_impossible_name(self) -> None:
        """
        A name that no certificate can have is refused.
        """
        self.assertRaises(InvalidRoute, self.sides.make, ServerTls(True, "1234", "ca.pem"))


class MismatchTests(SynchronousTestCase):
    """
    Which certificates prove a name.
    """

    def side(self, name: str, verify: bool = True) -> ServerSide:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "ca.pem").write_bytes(known("ca").certificate)
        return ServerSides(str(folder)).make(ServerTls(verify, name, "ca.pem" if verify else ""))

    def test_names(self) -> None:
        """
        A name is proven by itself in any case, and by a wildcard for its first label; not by a common name.
        """
        for name, names, proven in (
            ("a.test", ("a.test",), True),
            ("A.test.", ("b.test", "a.test"), True),
            ("x.a.test", ("*.a.test",), True),
            ("a.test", ("*.a.test",), False),
            ("y.x.a.test", ("*.a.test",), False),
            ("a.test", ("b.test",), False),
            ("go_demo", ("go_demo",), True),
        ):
            self.assertEqual(self.side(name).mismatch(der(known(*names))) == "", proven, (name, names))
        self.assertIn("proves no name", self.side("a.test").mismatch(der(make(common_name="a.test"))))

    def test_told(self) -> None:
        """
        A mismatch says which name, and whose certificate it was; of many names only some.
        """
        side = self.side("a.test")
        self.assertEqual(
            side.mismatch(der(known("b.test", "*.c.test"))),
            "the certificate of b.test, *.c.test does not prove the name a.test",
        )
        many = make(*(f"n{number}.test" for number in range(20)))
        self.assertIn("n7.test and 12 more does not", side.mismatch(der(many)))

    def test_every_time(self) -> None:
        """
        That one certificate has proven the name says nothing about another.
        """
        side = self.side("a.test")
        self.assertEqual(side.mismatch(der(known("a.test"))), "")
        self.assertEqual(side.mismatch(der(known("a.test"))), "")
        self.assertNotEqual(side.mismatch(der(known("b.test"))), "")
        self.assertNotEqual(side.mismatch(None), "")

    def test_unverified(self) -> None:
        """
        Where nothing is verified anything will do.
        """
        side = self.side("a.test", False)
        self.assertEqual((side.mismatch(b"garbage"), side.mismatch(None)), ("", ""))

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=200))
    def test_garbage(self, content: bytes) -> None:
        """
        What is no certificate proves nothing, and does not raise.
        """
        self.assertNotEqual(GARBAGE.mismatch(content), "")


GARBAGE = ServerSides("/").make(ServerTls(True, "a.test"))
