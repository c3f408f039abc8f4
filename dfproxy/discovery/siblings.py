"""
Certificates of the other replicas, fetched once at start: a new container of the proxy has none of its own, and the
others have what came in by `PUT cert`.

Nothing here may keep the proxy from starting: every step has its time, and every failure is only logged. Siblings may
be Docker Flow Proxy.

Source: contract 8.3 (DFP `server/cert.go`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.logger import Logger

from dfproxy.control.asking import Asking, Said, Unanswered
from dfproxy.control.certificates import Certificates, checked
from dfproxy.errors import DfproxyError, InvalidCertificate
from dfproxy.interfaces import IPublisher
from dfproxy.model.certificate import identity

ANSWER_S = 3.0
"""
How long a sibling may take to list its certificates, in seconds.
"""

ANSWER_BYTES = 64 << 20
"""
Longest list: 1,000 certificates are some 5 MB.
"""

SIBLINGS = 16
"""
Siblings asked; all should have the same certificates.
"""

PATH = "/v1/docker-flow-proxy/certs"

log = Logger()


class Entry(msgspec.Struct):
    """
    One certificate as DFP lists it.
    """

    ProxyServiceName: str = ""
    CertContent: str = ""


class Listed(msgspec.Struct):
    """
    A list of certificates; DFP says null for none.
    """

    Certs: list[Entry] | None = None


_decoder = msgspec.json.Decoder(Listed)


class Siblings:
    """
    Fetches certificates from other replicas.

    Args:
        others: tells their addresses; may fail.
        asking: puts the questions.
        port: where the API of every replica listens.
        publisher: tells what is in force already.
        certificates: where to store them.
        run: for what blocks.
        fields: header fields that every replica wants of its callers.

    Attributes:
        asking_now: siblings are known and asked; not over yet.
    """

    def __init__(
        self,
        others: Callable[[], Deferred[tuple[str, ...]]],
        asking: Asking,
        port: Callable[[], int],
        publisher: IPublisher,
        certificates: Certificates,
        run: Callable[..., Deferred[Any]],
        fields: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._fields = fields
        self._others = others
        self._asking = asking
        self._port = port
        self._publisher = publisher
        self._certificates = certificates
        self._run = run
        self.asking_now = False

    @inlineCallbacks
    def fetch(self) -> Generator[Deferred[Any], Any, int]:
        """
        Fetch once.

        Returns:
            Deferred: how many certificates came into force by it. Never fails.
        """
        try:
            others: tuple[str, ...] = yield self._others()
        except DfproxyError:
            return 0  # outside of a Swarm nobody is there to be asked
        if not others:
            return 0
        self.asking_now = True
        try:
            bundles = yield self._best(others[:SIBLINGS])
            stored: int = yield self._store(bundles)
        finally:
            self.asking_now = False
        return stored

    @inlineCallbacks
    def _best(self, others: tuple[str, ...]) -> Generator[Deferred[Any], Any, list[Entry]]:
        """
        The longest list that any of them has (DFP).
        """
        port = self._port()
        asked: list[Deferred[Said]] = [
            self._asking.ask(
                "GET", f"http://{_host(other)}:{port}{PATH}", ANSWER_S, ANSWER_BYTES, headers=self._fields()
            )
            for other in others
        ]
        best: list[Entry] = []
        told = yield DeferredList(asked, consumeErrors=True)
        for other, (answered, said) in zip(others, told, strict=True):
            if not answered:
                why = str(said.value) if said.check(Unanswered) else said.getErrorMessage()
                log.info("{other} tells no certificates: {why}", other=other, why=why)
                continue
            try:
                entries = _decoder.decode(said.body).Certs if said.status == 200 else None
            except msgspec.DecodeError as error:
                log.warn("what {other} tells is no list of certificates: {why}", other=other, why=str(error))
                continue
            if len(entries or ()) > len(best):
                best = entries or []
        return best

    @inlineCallbacks
    def _store(self, entries: list[Entry]) -> Generator[Deferred[Any], Any, int]:
        count = 0
        for entry in entries:
            file, content = entry.ProxyServiceName, entry.CertContent.encode("utf-8", "replace")
            try:
                certificate = yield self._run(checked, file, content)
                present = self._publisher.snapshot.certificates.get(identity("folder", file))
                if present is not None and present.not_after >= certificate.not_after:
                    continue  # what was here when we ended, and is not older
                yield self._certificates.put((file, content))
                count += 1
            except InvalidCertificate as error:
                log.warn("certificate {file} of a sibling is not used: {why}", file=file[:100], why=str(error))
            except DfproxyError as error:
                log.warn("certificate {file} of a sibling is not in force: {why}", file=file[:100], why=str(error))
        if count:
            log.info("{count} certificates were fetched from other replicas", count=count)
        return count


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
