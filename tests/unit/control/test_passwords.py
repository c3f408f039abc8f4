"""
Passwords are hashed before they are recorded, and recognised when they come again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control import passwords
from dfproxy.control.passwords import Passwords
from dfproxy.dfp.kept import has_plain, users_of
from dfproxy.exchange.passwords import matches
from dfproxy.model.snapshot import Change, Hold, Revision
from tests.unit.api.services import service


class PasswordsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.runs = 0
        self.passwords = Passwords(self.run_here)

    def run_here(self, work: Callable[[], Any]) -> Deferred[Any]:
        self.runs += 1
        return succeed(work())

    def kept(self, change: Change) -> Change:
        found = self.successResultOf(self.passwords.kept(change))
        assert isinstance(found, Change)
        return found

    def test_hashed(self) -> None:
        """
        What is recorded has hashes that the passwords match, of services and of what holds keep out.
        """
        plain = service("a", users="bob:secret")
        change = self.kept(Change(Revision(1), (plain, service("b")), holds=(Hold("a", plain, 1),)))
        for kept in (change.services[0], change.holds[0].against):
            self.assertFalse(has_plain(kept))
            (user,) = users_of(kept)
            self.assertTrue(matches(b"secret", user.password))
            self.assertFalse(matches(b"Secret", user.password))
        self.assertEqual(change.services[1], service("b"))

    def test_nothing_to_do(self) -> None:
        """
        A change without passwords costs nothing.
        """
        change = Change(Revision(1), (service("b"),))
        self.assertIs(self.kept(change), change)
        self.assertEqual(self.runs, 0)

    def test_same_again(self) -> None:
        """
        The same user has the same hash in each of many services, and another user of the same password another one.
        """
        change = self.kept(Change(Revision(1), tuple(service(f"s{n}", users="bob:x,eve:x") for n in range(50))))
        self.assertEqual(len({user.password for kept in change.services for user in users_of(kept)}), 2)

    def test_recognised(self) -> None:
        """
        The password tells whether it is the same service; another password, another user, or another path is not.
        """
        kept = self.kept(Change(Revision(1), (service("a", users="bob:secret"),))).services[0]
        again = Passwords(self.run_here)  # after a restart
        given = [
            service("a", users="bob:secret"),
            service("a", users="bob:other"),
            service("a", users="eve:secret"),
            service("a", users="bob:secret", port="1"),
        ]
        verdicts = self.successResultOf(again.recognised([(one, kept) for one in given]))
        self.assertEqual(verdicts, [True, False, False, False])

    def test_bounded(self) -> None:
        """
        The oldest hashes are forgotten.
        """
        self.patch(passwords, "REMEMBERED", 4)
        change = self.kept(Change(Revision(1), (service("a", users=",".join(f"u{n}:p" for n in range(9))),)))
        self.assertEqual(len(set(users_of(change.services[0]))), 9)
        self.assertLessEqual(len(self.passwords._hashes), 4)
