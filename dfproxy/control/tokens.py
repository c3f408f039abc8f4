"""
The shared tokens that callers of the control API carry: read from a file, compared, and sent to other replicas.

A file has one token a line. Each of them is accepted and the first is sent, so that a token can be replaced without a
moment at which replicas refuse each other: add the new one everywhere, move it to the front, take the old one away.

Only digests are kept of what is compared; the one that is sent is kept as it is, and shown nowhere.

Source: RFC 6750 section 2.1 (Bearer), RFC 7617 (Basic, whose password may be the token).
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode
from binascii import Error as NotBase64
from hashlib import sha256

from dfproxy.errors import InvalidSettings, Problem

SHORTEST = 16
"""
Characters of a token, at least: what can be guessed protects nothing. `openssl rand -hex 32` gives 64.
"""

LONGEST = 1024
"""
Characters of a token, at most.
"""

MOST = 16
"""
Tokens in one file: each is compared with what each call brings.
"""

FILE_BYTES = MOST * (LONGEST + 2)
"""
How much of the file is read.
"""

HINT = "openssl rand -hex 32 makes one"

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")


class Tokens:
    """
    The tokens of one file.

    Args:
        path: of the file; empty: there are none, and everybody may call.

    Attributes:
        wanted: whether calls have to carry one.
    """

    def __init__(self, path: str) -> None:
        self.wanted = bool(path)
        self._path = path
        self._digests: tuple[bytes, ...] = ()
        self._sent: dict[str, str] = {}

    def read(self) -> None:
        """
        Read the file; blocks. What was read before stays in force if this fails.

        Raises:
            InvalidSettings: it cannot be read, or has no usable tokens; nothing of its content is repeated.
        """
        if self.wanted:
            tokens = read_tokens(self._path)
            self._digests = tuple(sha256(token.encode()).digest() for token in tokens)
            self._sent = {"Authorization": f"Bearer {tokens[0]}"}

    def fields(self) -> dict[str, str]:
        """
        What a call to another replica has to carry.
        """
        return dict(self._sent)

    def accepts(self, authorization: bytes) -> bool:
        """
        Whether the value of an Authorization field has one of the tokens.

        How long it takes tells nothing of how near a wrong one is: digests are compared, and always all of them.
        """
        given = sha256(_given(authorization)).digest()
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(digest, given)
        return found


def read_tokens(path: str) -> tuple[str, ...]:
    """
    The tokens of a file.

    Raises:
        InvalidSettings: as of `Tokens.read`.
    """

    def problem(reason: str) -> InvalidSettings:
        return InvalidSettings((Problem("--api-token-file", path, reason),))

    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise problem(f"cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES:
        raise problem(f"is longer than {FILE_BYTES} bytes; it has one token a line")
    lines = [line.strip() for line in content.decode("latin-1").splitlines()]
    tokens = tuple(line for line in lines if line)
    if not tokens:
        raise problem(f"has no token; {HINT}")
    if len(tokens) > MOST:
        raise problem(f"has {len(tokens)} tokens; at most {MOST} can be in force at once")
    for number, token in enumerate(tokens, 1):
        if not SHORTEST <= len(token) <= LONGEST:
            raise problem(f"token {number} has {len(token)} characters, not {SHORTEST} to {LONGEST}; {HINT}")
        if not _TOKEN.match(token):
            raise problem(f"token {number} has characters other than letters, digits and - . _ ~ + / =; {HINT}")
    return tokens


def _given(authorization: bytes) -> bytes:
    """
    The token in the value of an Authorization field; empty if there is none.
    """
    scheme, _, rest = authorization.strip().partition(b" ")
    kind = scheme.lower()
    if kind == b"bearer":
        return rest.strip()
    if kind == b"basic":
        try:
            return b64decode(rest.strip(), validate=True).partition(b":")[2]
        except NotBase64:
            return b""
    return b""
