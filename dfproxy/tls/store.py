"""
The certificates in force: name -> context, replaced one by one while handshakes go on.

A name is served by the first certificate that has it, in the contract's order, together with the first ones of other
kinds of key: a client gets the kind that it understands. Certificates that serve the same names share one context.
Where a list of certificates says who is shown which, its lines count instead, in their order.
What can fail happens in `Staged.steps`, beside what runs; `commit` only puts entries into dictionaries.

Source: contract 6.1 (order, default certificate, `PREFERRED_CERTIFICATE`); HAProxy `crt`, `crt-list`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from dfproxy.errors import InvalidCertificate, InvalidSettings
from dfproxy.model.certificate import Certificate, Listed
from dfproxy.model.settings import Tls
from dfproxy.observe.clients import ClientCounts
from dfproxy.tls.context import load, make_context
from dfproxy.tls.handshakes import Telling, counted_by
from dfproxy.tls.sni import Names, chooser

EVERYTHING = Listed(0)
"""
The line of a certificate that no list speaks of.
"""

Entry = tuple[Certificate, Listed]
"""
A certificate, and the line by which somebody is shown it.
"""


class Key(NamedTuple):
    """
    What a context has.

    Attributes:
        certificates: identity and digest of each; none: there is no context.
        protocols: offered by ALPN; empty: as everywhere.
        ciphers: empty: as everywhere.
    """

    certificates: tuple[tuple[str, str], ...] = ()
    protocols: tuple[str, ...] = ()
    ciphers: str = ""


NOTHING = Key()


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
        return place, certificate.source != "folder", certificate.file

    def by_list(self, entry: Entry) -> tuple[bool, int, tuple[int, bool, str]]:
        """
        What entries are sorted by: the lines of a list, then what no list speaks of.
        """
        return entry[0].listed is None, entry[1].place, self(entry[0])


class Staged:
    """
    A step from the certificates in force to others.

    Args:
        store: where it will be committed.
        held: all certificates then.
        whole: all names are chosen anew; else those in `keys`.
    """

    def __init__(self, store: CertificateStore, held: dict[str, Certificate], whole: bool) -> None:
        self._store = store
        self.held = held
        self.whole = whole
        self.keys: dict[str, Key] = {}
        self.holders: dict[str, tuple[str, ...]] = {}
        self.contexts: dict[Key, ssl.SSLContext] = {}
        self.excluded: frozenset[str] = frozenset()
        self.default = NOTHING

    def steps(self) -> Iterator[None]:
        """
        Make the contexts that are new, one each step (half a millisecond).

        Raises:
            BadCertificate: one of them cannot be.
        """
        for key in dict.fromkeys((*self.keys.values(), self.default)):
            if key.certificates and key not in self._store.contexts and key not in self.contexts:
                self.contexts[key] = self._context(key)
                yield

    def _context(self, key: Key) -> ssl.SSLContext:
        store = self._store
        tls = replace(store.tls, ciphers=key.ciphers) if key.ciphers else store.tls
        # Where HTTP/2 is switched off no line switches it on.
        protocols = tuple(each for each in key.protocols if each in store.protocols) or store.protocols
        try:
            context = make_context(tls, protocols)
        except InvalidSettings as error:
            raise BadCertificate(self.held[key.certificates[0][0]], f"ciphers {key.ciphers}: {error}") from error
        for identity, _ in key.certificates:
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
        counts: of handshakes; None: they are not counted.

    Attributes:
        base: the context of listeners; it has no certificate itself and chooses one for each handshake.
        names: what it chooses from.
        held: certificates in force, by identity.
        contexts: by what they hold.

    Raises:
        InvalidSettings: OpenSSL does not take what was chosen.
    """

    def __init__(
        self, tls: Tls, protocols: tuple[str, ...] = ("http/1.1",), counts: ClientCounts | None = None
    ) -> None:
        self.tls = tls
        self.protocols = protocols
        self.names = Names(tls.strict_sni)
        self.base = make_context(tls, protocols, Telling)
        self.base.sni_callback = chooser(self.names)
        if counts is not None:
            self.base.sslobject_class = counted_by(counts)
        self.held: dict[str, Certificate] = {}
        self.contexts: dict[Key, ssl.SSLContext] = {}
        self._order = Order(tls.preferred)
        self._holders: dict[str, tuple[str, ...]] = {}
        self._keys: dict[str, Key] = {}
        self._default = NOTHING
        self._listing = False  # a list says who is shown which

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
        if self._listing or any(each.listed is not None for each in new.values()):
            return self._stage_listed(held)
        affected = {name for each in new.values() for name in each.names}
        for identity in (*gone, *new):
            former = self.held.get(identity)
            if former is not None:
                affected.update(former.names)
        staged = Staged(self, held, False)
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
        if staged.whole:
            self._listing = any(each.listed is not None for each in self.held.values())
            self._keys, self._holders = dict(staged.keys), dict(staged.holders)
            self.names.contexts = {name: self.contexts[key] for name, key in staged.keys.items()}
            self.names.excluded = staged.excluded
        for name, key in () if staged.whole else staged.keys.items():
            if key.certificates:
                self._keys[name] = key
                self._holders[name] = staged.holders[name]
                self.names.contexts[name] = self.contexts[key]
            else:
                self._keys.pop(name, None)
                self._holders.pop(name, None)
                self.names.contexts.pop(name, None)
        self._default = staged.default
        self.names.default = self.contexts[staged.default] if staged.default.certificates else None
        used = {*self._keys.values(), self._default}
        for key in [key for key in self.contexts if key not in used]:
            del self.contexts[key]

    def _chosen(self, held: dict[str, Certificate], holders: Iterable[str]) -> Key:
        """
        The first certificate of each kind of key.
        """
        return _key((each, EVERYTHING) for each in sorted((held[identity] for identity in holders), key=self._order))

    def _default_of(self, staged: Staged) -> Key:
        if not staged.held:
            return NOTHING
        first = min(staged.held.values(), key=self._order)
        for name in first.names[:1]:
            # With what serves its first name beside it, for clients that do not understand its kind of key.
            return staged.keys[name] if name in staged.keys else self._keys[name]
        return _key([(first, EVERYTHING)])

    def _stage_listed(self, held: dict[str, Certificate]) -> Staged:
        """
        All names anew: lists are short, and contexts that exist are not made again.
        """
        staged = Staged(self, held, True)
        entries: list[Entry] = []
        for certificate in held.values():
            lines = (EVERYTHING,) if certificate.listed is None else certificate.listed
            entries += [(certificate, line) for line in lines]
            for name in certificate.names:
                staged.holders[name] = (*staged.holders.get(name, ()), certificate.identity)
        entries.sort(key=self._order.by_list)
        named: dict[str, list[Entry]] = {}
        for entry in entries:
            for name in _names(entry):
                named.setdefault(name, []).append(entry)
        nobody = set()
        for name in {name for _, line in entries for name in line.excluded} - named.keys():
            others = [each for each in named.get(_wildcard(name), ()) if name not in each[1].excluded]
            if others:
                named[name] = others
            else:
                nobody.add(name)
        staged.excluded = frozenset(nobody)
        staged.keys = {name: _key(found) for name, found in named.items()}
        if entries:
            first = entries[0]
            beside = next((named[name] for name in _names(first)), [])
            staged.default = _key(beside if beside and beside[0] is first else [first])
        elif held:
            staged.default = _key([(min(held.values(), key=self._order), EVERYTHING)])  # better than none
        return staged


def _names(entry: Entry) -> tuple[str, ...]:
    certificate, line = entry
    return certificate.names if line.names is None else line.names


def _wildcard(name: str) -> str:
    return f"*.{name.partition('.')[2]}"


def _key(entries: Iterable[Entry]) -> Key:
    """
    The first certificate of each kind of key, with what the first line says besides.
    """
    kinds: dict[str, Certificate] = {}
    about: Listed | None = None
    for certificate, line in entries:
        kinds.setdefault(certificate.kind, certificate)
        about = about or line
    about = about or EVERYTHING
    return Key(tuple((each.identity, each.digest) for each in kinds.values()), about.protocols, about.ciphers)
