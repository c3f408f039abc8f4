"""
Who may come in: Basic credentials against a list of users.

Plain passwords are compared at once, in constant time. Hashes take milliseconds, so they are verified in a thread; what
was verified is remembered as a keyed digest, never as a password. Whatever goes wrong lets nobody in.

Source: RFC 7617; HAProxy `http_auth`, `userlist`; crypt(3).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Callable
from hashlib import blake2b

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from dfproxy.errors import InvalidRoute
from dfproxy.model.steps import Access, User

log = Logger()

REMEMBERED = 4096
"""
Verdicts kept in a process, some 0.5 MB; the oldest goes first.
"""

WAITING = 64
"""
Hashes under way in a process. Each takes milliseconds of a processor: who tries passwords by the thousand must not keep
everybody else waiting. Beyond it a request is answered 503.
"""

LONGEST_BYTES = 1024
"""
Longest Authorization that is looked at. Hashing takes time in proportion.
"""

InThread = Callable[[Callable[[], bool]], "Deferred[bool]"]


class Busy(Exception):
    """
    Too many hashes are being verified.
    """


class Verifier:
    """
    Verifies passwords against crypt(3) hashes, off the path of requests.

    Args:
        in_thread: runs a function in a thread.
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._key = os.urandom(32)
        self._verdicts: dict[bytes, bool] = {}
        self._under_way: dict[bytes, list[Deferred[bool]]] = {}

    def verify(self, password: bytes, hashed: str) -> bool | Deferred[bool]:
        """
        Whether the password has this hash.

        Returns:
            At once what is known already; else a Deferred.

        Raises:
            Busy: too many are waiting.
        """
        key = blake2b(hashed.encode() + b"\0" + password, key=self._key, digest_size=32).digest()
        known = self._verdicts.get(key)
        if known is not None:
            return known
        waiting = self._under_way.get(key)
        mine: Deferred[bool] = Deferred()
        if waiting is not None:
            waiting.append(mine)
            return mine
        if len(self._under_way) >= WAITING:
            raise Busy
        self._under_way[key] = [mine]
        self._in_thread(lambda: matches(password, hashed)).addBoth(self._verified, key)
        return mine

    def _verified(self, verdict: object, key: bytes) -> None:
        if not isinstance(verdict, bool):
            log.error("a password could not be verified: {reason}", reason=str(verdict)[:200])
        elif len(self._verdicts) >= REMEMBERED:
            del self._verdicts[next(iter(self._verdicts))]
        if isinstance(verdict, bool):
            self._verdicts[key] = verdict
        for waiting in self._under_way.pop(key, ()):
            waiting.callback(verdict is True)

    @staticmethod
    def at_once() -> Verifier:
        """
        One that verifies where it is asked, for tests and small tools.
        """
        return Verifier(lambda verify: succeed(verify()))


def matches(password: bytes, hashed: str) -> bool:
    """
    Whether the password has this crypt(3) hash; takes milliseconds. An unknown kind of hash matches nothing.

    Raises:
        RuntimeError: the library that computes this kind of hash is not installed.
    """
    from passlib.context import CryptContext  # takes 40 ms to import, and few need it

    try:
        known = password[:BCRYPT_BYTES] if hashed.startswith("$2") else password
        return bool(CryptContext(list(SCHEMES)).verify(known, hashed))
    except (ValueError, TypeError):  # no hash that we know, or a password that has none
        return False


def hash_of(password: str) -> str:
    """
    A crypt(3) hash of a password (SHA-512 with its usual 5,000 rounds, and a salt of its own); takes milliseconds.
    """
    from passlib.hash import sha512_crypt  # as above

    return str(sha512_crypt.using(rounds=ROUNDS).hash(password))


ROUNDS = 5000
"""
Of hashes that we make: what crypt(3) does unless told otherwise. Each worker does them for each new password it is
shown, so more would help those who try passwords to keep it busy.
"""

BCRYPT_BYTES = 72
"""
What bcrypt looks at of a password, and so does crypt(3); the library refuses longer ones.
"""

SCHEMES = ("sha512_crypt", "sha256_crypt", "md5_crypt", "bcrypt", "des_crypt")
"""
What passlib calls `$6$`, `$5$`, `$1$`, `$2b$` and the crypt of old.
"""


class Gate:
    """
    The users of one destination.

    Args:
        access: who may come in.
        verifier: for hashes.
    """

    __slots__ = ("_hashes", "_plain", "_verifier", "challenge")

    def __init__(self, access: Access, verifier: Verifier) -> None:
        if any(character in access.realm for character in '"\\\r\n'):
            raise InvalidRoute(f"a realm cannot be {access.realm!r}")
        self._plain: dict[bytes, bytes] = {}
        self._hashes: dict[bytes, str] = {}
        self._verifier = verifier
        self.challenge = b'WWW-Authenticate: Basic realm="%b"\r\n' % access.realm.encode()
        for user in access.users:
            self._add(user)

    def _add(self, user: User) -> None:
        name = user.name.encode()
        self._plain.pop(name, None)
        self._hashes.pop(name, None)
        if user.encrypted:
            self._hashes[name] = user.password
        else:
            self._plain[name] = _digest(user.password.encode())

    def admits(self, authorization: bytes | None) -> bool | Deferred[bool]:
        """
        Whether these credentials are of one of the users.

        Args:
            authorization: value of the field; None: there is none.

        Raises:
            Busy: there are too many to verify.
        """
        found = credentials(authorization)
        if found is None:
            return False
        name, password = found
        hashed = self._hashes.get(name)
        if hashed is not None:
            return self._verifier.verify(password, hashed)
        return hmac.compare_digest(self._plain.get(name, _NOBODY), _digest(password))


def credentials(authorization: bytes | None) -> tuple[bytes, bytes] | None:
    """
    Name and password; None if there are none that can be read.
    """
    if authorization is None or len(authorization) > LONGEST_BYTES:
        return None
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(b" "), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


def _digest(password: bytes) -> bytes:
    """
    Equally long for all, so that a comparison tells nothing of the length.
    """
    return blake2b(password, digest_size=32).digest()


_NOBODY = bytes(32)
"""
No digest of any password that could be found.
"""
