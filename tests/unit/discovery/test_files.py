"""
Certificates in files: found, passed over, taken up again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.certificates import Certificates
from dfproxy.discovery.files import CertificateFiles
from dfproxy.errors import InvalidCertificate, InvalidSettings, Refused
from dfproxy.model.certificate import Certificate, Listed
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Revision
from tests.certificates import known
from tests.fakes import FakePublisher


def check(certificate: Certificate) -> None:
    if "weak.test" in certificate.names:
        raise InvalidCertificate("OpenSSL does not take it")


class Picky(FakePublisher):
    """
    Refuses what holds a certificate for `picky.test`.
    """

    def publish(
        self, services: tuple[Service, ...], certificates: tuple[Certificate, ...] = (), cause: str = ""
    ) -> Deferred[Revision]:
        if any("picky.test" in each.names for each in certificates):
            return fail(Refused("picky.test is refused"))
        return super().publish(services, certificates, cause)


class FilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.certs, self.secrets = os.path.abspath(self.mktemp()), os.path.abspath(self.mktemp())
        os.mkdir(self.certs)
        os.mkdir(self.secrets)
        self.publisher = Picky()
        self.certificates = Certificates(self.certs, self.publisher, maybeDeferred)
        self.meanwhile: Callable[[], object] = lambda: None
        self.files = CertificateFiles(self.certs, self.secrets, self.publisher, self.certificates, self.blocking, check)

    def blocking(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        done = maybeDeferred(work, *arguments)
        self.meanwhile()
        return done

    def write(self, folder: str, file: str, content: bytes) -> None:
        with open(os.path.join(folder, file), "wb") as opened:
            opened.write(content)

    def in_force(self) -> set[str]:
        return set(self.publisher.snapshot.certificates)

    def test_found(self) -> None:
        """
        Every regular file of the folder, whatever its extension, and secrets that begin with cert- or cert_ in any
        case. Hidden files, folders and other secrets are not even looked at.
        """
        bundle = known("demo.test").bundle
        for file in ("b.pem", "a", ".hidden"):
            self.write(self.certs, file, bundle)
        os.mkdir(os.path.join(self.certs, "folder"))
        for file in ("cert-x", "CERT_y", "dfp_users", "certificate"):
            self.write(self.secrets, file, bundle)
        os.symlink(os.path.join(self.certs, "a"), os.path.join(self.certs, "link"))
        found = [each.identity for each in self.files.first()]
        self.assertEqual(found, ["folder/a", "folder/b.pem", "folder/link", "secret/CERT_y", "secret/cert-x"])

    def test_no_folder(self) -> None:
        """
        Folders that are not there hold nothing, which is no problem.
        """
        files = CertificateFiles("/no", "/such", self.publisher, self.certificates, self.blocking, check)
        self.assertEqual((files.first(), self.successResultOf(files.again())), ((), ()))

    def test_passed_over(self) -> None:
        """
        Files that cannot serve are told by path and reason; the others serve.
        """
        self.write(self.certs, "a.key", known("demo.test").key)
        self.write(self.certs, "b.pem", known("weak.test").bundle)
        self.write(self.certs, "c.pem", known("picky.test").bundle)
        self.write(self.certs, "d.pem", known("demo.test").bundle)
        os.symlink("/nowhere", os.path.join(self.certs, "e"))
        problems = self.successResultOf(self.files.again())
        self.assertEqual(self.in_force(), {"folder/d.pem"})
        for problem, word in zip(
            problems, ("a.key holds no", "b.pem OpenSSL", "e cannot be read", "picky"), strict=True
        ):
            self.assertIn(word, problem)

    def test_again(self) -> None:
        """
        What has changed, come or gone is taken up; what is the same is not published again.
        """
        self.write(self.certs, "a", known("a.test").bundle)
        self.write(self.certs, "b", known("b.test").bundle)
        self.successResultOf(self.files.again())
        self.write(self.certs, "a", known("other.test").bundle)
        os.unlink(os.path.join(self.certs, "b"))
        self.write(self.secrets, "cert-c", known("c.test").bundle)
        self.publisher.calls.clear()
        self.assertEqual(self.successResultOf(self.files.again()), ())
        self.assertEqual(
            self.publisher.calls, [("publish", ("folder/a", "secret/cert-c")), ("withdraw", ("folder/b",))]
        )
        self.assertEqual(self.publisher.snapshot.certificates["folder/a"].names, ("other.test",))
        self.publisher.calls.clear()
        self.successResultOf(self.files.again())
        self.assertEqual(self.publisher.calls, [])

    def test_last_one_stays(self) -> None:
        """
        When all files are gone one certificate stays in force, and that is told.
        """
        self.write(self.certs, "a", known("a.test").bundle)
        self.write(self.certs, "b", known("b.test").bundle)
        self.successResultOf(self.files.again())
        for file in ("a", "b"):
            os.unlink(os.path.join(self.certs, file))
        (problem,) = self.successResultOf(self.files.again())
        self.assertIn("last certificate", problem)
        self.assertEqual(len(self.in_force()), 1)

    def test_stored_meanwhile(self) -> None:
        """
        A certificate that is stored while the files are read is not undone by what was read of its file before.
        """
        self.write(self.certs, "a", known("a.test").bundle)
        self.successResultOf(self.files.again())

        def store() -> None:
            self.meanwhile = lambda: None
            self.successResultOf(self.certificates.put(("a", known("newer.test").bundle)))
            self.successResultOf(self.certificates.put(("n", known("n.test").bundle)))

        self.meanwhile = store
        self.successResultOf(self.files.again())
        self.assertEqual(self.publisher.snapshot.certificates["folder/a"].names, ("newer.test",))
        self.assertEqual(self.in_force(), {"folder/a", "folder/n"})


class ListTests(FilesTests):
    """
    With a list of certificates, all the rest is the same.
    """

    def setUp(self) -> None:
        super().setUp()
        self.list = os.path.abspath(self.mktemp())
        self.say("")
        self.files = CertificateFiles(
            self.certs, self.secrets, self.publisher, self.certificates, self.blocking, check, self.list
        )

    def say(self, text: str) -> None:
        with open(self.list, "w") as opened:
            opened.write(text)

    def listed(self) -> dict[str, tuple[Listed, ...] | None]:
        return {name: each.listed for name, each in self.publisher.snapshot.certificates.items()}

    def test_listed(self) -> None:
        """
        Files of both folders, with what the list says of them; others that it names as well; what is stored later too.
        """
        bundle = known("demo.test").bundle
        outside = os.path.abspath(self.mktemp())
        os.mkdir(outside)
        for folder, file in ((self.certs, "a"), (self.certs, "b"), (self.secrets, "plain"), (outside, "c")):
            self.write(folder, file, bundle)
        self.say(f"{outside}/c\na x.test\n{self.secrets}/plain\nd y.test\n")
        found = {each.identity: each.listed for each in self.files.first()}
        line = (Listed(2, ("x.test",)),)
        self.assertEqual(
            found,
            {"folder/a": line, "folder/b": (), "secret/plain": (Listed(3),), f"list/{outside}/c": (Listed(1),)},
        )
        self.successResultOf(self.certificates.put(("d", known("d.test").bundle), ("e", known("e.test").bundle)))
        self.assertEqual(self.listed(), {"folder/d": (Listed(4, ("y.test",)),), "folder/e": ()})

    def test_changed(self) -> None:
        """
        A list that is another by now is followed; one that cannot be leaves the former in force and is told.
        """
        self.write(self.certs, "a", known("demo.test").bundle)
        self.successResultOf(self.files.again())
        self.say("a x.test\n")
        self.assertEqual(self.successResultOf(self.files.again()), ())
        self.assertEqual(self.listed(), {"folder/a": (Listed(1, ("x.test",)),)})
        self.say("a [bogus]\n")
        (problem,) = self.successResultOf(self.files.again())
        self.assertIn("bogus", problem)
        self.assertEqual(self.listed(), {"folder/a": (Listed(1, ("x.test",)),)})

    def test_at_start(self) -> None:
        """
        A list that cannot be followed is refused, one that is not there only where there are certificates.
        """
        self.say("a [bogus]\n")
        self.assertRaises(InvalidSettings, self.files.first)
        os.unlink(self.list)
        self.assertEqual(self.files.first(), ())
        self.write(self.certs, "a", known("demo.test").bundle)
        self.assertRaises(InvalidSettings, self.files.first)
        for make in (os.mkdir, lambda path: (os.rmdir(path), os.mkfifo(path))):
            make(self.list)
            self.assertRaises(InvalidSettings, self.files.first)
