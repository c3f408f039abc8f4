"""
`users`, `usersSecret`, `USERS`.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.users import NOBODY, entries, global_users, service_users, wrong_hash
from dfproxy.model.steps import User

A, B = User("a", "1"), User("b", "2")
LISTS = {"team": "a:1\nb:2\nnopass"}


class EntryTests(SynchronousTestCase):
    """
    The syntax.
    """

    def test_entries(self) -> None:
        """
        Commas and line breaks separate, the first colon splits, blanks go, empty halves drop the entry.
        """
        self.assertEqual(entries(" a : p:x \t,b:2\nc,:x,d:,\r\n"), [("a", "p:x"), ("b", "2"), ("c", "")])

    @settings(max_examples=60, deadline=None)
    @given(st.text(alphabet="ab:, \n\t", max_size=20))
    def test_total(self, text: str) -> None:
        """
        Whatever is given, names are never empty, and somebody is always in the list.
        """
        self.assertTrue(all(name for name, _ in entries(text)))
        self.assertTrue(service_users(text or "x", "", False, {}, ()))


class ListTests(SynchronousTestCase):
    """
    Who is left.
    """

    def users(self, text: str = "", secret: str = "", everybody: tuple[User, ...] = ()) -> tuple[User, ...] | None:
        return service_users(text, secret, False, LISTS, everybody)

    def test_none_asked_for(self) -> None:
        """
        Without either parameter the service has none of its own.
        """
        self.assertIsNone(self.users(everybody=(A,)))

    def test_given(self) -> None:
        """
        Those with passwords; a name alone takes the password of the secret, else of the global list, in any case.
        """
        self.assertEqual(self.users("a:1,b:2"), (A, B))
        self.assertEqual(self.users("x:9,A", "team"), (User("x", "9"), User("A", "1")))
        self.assertEqual(self.users("B", everybody=(User("b", "h", True),)), (User("B", "h", True),))
        self.assertEqual(self.users("b", "other", everybody=(B,)), (NOBODY,))

    def test_secret(self) -> None:
        """
        All of the secret with passwords.
        """
        self.assertEqual(self.users(secret="team"), (A, B))

    def test_nobody(self) -> None:
        """
        Nothing left means that nobody comes in, not everybody.
        """
        for text, secret in (("", "missing"), ("x", ""), (",", ""), ("", "../team"), ("x", "team")):
            self.assertEqual(self.users(text, secret), (NOBODY,), (text, secret))

    def test_global(self) -> None:
        """
        Nothing given: no list. Nothing usable: nobody.
        """
        self.assertEqual(global_users("", False), ())
        self.assertEqual(global_users("a:1,b", False), (A,))
        self.assertEqual(global_users("a", True), (NOBODY,))


class HashTests(SynchronousTestCase):
    """
    `usersPassEncrypted`.
    """

    def test_known(self) -> None:
        """
        Plain passwords are never looked at; hashes of crypt(3) are fine.
        """
        for password in (
            "$6$salt$" + "a" * 86,
            "$5$rounds=5000$s$" + "a" * 43,
            "$1$s$" + "a" * 22,
            "ab" + "c" * 11,
            "$2b$12$" + "a" * 53,
        ):
            self.assertEqual(wrong_hash(User("a", password, True)), "", password)
        self.assertEqual(wrong_hash(User("a", "plain")), "")
        self.assertEqual(wrong_hash(NOBODY), "")

    def test_wrong(self) -> None:
        """
        Anything else is named by its user, never by itself; so is what takes too long.
        """
        for password in (
            "hidden",
            "$9$hidden$aaaaaaaaaaaa",
            "$6$rounds=99999999$hidden$" + "a" * 86,
            "$2b$31$" + "a" * 53,
            "$2x$04$" + "a" * 53,
        ):
            reason = wrong_hash(User("me", password, True))
            self.assertIn("me", reason)
            self.assertNotIn("hidden", reason)
