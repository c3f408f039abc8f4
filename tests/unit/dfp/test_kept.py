"""
Services as they are kept: no plain passwords, and the same meaning.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.kept import differs_by_hash, has_plain, hashed, masked, users_of
from dfproxy.dfp.reconfigure import read
from dfproxy.dfp.users import CRYPT, global_users
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.model.steps import User
from tests.fakes import FakeStrategies

SETTINGS = Settings(users=global_users("ann:everybody", False), user_lists=(("list", "carl:listed,bob:listed"),))

HASH = "$6$saltsalt$" + "x" * 86


def service(**parameters: str) -> Service:
    given = {"serviceName": "s", "servicePath": "/s", "port": "8080", **parameters}
    found = read(tuple(given.items()), (), SETTINGS, FakeStrategies().parse_balance).service
    assert found is not None
    return found


def hash_of(user: User) -> str:
    return HASH.replace("saltsalt", f"{user.name}.{user.password}"[:16])


class HashedTests(SynchronousTestCase):
    def test_no_password_is_left(self) -> None:
        """
        Wherever a plain password comes from, it is not in what is kept; what is kept reads the same again.
        """
        for parameters in (
            {"users": "bob:secret,eve:secret2"},
            {"users": "bob:secret,ann"},
            {"usersSecret": "list"},
            {"users": "bob,dan:secret", "usersSecret": "list"},
            {"users": f"dan:secret,eve:{CRYPT}{HASH}"},
            {},
        ):
            plain = service(**parameters)
            self.assertTrue(has_plain(plain), parameters)
            kept = hashed(plain, hash_of)
            self.assertFalse(has_plain(kept))
            text = repr(kept) + repr([user.password for user in users_of(kept)])
            for password in ("secret", "everybody", "listed"):
                self.assertNotIn(f"'{password}'", text)
                self.assertNotIn(f":{password}", text)
            self.assertEqual([u.name for u in users_of(kept)], [u.name for u in users_of(plain)])
            # Passwords of lists are read from the lists again, all others are hashes now.
            again = hashed(service(**dict(kept.parameters)), hash_of)
            self.assertEqual(again, kept)
            self.assertEqual([name for name, _ in kept.parameters], [name for name, _ in plain.parameters])

    def test_nothing_to_hide(self) -> None:
        """
        Hashes stay as they were given, and so does a service that asks for nobody.
        """
        encrypted = service(users=f"bob:{HASH}", usersPassEncrypted="true")
        self.assertIs(hashed(encrypted, hash_of), encrypted)
        open_to_all = read((("serviceName", "s"), ("servicePath", "/s"), ("port", "1")), (), Settings(), str).service  # type: ignore[arg-type]  # not asked
        assert open_to_all is not None
        self.assertIs(hashed(open_to_all, hash_of), open_to_all)
        self.assertIs(masked(open_to_all), open_to_all)


class ComparedTests(SynchronousTestCase):
    def test_masked(self) -> None:
        """
        Without passwords a service and what is kept of it are equal, those of other users or paths are not.
        """
        plain = service(users="bob:secret")
        self.assertEqual(masked(plain), masked(hashed(plain, hash_of)))
        self.assertEqual(masked(plain), masked(service(users="bob:another")))
        self.assertNotEqual(masked(plain), masked(service(users="eve:secret")))
        self.assertNotEqual(masked(service(users="ann:secret")), masked(service(users="ann")))
        self.assertNotEqual(masked(plain), masked(service(users="bob:secret", servicePath="/t")))
        self.assertNotIn("secret", repr(masked(plain).parameters))

    def test_pairs(self) -> None:
        """
        Only a plain service that differs from a kept one by its passwords alone has something to be verified.
        """
        plain = service(users="bob:secret,eve:secret2")
        kept = hashed(plain, hash_of)
        wanted = [("secret", hash_of(User("bob", "secret"))), ("secret2", hash_of(User("eve", "secret2")))]
        self.assertEqual(differs_by_hash(plain, kept), wanted)
        self.assertIsNone(differs_by_hash(plain, plain))
        self.assertIsNone(differs_by_hash(kept, kept))
        self.assertIsNone(differs_by_hash(plain, service(users="bob:other,eve:secret2")))
        self.assertIsNone(differs_by_hash(service(users="bob:secret"), kept))
        self.assertIsNone(differs_by_hash(service(users="bob:secret,eve:secret2", port="1"), kept))
