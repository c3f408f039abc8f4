"""
Certificates in files: the folder of certificates, and the secrets that begin with `cert-` or `cert_`.

Read at start, while we may read what root may, and again when `reload` is called. A file that cannot serve is reported
and passed over; it never keeps the others from serving. The last certificate never goes: the ports with TLS would have
to become plain again.

Source: contract 6.1; DFP `proxy/template.go`, `server/cert.go`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from dfproxy.control.certificates import Certificates, Run
from dfproxy.errors import InvalidCertificate
from dfproxy.interfaces import IPublisher
from dfproxy.model.certificate import Certificate, Source
from dfproxy.tls.pem import BUNDLE_BYTES, read_bundle

log = Logger()

AT_ONCE = 100
"""
Certificates in one change: a change of one that cannot be loaded is repeated without it.
"""

PREFIXES = ("cert-", "cert_")
"""
How the names of secrets that are certificates begin, in lower case.
"""


def read_all(
    certs_dir: str, secrets_dir: str, check: Callable[[Certificate], None]
) -> tuple[tuple[Certificate, ...], tuple[str, ...]]:
    """
    Read every certificate there is. Blocks.

    Args:
        certs_dir: folder of certificates.
        secrets_dir: folder of secrets.
        check: raises `InvalidCertificate` for one that could be read and cannot serve nevertheless.

    Returns:
        The certificates, and what is wrong with files that are none: a line for each, with the path.
    """
    found: list[Certificate] = []
    problems: list[str] = []
    places: tuple[tuple[str, Source], ...] = ((certs_dir, "folder"), (secrets_dir, "secret"))
    for folder, source in places:
        for path in _files(folder, source, problems):
            try:
                certificate = read_bundle(os.path.basename(path), source, _content(path), trusted=True)
                check(certificate)
                found.append(certificate)
            except InvalidCertificate as error:
                problems.append(f"{path} {error}")
            except OSError as error:
                problems.append(f"{path} cannot be read: {error.strerror}")
    return tuple(found), tuple(problems)


class CertificateFiles:
    """
    Keeps what is in force like what is in the files, when asked to.

    Args:
        certs_dir: folder of certificates.
        secrets_dir: folder of secrets.
        publisher: the one door.
        certificates: says which files are just being written.
        run: for what blocks.
        check: as `read_all` has it.
    """

    def __init__(
        self,
        certs_dir: str,
        secrets_dir: str,
        publisher: IPublisher,
        certificates: Certificates,
        run: Run,
        check: Callable[[Certificate], None],
    ) -> None:
        self._places = (certs_dir, secrets_dir, check)
        self._publisher = publisher
        self._certificates = certificates
        self._run = run

    def first(self) -> tuple[Certificate, ...]:
        """
        Read them now: what the proxy begins with. Before the reactor runs: blocks.
        """
        found, problems = read_all(*self._places)
        for problem in problems:
            log.error("no certificate: {problem}", problem=problem)
        if found:
            log.info("{count} certificates are read from files", count=len(found))
        return found

    @inlineCallbacks
    def again(self) -> Generator[Deferred[Any], Any, tuple[str, ...]]:
        """
        Look at the files again, and put in force what has changed.

        Returns:
            Deferred: what could not be used, a line for each. Never fails.
        """
        stored = self._certificates
        before = stored.count
        found, problems = yield self._run(read_all, *self._places)

        def is_newer(certificate: Certificate) -> bool:
            file = certificate.file
            return certificate.source == "folder" and (file in stored.storing or stored.stored.get(file, 0) > before)

        # What was stored while we read is in force, whatever we have seen of its file.
        present = self._publisher.snapshot.certificates
        there = {certificate.identity for certificate in found}
        gone = [name for name, each in present.items() if name not in there and not is_newer(each)]
        left: tuple[str, ...] = yield self._publish(tuple(each for each in found if not is_newer(each)), problems)
        if gone and len(gone) == len(self._publisher.snapshot.certificates):
            kept = gone.pop()
            left += (f"{kept} is not there any more and stays in force: it is the last certificate",)
        if gone:
            yield self._publisher.withdraw(tuple(gone))
            log.info("certificates that are not there any more: {names}", names=", ".join(sorted(gone)[:20]))
        return left

    @inlineCallbacks
    def _publish(
        self, found: tuple[Certificate, ...], problems: tuple[str, ...]
    ) -> Generator[Deferred[Any], Any, tuple[str, ...]]:
        left = list(problems)
        present = self._publisher.snapshot.certificates
        news = [each for each in found if present.get(each.identity) != each]
        for start in range(0, len(news), AT_ONCE):
            yield self._some(news[start : start + AT_ONCE], left)
        if news:
            log.info("{count} certificates are read from files", count=len(news))
        for problem in left:
            log.error("no certificate: {problem}", problem=problem)
        return tuple(left)

    @inlineCallbacks
    def _some(self, news: list[Certificate], left: list[str]) -> Generator[Deferred[Any], Any, None]:
        """
        Put these in force; when they are refused, each half by itself, down to the one that is at fault.
        """
        try:
            yield self._publisher.publish((), tuple(news))
        except Exception as error:  # noqa: BLE001  whatever the reason, the others must come into force
            if len(news) == 1:
                left.append(str(error) or type(error).__name__)
                return
            middle = len(news) // 2
            yield self._some(news[:middle], left)
            yield self._some(news[middle:], left)


def _files(folder: str, source: Source, problems: list[str]) -> Iterator[str]:
    """
    Paths of the files that may be certificates, sorted.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"{folder} cannot be read: {error.strerror}")
        return
    for name in names:
        if name.startswith(".") or (source == "secret" and not name.lower().startswith(PREFIXES)):
            continue
        path = os.path.join(folder, name)
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                yield path
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror}")


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(BUNDLE_BYTES + 1)
