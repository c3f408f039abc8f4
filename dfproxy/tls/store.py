"""
The certificates in force: name -> context, replaced one by one while handshakes go on.

A name is served by the first certificate that has it, in the contract's order, together with the first ones of other
kinds of key: a client gets the kind that it understands. Certificates that serve the same names share one context.
What can fail happens in `Staged.steps`, beside what runs; `commit` only puts entries into dictionaries.

Source: contract 6.1 (order, default certificate, `PREFERRED_CERTIFICATE`); HAProxy `crt`, `crt-list`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator

from dfproxy.errors import InvalidCertificate
from dfproxy.model.certificate import Certificate
from dfproxy.model.settings import Tls
from dfproxy.tls.context import load, make_context
from dfproxy.tls.sni import Names, chooser

Key = tuple[tuple[str, str], ...]
"""
Which certificates a context has: identity and digest of each.
"""


class BadCertificate(InvalidCertificate):
    """
    OpenSSL does not take one.

    Args:
        certificate: which.
        reason: why.
    """

    def __init__(self, certificate: Certificate, reason: str) -> None:
        super().__init__(f"{certificate.file}: {reason}")
        self.identity = certificate.identity


class Order:
    """
    The contract's order of certificates.

    Args:
        preferred: globs of file names; what an earlier one matches comes before what a later one matches.
    """

    def __init__(self, preferred: tuple[str, ...] = ()) -> None:
        self._globs = [re.compile(".*".join(map(re.escape, glob.split("*"))), re.DOTALL) for glob in preferred]

    def __call__(self, certificate: Certificate) -> tuple[int, bool, str]:
        """
        What it is sorted by: glob, then the folder before secrets, then the file's name.
        """
        globs = self._globs
        place = next((n for n, glob in enumerate(globs) if glob.fullmatch(certificate.file)), len(globs))
        return place, certificate.source == "secret", certificate.file


class Staged:
    """
    A step from the certificates in force to others.
    """

    def __init__(self, store: CertificateStore, held: dict[str, Certificate], affected: set[str]) -> None:
        self._store = store
        self.held = held
        self.affected = affected
        self.keys: dict[str, Key] = {}
        self.holders: dict[str, tuple[str, ...]] = {}
        self.contexts: dict[Key, ssl.SSLContext] = {}
        self.default: Key = ()

    def steps(self) -> Iterator[None]:
        """
        Make the contexts that are new, one each step (half a millisecond).

        Raises:
            BadCertificate: one of them cannot be.
        """
        for key in dict.fromkeys((*self.keys.values(), self.default)):
            if key and key not in self._store.contexts and key not in self.contexts:
                self.contexts[key] = self._context(key)
                yield

    def _context(self, key: Key) -> ssl.SSLContext:
        context = make_context(self._store.tls, self._store.protocols)
        for identity, _ in key:
            certificate = self.held[identity]
            try:
                load(context, (certificate,))
            except InvalidCertificate as error:
                raise BadCertificate(certificate, str(error)) from error
        return context


class CertificateStore:
    """
    All certificates of this process.

    Args:
        tls: what the operator chose.
        protocols: offered by ALPN, the preferred one first.

    Attributes:
        base: the context of listeners; it has no certificate itself and chooses one for each handshake.
        names: what it chooses from.
        held: certificates in force, by identity.
        contexts: by what they hold.

    Raises:
        InvalidSettings: OpenSSL does not take what was chosen.
    """

    def __init__(self, tls: Tls, protocols: tuple[str, ...] = ("http/1.1",)) -> None:
        self.tls = tls
        self.protocols = protocols
        self.names = Names(tls.strict_sni)
        self.base = make_context(tls, protocols)
        self.base.sni_callback = chooser(self.names)
        self.held: dict[str, Certificate] = {}
        self.contexts: dict[Key, ssl.SSLContext] = {}
        self._order = Order(tls.preferred)
        self._holders: dict[str, tuple[str, ...]] = {}
        self._keys: dict[str, Key] = {}
        self._default: Key = ()

    def stage(self, certificates: Iterable[Certificate], removed: Iterable[str] = (), whole: bool = False) -> Staged:
        """
        Prepare for others.

        Args:
            certificates: new ones, or replacements of those of the same identity.
            removed: identities that go; unknown ones are fine.
            whole: all others go, too.
        """
        new = {certificate.identity: certificate for certificate in certificates}
        gone = set(self.held) - set(new) if whole else {name for name in removed if name in self.held}
        held = {identity: each for identity, each in self.held.items() if identity not in gone} | new
        affected = {name for each in new.values() for name in each.names}
        for identity in (*gone, *new):
            former = self.held.get(identity)
            if former is not None:
                affected.update(former.names)
        staged = Staged(self, held, affected)
        added: dict[str, list[str]] = {}
        for identity, each in new.items():
            for name in each.names:
                added.setdefault(name, []).append(identity)
        for name in affected:
            kept = [i for i in self._holders.get(name, ()) if i not in gone and i not in new]
            staged.holders[name] = (*kept, *added.get(name, ()))
            staged.keys[name] = self._chosen(held, staged.holders[name])
        staged.default = self._default_of(staged)
        return staged

    def commit(self, staged: Staged) -> None:
        """
        Put it in force. Handshakes from now on see it; connections keep what they have.
        """
        self.held = staged.held
        self.contexts.update(staged.contexts)
        for name, key in staged.keys.items():
            if key:
                self._keys[name] = key
                self._holders[name] = staged.holders[name]
                self.names.contexts[name] = self.contexts[key]
            else:
                self._keys.pop(name, None)
                self._holders.pop(name, None)
                self.names.contexts.pop(name, None)
        self._default = staged.default
        self.names.default = self.contexts[staged.default] if staged.default else None
        used = {*self._keys.values(), self._default}
        for key in [key for key in self.contexts if key not in used]:
            del self.contexts[key]

    def _chosen(self, held: dict[str, Certificate], holders: Iterable[str]) -> Key:
        """
        The first certificate of each kind of key.
        """
        kinds: dict[str, Certificate] = {}
        for certificate in sorted((held[identity] for identity in holders), key=self._order):
            kinds.setdefault(certificate.kind, certificate)
        return tuple((each.identity, each.digest) for each in kinds.values())

    def _default_of(self, staged: Staged) -> Key:
        if not staged.held:
            return ()
        first = min(staged.held.values(), key=self._order)
        for name in first.names[:1]:
            # With what serves its first name beside it, for clients that do not understand its kind of key.
            return staged.keys[name] if name in staged.keys else self._keys[name]
        return ((first.identity, first.digest),)
