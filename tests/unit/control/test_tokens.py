"""
Tokens of API callers: their file, and how they are compared.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.tokens import FILE_BYTES, LONGEST, MOST, SHORTEST, Tokens
from dfproxy.errors import InvalidSettings

FIRST, SECOND = "first-0123456789abcdef", "second/0123456789ABCDEF=="


class TokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def tokens(self, content: str | bytes) -> Tokens:
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        found = Tokens(str(self.path))
        found.read()
        return found

    def test_accepted(self) -> None:
        """
        Each line is a token; it comes as Bearer, or as the password of Basic. The first is sent.
        """
        tokens = self.tokens(f"{FIRST}\n\n  {SECOND}\r\n")
        self.assertTrue(tokens.wanted)
        for token in (FIRST, SECOND):
            basic = b64encode(f"anybody:{token}".encode()).decode()
            for value in (f"Bearer {token}", f"bearer  {token} ", f"BASIC {basic}"):
                self.assertTrue(tokens.accepts(value.encode()), value)
        self.assertEqual(tokens.fields(), {"Authorization": f"Bearer {FIRST}"})

    def test_not_accepted(self) -> None:
        """
        Nothing else: not a part of one, not two at once, not the user of Basic, not what is no text.
        """
        tokens = self.tokens(f"{FIRST}\n{SECOND}")
        for value in (
            b"",
            b"Bearer",
            b"Bearer ",
            b"Basic",
            b"Basic !",
            b"Basic Og==",
            FIRST.encode(),
            f"Bearer {FIRST[:-1]}".encode(),
            f"Bearer {FIRST}x".encode(),
            f"Bearer {FIRST} {SECOND}".encode(),
            f"Bearer {FIRST}, Bearer {FIRST}".encode(),
            f"Bearer {FIRST.upper()}".encode(),
            f"Digest {FIRST}".encode(),
            b"Basic " + b64encode(f"{FIRST}:x".encode()),
            b"Basic " + b64encode(FIRST.encode()),
            b"Bearer \xff\xfe\x00",
        ):
            self.assertFalse(tokens.accepts(value), value)

    def test_time(self) -> None:
        """
        Every token is compared, by digests and with the library's constant-time comparison, whichever it is.
        """
        tokens = self.tokens(f"{FIRST}\n{SECOND}")
        for value in (f"Bearer {FIRST}", "Bearer x", ""):
            with patch("hmac.compare_digest", side_effect=hmac.compare_digest) as compared:
                tokens.accepts(value.encode())
            self.assertEqual([len(side) for call in compared.call_args_list for side in call.args], [32] * 4)

    def test_none(self) -> None:
        """
        Without a file nothing is wanted, sent, or accepted.
        """
        tokens = Tokens("")
        tokens.read()
        self.assertEqual((tokens.wanted, tokens.fields(), tokens.accepts(b"Bearer ")), (False, {}, False))

    def test_refused_files(self) -> None:
        """
        What cannot protect is refused, with the reason and without what is in it; what was read before stays.
        """
        tokens = self.tokens(FIRST)
        for content, reason in (
            (b"", "has no token"),
            (b" \n\n", "has no token"),
            (b"s3cret-short", f"token 1 has 12 characters, not {SHORTEST} to {LONGEST}"),
            (f"{FIRST}\n{'y' * (LONGEST + 1)}".encode(), "token 2 has 1025 characters"),
            (b"s3cret with blanks and more", "token 1 has characters other"),
            ("s3cret-sécret-sécret".encode(), "token 1 has characters other"),
            (b"\n".join([FIRST.encode()] * (MOST + 1)), "has 17 tokens"),
            (b"x" * (FILE_BYTES + 1), "is longer than"),
        ):
            self.path.write_bytes(content)
            error = self.assertRaises(InvalidSettings, tokens.read)
            self.assertIn(f"--api-token-file={self.path}: {reason}", str(error))
            for secret in ("s3cret", FIRST, "yyy"):
                self.assertNotIn(secret, str(error))
            self.assertTrue(tokens.accepts(f"Bearer {FIRST}".encode()))
        self.path.unlink()
        self.assertIn("cannot be read: No such file", str(self.assertRaises(InvalidSettings, tokens.read)))

    def test_replaced(self) -> None:
        """
        Read again, the file counts as it is now.
        """
        tokens = self.tokens(FIRST)
        self.path.write_text(SECOND)
        tokens.read()
        self.assertTrue(tokens.accepts(f"Bearer {SECOND}".encode()))
        self.assertFalse(tokens.accepts(f"Bearer {FIRST}".encode()))
        self.assertNotIn(SECOND, repr(tokens))
