"""
Who may come in.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.users import wrong_hash
from dfproxy.errors import InvalidRoute
from dfproxy.exchange.passwords import REMEMBERED, WAITING, Busy, Gate, Verifier, credentials, matches
from dfproxy.model.steps import Access, User

SHA512 = "$6$observe$72KJfpI4r/8ni1j4FcU9Y8KbGuVr.zy7qnYqySQZssOq0mPGNylQyN.X6bTjIx3nC4i4vKVJH5kGUc/aB90Qe/"

HASHES = (
    SHA512,
    "$5$pWqEBmk4ep/sgtAR$6oDYOrpwdYNae2uBdpga02At7C1bwkyL.STxNbk5nM8",
    "$1$HuRGOtqL$t18pYiOYRKiZGU8qosBmu0",
    "E0Ol8n80zUUj.",
    "$2a$04$o7Uz10ADT7cmEr2bMZcKnuzUsnmi.jbeLJB8DEKBn.uqM72DBThhS",
    "$2b$04$o7Uz10ADT7cmEr2bMZcKnuzUsnmi.jbeLJB8DEKBn.uqM72DBThhS",
    "$2y$04$o7Uz10ADT7cmEr2bMZcKnuzUsnmi.jbeLJB8DEKBn.uqM72DBThhS",
)
"""
Of `secret`, made by crypt(3).
"""

LONG = "$2b$04$o6nT60QVG9YvJGneAHUUBOl111z6VzApmYWuZ7fbHRjmqwdc0EiW6"
"""
Of 80 times `x`, likewise.
"""

LATIN = "$5$saltsalt$X15W.ywhpiD/9FOSRUykQ1Aeom6DAgz47f2/b1fOHh2"
"""
Of `été` in Latin-1, likewise.
"""


def basic(text: str) -> bytes:
    return b"Basic " + b64encode(text.encode())


class CredentialsTests(SynchronousTestCase):
    """
    Reading Authorization.
    """

    def test_read(self) -> None:
        """
        Name and password; the password may hold colons, the scheme may be in any case.
        """
        self.assertEqual(credentials(basic("bob:p:x")), (b"bob", b"p:x"))
        self.assertEqual(credentials(b"bASIC " + b64encode(b":")), (b"", b""))

    def test_none(self) -> None:
        """
        Other schemes, broken base64, no colon, too much.
        """
        for value in (None, b"", b"Bearer abc", b"Basic !!!", basic("nocolon"), b"Basic", basic("a:" + "b" * 2000)):
            self.assertIsNone(credentials(value), value)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=40))
    def test_total(self, value: bytes) -> None:
        """
        Any bytes are credentials or none.
        """
        credentials(value)
        credentials(b"Basic " + value)


class GateTests(SynchronousTestCase):
    """
    A list of users.
    """

    def gate(self, *users: User, verifier: Verifier | None = None) -> Gate:
        return Gate(Access("sRealm", users), verifier or Verifier.at_once())

    def admits(self, gate: Gate, text: str) -> bool:
        verdict = gate.admits(basic(text))
        return self.successResultOf(verdict) if isinstance(verdict, Deferred) else verdict

    def test_plain(self) -> None:
        """
        Name and password must be of one user, case counts.
        """
        gate = self.gate(User("admin", "secret"), User("bob", "p:x"))
        for text, wanted in (
            ("admin:secret", True), ("bob:p:x", True), ("Admin:secret", False), ("admin:Secret", False),
            ("admin:p:x", False), ("admin:", False), ("nobody:secret", False), (":", False),
        ):  # fmt: skip
            self.assertIs(self.admits(gate, text), wanted, text)
        self.assertIs(gate.admits(None), False)

    def test_hash(self) -> None:
        """
        The password of the hash comes in, the hash itself does not.
        """
        gate = self.gate(User("admin", SHA512, True))
        self.assertIs(self.admits(gate, "admin:secret"), True)
        self.assertIs(self.admits(gate, f"admin:{SHA512}"), False)

    def test_every_kind_of_hash(self) -> None:
        """
        Each kind of hash that is accepted lets its password in, and no other: also those that `htpasswd -B` makes.
        """
        for hashed in HASHES:
            gate = self.gate(User("admin", hashed, True))
            self.assertIs(self.admits(gate, "admin:secret"), True, hashed)
            self.assertIs(self.admits(gate, "admin:secre"), False, hashed)
            self.assertEqual(wrong_hash(User("admin", hashed, True)), "")

    def test_long_and_foreign(self) -> None:
        """
        As crypt(3): of a long password bcrypt looks at the beginning, and passwords are bytes in whatever encoding.
        """
        self.assertTrue(matches(b"x" * 80, LONG))
        self.assertFalse(matches(b"x" * 71, LONG))
        self.assertTrue(matches(b"\xe9t\xe9", LATIN))
        self.assertFalse(matches("\xe9t\xe9".encode(), LATIN))
        self.assertFalse(matches(b"a\0b", LATIN))

    def test_nobody(self) -> None:
        """
        No users, or one whose hash is of no kind: everything is refused.
        """
        self.assertIs(self.gate().admits(basic("a:b")), False)
        self.assertIs(self.admits(self.gate(User("dummyUser", "*", True)), "dummyUser:*"), False)

    def test_challenge(self) -> None:
        """
        What the client is told; nothing could break the line.
        """
        self.assertEqual(self.gate().challenge, b'WWW-Authenticate: Basic realm="sRealm"\r\n')
        self.assertRaises(InvalidRoute, Gate, Access('a"b', ()), Verifier.at_once())


class VerifierTests(SynchronousTestCase):
    """
    Hashes, off the path of requests.
    """

    def setUp(self) -> None:
        self.asked: list[Deferred[bool]] = []
        self.verifier = Verifier(self.in_thread)

    def in_thread(self, verify: Callable[[], bool]) -> Deferred[bool]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def test_remembered(self) -> None:
        """
        Each password is hashed once, right or wrong; another password or hash is another question.
        """
        for password, verdict in ((b"a", True), (b"b", False)):
            first = self.verifier.verify(password, "h")
            assert isinstance(first, Deferred)
            self.asked[-1].callback(verdict)
            self.assertIs(self.successResultOf(first), verdict)
            self.assertIs(self.verifier.verify(password, "h"), verdict)
        self.assertIsInstance(self.verifier.verify(b"a", "other"), Deferred)
        self.assertEqual(len(self.asked), 3)

    def test_together(self) -> None:
        """
        Who asks the same meanwhile waits for the same answer.
        """
        both = [self.verifier.verify(b"a", "h") for _ in range(2)]
        self.assertEqual(len(self.asked), 1)
        self.asked[0].callback(True)
        for verdict in both:
            assert isinstance(verdict, Deferred)
            self.assertIs(self.successResultOf(verdict), True)

    def test_failure_lets_nobody_in(self) -> None:
        """
        If the thread fails, the answer is no, and it is asked again the next time.
        """
        verifier = Verifier(lambda verify: fail(RuntimeError("no threads")))
        for _ in range(2):
            verdict = verifier.verify(b"a", "h")
            assert isinstance(verdict, Deferred)
            self.assertIs(self.successResultOf(verdict), False)

    def test_bounded(self) -> None:
        """
        Neither the questions under way nor the answers remembered grow without end.
        """
        for number in range(WAITING):
            self.verifier.verify(b"%d" % number, "h")
        self.assertRaises(Busy, self.verifier.verify, b"more", "h")
        quick = Verifier.at_once()
        for number in range(REMEMBERED + 10):
            quick.verify(b"%d" % number, "*")
        self.assertEqual(len(quick._verdicts), REMEMBERED)

    def test_no_password_is_kept(self) -> None:
        """
        What is remembered tells no password.
        """
        self.verifier.verify(b"hunter2", "h")
        self.asked[0].callback(True)
        self.assertNotIn(b"hunter2", b"".join(self.verifier._verdicts))

    def test_kinds(self) -> None:
        """
        crypt(3) of SHA-512, SHA-256, MD5 and DES; anything else matches nothing.
        """
        hashes = (
            SHA512,
            "$5$rounds=1000$saltstring$Nd5qwyYRFGq25nJGOxpZyZ8cPlL0dwjqMKdnh2p.2W8",
            "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
            "rqXexS6ZhobKA",
        )
        self.assertTrue(matches(b"secret", hashes[0]))
        self.assertTrue(matches(b"password", hashes[2]))
        for hashed in (*hashes, "*", "", "$9$x$y", "secret"):
            self.assertFalse(matches(b"\xff", hashed))
            self.assertFalse(matches(b"wrong", hashed), hashed)
