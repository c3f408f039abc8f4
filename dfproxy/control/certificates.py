"""
Certificates that come in while running: checked, written to the folder of certificates, and put in force with the next
change, alone or together with the service that brings one.

The file is written beside its final name first and gets that name once the certificate is in force: what is refused
leaves the folder as it was, and what is in force survives a restart. Files that are there already are the business of
`dfproxy.discovery.files`.

Source: contract 2.3 (`serviceCert`, ODDITY-04), 2.7 (ODDITY-08, ODDITY-09).
"""

from __future__ import annotations

import os
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger
from zope.interface import implementer

from dfproxy.control.publishing import Publishing
from dfproxy.dfp.reading import DIGEST, Reading
from dfproxy.errors import InvalidCertificate, InvalidService, Problem, Refused
from dfproxy.interfaces import IPublisher
from dfproxy.model.certificate import Certificate, Listed, identity
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Hold, Revision, Snapshot
from dfproxy.tls.pem import read_bundle

log = Logger()

FILE_MODE = 0o600
"""
Of a certificate's file: it holds the key.
"""

FOLDER_MODE = 0o700
"""
Of the folder, where we make it.
"""

NAME_BYTES = 200
"""
Longest name of a certificate's file; file systems allow 255, and a temporary file needs some of them.
"""

BROUGHT_BYTES = 64 << 20
"""
Certificates of services that were read and are not published yet, in bytes; a listener announces all its services at
once, and a refused one may be tried again.
"""

CAUSE = "certificates"
"""
What revisions with nothing else are listed under.
"""

Put = Callable[[tuple[Certificate, ...]], "Deferred[Revision]"]

Run = Callable[..., "Deferred[Any]"]
"""
Calls something that blocks, with its arguments, where that harms nobody.
"""


class Certificates:
    """
    The folder of certificates, and the way into force.

    Args:
        folder: of certificates; made when it is needed.
        publisher: the one door.
        run: for what blocks.

    Attributes:
        folder: as given.
        count: grows with each certificate stored.
        stored: when each file was stored, as the `count` then.
        storing: files being stored now.
        lines: tells what the list of certificates says of a file of the folder; None: there is no list.
    """

    lines: Callable[[str], tuple[Listed, ...]] | None = None

    def __init__(self, folder: str, publisher: IPublisher, run: Run) -> None:
        self.folder = folder
        self._publisher = publisher
        self._run = run
        self._brought: OrderedDict[tuple[str, str], tuple[Certificate, bytes]] = OrderedDict()
        self._brought_bytes = 0
        self.count = 0
        self.stored: dict[str, int] = {}
        self.storing: Counter[str] = Counter()

    @inlineCallbacks
    def put(self, *bundles: tuple[str, bytes]) -> Generator[Deferred[Any], Any, Revision]:
        """
        Store certificates, all or none.

        Args:
            bundles: name of the file and content of each.

        Returns:
            Deferred: the revision in which they are in force. Fails with `InvalidCertificate`, or as
            `IPublisher.publish`.
        """
        read = []
        for file, content in bundles:
            certificate = self._known(file, content) or (yield self._run(checked, file, content))
            read.append((self._as_listed(certificate), content))
        revision: Revision = yield self.publish(lambda these: self._publisher.publish((), these, CAUSE), read)
        return revision

    def bring(self, reading: Reading) -> None:
        """
        A service brings its certificate: check it, and keep it until the service is published.

        Raises:
            InvalidService: it cannot be used.
        """
        if reading.certificate is None or reading.service is None:
            return
        file, content = reading.certificate
        try:
            certificate = self._as_listed(self._known(file, content) or checked(file, content))
        except InvalidCertificate as error:
            raise InvalidService((Problem("serviceCert", "", str(error)),)) from error
        self._forget((reading.name, certificate.digest))
        self._brought[reading.name, certificate.digest] = certificate, content
        self._brought_bytes += len(content)
        while self._brought_bytes > BROUGHT_BYTES:
            self._forget(next(iter(self._brought)))

    def _known(self, file: str, content: bytes) -> Certificate | None:
        """
        The certificate in force if this is its content: listeners announce again and again, and checking takes time.
        """
        present = self._publisher.snapshot.certificates.get(identity("folder", file))
        return present if present is not None and present.digest == sha256(content).hexdigest() else None

    def _as_listed(self, certificate: Certificate) -> Certificate:
        return certificate if self.lines is None else replace(certificate, listed=self.lines(certificate.file))

    def brought_by(self, services: tuple[Service, ...]) -> list[tuple[str, str]]:
        """
        Which certificates these services bring; for `publish`.
        """
        if not self._brought:
            return []
        keys = [
            (service.name, value.removeprefix(DIGEST))
            for service in services
            for name, value in service.parameters
            if name == "serviceCert"
        ]
        return [key for key in keys if key in self._brought]

    def _forget(self, key: tuple[str, str]) -> None:
        known = self._brought.pop(key, None)
        if known is not None:
            self._brought_bytes -= len(known[1])

    @inlineCallbacks
    def publish_with(
        self, put: Put, certificates: tuple[Certificate, ...], keys: list[tuple[str, str]]
    ) -> Generator[Deferred[Any], Any, Revision]:
        """
        Publish services together with the certificates that they bring.

        Args:
            put: puts the services in force, and these certificates with them.
            certificates: whose files are there already.
            keys: from `brought_by`.

        Returns:
            Deferred: as that of `IPublisher.publish`.
        """
        read = [self._brought[key] for key in keys]
        try:
            revision: Revision = yield self.publish(put, read, certificates)
        except InvalidCertificate as error:
            raise Refused(f"serviceCert: {error}") from error
        for key in keys:
            self._forget(key)
        return revision

    @inlineCallbacks
    def publish(
        self,
        put: Put,
        read: list[tuple[Certificate, bytes]],
        further: tuple[Certificate, ...] = (),
    ) -> Generator[Deferred[Any], Any, Revision]:
        """
        Put services and certificates in force together, and the certificates into the folder.

        Args:
            put: puts certificates in force, perhaps with services.
            read: certificates, each with its content.
            further: certificates whose files are there already.

        Returns:
            Deferred: as that of `put`.
        """
        present = self._publisher.snapshot.certificates
        news = [(each, content) for each, content in read if present.get(each.identity) != each]
        files = [each.file for each, _ in news]
        self.storing.update(files)
        written: list[tuple[str, str]] = []
        try:
            for certificate, content in news:
                place = yield self._run(self._write, certificate.file, content)
                written.append((place, os.path.join(self.folder, certificate.file)))
            revision: Revision = yield put((*further, *(certificate for certificate, _ in read)))
            # In the order of the answers, so that the file is the one in force; renaming does not wait for the disk.
            while written:
                os.rename(*written[0])
                del written[0]
            for certificate, _ in news:
                self.count += 1
                self.stored[certificate.file] = self.count
                names = _names(certificate) if certificate.listed != () else "nobody: --crt-list-path does not name it"
                end = datetime.fromtimestamp(certificate.not_after, UTC)
                log.info(
                    "certificate {file} is in force for {names}; it is good until {end:%Y-%m-%d %H:%M} UTC",
                    file=certificate.file,
                    names=names,
                    end=end,
                )
        except OSError as error:
            raise InvalidCertificate(_unwritable(self.folder, error)) from error
        finally:
            self.storing.subtract(files)
            self.storing += Counter()
            for place, _ in written:
                with suppress(OSError):
                    os.unlink(place)
        return revision

    def _write(self, file: str, content: bytes) -> str:
        """
        Write it beside its final name, on the disk when this returns.
        """
        os.makedirs(self.folder, FOLDER_MODE, exist_ok=True)
        # Files that begin with a dot are never read as certificates.
        place = os.path.join(self.folder, f".{file}.{secrets.token_hex(8)}")
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
        except OSError:
            os.unlink(place)
            raise
        return place


@implementer(IPublisher)
class CertifyingPublisher(Publishing):
    """
    The door for services that may bring a certificate (`serviceCert`), whoever publishes them.

    Args:
        publisher: the real one.
        certificates: what they have brought.
    """

    def __init__(self, publisher: IPublisher, certificates: Certificates) -> None:
        self._publisher = publisher
        self._certificates = certificates

    @property
    def snapshot(self) -> Snapshot:
        """
        See `IPublisher`.
        """
        snapshot: Snapshot = self._publisher.snapshot
        return snapshot

    def change(
        self,
        services: tuple[Service, ...],
        removed: tuple[str, ...] = (),
        certificates: tuple[Certificate, ...] = (),
        origin: str = "dfp",
        cause: str = "",
        holds: tuple[Hold, ...] | None = None,
    ) -> Deferred[Revision]:
        """
        See `IPublisher`.
        """
        keys = self._certificates.brought_by(services)

        def put(these: tuple[Certificate, ...]) -> Deferred[Revision]:
            changed: Deferred[Revision] = self._publisher.change(services, removed, these, origin, cause, holds)
            return changed

        return self._certificates.publish_with(put, certificates, keys) if keys else put(certificates)


def checked(file: str, content: bytes) -> Certificate:
    """
    A bundle for the folder of certificates, read.

    Raises:
        InvalidCertificate: its name or its content cannot be used.
    """
    if not is_bare(file):
        raise InvalidCertificate(
            f"its file needs a bare name: no slash, no dot at its beginning, at most {NAME_BYTES} bytes"
        )
    return read_bundle(file, "folder", content)


def is_bare(file: str) -> bool:
    """
    Whether this is a file's name without any folder (ODDITY-09), and not a hidden one.
    """
    return (
        file.isprintable()
        and not file.startswith(".")
        and "/" not in file
        and 0 < len(file.encode("utf-8", "replace")) <= NAME_BYTES
    )


def _names(certificate: Certificate) -> str:
    """
    Its names, as far as they fit into a line.
    """
    shown = ", ".join(certificate.names[:5]) or "no name"
    more = len(certificate.names) - 5
    return f"{shown} and {more} more" if more > 0 else shown


def _unwritable(folder: str, error: OSError) -> str:
    return f"cannot be written to {folder}: {error.strerror}; choose another folder with --certs-dir, or its owner"
