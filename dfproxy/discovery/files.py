"""
Certificates in files: the folder of certificates, the secrets that begin with `cert-` or `cert_`, and what a list of
certificates names besides.

Read at start, while we may read what root may, and again when `reload` is called. A file that cannot serve is reported
and passed over; it never keeps the others from serving. The last certificate never goes: the ports with TLS would have
to become plain again.

Source: contract 6.1; DFP `proxy/template.go`, `server/cert.go`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from dfproxy.control.certificates import Certificates, Run
from dfproxy.dfp.crtlist import LIST_BYTES, Lines, read_list
from dfproxy.errors import InvalidCertificate, InvalidSettings, Problem
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
    certs_dir: str, secrets_dir: str, check: Callable[[Certificate], None], lines: Lines | None = None
) -> tuple[tuple[Certificate, ...], tuple[str, ...]]:
    """
    Read every certificate there is. Blocks.

    Args:
        certs_dir: folder of certificates.
        secrets_dir: folder of secrets.
        check: raises `InvalidCertificate` for one that could be read and cannot serve nevertheless.
        lines: says which other files are certificates, and who is shown which; None: nothing does.

    Returns:
        The certificates, and what is wrong with files that are none: a line for each, with the path.
    """
    found: list[Certificate] = []
    problems: list[str] = []
    for source, file, path in _candidates(certs_dir, secrets_dir, problems, lines):
        try:
            certificate = read_bundle(file, source, _content(path), trusted=True)
            if lines is not None:
                certificate = replace(certificate, listed=lines.of(source, file))
            check(certificate)
            found.append(certificate)
        except InvalidCertificate as error:
            problems.append(f"{path} {error}")
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror}")
    return tuple(found), tuple(problems)


def read_lines(path: str, certs_dir: str, secrets_dir: str) -> Lines:
    """
    Read a list of certificates. Blocks.

    Raises:
        InvalidSettings: it cannot be read, or not be followed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidSettings((Problem("--crt-list-path", path, "is no file"),))
            content = file.read(LIST_BYTES + 1)
    except OSError as error:
        raise InvalidSettings((Problem("--crt-list-path", path, f"cannot be read: {error.strerror}"),)) from error
    if len(content) > LIST_BYTES:
        raise InvalidSettings((Problem("--crt-list-path", path, f"is longer than {LIST_BYTES} bytes"),))
    return read_list(content.decode("utf-8", "replace"), certs_dir, secrets_dir)


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
        crt_list: path of a list of certificates; empty: none.
    """

    def __init__(
        self,
        certs_dir: str,
        secrets_dir: str,
        publisher: IPublisher,
        certificates: Certificates,
        run: Run,
        check: Callable[[Certificate], None],
        crt_list: str = "",
    ) -> None:
        self._places = (certs_dir, secrets_dir, check)
        self._crt_list = crt_list
        self._lines: Lines | None = None
        self._publisher = publisher
        self._certificates = certificates
        self._run = run

    def first(self) -> tuple[Certificate, ...]:
        """
        Read them now: what the proxy begins with. Before the reactor runs: blocks.

        Raises:
            InvalidSettings: the list of certificates cannot be followed.
        """
        try:
            lines = self._read_lines()
        except InvalidSettings:
            # The list is needed only where there is something to list (contract 6.1).
            if read_all(*self._places)[0] or os.path.exists(self._crt_list):
                raise
            log.warn("there is no {path}, and no certificate yet; see it at the next reload", path=self._crt_list)
            lines = None
        self._follow(lines)
        found, problems = read_all(*self._places, lines)
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
        left: tuple[str, ...] = ()
        try:
            if self._crt_list:
                self._follow((yield self._run(self._read_lines)))
        except InvalidSettings as error:
            left = tuple(str(error).splitlines())
            log.error("the former list of certificates stays in force: {problem}", problem=str(error))
        found, problems = yield self._run(read_all, *self._places, self._lines)

        def is_newer(certificate: Certificate) -> bool:
            file = certificate.file
            return certificate.source == "folder" and (file in stored.storing or stored.stored.get(file, 0) > before)

        # What was stored while we read is in force, whatever we have seen of its file.
        present = self._publisher.snapshot.certificates
        there = {certificate.identity for certificate in found}
        gone = [name for name, each in present.items() if name not in there and not is_newer(each)]
        left += yield self._publish(tuple(each for each in found if not is_newer(each)), problems)
        if gone and len(gone) == len(self._publisher.snapshot.certificates):
            kept = gone.pop()
            left += (f"{kept} is not there any more and stays in force: it is the last certificate",)
        if gone:
            yield self._publisher.withdraw(tuple(gone))
            log.info("certificates that are not there any more: {names}", names=", ".join(sorted(gone)[:20]))
        return left

    def _read_lines(self) -> Lines | None:
        return read_lines(self._crt_list, *self._places[:2]) if self._crt_list else None

    def _follow(self, lines: Lines | None) -> None:
        """
        This list says who is shown which, for what is stored from now on as well.
        """
        self._lines = lines
        self._certificates.lines = None if lines is None else partial(lines.of, "folder")
        for option in () if lines is None else lines.unheeded:
            log.warn("{path}: {option} has no effect", path=self._crt_list, option=option)

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
            yield self._publisher.publish((), tuple(news), "certificates")
        except Exception as error:  # noqa: BLE001  whatever the reason, the others must come into force
            if len(news) == 1:
                left.append(str(error) or type(error).__name__)
                return
            middle = len(news) // 2
            yield self._some(news[:middle], left)
            yield self._some(news[middle:], left)


def _candidates(
    certs_dir: str, secrets_dir: str, problems: list[str], lines: Lines | None
) -> Iterator[tuple[Source, str, str]]:
    """
    Where each file is, what it is called there, and its path.
    """
    folders: dict[Source, str] = {"folder": certs_dir, "secret": secrets_dir}
    seen: set[tuple[Source, str]] = set()
    for source, folder in folders.items():
        for path in _files(folder, source, problems):
            file = os.path.basename(path)
            seen.add((source, file))
            yield source, file, path
    for source, file in () if lines is None else lines.files:
        if (source, file) not in seen:
            yield source, file, os.path.join(folders.get(source, ""), file)


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
