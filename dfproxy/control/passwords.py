"""
Passwords on their way into the journal and back: hashed before they are written, recognised when they come again.

Both take milliseconds for each password, so they are done where that harms nobody, and what was done is remembered:
the same user of the same password always has the same hash.

Source: `design.md` 9; crypt(3).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from twisted.internet.defer import Deferred, succeed

from dfproxy.dfp.kept import differs_by_hash, has_plain, hashed
from dfproxy.exchange.passwords import hash_of, matches
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change
from dfproxy.model.steps import User

REMEMBERED = 10_000
"""
Hashes remembered, some 2 MB; the oldest goes first.
"""

Run = Callable[[Callable[[], Any]], "Deferred[Any]"]


class Passwords:
    """
    What is known of passwords and their hashes. Plain ones are not remembered, only keyed digests of them.

    Args:
        run: does something that takes long.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._key = os.urandom(32)
        self._hashes: dict[bytes, str] = {}

    def kept(self, change: Change) -> Deferred[Change]:
        """
        The change as it is to be recorded: without plain passwords.
        """
        if not any(map(has_plain, change.services)) and not any(has_plain(hold.against) for hold in change.holds):
            return succeed(change)
        return self._run(
            lambda: replace(
                change,
                services=tuple(map(self.hashed, change.services)),
                holds=tuple(replace(hold, against=self.hashed(hold.against)) for hold in change.holds),
            )
        )

    def hashed(self, service: Service) -> Service:
        """
        The service without plain passwords. Blocks for milliseconds for each that is not known yet.
        """
        return hashed(service, self._hash)

    def recognised(self, pairs: list[tuple[Service, Service]]) -> Deferred[list[bool]]:
        """
        Which services are the kept ones, given again with plain passwords.

        Args:
            pairs: what is given and what was kept.
        """
        return self._run(lambda: [self._is_same(*pair) for pair in pairs])

    def _is_same(self, given: Service, kept: Service) -> bool:
        found = differs_by_hash(given, kept)
        return found is not None and all(self._matches(password, kept_hash) for password, kept_hash in found)

    def _matches(self, password: str, kept_hash: str) -> bool:
        key = self._digest(kept_hash, password)
        if key not in self._hashes:
            if not matches(password.encode(), kept_hash):
                return False
            self._remember(key, kept_hash)
        return True

    def _hash(self, user: User) -> str:
        key = self._digest(user.name, user.password)
        known = self._hashes.get(key)
        if known is None:
            known = hash_of(user.password)
            self._remember(key, known)
            self._remember(self._digest(known, user.password), known)
        return known

    def _remember(self, key: bytes, value: str) -> None:
        # Two threads may come here at once; a pop of what the other has popped is none.
        while len(self._hashes) >= REMEMBERED:
            self._hashes.pop(next(iter(self._hashes)), None)
        self._hashes[key] = value

    def _digest(self, *texts: str) -> bytes:
        return blake2b("\0".join(texts).encode(), key=self._key, digest_size=32).digest()
